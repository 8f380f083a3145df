"""A verdict: what was measured, how far chance leaves it open, and what it is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OTHER = 0.25
"""What a power is told from: one that is off by so much."""

OPEN = (
    "open: chance is so wide that half of what is expected, or a power off by a quarter, would pass as well: "
    "more seeds decide"
)

FEWEST_SIZES = 3
"""Sizes through which a line is fitted."""


@dataclass(frozen=True)
class Verdict:
    """One line of a validation: it passes when the band of the measured value meets the bound.

    Attributes
    ----------
    name : what is measured
    value : the measured value
    band : the interval that chance leaves open for it, at the level :data:`LEVEL`
    bound : the interval that theory, a prediction and the error of the limit allow
    passed : whether the two meet
    decides : whether they would not have, for the nearest wrong value that the line is there to see
    """

    name: str
    value: float
    band: tuple[float, float]
    bound: tuple[float, float]
    passed: bool
    decides: bool = True

    @property
    def ok(self) -> str:
        """``yes``, ``NO``, or ``open`` for a line that passes and would also pass where it should not."""
        return ("yes" if self.decides else "open") if self.passed else "NO"

    @classmethod
    def between(
        cls,
        name: str,
        value: float,
        band: tuple[float, float],
        bound: tuple[float, float],
        decides: bool = True,
    ) -> Verdict:
        """The verdict on a band that is not even about its value.

        >>> Verdict.between("c", 1.0, (0.5, 1.5), (1.0, 2.0), np.True_).as_json()["decides"] is True
        True
        """
        passed = band[1] >= bound[0] and band[0] <= bound[1]
        return cls(name, value, band, bound, bool(passed), bool(decides))

    def as_json(self) -> dict[str, Any]:
        """The same with None for what JSON has no number for."""
        return {
            "name": self.name,
            "value": plain(self.value),
            "band": plain(self.band),
            "bound": plain(self.bound),
            "passed": self.passed,
            "decides": self.decides,
        }


def verdict(
    name: str,
    value: float,
    reach: float | tuple[Any, Any],
    low: float,
    high: float,
    instead: Iterable[float] = (),
) -> Verdict:
    """The verdict on value ± reach against [low, high], which decides if it would fail at all values ``instead``.

    A pair says how far the band reaches below and above.

    >>> verdict("slope", -0.47, 0.01, -0.55, -0.45).passed, verdict("slope", -0.4, 0.01, -0.55, -0.45).passed
    (True, False)
    >>> [verdict("slope", -0.47, reach, -0.55, -0.45, [-0.25]).ok for reach in (0.1, 0.3)]
    ['yes', 'open']
    """

    down, up = reach if isinstance(reach, tuple) else (reach, reach)

    def meets(value: float) -> bool:
        # Rounding is no failure.
        slack = 1e-12 * max([abs(value), *(abs(end) for end in (low, high) if math.isfinite(end))])
        return bool(value + up + slack >= low and value - down - slack <= high)

    return Verdict(
        name,
        float(value),
        (float(value - down), float(value + up)),
        (float(low), float(high)),
        meets(value),
        not any(map(meets, instead)),
    )


def headline(verdicts: Sequence[Verdict]) -> str:
    """How many verdicts pass, and how many of them are open, in a few words."""
    count = len(verdicts)
    said = f"{sum(v.passed for v in verdicts)} of {count} verdicts pass" if count else "no verdicts"
    undecided = sum(v.ok == "open" for v in verdicts)
    return said + (f", {undecided} of them open" if undecided else "")


def failures(verdicts: Sequence[Verdict]) -> str:
    """The names of those that fail, for a caption; nothing where none does."""
    failed = [v.name for v in verdicts if not v.passed]
    return f"; failed: {'; '.join(failed)}" if failed else ""


def half_of(expected: float, unsure: float, scale: float) -> list[float]:
    """Half of what is expected; where nothing is, as a mean may be 0, half of what it would be seen against."""
    if abs(expected) > unsure:
        return [0.5 * expected]
    if not math.isfinite(scale):
        return [expected]
    return [expected + sign * 0.5 * scale for sign in (-1, 1)]


def plain(value: Any) -> Any:
    """Numbers and arrays as JSON has them: lists, and None for what is not finite."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    return int(value) if isinstance(value, np.integer) else value


def verdict_table(verdicts: Sequence[Verdict]) -> list[str]:
    """A line each: name, measured value, band, bound, and whether they meet; what ``open`` says, where it is said."""
    rows = [
        (
            v.name,
            f"{v.value:.4g}",
            _interval(v.band),
            _interval(v.bound),
            v.ok,
        )
        for v in verdicts
    ]
    if not rows:
        return []
    rows.insert(0, ("verdict", "measured", "interval", "allowed", "ok"))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    said = [OPEN] if any(v.ok == "open" for v in verdicts) else []
    return [
        row[0].ljust(widths[0])
        + "".join(f"  {cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ] + said


def _interval(ends: tuple[float, float]) -> str:
    low, high = ends
    if math.isinf(high):
        return "any" if math.isinf(low) else f">= {low:.4g}"
    return f"<= {high:.4g}" if math.isinf(low) else f"{low:.4g} … {high:.4g}"
