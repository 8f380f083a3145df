"""``python -m wflow``."""

from wflow.cli.main import main

raise SystemExit(main())
