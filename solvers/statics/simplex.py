r"""A convex quadratic function over the probability simplex, by a primal–dual interior point method.

.. math:: \min_w \tfrac12|L^T w|^2 + q\cdot w \quad\text{over}\quad w \ge 0,\ \textstyle\sum w_i = 1

With Ψ = q + LLᵀw the conditions are Ψ_i = μ + z_i, z ≥ 0, w_i z_i = 0: the support lies where Ψ is smallest, and
w·z is the duality gap. Each iteration factors an r×r matrix and costs O(nr²), so that 1e5 points are no trouble;
some twenty iterations reach rounding, whatever the conditioning of U, where Frank–Wolfe methods slow down.

Source: Mehrotra, SIAM J. Optim. 2 (1992) 575; for quadratic functions Nocedal & Wright, Numerical Optimization
(2006), algorithm 16.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

STAY_INSIDE = 0.995
"""Share of the way to the boundary that a step may go."""
TINY = 1e-30
"""Weights and slacks stay above it, so that their ratios stay finite."""


@dataclass(frozen=True)
class SimplexMinimum:
    """Weights (n,), the level μ, the duality gap w·z, and the gap at each iteration."""

    weights: np.ndarray
    level: float
    gap: float
    iterations: int
    history: np.ndarray


def minimise_on_simplex(
    q: np.ndarray, low: np.ndarray, tolerance: float = 1e-12, max_iterations: int = 100
) -> SimplexMinimum:
    """Minimise ½|Lᵀw|² + q·w over the simplex until w·z ≤ tolerance, or rounding stops the progress.

    Parameters
    ----------
    q : (n,)
    low : L (n, r); r may be 0
    tolerance : of the duality gap, in the units of q

    >>> found = minimise_on_simplex(np.array([0.0, 1.0]), np.zeros((2, 0)))
    >>> found.weights.round(9), round(found.level, 9)
    (array([1., 0.]), 0.0)
    """
    n = q.size
    if n == 1:
        return SimplexMinimum(np.ones(1), float(q[0] + low[0] @ low[0]), 0.0, 0, np.zeros(1))
    centre = float(q.mean())
    size = float((low**2).sum(axis=1).max(initial=0.0))
    rounding = float(np.finfo(float).eps) * float(np.abs(q).max())
    scale = max(float(np.ptp(q)), size, rounding, 1e-300)
    q, low = (q - centre) / scale, low / np.sqrt(scale)
    w = np.full(n, 1.0 / n)
    psi = q + low @ (low.T @ w)
    mu = float(psi.min()) - 1.0
    z = psi - mu
    best = (np.inf, w, mu)
    history = []
    stalled = 0
    for _ in range(max_iterations + 1):
        gap = float(w @ psi - psi.min())
        history.append(gap * scale)
        stalled = 0 if gap < 0.9 * best[0] else stalled + 1
        if gap < best[0]:
            best = (gap, w, float(psi.min()))
        # The true gap includes what rounding leaves of dual infeasibility.
        if gap * scale <= tolerance or stalled == 8 or len(history) > max_iterations:
            break
        try:
            system = _Newton(low, w, z, psi - mu - z, 1.0 - float(w.sum()))
            mean = float(w @ z) / n
            dw, dz, _ = system.step(-z)
        except (LinAlgError, ZeroDivisionError):
            # Rounding has eaten the identity beside M, or all that the multiplier divides by: nothing more to gain.
            break
        a = _room(w, dw, z, dz)
        centring = (float((w + a * dw) @ (z + a * dz)) / (n * mean)) ** 3
        dw, dz, dmu = system.step((centring * mean - dw * dz) / w - z)
        a = STAY_INSIDE * _room(w, dw, z, dz)
        w, z, mu = np.maximum(w + a * dw, TINY), np.maximum(z + a * dz, TINY), mu + a * dmu
        psi = q + low @ (low.T @ w)
    gap, w, level = best
    w = w / w.sum()
    return SimplexMinimum(
        w, level * scale + centre, gap * scale, len(history) - 1, np.array(history)
    )


def _room(w: np.ndarray, dw: np.ndarray, z: np.ndarray, dz: np.ndarray) -> float:
    """The longest step in [0, 1] that keeps w and z at least zero; one length keeps Ψ − μ − z at zero."""
    fastest = max(float((-dw / w).max()), float((-dz / z).max()))
    return 1.0 if fastest <= 1.0 else 1.0 / fastest


class _Newton:
    """Newton steps of Ψ − μ − z = 0, Σw = 1, wz = target, by one r×r factorisation (Woodbury)."""

    def __init__(
        self, low: np.ndarray, w: np.ndarray, z: np.ndarray, dual: np.ndarray, primal: float
    ) -> None:
        self._low, self._ratio, self._dual, self._primal = low, z / w, dual, primal
        self._root = np.sqrt(w / z)
        self._m = self._root[:, None] * low
        self._factor = cho_factor(np.eye(low.shape[1]) + self._m.T @ self._m) if low.size else None
        self._ones = self._solve(np.ones(w.size))

    def step(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """(dw, dz, dμ) with dz + (z/w) dw = target."""
        x = self._solve(target - self._dual)
        dmu = (self._primal - float(x.sum())) / float(self._ones.sum())
        dw = x + dmu * self._ones
        return dw, target - self._ratio * dw, dmu

    def _solve(self, v: np.ndarray) -> np.ndarray:
        """(LLᵀ + diag(z/w))⁻¹ v, refined once: at the end z/w spans twenty orders."""
        x = self._inverse(v)
        left = v - self._low @ (self._low.T @ x) - self._ratio * x
        return np.asarray(x + self._inverse(left))

    def _inverse(self, v: np.ndarray) -> np.ndarray:
        u = self._root * v
        if self._factor is not None:
            u = u - self._m @ cho_solve(self._factor, self._m.T @ u)
        return np.asarray(self._root * u)
