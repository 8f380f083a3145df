r"""Drift and diffusion in a potential that stays: both stages of a step, and its sums, in one sweep.

.. math:: \rho_1 = \rho_0 + hA\rho_0, \qquad \rho' = \tfrac12\rho_0 + \tfrac12(\rho_1 + hA\rho_1)

or :math:`\rho' = \rho_1` alone. A is the Scharfetter–Gummel generator in its symmetric form: with the Gibbs weight
:math:`\pi = e^{-\Psi/D}`

.. math:: J_{i+1/2} = c_{i+1/2}\,(g_i - g_{i+1}), \qquad g = \rho/\pi, \quad c = \tfrac D\delta B(s)\,\pi_i,

one number a face, and 1/π, formed once; Ψ/D may not span more than floating-point numbers hold (:func:`spans`). The
second stage follows the first one plane behind, so that all numbers come from memory once a step. Planes beside a slab
are computed by both neighbours, by the same operations: threads change no bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.kernels.grid.axes import GAP, PER_WIDTH, Axes, Triple
from wflow.kernels.grid.drift_diffusion import Room, outer_first
from wflow.kernels.grid.sums import COUNT, Integrals, Summed, row_sums, total
from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.memory import aligned, aligned_zeros, recycled_empty
from wflow.kernels.parallel import over_slabs

LARGEST_SPAN = 600.0
"""Of Ψ/D: from here on π or 1/π leave the floating-point numbers."""
_PAD = 512
"""Numbers of room before the fluxes along a row, a page, the last of which is that through its lowest face."""


class FrozenRates(NamedTuple):
    """The generator of a potential that stays."""

    face: Triple
    """c at the upper face of every cell, 0 at walls; (rows, n)."""
    per_weight: np.ndarray
    """1/π, (rows, n)."""
    potential: np.ndarray
    per_width: Triple
    moves: np.ndarray
    shape: tuple[int, int, int]
    leaving: float
    """The largest rate at which a cell is left, in 1/time."""


def spans(potential: np.ndarray, diffusion: float) -> bool:
    """Whether the Gibbs weights of this potential are numbers."""
    return bool(np.ptp(potential) <= LARGEST_SPAN * diffusion)


def frozen_rates(potential: np.ndarray, axes: Axes, diffusion: float) -> FrozenRates:
    """Rates for unit speed in a box, for potentials that :func:`spans` accepts."""
    (geometry, moves, periodic), shape = outer_first(axes, potential.shape)
    psi = potential.reshape(shape)
    middle = 0.5 * (float(psi.max()) + float(psi.min()))
    per_weight = np.exp((psi - middle) / diffusion)
    leaving = np.zeros(psi.shape)
    n = psi.shape[2]
    kept, widths = [], []
    for axis, count in enumerate(psi.shape):
        width = np.ascontiguousarray(geometry[axis][PER_WIDTH, :count])
        widths.append(width)
        if not moves[axis]:
            kept.append(np.zeros((1, 1)))
            continue
        s = (np.roll(psi, -1, axis) - psi) / diffusion
        size = np.abs(s)
        # B(|s|), and B(−|s|) = B(|s|) + |s|
        bernoulli = np.where(size > 0.0, size, 1.0) / np.where(size > 0.0, np.expm1(size), 1.0)
        along = [1, 1, 1]
        along[axis] = count
        gap = geometry[axis][GAP, 2 : count + 2].copy()
        if not periodic[axis]:
            gap[-1] = 0.0
        scale = diffusion * gap.reshape(along)
        up = scale * (bernoulli + np.maximum(-s, 0.0))
        down = scale * (bernoulli + np.maximum(s, 0.0))
        leaving += (up + np.roll(down, 1, axis)) * width.reshape(along)
        # B(s)π_i = B(|s|) max(π_i, π_{i+1})
        face = scale * bernoulli / np.minimum(per_weight, np.roll(per_weight, -1, axis))
        kept.append(aligned(face.reshape(-1, n)))
    return FrozenRates(
        (kept[0], kept[1], kept[2]),
        aligned(per_weight.reshape(-1, n)),
        aligned(psi.reshape(-1, n)),
        (widths[0], widths[1], aligned(widths[2])),
        moves,
        psi.shape,
        float(leaving.max()),
    )


def frozen_step(
    density: np.ndarray, rates: FrozenRates, h: float, integrals: Integrals, stages: int = 2
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The density after a step of h (in units of ∫ξ dt), and its mass, ∫ρ log ρ, ∫Ψρ (whatever φ is) and minimum.

    One stage is Euler's step ρ₁. h = 0 leaves the density as it is.
    """
    n0, n1, n = rates.shape
    start, out = density.reshape(-1, n), recycled_empty((n0 * n1, n))
    summed = (rates.potential, integrals.widths, integrals.areas, integrals.noisy, True)
    sums = np.empty((n0 * n1, COUNT))
    shapes: list[tuple[int, ...]] = [
        (2 * n1, n), (4 * n1 + 1, n), (2 * n1, n), (n,), (n,), (n + _PAD,),
    ]  # fmt: skip

    def run(first: int, last: int) -> None:
        # Half a page off: the arrays swept are elsewhere in the cache.
        room = tuple(aligned_zeros(shape, 2048) for shape in shapes)
        _slab(start, rates, h, stages, (first, last, n1), out, summed, sums, room)

    over_slabs(run, n0, n1 * n)
    return out.reshape(density.shape), total(sums)


@jit(fastmath=FUSED, apart=True)
def _slab(
    density: np.ndarray,
    rates: FrozenRates,
    h: float,
    stages: int,
    part: tuple[int, int, int],
    out: np.ndarray,
    summed: Summed,
    sums: np.ndarray,
    room: Room,
) -> None:
    """The planes ``part`` = (first, last) of n1 rows each."""
    (face0, face1, face2), per_weight, _, (per_width0, per_width1, per_width2), moves, _, _ = rates
    ring, g, flux0, flux1, side, along = room
    first, last, n1 = part
    widest()
    # Rows are named by numbers: a slice is counted by two atomic operations, some 10 ns each. Loops run over whole
    # rows, ghosts aside: what is left over after the last full vector runs one by one.
    rows, n = density.shape
    n0 = rows // n1
    for step in range(first - 1 - stages, last + stages - 1):
        for stage in range(stages if step >= first - 1 else 1):
            # Stage 1 of plane ``step``, then stage 2 of the plane before it; at first only what they lean on.
            i = step - stage
            whole = i >= first + 1 - stages + stage
            ends = stage == stages - 1
            at, up = i % n0 * n1, (i + 1) % n0 * n1
            source, base, above = (
                (density, at, up) if stage == 0 else (ring, (i & 1) * n1, (step & 1) * n1)
            )
            target, to = (out, at) if ends else (ring, (i & 1) * n1)
            half = 0.5 if stage == 1 else 0.0
            near, far = (2 * stage + (i & 1)) * n1, (2 * stage + ((i + 1) & 1)) * n1
            for j in range(n1):
                slot = stage * n1 + j
                if moves[0]:
                    per_width = per_width0[i % n0]
                    for k in range(n):
                        upper = source[above + j, k] * per_weight[up + j, k]
                        flux = face0[at + j, k] * (g[near + j, k] - upper)
                        g[far + j, k] = upper
                        side[k] = (flux0[slot, k] - flux) * per_width
                        flux0[slot, k] = flux
                else:
                    for k in range(n):
                        g[far + j, k] = source[above + j, k] * per_weight[up + j, k]
                        side[k] = 0.0
                if not whole:
                    continue
                if moves[1]:
                    for face in range(-1 if j == 0 else j, j + 1):
                        before, after = face % n1, (face + 1) % n1
                        per_width = per_width1[j] if face == j else 0.0
                        for k in range(n):
                            flux = face1[at + before, k] * (
                                g[near + before, k] - g[near + after, k]
                            )
                            side[k] += (flux1[k] - flux) * per_width
                            flux1[k] = flux
                if moves[2]:
                    for k in range(n):
                        along[k + _PAD] = face2[at + j, k] * (g[near + j, k] - g[near + j, k + 1])
                    closing = face2[at + j, n - 1] * (g[near + j, n - 1] - g[near + j, 0])
                    along[_PAD - 1] = along[n + _PAD - 1] = closing
                for k in range(n):
                    change = side[k] + (along[k + _PAD - 1] - along[k + _PAD]) * per_width2[k]
                    reached = source[base + j, k] + h * change
                    target[to + j, k] = half * density[at + j, k] + (1.0 - half) * reached
                if ends:
                    row_sums(out, at + j, summed, sums)
