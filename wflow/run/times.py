"""The times of a run, as they are asked for: its span, and where it saves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import InputError, shown
from wflow.solvers.step_size import Clock
from wflow.tools.arrays import as_floats

ROUNDING = 1e-12
"""Times that differ by so little of the span are the same: n ticks of ε add up to no better."""
LEAST_SPAN = 1e-290
"""Below this a part of the span is no normal number."""


def rounding(t0: float, t1: float) -> float:
    """How far a time beside t0 and t1 may be off."""
    return ROUNDING * (t1 - t0) + 8.0 * math.ulp(max(abs(t0), abs(t1)))


def told(t: float, span: float) -> str:
    """A time with as many digits as tell it from others of the span.

    >>> told(0.25, 1.0), told(3e13 + 2, 2.0)
    ('0.25', '30000000000002')
    """
    far = abs(t) / span if span > 0 else 1.0
    return f"{t:.{min(17, 6 + max(0, math.ceil(math.log10(far))) if far > 0 else 6)}g}"


def check_span(t_span: Any) -> tuple[float, float]:
    """Check and return (t0, t1)."""
    span = as_floats("t_span", t_span, finite=False)
    if span.shape != (2,):
        raise InputError(f"t_span = {shown(t_span)}: give two numbers (t0, t1)")
    t0, t1 = span.tolist()
    if not (math.isfinite(t0) and math.isfinite(t1) and t1 > t0):
        raise InputError(f"t_span = ({t0:g}, {t1:g}): t1 must be finite and greater than t0")
    if not LEAST_SPAN <= t1 - t0 < math.inf:
        raise InputError(
            f"t_span = ({t0:g}, {t1:g}): t1 - t0 must be between {LEAST_SPAN:g} and 1.8e+308, the least and the "
            "largest that floating-point numbers resolve; take another unit of time"
        )
    return t0, t1


def check_times(t_eval: Any, span: tuple[float, float]) -> np.ndarray:
    """Check and return the times to save at."""
    if t_eval is None:
        return np.unique(np.linspace(*span, 11))
    t = as_floats(f"t_eval = {shown(t_eval)}", t_eval, finite=False)
    if t.size == 0 or t.ndim > 1 or not np.isfinite(t).all() or (np.diff(t.ravel()) <= 0).any():
        raise InputError(f"t_eval = {shown(t_eval)}: give a list of times, finite and increasing")
    t = t.ravel()
    off = rounding(*span)
    if t[0] < span[0] - off or t[-1] > span[1] + off:
        raise InputError(
            f"t_eval runs over [{t[0]:g}, {t[-1]:g}], outside t_span [{span[0]:g}, {span[1]:g}]"
        )
    return np.unique(np.clip(t, *span))


def times_from_0(t_eval: Any) -> np.ndarray:
    """Check and return times of at least 0, of which the last is the end."""
    end = float(np.max(as_floats("t_eval", t_eval), initial=0.0))
    return check_times(t_eval, (0.0, end))


def refuse_coinciding(step_size: float, times: np.ndarray, end: float) -> None:
    """Refuse a clock from 0 to ``end`` on which two times are one.

    >>> refuse_coinciding(0.3, np.array([0.0, 0.1]), 1.0)
    Traceback (most recent call last):
    wflow.errors.InputError: step_size = 0.3 is too long for t_eval = [0.0, 0.1]: two fall on one step; give at most 0.1
    """
    if Clock(step_size).times(times, (0.0, end)).size < times.size:
        raise InputError(
            f"step_size = {step_size:g} is too long for t_eval = {shown(times.tolist())}: two fall on one step; "
            f"give at most {np.diff(times).min():g}"
        )
