"""``python -m wflow``."""

from wflow.cli import main

raise SystemExit(main())
