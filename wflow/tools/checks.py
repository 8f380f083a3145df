"""Numbers that a caller gives: what is not in its range ends in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import InputError


def _real(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)


def non_negative(name: str, value: Any) -> float:
    """The value as a finite float ≥ 0.

    >>> non_negative("temperature", 0)
    0.0
    """
    if not _real(value):
        raise InputError(f"{name} = {value!r}: expected a number >= 0")
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{name} = {value:g}: must be finite and not negative")
    return float(value)


def positive(name: str, value: Any, *, finite: bool = True) -> float:
    """The value as a float > 0, finite unless said otherwise.

    >>> positive("max_step", float("inf"), finite=False)
    inf
    """
    if not _real(value):
        raise InputError(f"{name} = {value!r}: give a positive number")
    if not value > 0 or (finite and math.isinf(value)):
        raise InputError(f"{name} = {value:g}: must be positive{' and finite' if finite else ''}")
    return float(value)


def check_count(name: str, value: Any, least: int = 1) -> int:
    """The value as a whole number, ``least`` or more.

    >>> check_count("cells", np.int64(3), least=2)
    3
    """
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or value < least:
        shown = str(value) if whole else repr(value)
        raise InputError(f"{name} = {shown}: give a whole number of at least {least}")
    return int(value)
