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

    # The same memory as rows.
    start, psi, end = rho.reshape(-1, n), rates.potential.reshape(-1, n), out.reshape(-1, n)
    spread0, spread1, spread2 = (s.reshape(-1, s.shape[-1]) for s in rates.spread)

    def run(first: int, last: int) -> float:
        _slab(
            start, n1, spread0, spread1, spread2, *rates.per_gap, *rates.per_width, rates.moves, psi,
            h, widths, areas, noisy, first, last, end, sums,
        )  # fmt: skip
        return 0.0

    over_slabs(run, n0, n1 * n)
    return out.reshape(density.shape), total(sums)


@jit(fastmath=FUSED)
def _slab(
    density: np.ndarray,
    n1: int,
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
    # Rows are named by numbers: a slice is counted by two atomic operations, some 10 ns each.
    rows, n = density.shape
    n0 = rows // n1
    ring = np.zeros((3 * n1, n))
    # Fluxes through the lower and upper faces, changing places: of axis 0 by plane, a stage each; of axis 1 by row.
    kept0, kept1 = np.zeros((4 * n1, n)), np.zeros((2, n))
    along, side = np.zeros(n + 1), np.zeros(n)
    for step in range(first - 1, last + 2):
        for stage in range(2):
            # Stage 1 of plane ``step``, then stage 2 of the plane before it.
            i = step - stage
            if i < first - 1 + stage or i > last - stage:
                continue
            at, begins = i % n0, i == first - 1 + stage
            below, above = (2 * stage + (i & 1)) * n1, (2 * stage + ((i + 1) & 1)) * n1
            source, base = (density, at * n1) if stage == 0 else (ring, (i % 3) * n1)
            lower = (at - 1) % n0 * n1 if stage == 0 else (i - 1) % 3 * n1
            upper = (at + 1) % n0 * n1 if stage == 0 else (i + 1) % 3 * n1
            for j in range(n1):
                here = at * n1 + j
                if moves[0]:
                    if begins:
                        _across(
                            spread0, here, potential, (at - 1) % n0 * n1 + j, here, per_gap0[at],
                            source, lower + j, base + j, kept0, below + j,
                        )  # fmt: skip
                    _across(
                        spread0, here + n1, potential, here, (at + 1) % n0 * n1 + j, per_gap0[at + 1],
                        source, base + j, upper + j, kept0, above + j,
                    )  # fmt: skip
                if moves[1]:
                    left, right = (j - 1) % n1, (j + 1) % n1
                    face = at * (n1 + 1) + j
                    if j == 0:
                        _across(
                            spread1, face, potential, at * n1 + left, here, per_gap1[0],
                            source, base + left, base, kept1, 0,
                        )  # fmt: skip
                    _across(
                        spread1, face + 1, potential, here, at * n1 + right, per_gap1[j + 1],
                        source, base + j, base + right, kept1, (j + 1) & 1,
                    )  # fmt: skip
                    for k in range(n):
                        side[k] = (kept1[j & 1, k] - kept1[(j + 1) & 1, k]) * per_width1[j]
                if moves[2]:
                    _along(spread2, here, potential, per_gap2, source, base + j, along)
                if stage == 0:
                    _advance(
                        source, base + j, kept0, below + j, above + j, per_width0[at], along,
                        per_width2, side, h, ring, i % 3 * n1 + j,
                    )  # fmt: skip
                else:
                    _advance(
                        source, base + j, kept0, below + j, above + j, per_width0[at], along,
                        per_width2, side, h, out, here,
                    )  # fmt: skip
                    for k in range(n):
                        out[here, k] = 0.5 * (density[here, k] + out[here, k])
                    row_sums(
                        out, here, potential, widths, areas[here], noisy, True, sums
                    )  # fmt: skip


@jit(fastmath=FUSED)
def _across(
    spread: np.ndarray,
    face: int,
    potential: np.ndarray,
    level_low: int,
    level_high: int,
    per_gap: float,
    density: np.ndarray,
    low: int,
    high: int,
    flux: np.ndarray,
    to: int,
) -> None:
    """Fluxes through the faces between two rows."""
    for k in range(flux.shape[1]):
        drift = (potential[level_high, k] - potential[level_low, k]) * per_gap
        one, other = density[low, k], density[high, k]
        flux[to, k] = spread[face, k] * (one - other) - drift * (other if drift > 0.0 else one)


@jit(fastmath=FUSED)
def _along(
    spread: np.ndarray,
    at: int,
    level: np.ndarray,
    per_gap: np.ndarray,
    density: np.ndarray,
    row: int,
    flux: np.ndarray,
) -> None:
    """Fluxes through the n + 1 faces of a row; the first and the last close a ring, and are 0 at a wall."""
    n = flux.size - 1
    for k in range(1, n):
        drift = (level[at, k] - level[at, k - 1]) * per_gap[k]
        one, other = density[row, k - 1], density[row, k]
        flux[k] = spread[at, k] * (one - other) - drift * (other if drift > 0.0 else one)
    one, other = density[row, n - 1], density[row, 0]
    for k in (0, n):
        drift = (level[at, 0] - level[at, n - 1]) * per_gap[k]
        flux[k] = spread[at, k] * (one - other) - drift * (other if drift > 0.0 else one)


@jit(fastmath=FUSED)
def _advance(
    density: np.ndarray,
    row: int,
    kept: np.ndarray,
    below: int,
    above: int,
    per_width0: float,
    along: np.ndarray,
    per_width2: np.ndarray,
    side: np.ndarray,
    h: float,
    out: np.ndarray,
    to: int,
) -> None:
    for k in range(side.size):
        across = (kept[below, k] - kept[above, k]) * per_width0 + side[k]
        out[to, k] = density[row, k] + h * (across + (along[k] - along[k + 1]) * per_width2[k])
