"""What the header of a run's file may say: the shape of each known attribute, in one table.

A shape is a type or several, or a test of one value; ``[a]`` is a list of any length, ``[a, b]`` a list of these two;
``{"name": a, "other?": b, ...: c}`` a table in which ``name`` must stand, ``other`` may, and all else is of ``c``. What
others have added to a file is theirs, and not in the table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def whole(value: Any) -> bool:
    """A whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def count(value: Any) -> bool:
    """The same, as HDF5 counts."""
    return whole(value) and value < 2**63


def real(value: Any) -> bool:
    """A number, NaN and infinity included, that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**1023


def finite(value: Any) -> bool:
    """A finite number."""
    return real(value) and math.isfinite(value)


def numeric(value: Any) -> bool:
    """The name of a type of numbers as numpy has it."""
    try:
        return isinstance(value, str) and np.dtype(value).kind in "biuf"
    except (TypeError, ValueError):
        return False


def anything(_: Any) -> bool:
    """No demand."""
    return True


TEXT_OR_NONE = (str, type(None))
PAIRS = {...: [str, str]}
LAYOUT = {
    "n_frames": count,
    "series": PAIRS,
    "step_series": PAIRS,
    "fields": {...: {"shape": [count], "dims": [str], "unit": str, "meaning": str}},
    "axes": PAIRS,
    "coordinates": [str],
    "checkpoint": {...: [[count], numeric]},
    "given?": {...: [[count], numeric]},
}
EVENT = {"name": str, "series": TEXT_OR_NONE, "level": real, "terminal": real, "direction": real}
HEADER = {
    "layout": LAYOUT,
    "checksums?": str,
    "status?": str,
    "message?": str,
    "stats?": {"late_events?": [[finite, count]], ...: real},
    "run?": str,
    "system?": TEXT_OR_NONE,
    "parameters?": {...: anything},
    "measure?": {"kind": str, ...: anything},
    "method?": str,
    "method_reason?": str,
    "method_options?": {...: anything},
    "events?": [EVENT],
    "fingerprint?": str,
    "t_span?": [finite, finite],
    "t_eval?": [finite],
    "t_eval_asked?": [finite],
    "seed?": whole,
    "rtol?": finite,
    "atol?": finite,
    "temperature?": finite,
    "ridge?": finite,
    "reaction_rate?": finite,
    "decay?": finite,
    "replayed?": bool,
}


def misfit(value: Any, shape: Any) -> str | None:
    """The place where a value is not of a shape, as one writes it behind the value; None where it is.

    >>> misfit({"a": [1, 2]}, {...: [count]}), misfit({"a": [1, "b"]}, {...: [count]}), misfit(3, str)
    (None, '.a[1]', '')
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return ""
        for key in shape.keys() - value.keys() - {...}:
            if not key.endswith("?"):
                return f".{key}"
        inner = [
            (f".{key}", item, shape.get(key, shape.get(f"{key}?", shape.get(..., anything))))
            for key, item in value.items()
        ]
    elif isinstance(shape, list):
        if not isinstance(value, list) or (len(shape) > 1 and len(value) != len(shape)):
            return ""
        demands = shape if len(shape) > 1 else shape * len(value)
        inner = [(f"[{i}]", *pair) for i, pair in enumerate(zip(value, demands, strict=True))]
    else:
        fits = isinstance(value, shape) if isinstance(shape, type | tuple) else shape(value)
        return None if fits else ""
    found = ((place, misfit(item, demand)) for place, item, demand in inner)
    return next((place + rest for place, rest in found if rest is not None), None)
