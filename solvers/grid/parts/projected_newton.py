r"""Minimisation in a box by damped Newton steps whose linear systems are solved by conjugate gradients.

.. math:: H(x)\,p = -g(x) \ \text{on the free coordinates}, \qquad x \leftarrow \Pi(x + a\,p)

The objective never rises: a is halved until it falls (Armijo). Negative curvature ends the conjugate gradients, whose
last iterate still points downhill. Coordinates at a wall that are pushed outwards are held.
Source: Nocedal & Wright, Numerical Optimization (2006), algorithm 7.1; Bertsekas, SIAM J. Control Optim. 20 (1982) 221.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import solveh_banded

ARMIJO = 1e-4
HALVINGS = 40
STEPS = 60
INNER = 60


class Objective(Protocol):
    """A function of the nodes x (n,) with all that a Newton step asks for."""

    def value(self, x: np.ndarray) -> float: ...

    def gradient(self, x: np.ndarray) -> np.ndarray: ...

    def curvature(self, x: np.ndarray, g: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Products with the Hessian at x, where the gradient is g."""

    def bands(self, x: np.ndarray) -> np.ndarray:
        """A positive definite tridiagonal matrix near the Hessian, as rows: off-diagonal (first unused), diagonal."""

    def longest(self, x: np.ndarray, p: np.ndarray) -> float:
        """The largest step along p that stays well inside the domain."""

    def foresee(self, x: np.ndarray, p: np.ndarray) -> None:
        """Hear of a Newton step p from x, of which only a part may be taken."""

    def size(self, decrement: float) -> float:
        """What g·H⁻¹g means to the user, the number that is compared with the tolerance."""


@dataclass(frozen=True)
class Minimum:
    """Where it ended, the size of the Newton decrement there, and the Newton steps taken."""

    x: np.ndarray
    residual: float
    steps: int


def minimise(f: Objective, x: np.ndarray, low: float, high: float, tolerance: float) -> Minimum:
    """Go downhill from x inside [low, high] until ``f.size`` of the Newton decrement is at most ``tolerance``."""
    value, g, size = f.value(x), f.gradient(x), math.inf
    for k in range(STEPS):
        free = ~(((x <= low) & (g > 0)) | ((x >= high) & (g < 0)))
        p = _direction(f, x, g, free)
        slope = min(float(g @ p), 0.0)
        size = f.size(-slope)
        if size <= tolerance:
            return Minimum(x, size, k)
        a = min(1.0, f.longest(x, p))
        f.foresee(x, p)
        for _ in range(HALVINGS):
            new = np.clip(x + a * p, low, high)
            new_value = f.value(new)
            fall = -ARMIJO * min(float(g @ (new - x)), 0.0)
            if new_value <= value - fall and new_value < value:
                break
            a *= 0.5
        else:
            return Minimum(x, size, k)
        x, value, g = new, new_value, f.gradient(new)
    return Minimum(x, size, STEPS)


def _direction(f: Objective, x: np.ndarray, g: np.ndarray, free: np.ndarray) -> np.ndarray:
    """−H⁻¹g on the free coordinates by preconditioned conjugate gradients, to a tenth and better as g falls."""
    bands = f.bands(x)
    bands[0, 1:] *= free[1:] & free[:-1]
    bands[1][~free] = 1.0
    product = f.curvature(x, g)
    r = np.where(free, -g, 0.0)
    z = solveh_banded(bands, r)
    p, d = np.zeros_like(x), z
    rz = first = float(r @ z)
    for _ in range(INNER):
        hd = np.where(free, product(d), 0.0)
        bend = float(d @ hd)
        if not bend > 0:
            # Downhill without an end: the first step of a preconditioned descent is as good a guess as any.
            return p if p.any() else d
        step = rz / bend
        p = p + step * d
        r = r - step * hd
        z = solveh_banded(bands, r)
        rz, before = float(r @ z), rz
        if rz <= 1e-8 * first:
            break
        d = z + (rz / before) * d
    return p
