"""A law on the line as its quantile function, piecewise linear in u.

A cell of constant density is a segment, a particle a flat one. Quantiles, the cdf, equal-mass bins and the exact W2
in one dimension all read this one table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.measures.base import FloatArray
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count


class QuantileTable:
    """Q(u) goes from ``left[i]`` to ``right[i]`` in a straight line over ``knots[i] < u < knots[i+1]``.

    Parameters
    ----------
    masses : (k,) not negative, of positive sum; empty segments are dropped
    left, right : (k,) ends of the segments, in order along the line
    """

    def __init__(self, masses: FloatArray, left: FloatArray, right: FloatArray) -> None:
        held = masses > 0
        masses, left, right = masses[held], left[held], right[held]
        # Extended precision: two ways of splitting the same masses then meet at the same knots. W2 is the root of
        # what is carried between knots that differ, so that 1e-16 there would show as 1e-8.
        running = np.cumsum(masses, dtype=np.longdouble)
        knots = np.concatenate([[0.0], (running / running[-1]).astype(np.float64)])
        # A mass that rounding swallows holds no interval of u.
        held = np.diff(knots) > 0
        self.knots: FloatArray = np.concatenate([[0.0], knots[1:][held]])
        self.left, self.right = left[held], right[held]

    def __call__(self, u: Any) -> FloatArray:
        """inf{x : cdf(x) ≥ u}, of the shape of u."""
        u = as_floats("u", u, finite=False)
        inside = (u >= 0) & (u <= 1)
        if not inside.all():
            raise InputError(f"u is {u[~inside][0]:g}: quantiles are defined for 0 ≤ u ≤ 1")
        i = np.maximum(np.searchsorted(self.knots, u, side="left") - 1, 0)
        return self._at(i, u)[()]

    def cdf(self, x: Any) -> FloatArray:
        """The share of the mass at or below x, of the shape of x."""
        x = as_floats("x", x, finite=False)
        if np.isnan(x).any():
            raise InputError("x holds NaN: the cdf is defined on the real line")
        i = np.searchsorted(self.left, x, side="right") - 1
        below, i = i < 0, np.maximum(i, 0)
        width = self.right[i] - self.left[i]
        share = np.ones_like(width)
        with np.errstate(over="ignore"):
            np.divide(x - self.left[i], width, out=share, where=width > 0)
        u = self.knots[i] + np.clip(share, 0, 1) * (self.knots[i + 1] - self.knots[i])
        out: FloatArray = np.where(below, 0.0, u)
        return out[()]

    def ends(self, breaks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Q at the start and at the end of each interval of ``breaks``, which hold every knot."""
        i = np.searchsorted(self.knots, breaks[:-1], side="right") - 1
        return self._at(i, breaks[:-1]), self._at(i, breaks[1:])

    def bin_means(self, n: int) -> FloatArray:
        """n ∫ Q(u) du over each of n equal bins of u: the conditional means of n equal masses, exactly."""
        bins = np.arange(check_count("n", n) + 1) / n
        breaks = np.union1d(bins, self.knots)
        start, stop = self.ends(breaks)
        which = np.searchsorted(bins, breaks[:-1], side="right") - 1
        length = np.diff(breaks)
        held = np.bincount(which, weights=length, minlength=n)
        means = np.bincount(which, weights=length * 0.5 * (start + stop), minlength=n) / held
        return np.asarray(np.clip(means, self.left[0], self.right[-1]), dtype=np.float64)

    def _at(self, i: Any, u: FloatArray) -> FloatArray:
        """Q(u) on segment i."""
        share = (u - self.knots[i]) / (self.knots[i + 1] - self.knots[i])
        value: FloatArray = self.left[i] + share * (self.right[i] - self.left[i])
        return value


def squared_distance(a: QuantileTable, b: QuantileTable) -> float:
    """∫₀¹ (Q_a − Q_b)² du, exact: on each merged interval the difference is linear in u."""
    breaks = np.union1d(a.knots, b.knots)
    a_start, a_stop = a.ends(breaks)
    b_start, b_stop = b.ends(breaks)
    first, last = a_start - b_start, a_stop - b_stop
    return float(np.diff(breaks) @ (first * first + first * last + last * last)) / 3
