r"""One minimising movement in quantile coordinates as an objective for Newton's method.

.. math:: F(x) + \frac{W_2^2(x, x_k)}{2h}, \qquad
          W_2^2 = \sum_i \frac{m_i}{3}\bigl(d_i^2 + d_i d_{i+1} + d_{i+1}^2\bigr),

d the displacements of the edges, and :math:`\sum_i m_i d_i^2` for atoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from wflow.solvers.grid.parts.quantile_energy import DIFFERENCE, QuantileEnergy

TO_THE_EDGE = 0.95
"""Share of the way to the first cell of width 0 that one Newton step may take."""
TRUST = (1e-2, 1e8)
"""Least and largest ratio of the foreseen pressure to the present one."""


class Movement:
    """F(x) + W₂²(x, x_k)/(2h) as an objective; residuals are lengths.

    The pressures of the cells are unknowns of their own, as in a primal-dual interior-point method: a light cell
    between two others that close in stiffens by what the step foresees, not by what little of it was taken.
    """

    def __init__(self, energy: QuantileEnergy, old: np.ndarray, h: float) -> None:
        self.energy, self.old, self.h = energy, old, h
        self._pressure = energy.pressure(np.diff(old))[0] if energy.level else old

    def moved(self, d: np.ndarray) -> np.ndarray:
        """The mass matrix times d: half the gradient of W₂²."""
        m = self.energy.masses
        if not self.energy.level:
            return np.asarray(m * d)
        out = np.zeros_like(d)
        out[:-1] = m * (2 * d[:-1] + d[1:]) / 6
        out[1:] += m * (d[:-1] + 2 * d[1:]) / 6
        return out

    def value(self, x: np.ndarray) -> float:
        d = x - self.old
        return self.energy.value(x)[0] + 0.5 * float(d @ self.moved(d)) / self.h

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.energy.gradient(x) + self.moved(x - self.old) / self.h)

    def curvature(self, x: np.ndarray, g: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        e = self.energy
        pull = e.pull(x)
        second = self._stiff(x) if e.level else None

        def product(v: np.ndarray) -> np.ndarray:
            step = DIFFERENCE * e.length / max(float(np.abs(v).max()), 1e-300)
            moved = np.clip(x + step * v, e.low, e.high)
            out = (e.pull(moved) - pull) / step + self.moved(v) / self.h
            if second is not None:
                squeeze = second * np.diff(v)
                out[1:] += squeeze
                out[:-1] -= squeeze
            return np.asarray(out)

        return product

    def bands(self, x: np.ndarray) -> np.ndarray:
        e, m = self.energy, self.energy.masses
        stiff = np.maximum(e.stiffness(x), 0.0)
        bands = np.zeros((2, x.size))
        if not e.level:
            bands[1] = m / self.h + stiff
            return bands
        second = self._stiff(x)
        beside = m / (3 * self.h) + 0.25 * stiff + second
        bands[1, :-1] = beside
        bands[1, 1:] += beside
        bands[0, 1:] = m / (6 * self.h) + 0.25 * stiff - second
        return bands

    def longest(self, x: np.ndarray, p: np.ndarray) -> float:
        if not self.energy.level:
            return math.inf
        worst = float((-np.diff(p) / np.diff(x)).max())
        if x.size > 2:
            # An end may be stopped by its wall, the node next to it may not get there.
            worst = max(worst, -p[1] / (x[1] - self.energy.low))
            worst = max(worst, p[-2] / (self.energy.high - x[-2]))
        return TO_THE_EDGE / worst if worst > 0 else math.inf

    def foresee(self, x: np.ndarray, p: np.ndarray) -> None:
        if not self.energy.level:
            return
        width = np.diff(x)
        first, second = self.energy.pressure(width)
        linear = first - self._pressure * (second / first) * np.diff(p)
        self._pressure = np.clip(linear, 0.1 * self._pressure, None)

    def _stiff(self, x: np.ndarray) -> np.ndarray:
        """−∂(pressure)/∂(width) at the foreseen pressure."""
        first, second = self.energy.pressure(np.diff(x))
        return np.asarray(np.clip(self._pressure / first, *TRUST) * second)

    def size(self, decrement: float) -> float:
        # The Hessian is at least the mass matrix over h where F is displacement convex, hence |x − x*|² ≤ h g·H⁻¹g.
        return math.sqrt(self.h * decrement)
