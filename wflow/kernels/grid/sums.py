r"""One pass over a density: the Runge–Kutta combination, and the sums that its observations need.

.. math:: \rho' = (1-c)\,\rho_0 + c\,(\rho_1 + h\dot\rho_1), \qquad
          \int\rho',\ \int\rho'\log\rho',\ \int\varphi\,\rho',\ \min\rho'

Every row is summed by itself and the rows are added in one order, so slabs and threads change no bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit, widest
from wflow.kernels.memory import recycled_empty
from wflow.kernels.parallel import over_slabs
from wflow.kernels.scalars import SUBNORMAL, logarithm

MASS, ENTROPY, LINEAR, LEAST, COUNT = 0, 1, 2, 3, 4
"""Columns of the sums of a row: ∫ρ, ∫ρ log ρ, ∫φρ, the smallest ρ."""
Summed = tuple[np.ndarray, np.ndarray, np.ndarray, bool, bool]
"""φ (rows, n), widths, areas, and whether ρ log ρ and φρ are wanted: :class:`Integrals` for kernels."""


class Integrals(NamedTuple):
    """What is summed of a density: ∫ρ and min ρ, ∫ρ log ρ where there is noise, ∫φρ where there is a φ."""

    widths: np.ndarray  # of the last axis (n,)
    areas: np.ndarray  # the products of the others' (rows,)
    linear: np.ndarray | None  # φ, of the density's shape
    noisy: bool

    def over(self, rows: np.ndarray) -> Summed:
        """The same for rows of a density (rows, n)."""
        widths, areas, linear, noisy = self
        phi = rows if linear is None else linear.reshape(rows.shape)
        return phi, widths, areas, noisy, linear is not None


@jit(fastmath=REORDERED)
def row_sums(density: np.ndarray, row: int, summed: Summed, sums: np.ndarray) -> None:
    """The sums of one row of (rows, n)."""
    linear, widths, areas, noisy, with_linear = summed
    area = areas[row]
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
def _sum_rows(density: np.ndarray, summed: Summed, first: int, last: int, sums: np.ndarray) -> None:
    for i in range(first, last):
        row_sums(density, i, summed, sums)


@jit(fastmath=REORDERED)
def _quiet_rows(
    density: np.ndarray, summed: Summed, first: int, last: int, sums: np.ndarray
) -> None:
    """The same without ρ log ρ, whose logarithm takes half a second to compile."""
    linear, widths, areas, _, with_linear = summed
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
    out = recycled_empty(start.shape) if out is None else out
    n = start.shape[-1]
    a, b, c, d = (x.reshape(-1, n) for x in (start, stage, rate, out))
    over_slabs(lambda i, k: _advance_rows(a, b, c, h, share, i, k, d), a.shape[0], n)
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
    over_slabs(lambda i, k: _compare_rows(a, b, widths, areas, i, k, sums), a.shape[0], n)
    size, apart = sums.sum(axis=0)
    return math.sqrt(size), math.sqrt(apart)


@jit(fastmath=REORDERED)
def _distance_rows(
    one: np.ndarray,
    two: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    first: int,
    last: int,
    sums: np.ndarray,
) -> None:
    for i in range(first, last):
        apart = 0.0
        for k in range(widths.size):
            apart += widths[k] * abs(two[i, k] - one[i, k])
        sums[i] = areas[i] * apart


def distance(one: np.ndarray, two: np.ndarray, widths: np.ndarray, areas: np.ndarray) -> float:
    """∫|two − one|."""
    n = one.shape[-1]
    a, b = one.reshape(-1, n), two.reshape(-1, n)
    sums = np.empty(a.shape[0])
    over_slabs(lambda i, k: _distance_rows(a, b, widths, areas, i, k, sums), a.shape[0], n)
    return float(sums.sum())


def density_sums(density: np.ndarray, integrals: Integrals) -> tuple[float, float, float, float]:
    """∫ρ, ∫ρ log ρ (0 unless noisy), ∫φρ (0 without φ) and min ρ."""
    n = density.shape[-1]
    rows = density.reshape(-1, n)
    summed, sums = integrals.over(rows), np.empty((rows.shape[0], COUNT))
    kernel = _sum_rows if integrals.noisy else _quiet_rows
    over_slabs(lambda i, k: kernel(rows, summed, i, k, sums), rows.shape[0], n)
    return total(sums)


def total(sums: np.ndarray) -> tuple[float, float, float, float]:
    """The sums of all rows (rows, COUNT), added pairwise in one order."""
    mass, entropy, linear = np.ascontiguousarray(sums[:, :LEAST].T).sum(axis=1).tolist()
    return mass, entropy, linear, float(sums[:, LEAST].min())
