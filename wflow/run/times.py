"""The times of a run, as they are asked for: its span, and where it saves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import InputError

ROUNDING = 1e-12
"""A time this little past the end, relative to it, is the end: n ticks of ε add up to no better."""


def check_span(t_span: Any) -> tuple[float, float]:
    """Check and return (t0, t1)."""
    try:
        t0, t1 = (float(t) for t in t_span)
    except (TypeError, ValueError):
        raise InputError(f"t_span = {t_span!r}: give two numbers (t0, t1)") from None
    if not (math.isfinite(t0) and math.isfinite(t1) and t1 > t0):
        raise InputError(f"t_span = ({t0:g}, {t1:g}): t1 must be finite and greater than t0")
    return t0, t1


def check_times(t_eval: Any, span: tuple[float, float]) -> np.ndarray:
    """Check and return the times to save at."""
    if t_eval is None:
        return np.linspace(*span, 11)
    try:
        t = np.array(t_eval, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise InputError(f"t_eval = {t_eval!r}: give increasing numbers") from None
    if t.size == 0 or not np.isfinite(t).all() or (np.diff(t) <= 0).any():
        raise InputError("t_eval must be finite, increasing and not empty")
    if t[0] < span[0] or t[-1] > span[1] + ROUNDING * abs(span[1]):
        raise InputError(
            f"t_eval runs over [{t[0]:g}, {t[-1]:g}], outside t_span [{span[0]:g}, {span[1]:g}]"
        )
    return np.unique(np.minimum(t, span[1]))
