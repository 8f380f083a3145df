"""TOML files that users write: what is none, or has no end, ends in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from wflow.errors import InputError

LONGEST = 1 << 20
"""Most bytes of such a file; /dev/zero has no end."""


def read_toml(what: str, path: Path) -> dict[str, Any]:
    """The table in a file.

    >>> read_toml("plan", Path("no-such-file.toml"))
    Traceback (most recent call last):
    wflow.errors.InputError: plan no-such-file.toml: No such file or directory
    """
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise InputError(f"{what} {path} is longer than 1 MiB: give a TOML file of options")
        return tomllib.loads(text.decode("utf-8"))
    except OSError as e:
        raise InputError(f"{what} {path}: {e.strerror}") from None
    except RecursionError:
        raise InputError(f"{what} {path}: brackets in brackets, too deep to read") from None
    except InputError:
        raise
    except ValueError as e:  # no TOML, no UTF-8, a number of more digits than Python reads
        raise InputError(f"{what} {path} is not TOML: {e}") from None
