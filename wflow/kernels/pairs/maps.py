r"""What each closed form makes of a block of scalar products; see :mod:`wflow.kernels.pairs.products`.

Every map adds, for its rows, the sum S of q k, the coefficient B of the row's own w in the gradient, and the
derivative in the row's offset; in place of each product it leaves the coefficient A of w', or k (mode MATRIX).
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit, widest
from wflow.kernels.scalars import PER_2PI, arc_cosine, power_of_half

PARALLEL = 1e-14
"""sin² of the angle below which the step kernel's kink counts as met."""


@jit(fastmath=REORDERED)
def gaussian(
    g: np.ndarray, row: np.ndarray, col: np.ndarray, q: np.ndarray, out: np.ndarray, mode: int
) -> None:
    """k = 2^{-(|w|² + |w'|² − 2⟨w, w'⟩)}, numbers: |w|²; A = q k, B = −Σ q k (times 2 log 2, left to the caller)."""
    widest()
    for i in range(g.shape[0]):
        own, line, other = row[0, i], g[i], col[0]
        s = 0.0
        for j in range(q.size):
            t = own + other[j] - 2.0 * line[j]
            k = power_of_half(0.0 if t < 0.0 else t)
            value = q[j] * k
            line[j] = k if mode == 2 else value
            s += value
        out[0, i] += s
        out[1, i] -= s


@jit(fastmath=FUSED)
def _cosine(g: float, a: float, b: float) -> float:
    """⟨w, w'⟩/(|w||w'|) within [−1, 1] from the inverse norms (0 for a zero weight: cosine 0)."""
    c = g * a * b
    c = 1.0 if c > 1.0 else c
    return -1.0 if c < -1.0 else c


@jit(fastmath=REORDERED)
def arc_cosine_one(
    g: np.ndarray, row: np.ndarray, col: np.ndarray, q: np.ndarray, out: np.ndarray, mode: int
) -> None:
    """k = |w||w'|(sin θ + (π−θ)cos θ)/2π, numbers: |w|, 1/|w|; A = q(π−θ)/2π, B = Σ q |w'| sin θ/(2π|w|)."""
    widest()
    for i in range(g.shape[0]):
        norm, inverse, line, norms, inverses = row[0, i], row[1, i], g[i], col[0], col[1]
        s, b = 0.0, 0.0
        for j in range(q.size):
            product = line[j]
            c = _cosine(product, inverse, inverses[j])
            side = q[j] * norms[j] * math.sqrt((1.0 - c) * (1.0 + c))
            angle = math.pi - arc_cosine(c)
            line[j] = q[j] * angle
            s += norm * side + q[j] * angle * product
            b += side
            if mode == 2:
                line[j] = PER_2PI * (norm * side + q[j] * angle * product)
            else:
                line[j] = PER_2PI * q[j] * angle
        out[0, i] += PER_2PI * s
        out[1, i] += PER_2PI * inverse * b


@jit(fastmath=REORDERED)
def arc_cosine_zero(
    g: np.ndarray, row: np.ndarray, col: np.ndarray, q: np.ndarray, out: np.ndarray, mode: int
) -> None:
    """k = (π−θ)/2π, 0 for a zero weight; ∇k = (ŵ' − cos θ ŵ)/(2π|w| sin θ), 0 on the kink sin θ = 0."""
    widest()
    for i in range(g.shape[0]):
        inverse, line, inverses = row[1, i], g[i], col[1]
        alive = 1.0 if inverse > 0.0 else 0.0
        s, b = 0.0, 0.0
        for j in range(q.size):
            c = _cosine(line[j], inverse, inverses[j])
            here = alive if inverses[j] > 0.0 else 0.0
            square = (1.0 - c) * (1.0 + c)
            kink = square < PARALLEL
            # Rounding moves the angle of a pair on the kink by 1e-8: it is set to 0 or π.
            end = 1.0 if c > 0.0 else -1.0
            value = here * PER_2PI * (math.pi - arc_cosine(end if kink else c))
            slope = 0.0 if kink else q[j] / math.sqrt(1.0 if kink else square)
            s += q[j] * value
            b -= slope * here * c
            line[j] = q[j] * value if mode == 2 else PER_2PI * inverse * inverses[j] * slope
        out[0, i] += s
        out[1, i] += PER_2PI * inverse * inverse * b


@jit(fastmath=REORDERED)
def arc_sine(
    g: np.ndarray, row: np.ndarray, col: np.ndarray, q: np.ndarray, out: np.ndarray, mode: int
) -> None:
    """k = (2/π) asin(C/√(ab)), numbers: a = 1+|w|²; A = (2/π) q/√(ab − C²), B = −Σ A C/a."""
    widest()
    for i in range(g.shape[0]):
        a, line, others = row[0, i], g[i], col[0]
        s, b = 0.0, 0.0
        for j in range(q.size):
            product = line[j]
            both = a * others[j]
            # ab − C² ≥ 1 + |w|² + |w'|²: rounding alone brings it below.
            rest = both - product * product
            least = a + others[j] - 1.0
            rest = least if rest < least else rest
            c = product / math.sqrt(both)
            c = 1.0 if c > 1.0 else c
            c = -1.0 if c < -1.0 else c
            value = q[j] * (1.0 - 4.0 * PER_2PI * arc_cosine(c))
            slope = 4.0 * PER_2PI * q[j] / math.sqrt(rest)
            s += value
            b -= slope * product
            line[j] = value if mode == 2 else slope
        out[0, i] += s
        out[1, i] += b / a
