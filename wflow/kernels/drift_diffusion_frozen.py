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
    """Rates through the lower face of every cell and the last face, an array an axis (one plane where nothing moves)."""

    up: tuple[np.ndarray, np.ndarray, np.ndarray]
    down: tuple[np.ndarray, np.ndarray, np.ndarray]
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
    ups, downs, widths = [], [], []
    for axis, k in enumerate(order):
        n = psi.shape[axis]
        widths.append(np.ascontiguousarray(axes[k][PER_WIDTH, :n]))
        if not moves[k]:
            ups.append(np.zeros((1, 1, 1)))
            downs.append(np.zeros((1, 1, 1)))
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
        up = np.ascontiguousarray((np.maximum(-jump, 0.0) + spread) * gap.reshape(shape))
        down = np.ascontiguousarray((np.maximum(jump, 0.0) + spread) * gap.reshape(shape))
        ups.append(up)
        downs.append(down)
        shape[axis] = n
        out = np.take(up, face[1:], axis) + np.take(down, face[:-1], axis)
        leaving += out * widths[-1].reshape(shape)
    return FrozenRates(
        (ups[0], ups[1], ups[2]),
        (downs[0], downs[1], downs[2]),
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
    rho = density.reshape(rates.potential.shape)
    out = np.empty_like(rho)
    n0, n1, n = rho.shape
    sums = np.empty((n0 * n1, COUNT))

    def run(first: int, last: int) -> float:
        _slab(
            rho, *rates.up, *rates.down, *rates.per_width, rates.moves, rates.potential, h,
            widths, areas, noisy, first, last, out, sums,
        )  # fmt: skip
        return 0.0

    over_slabs(run, n0, n1 * n)
    return out.reshape(density.shape), total(sums)


@jit(fastmath=FUSED)
def _slab(
    density: np.ndarray,
    up0: np.ndarray,
    up1: np.ndarray,
    up2: np.ndarray,
    down0: np.ndarray,
    down1: np.ndarray,
    down2: np.ndarray,
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
                    low, mid, high = density[(i - 1) % n0, j], density[at, j], density[(i + 1) % n0, j]
                    to = ring[i % 3, j]
                else:
                    low, mid, high = ring[(i - 1) % 3, j], ring[i % 3, j], ring[(i + 1) % 3, j]
                    to = out[at, j]
                below, above = kept0[stage, i & 1, j], kept0[stage, (i + 1) & 1, j]
                if moves[0]:
                    if begins:
                        _flux(up0[at, j], down0[at, j], low, mid, n, below)
                    _flux(up0[at + 1, j], down0[at + 1, j], mid, high, n, above)
                if moves[1]:
                    left, right = (j - 1) % n1, (j + 1) % n1
                    before, behind = kept1[j & 1], kept1[(j + 1) & 1]
                    source0 = density[at] if stage == 0 else ring[i % 3]
                    if j == 0:
                        _flux(up1[at, 0], down1[at, 0], source0[left], mid, n, before)
                    _flux(up1[at, j + 1], down1[at, j + 1], mid, source0[right], n, behind)
                    per = per_width1[j]
                    for k in range(n):
                        side[k] = (before[k] - behind[k]) * per
                if moves[2]:
                    _flux(up2[at, j, 1:], down2[at, j, 1:], mid, mid[1:], n - 1, along[1:])
                    along[0] = up2[at, j, 0] * mid[n - 1] - down2[at, j, 0] * mid[0]
                    along[n] = up2[at, j, n] * mid[n - 1] - down2[at, j, n] * mid[0]
                _advance(mid, below, above, per_width0[at], along, per_width2, side, h, to)
                if stage == 1:
                    start = density[at, j]
                    for k in range(n):
                        to[k] = 0.5 * (start[k] + to[k])
                    r = at * n1 + j
                    row_sums(to, potential[at, j], widths, areas[r], noisy, True, sums[r])


@jit(fastmath=FUSED)
def _flux(
    up: np.ndarray, down: np.ndarray, low: np.ndarray, high: np.ndarray, m: int, flux: np.ndarray
) -> None:
    for k in range(m):
        flux[k] = up[k] * low[k] - down[k] * high[k]


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
