r"""The Gaussian bump's kernel on a sphere, whose one special function is a Bessel function in disguise.

.. math:: g_b(u) = {}_0F_1(;b;u/4) = \sum_k \frac{(u/4)^k}{k!\,(b)_k}
          = \Gamma(b)\,(2/q)^{b-1} I_{b-1}(q), \quad u = q^2, \qquad g_b' = g_{b+1}/(4b).

All terms are positive, so Horner's rule keeps every digit and q → 0 needs no care. Beyond q = 40, where the series is
long and will overflow, log g comes from Debye's expansion in 1/r, r² = ν² + q², ν = b − 1, which is uniform in ν
(Abramowitz & Stegun 9.7.7): with W_k(p²) = U_k(p)/p^k and p = ν/r,

.. math:: \log I_\nu(q) = r - \nu\,\mathrm{arsinh}(\nu/q) - \tfrac12\log 2\pi r
          + \log\sum_k W_k(p^2)\,r^{-k}.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np

from wflow.kernels.jit import REORDERED, jit
from wflow.kernels.scalars import exponential

LONGEST_SERIES = 40.0**2
"""Up to this u the power series is summed; beyond it, Debye's expansion."""
BUCKET = 25.0
"""The number of terms is chosen anew at every such step of u."""
FAINTEST = -230.0
"""Pairs with log K below this (K < 1e-100) and q > 40 are left out: centres far off the sphere meet few others."""
CHUNK = 256
"""Pairs handled together: small enough for the first-level cache, long enough for wide registers."""
DEBYE_TERMS = 13


@cache
def series(b: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of g_b, and how many of them count in each part [i, i+1) of [0, LONGEST_SERIES)/BUCKET.

    >>> series(1.5)[0][:2]   # sinh(q)/q = 1 + q²/6 + …
    array([1.        , 0.16666667])
    """
    k = np.arange(1, 64)
    terms = np.concatenate([[1.0], np.cumprod(0.25 / (k * (b + k - 1.0)))])
    ends = BUCKET * np.arange(1, round(LONGEST_SERIES / BUCKET) + 1)
    parts = terms * ends[:, None] ** np.arange(64.0)
    count = (parts > 1e-18 * parts.sum(axis=1, keepdims=True)).sum(axis=1)
    return terms, np.minimum(64, -(-count // 4) * 4)


@cache
def debye_table() -> np.ndarray:
    """W_k(x) as coefficients [k, power of x], from Abramowitz & Stegun 9.3.10 in exact arithmetic.

    >>> debye_table()[1, :2] * 24    # U_1 = (3p − 5p³)/24
    array([ 3., -5.])
    """
    table = np.zeros((DEBYE_TERMS, DEBYE_TERMS))
    row = {0: Fraction(1)}  # U_k as {power of p: coefficient}
    for k in range(DEBYE_TERMS):
        for power, c in row.items():
            table[k, (power - k) // 2] = float(c)
        after: dict[int, Fraction] = {}
        for power, c in row.items():
            half, eighth = c * power / 2, c / 8
            for n, term in (
                (power + 1, half + eighth / (power + 1)),
                (power + 3, -half - 5 * eighth / (power + 3)),
            ):
                after[n] = after.get(n, Fraction(0)) + term
        row = after
    return table


@jit
def log_bessel(b: float, u: float, terms: np.ndarray, table: np.ndarray) -> float:
    """log g_b(u) for u >= 0; ``terms`` is series(b)[0], ``table`` is debye_table()."""
    if u <= LONGEST_SERIES:
        total = 0.0
        for k in range(terms.size - 1, -1, -1):
            total = total * u + terms[k]
        return math.log(total)
    nu = b - 1.0
    r = math.sqrt(nu * nu + u)
    x = (nu / r) ** 2
    total = 0.0
    for k in range(table.shape[0] - 1, -1, -1):
        w = 0.0
        for j in range(k, -1, -1):
            w = w * x + table[k, j]
        total = total / r + w
    # r − ν arsinh(ν/q) − ν log(q/2) = r − ν log((ν + r)/2)
    return (
        math.lgamma(b)
        + r
        - nu * math.log(0.5 * (nu + r))
        - 0.5 * math.log(2.0 * math.pi * r)
        + math.log(total)
    )


@jit
def log_bessels(
    b: float, u: np.ndarray, terms: np.ndarray, table: np.ndarray, out: np.ndarray
) -> None:
    """log g_b at every u."""
    for i in range(u.size):
        out[i] = log_bessel(b, u[i], terms, table)


@jit(fastmath=REORDERED)
def pair_terms(
    dots: np.ndarray,
    at_square: np.ndarray,
    square: np.ndarray,
    charges: np.ndarray,
    constants: np.ndarray,
    value_terms: np.ndarray,
    slope_terms: np.ndarray,
    lengths: np.ndarray,
    table: np.ndarray,
    with_slopes: bool,
    sums: np.ndarray,
) -> None:
    r"""From dots ⟨y_i, z_j⟩ to Σ_j q_j K_ij and, in place of the dots, q_j s_ij with ∇_1 K = −κ y K + s (y + z).

    .. math:: K = e^{-\kappa(2d+|y|^2+|z|^2)/2} g(u), \quad s = 2\kappa^2 d\,e^{-\kappa(\dots)/2} g'(u), \quad
              u = \kappa^2 d\,|y+z|^2.

    ``constants`` are (b, κ, d); the terms and lengths are those of series(b), series(b + 1). Without slopes
    the dots become q_j K_ij.
    """
    rows, columns = dots.shape
    b, kappa, d = constants[0], constants[1], constants[2]
    scale = kappa * kappa * d
    to_slope = 2.0 * scale / (4.0 * b)
    u = np.empty(CHUNK)
    g = np.empty(CHUNK)
    h = np.empty(CHUNK)
    factor = np.empty(columns)
    for j in range(columns):
        factor[j] = charges[j] * exponential(-0.5 * kappa * (d + square[j]))
    for i in range(rows):
        own = exponential(-0.5 * kappa * (d + at_square[i]))
        total = 0.0
        for start in range(0, columns, CHUNK):
            # Views of one chunk: their indices are plainly in range, so that the loops vectorise.
            stop = min(start + CHUNK, columns)
            dot, far, weight = dots[i, start:stop], square[start:stop], factor[start:stop]
            m = stop - start
            largest = arguments(dot, far, at_square[i], scale, u, m)
            count = lengths[min(int(largest / BUCKET), lengths.size - 1)]
            horner(value_terms, slope_terms, count, u, g, h, m)
            for j in range(m):
                g[j] *= own * weight[j]
                h[j] *= own * weight[j] * to_slope
            if largest >= LONGEST_SERIES:
                for j in range(m):
                    squares = at_square[i] + far[j]
                    true_u = scale * (squares + 2.0 * dot[j])
                    if true_u > LONGEST_SERIES:
                        # The factors may underflow where K does not: the exponents are added first.
                        below = -0.5 * kappa * (2.0 * d + squares)
                        if below + math.sqrt(true_u) < FAINTEST:  # g(u) <= exp(q)
                            g[j] = 0.0
                            h[j] = 0.0
                            continue
                        log_g = log_bessel(b, true_u, value_terms, table)
                        log_h = log_bessel(b + 1.0, true_u, slope_terms, table)
                        g[j] = charges[start + j] * exponential(below + log_g)
                        h[j] = charges[start + j] * exponential(below + log_h) * to_slope
            for j in range(m):
                total += g[j]
            for j in range(m):
                dot[j] = h[j] if with_slopes else g[j]
        sums[i] = total


@jit(fastmath=REORDERED)
def arguments(
    dots: np.ndarray, square: np.ndarray, own: float, scale: float, u: np.ndarray, m: int
) -> float:
    """Fill u = κ²d |y + z|², cut where the series end; the largest of m."""
    for j in range(m):
        s = scale * (own + square[j] + 2.0 * dots[j])
        s = s if s > 0.0 else 0.0
        u[j] = s if s < LONGEST_SERIES else LONGEST_SERIES
    largest = 0.0
    for j in range(m):
        largest = u[j] if u[j] > largest else largest
    return largest


@jit(fastmath=REORDERED)
def horner(
    terms: np.ndarray,
    others: np.ndarray,
    count: int,
    u: np.ndarray,
    g: np.ndarray,
    h: np.ndarray,
    m: int,
) -> None:
    """g = Σ_k terms_k u^k and h = Σ_k others_k u^k, k < count; four terms a pass, so that passes are few."""
    for j in range(m):
        g[j] = 0.0
        h[j] = 0.0
    for k in range(count - 4, -1, -4):
        t0, t1, t2, t3 = terms[k], terms[k + 1], terms[k + 2], terms[k + 3]
        s0, s1, s2, s3 = others[k], others[k + 1], others[k + 2], others[k + 3]
        for j in range(m):
            x = u[j]
            g[j] = (((g[j] * x + t3) * x + t2) * x + t1) * x + t0
            h[j] = (((h[j] * x + s3) * x + s2) * x + s1) * x + s0


@jit(fastmath=REORDERED, apart=True)
def bends(
    dots: np.ndarray,
    at_square: np.ndarray,
    square: np.ndarray,
    constants: np.ndarray,
    first_terms: np.ndarray,
    second_terms: np.ndarray,
    lengths: np.ndarray,
    table: np.ndarray,
    out: np.ndarray,
) -> None:
    r"""Fill ``out`` (7, m, n) with K, k_s, k_p, k_ss, k_sp, k_st, k_pp of K = k(|y|², |z|², ⟨y, z⟩) from dots ⟨y, z⟩.

    The first function follows from the two after it, all of them positive,

    .. math:: g_b = g_{b+1} + \frac{u}{4b(b+1)}\,g_{b+2}.

    ``constants`` are (b, κ, d); the terms are those of series(b + 1) and series(b + 2), the lengths of the former.
    """
    rows, columns = dots.shape
    b, kappa, d = constants[0], constants[1], constants[2]
    scale = kappa * kappa * d
    first, second = scale / (4.0 * b), scale * scale / (16.0 * b * (b + 1.0))
    u, g1, g2 = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    factor = np.empty(columns)
    for j in range(columns):
        factor[j] = exponential(-0.5 * kappa * (d + square[j]))
    for i in range(rows):
        own = exponential(-0.5 * kappa * (d + at_square[i]))
        for start in range(0, columns, CHUNK):
            stop = min(start + CHUNK, columns)
            dot, far, weight = dots[i, start:stop], square[start:stop], factor[start:stop]
            m = stop - start
            largest = arguments(dot, far, at_square[i], scale, u, m)
            count = lengths[min(int(largest / BUCKET), lengths.size - 1)]
            horner(first_terms, second_terms, count, u, g1, g2, m)
            for j in range(m):
                g1[j] *= own * weight[j] * first
                g2[j] *= own * weight[j] * second
            if largest >= LONGEST_SERIES:
                for j in range(m):
                    squares = at_square[i] + far[j]
                    true_u = scale * (squares + 2.0 * dot[j])
                    if true_u > LONGEST_SERIES:
                        u[j] = true_u
                        below = -0.5 * kappa * (2.0 * d + squares)
                        if below + math.sqrt(true_u) < FAINTEST:  # g(u) <= exp(q)
                            g1[j] = g2[j] = 0.0
                            continue
                        log_1 = log_bessel(b + 1.0, true_u, first_terms, table)
                        log_2 = log_bessel(b + 2.0, true_u, second_terms, table)
                        g1[j] = exponential(below + log_1) * first
                        g2[j] = exponential(below + log_2) * second
            for j in range(m):
                # By their factors κ²d/4b and (κ²d)²/16b(b+1).
                g = (g1[j] + u[j] / (scale * b) * g2[j]) / first
                both = kappa * (0.25 * kappa * g - g1[j]) + g2[j]
                out[0, i, start + j] = g
                out[1, i, start + j] = g1[j] - 0.5 * kappa * g
                out[2, i, start + j] = 2.0 * g1[j]
                out[3, i, start + j] = both
                out[4, i, start + j] = 2.0 * g2[j] - kappa * g1[j]
                out[5, i, start + j] = both
                out[6, i, start + j] = 4.0 * g2[j]
