r"""Drift and diffusion in a potential that stays: both stages of a step, and its sums, in one sweep.

.. math:: \rho_1 = \rho_0 + hA\rho_0, \qquad \rho' = \tfrac12\rho_0 + \tfrac12(\rho_1 + hA\rho_1)

A is the Scharfetter–Gummel generator; its rates are formed once. The second stage follows the first one plane behind,
so that rates and densities come from memory once a step. Planes beside a slab are computed by both neighbours, by the
same operations: threads change no bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.kernels.drift_diffusion import SMALLEST, outer_first, spreads
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.transport import GAP, PER_WIDTH
from wflow.kernels.transport_slabs import over_slabs
from wflow.kernels.transport_sums import COUNT, row_sums, total


class FrozenRates(NamedTuple):
    r"""The generator, from one array an axis, :math:`S = \tfrac D\delta B(|s|)`, and Ψ, which all axes share.

    :math:`J = S(\rho_i - \rho_{i+1}) - \tfrac1\delta\Delta\Psi\,\rho_{up}`: half as many bytes as rates up and down.
    """

    spread: tuple[np.ndarray, np.ndarray, np.ndarray]
    """At the lower face of every cell and at the last face; empty where nothing moves."""
    per_gap: tuple[np.ndarray, np.ndarray, np.ndarray]
    """1/δ of the same faces, 0 at a wall."""
    potential: np.ndarray
    per_width: tuple[np.ndarray, np.ndarray, np.ndarray]
    moves: np.ndarray
    leaving: float
    """The largest rate at which a cell is left, in 1/time."""


def frozen_rates(
    potential: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    moves: np.ndarray,
    periodic: np.ndarray,
    diffusion: float,
) -> FrozenRates:
    """Rates for unit speed in a box (n0, n1, n2)."""
    order = outer_first(potential.shape)
    psi = potential.reshape(tuple(potential.shape[k] for k in order))
    diffusion = diffusion if diffusion > SMALLEST else 0.0
    leaving = np.zeros(psi.shape)
    kept, gaps, widths = [], [], []
    for axis, k in enumerate(order):
        n = psi.shape[axis]
        widths.append(np.ascontiguousarray(axes[k][PER_WIDTH, :n]))
        if not moves[k]:
            kept.append(np.zeros((1, 1, 1)))
            gaps.append(np.zeros(1))
            continue
        face = np.arange(n + 1)
        low, high = np.take(psi, (face - 1) % n, axis), np.take(psi, face % n, axis)
        jump = high - low
        spread = np.empty_like(jump)
        spreads(jump.ravel(), diffusion, jump.size, spread.ravel())
        shape = [1, 1, 1]
        shape[axis] = n + 1
        gap = axes[k][GAP, 1 : n + 2].copy()
        if not periodic[k]:
            gap[0] = gap[n] = 0.0
        per_gap = gap.reshape(shape)
        up = (np.maximum(-jump, 0.0) + spread) * per_gap
        down = (np.maximum(jump, 0.0) + spread) * per_gap
        kept.append(np.ascontiguousarray(spread * per_gap))
        gaps.append(gap)
        shape[axis] = n
        out = np.take(up, face[1:], axis) + np.take(down, face[:-1], axis)
        leaving += out * widths[-1].reshape(shape)
    return FrozenRates(
        (kept[0], kept[1], kept[2]),
        (gaps[0], gaps[1], gaps[2]),
        np.ascontiguousarray(psi),
        (widths[0], widths[1], widths[2]),
        moves[list(order)],
        float(leaving.max()),
    )


def frozen_step(
    density: np.ndarray,
    rates: FrozenRates,
    h: float,
    widths: np.ndarray,
    areas: np.ndarray,
    noisy: bool,
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The density after a step of h (in units of ∫ξ dt), and its mass, ∫ρ log ρ, ∫Ψρ and minimum."""
    shape: tuple[int, ...] = rates.potential.shape
    rho, out = density.reshape(shape), np.empty(shape)
    n0, n1, n = shape
    sums = np.empty((n0 * n1, COUNT))

    def run(first: int, last: int) -> float:
        _slab(
            rho, *rates.spread, *rates.per_gap, *rates.per_width, rates.moves, rates.potential, h,
            widths, areas, noisy, first, last, out, sums,
        )  # fmt: skip
        return 0.0

    over_slabs(run, n0, n1 * n)
    return out.reshape(density.shape), total(sums)


@jit(fastmath=FUSED)
def _slab(
    density: np.ndarray,
    spread0: np.ndarray,
    spread1: np.ndarray,
    spread2: np.ndarray,
    per_gap0: np.ndarray,
    per_gap1: np.ndarray,
    per_gap2: np.ndarray,
    per_width0: np.ndarray,
    per_width1: np.ndarray,
    per_width2: np.ndarray,
    moves: np.ndarray,
    potential: np.ndarray,
    h: float,
    widths: np.ndarray,
    areas: np.ndarray,
    noisy: bool,
    first: int,
    last: int,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    n0, n1, n = density.shape
    ring = np.zeros((3, n1, n))
    # Fluxes through the lower and upper faces, changing places: of axis 0 by plane, a stage each; of axis 1 by row.
    kept0, kept1 = np.zeros((2, 2, n1, n)), np.zeros((2, n))
    along, side = np.zeros(n + 1), np.zeros(n)
    for step in range(first - 1, last + 2):
        for stage in range(2):
            # Stage 1 of plane ``step``, then stage 2 of the plane before it.
            i = step - stage
            if i < first - 1 + stage or i > last - stage:
                continue
            at = i % n0
            begins = i == first - 1 + stage
            for j in range(n1):
                if stage == 0:
                    low, mid, high = (
                        density[(i - 1) % n0, j],
                        density[at, j],
                        density[(i + 1) % n0, j],
                    )
                    to = ring[i % 3, j]
                else:
                    low, mid, high = ring[(i - 1) % 3, j], ring[i % 3, j], ring[(i + 1) % 3, j]
                    to = out[at, j]
                below, above = kept0[stage, i & 1, j], kept0[stage, (i + 1) & 1, j]
                psi = potential[at, j]
                if moves[0]:
                    if begins:
                        _across(
                            spread0[at, j], potential[(at - 1) % n0, j], psi, per_gap0[at], low, mid, below
                        )  # fmt: skip
                    _across(
                        spread0[at + 1, j], psi, potential[(at + 1) % n0, j], per_gap0[at + 1], mid, high, above
                    )  # fmt: skip
                if moves[1]:
                    before, behind = kept1[j & 1], kept1[(j + 1) & 1]
                    left, right = (j - 1) % n1, (j + 1) % n1
                    if j == 0:
                        one = density[at, left] if stage == 0 else ring[i % 3, left]
                        _across(
                            spread1[at, 0], potential[at, left], psi, per_gap1[0], one, mid, before
                        )  # fmt: skip
                    one = density[at, right] if stage == 0 else ring[i % 3, right]
                    _across(
                        spread1[at, j + 1], psi, potential[at, right], per_gap1[j + 1], mid, one, behind
                    )  # fmt: skip
                    per = per_width1[j]
                    for k in range(n):
                        side[k] = (before[k] - behind[k]) * per
                if moves[2]:
                    _along(spread2[at, j], psi, per_gap2, mid, along)
                _advance(mid, below, above, per_width0[at], along, per_width2, side, h, to)
                if stage == 1:
                    start = density[at, j]
                    for k in range(n):
                        to[k] = 0.5 * (start[k] + to[k])
                    r = at * n1 + j
                    row_sums(to, potential[at, j], widths, areas[r], noisy, True, sums[r])


@jit(fastmath=FUSED)
def _across(
    spread: np.ndarray,
    level_low: np.ndarray,
    level_high: np.ndarray,
    per_gap: float,
    low: np.ndarray,
    high: np.ndarray,
    flux: np.ndarray,
) -> None:
    """Fluxes through the faces between two rows."""
    for k in range(flux.size):
        drift = (level_high[k] - level_low[k]) * per_gap
        flux[k] = spread[k] * (low[k] - high[k]) - drift * (high[k] if drift > 0.0 else low[k])


@jit(fastmath=FUSED)
def _along(
    spread: np.ndarray, level: np.ndarray, per_gap: np.ndarray, row: np.ndarray, flux: np.ndarray
) -> None:
    """Fluxes through the n + 1 faces of a row; the first and the last close a ring, and are 0 at a wall."""
    n = row.size
    for k in range(1, n):
        drift = (level[k] - level[k - 1]) * per_gap[k]
        flux[k] = spread[k] * (row[k - 1] - row[k]) - drift * (
            row[k] if drift > 0.0 else row[k - 1]
        )
    for k in (0, n):
        drift = (level[0] - level[n - 1]) * per_gap[k]
        up = row[0] if drift > 0.0 else row[n - 1]
        flux[k] = spread[k] * (row[n - 1] - row[0]) - drift * up


@jit(fastmath=FUSED)
def _advance(
    mid: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    per_width0: float,
    along: np.ndarray,
    per_width2: np.ndarray,
    side: np.ndarray,
    h: float,
    to: np.ndarray,
) -> None:
    for k in range(mid.size):
        across = (below[k] - above[k]) * per_width0 + side[k]
        to[k] = mid[k] + h * (across + (along[k] - along[k + 1]) * per_width2[k])
