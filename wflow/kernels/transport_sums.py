r"""One pass over a density: the Runge–Kutta combination, and the sums that its observations need.

.. math:: \rho' = (1-c)\,\rho_0 + c\,(\rho_1 + h\dot\rho_1), \qquad
          \int\rho',\ \int\rho'\log\rho',\ \int\varphi\,\rho',\ \min\rho'

Every row is summed by itself and the rows are added in one order, so slabs and threads change no bit.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit
from wflow.kernels.transport_slabs import over_slabs

MASS, ENTROPY, LINEAR, LEAST, COUNT = 0, 1, 2, 3, 4
"""Columns of the sums of a row: ∫ρ, ∫ρ log ρ, ∫φρ, the smallest ρ."""

SUBNORMAL = 2.2250738585072014e-308
_SQRT2 = 1.4142135623730951
# log 2 = high + low, high with 33 bits.
_LOG2_HIGH = 6.93147180369123816490e-01
_LOG2_LOW = 1.90821492927058770002e-10


@jit(fastmath=FUSED)
def logarithm(x: float) -> float:
    """log x of a normal positive number, branch-free: 2^k m with m in [√½, √2), and 2 artanh((m − 1)/(m + 1)).

    The remainder of the series is below 3e-18; measured error: 1 unit in the last place away from x = 1.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits >> 52) - 1023
    m = np.int64((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    large = m > _SQRT2
    m = 0.5 * m if large else m
    n = np.float64(k) + (1.0 if large else 0.0)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    p = 1.0 / 21.0
    p = p * q + 1.0 / 19.0
    p = p * q + 1.0 / 17.0
    p = p * q + 1.0 / 15.0
    p = p * q + 1.0 / 13.0
    p = p * q + 1.0 / 11.0
    p = p * q + 1.0 / 9.0
    p = p * q + 1.0 / 7.0
    p = p * q + 1.0 / 5.0
    p = p * q + 1.0 / 3.0
    return n * _LOG2_HIGH + (n * _LOG2_LOW + 2.0 * s * (1.0 + q * p))


@jit(fastmath=REORDERED)
def row_sums(
    density: np.ndarray,
    row: int,
    linear: np.ndarray,
    widths: np.ndarray,
    area: float,
    noisy: bool,
    with_linear: bool,
    sums: np.ndarray,
) -> None:
    """The sums of row ``row`` of (rows, n); ρ log ρ only if ``noisy``, φ only if ``with_linear``."""
    mass, entropy, along = 0.0, 0.0, 0.0
    n = widths.size
    # As integers numbers ≥ 0 keep their order and a negative one is negative: a minimum that vectorises.
    least = np.float64(density[row, 0]).view(np.int64)
    for k in range(n):
        mass += widths[k] * density[row, k]
    for k in range(n):
        least = min(least, np.float64(density[row, k]).view(np.int64))
    smallest = np.int64(least).view(np.float64)
    if least < 0:
        # Negative numbers stand in reverse order: found one by one, as this should not happen.
        for k in range(n):
            smallest = density[row, k] if density[row, k] < smallest else smallest
    if noisy:
        for k in range(n):
            # 0 log 0 = 0; what is below the normal numbers counts as nothing.
            rho = density[row, k]
            entropy += widths[k] * (rho * logarithm(max(rho, SUBNORMAL)))
    if with_linear:
        for k in range(n):
            along += widths[k] * (density[row, k] * linear[row, k])
    sums[row, MASS], sums[row, ENTROPY] = area * mass, area * entropy
    sums[row, LINEAR], sums[row, LEAST] = area * along, smallest


@jit(fastmath=FUSED)
def _sum_rows(
    density: np.ndarray,
    linear: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    noisy: bool,
    with_linear: bool,
    first: int,
    last: int,
    sums: np.ndarray,
) -> None:
    for i in range(first, last):
        row_sums(density, i, linear, widths, areas[i], noisy, with_linear, sums)


@jit(fastmath=FUSED)
def _advance_rows(
    start: np.ndarray,
    stage: np.ndarray,
    rate: np.ndarray,
    h: float,
    share: float,
    first: int,
    last: int,
    out: np.ndarray,
) -> None:
    n = start.shape[1]
    for i in range(first, last):
        base, row, slope, to = start[i], stage[i], rate[i], out[i]
        if share == 1.0:
            for k in range(n):
                to[k] = row[k] + h * slope[k]
        else:
            for k in range(n):
                to[k] = base[k] + share * ((row[k] + h * slope[k]) - base[k])


def advance(
    start: np.ndarray,
    stage: np.ndarray,
    rate: np.ndarray,
    h: float,
    share: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """(1 − share) start + share (stage + h rate), of the shape of ``start``; positive where both parts are."""
    out = np.empty_like(start) if out is None else out
    n = start.shape[-1]
    a, b, c, d = (x.reshape(-1, n) for x in (start, stage, rate, out))

    def run(first: int, last: int) -> float:
        _advance_rows(a, b, c, h, share, first, last, d)
        return 0.0

    over_slabs(run, a.shape[0], n)
    return out


@jit(fastmath=REORDERED)
def _compare_rows(
    one: np.ndarray,
    two: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    first: int,
    last: int,
    sums: np.ndarray,
) -> None:
    for i in range(first, last):
        a, b = one[i], two[i]
        size, apart = 0.0, 0.0
        for k in range(a.size):
            size += widths[k] * (a[k] * a[k])
            apart += widths[k] * ((b[k] - a[k]) * (b[k] - a[k]))
        sums[i, 0] = areas[i] * size
        sums[i, 1] = areas[i] * apart


def size_and_change(
    one: np.ndarray, two: np.ndarray, widths: np.ndarray, areas: np.ndarray
) -> tuple[float, float]:
    """(∫ one²)^½ and (∫ (two − one)²)^½."""
    n = one.shape[-1]
    a, b = one.reshape(-1, n), two.reshape(-1, n)
    sums = np.empty((a.shape[0], 2))

    def run(first: int, last: int) -> float:
        _compare_rows(a, b, widths, areas, first, last, sums)
        return 0.0

    over_slabs(run, a.shape[0], n)
    size, apart = sums.sum(axis=0)
    return math.sqrt(size), math.sqrt(apart)


def density_sums(
    density: np.ndarray,
    linear: np.ndarray | None,
    widths: np.ndarray,
    areas: np.ndarray,
    noisy: bool,
) -> tuple[float, float, float, float]:
    """∫ρ, ∫ρ log ρ (0 unless ``noisy``), ∫φρ (0 without φ = ``linear``) and min ρ.

    ``widths`` (n,) are those of the last axis, ``areas`` (rows,) the products of the others'.
    """
    n = density.shape[-1]
    rows = density.reshape(-1, n)
    phi = rows if linear is None else linear.reshape(-1, n)
    sums = np.empty((rows.shape[0], COUNT))

    def run(first: int, last: int) -> float:
        _sum_rows(rows, phi, widths, areas, noisy, linear is not None, first, last, sums)
        return 0.0

    over_slabs(run, rows.shape[0], n)
    return total(sums)


def total(sums: np.ndarray) -> tuple[float, float, float, float]:
    """The sums of all rows (rows, COUNT), added pairwise in one order."""
    mass, entropy, linear = np.ascontiguousarray(sums[:, :LEAST].T).sum(axis=1).tolist()
    return mass, entropy, linear, float(sums[:, LEAST].min())
