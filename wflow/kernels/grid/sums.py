r"""One pass over a density: the Runge–Kutta combination, and the sums that its observations need.

.. math:: \rho' = (1-c)\,\rho_0 + c\,(\rho_1 + h\dot\rho_1), \qquad
          \int\rho',\ \int\rho'\log\rho',\ \int\varphi\,\rho',\ \min\rho'

Every row is summed by itself and the rows are added in one order, so slabs and threads change no bit.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit, widest
from wflow.kernels.transport_slabs import over_slabs

MASS, ENTROPY, LINEAR, LEAST, COUNT = 0, 1, 2, 3, 4
"""Columns of the sums of a row: ∫ρ, ∫ρ log ρ, ∫φρ, the smallest ρ."""

SUBNORMAL = 2.2250738585072014e-308
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
# log 2 = high + low, high with 33 bits.
_LOG2_HIGH = 6.93147180369123816490e-01
_LOG2_LOW = 1.90821492927058770002e-10


@jit(fastmath=FUSED)
def logarithm(x: float) -> float:
    r"""log x of a normal positive number, branch-free: 2^k (1 + t) with 1 + t in [√½, √2).

    log(1 + t) = t − t²/2 + t³P(t), P interpolating at the Chebyshev points, remainder below 4e-17; a division, as the
    faster series of artanh needs it, costs as much as sixteen products. Measured error: 1 unit in the last place.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - _ROOT_HALF_BITS) >> 52
    t = np.int64(bits - (k << 52)).view(np.float64) - 1.0
    n = np.float64(k)
    p = 0.027053075892336406
    p = p * t - 0.05959173018943104
    p = p * t + 0.06362025303018654
    p = p * t - 0.05635857394607171
    p = p * t + 0.05706613674459082
    p = p * t - 0.06213325491398715
    p = p * t + 0.06680348247882924
    p = p * t - 0.07146922611081985
    p = p * t + 0.07691741139835176
    p = p * t - 0.08333110642999564
    p = p * t + 0.09090921076038966
    p = p * t - 0.10000006590426393
    p = p * t + 0.11111111008787179
    p = p * t - 0.12499999898432576
    p = p * t + 0.14285714285634818
    p = p * t - 0.16666666667365992
    p = p * t + 0.20000000000003482
    p = p * t - 0.24999999999998596
    p = p * t + 0.3333333333333333
    q = t * t
    return n * _LOG2_HIGH + (n * _LOG2_LOW + (t + q * (t * p - 0.5)))


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
    """The sums of row ``row`` of (rows, n); that of ρ log ρ is 0 unless ``noisy``, of φ unless ``with_linear``."""
    widest()
    n = widths.size
    mass, entropy, along = 0.0, 0.0, 0.0
    # As integers numbers ≥ 0 keep their order and a negative one is negative: a minimum that vectorises.
    least = np.float64(density[row, 0]).view(np.int64)
    for k in range(n):
        rho = density[row, k]
        part = widths[k] * rho
        mass += part
        along += part * linear[row, k]
        bits = np.float64(rho).view(np.int64)
        least = bits if bits < least else least
        # 0 log 0 = 0; what is below the normal numbers counts as nothing.
        entropy += part * logarithm(rho if rho > SUBNORMAL else SUBNORMAL)
    smallest = np.int64(least).view(np.float64)
    if least < 0:
        # Negative numbers stand in reverse order: found one by one, as this should not happen.
        for k in range(n):
            smallest = density[row, k] if density[row, k] < smallest else smallest
    sums[row, MASS] = area * mass
    sums[row, ENTROPY] = area * entropy if noisy else 0.0
    sums[row, LINEAR] = area * along if with_linear else 0.0
    sums[row, LEAST] = smallest


@jit(fastmath=FUSED)
def _sum_rows(
    density: np.ndarray,
    linear: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    with_linear: bool,
    first: int,
    last: int,
    sums: np.ndarray,
) -> None:
    for i in range(first, last):
        row_sums(density, i, linear, widths, areas[i], True, with_linear, sums)


@jit(fastmath=REORDERED)
def _quiet_rows(
    density: np.ndarray,
    linear: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    with_linear: bool,
    first: int,
    last: int,
    sums: np.ndarray,
) -> None:
    """The same without ρ log ρ, whose logarithm takes half a second to compile."""
    n = widths.size
    for i in range(first, last):
        mass, along = 0.0, 0.0
        for k in range(n):
            part = widths[k] * density[i, k]
            mass += part
            along += part * linear[i, k]
        least = density[i, 0]
        for k in range(n):
            least = density[i, k] if density[i, k] < least else least
        sums[i, MASS], sums[i, ENTROPY] = areas[i] * mass, 0.0
        sums[i, LINEAR] = areas[i] * along if with_linear else 0.0
        sums[i, LEAST] = least


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
    kernel = _sum_rows if noisy else _quiet_rows

    def run(first: int, last: int) -> float:
        kernel(rows, phi, widths, areas, linear is not None, first, last, sums)
        return 0.0

    over_slabs(run, rows.shape[0], n)
    return total(sums)


def total(sums: np.ndarray) -> tuple[float, float, float, float]:
    """The sums of all rows (rows, COUNT), added pairwise in one order."""
    mass, entropy, linear = np.ascontiguousarray(sums[:, :LEAST].T).sum(axis=1).tolist()
    return mass, entropy, linear, float(sums[:, LEAST].min())
