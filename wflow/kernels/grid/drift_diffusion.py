r"""Drift and diffusion of cell averages by the Scharfetter–Gummel flux, explicit, in one to three dimensions.

.. math:: J_{i+1/2} = \xi\frac{D}{\delta}\bigl[B(s)\rho_i - B(-s)\rho_{i+1}\bigr], \quad
          s = \frac{\Psi_{i+1}-\Psi_i}{D}, \quad B(s) = \frac{s}{e^s-1}

exact for Gibbs states and first-order upwind as D → 0. One sweep a stage: the Bernoulli functions of a row are taken
while it is in the cache, no array of rates is formed, and the Runge–Kutta combination and the sums of what is written
are part of it. Where all |s| ≤ 1 along a row, as they are on a grid that resolves the Gibbs state, B is a polynomial,
without exponential and division. Boxes, axes and slabs as in ``transport``.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.muscl import GAP, PER_WIDTH
from wflow.kernels.grid.sums import COUNT, row_sums, total
from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.memory import aligned_zeros
from wflow.kernels.parallel import over_slabs
from wflow.kernels.scalars import exponential_and_less_one

SMALLEST = 1e-290
"""Below this D is lost beside any difference of Ψ, and 1/D may overflow."""
_PAD = 512
"""Room before the faces of a row, a page."""
Place = tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]
"""Axis geometries, which axes move, which are rings."""
Sums = tuple[float, float, float, float]


def outer_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The order of axes in which the outermost axis is the long one: a plane is taken as rows of one."""
    return (1, 0, 2) if shape[0] == 1 else (0, 1, 2)


def drift_diffusion_tendency(
    density: np.ndarray,
    potential: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    moves: np.ndarray,
    periodic: np.ndarray,
    diffusion: float,
    speed: float,
    tendency: np.ndarray,
) -> float:
    """Write dρ/dt of boxes (n0, n1, n2); return the largest rate at which a cell is left, in 1/time."""
    place = (axes, moves, periodic)
    return _sweep(
        density, density, potential, place, diffusion, speed, (0.0, 0.0, 1.0), tendency, None
    )[0]  # fmt: skip


def drift_diffusion_stage(
    start: np.ndarray,
    density: np.ndarray,
    potential: np.ndarray,
    place: Place,
    diffusion: float,
    speed: float,
    h: float,
    share: float,
    out: np.ndarray,
    measure: tuple[np.ndarray, np.ndarray, np.ndarray | None, bool] | None = None,
) -> tuple[float, Sums]:
    """Write (1 − share) start + share (density + h dρ/dt); return the largest rate out of a cell, and sums.

    The sums are those of ``transport_sums.density_sums`` for ``measure`` = (widths, areas, φ, noisy), 0 without.
    """
    weights = (1.0 - share, share, share * h)
    return _sweep(start, density, potential, place, diffusion, speed, weights, out, measure)


def _sweep(
    start: np.ndarray,
    density: np.ndarray,
    potential: np.ndarray,
    place: Place,
    diffusion: float,
    speed: float,
    weights: tuple[float, float, float],
    out: np.ndarray,
    measure: tuple[np.ndarray, np.ndarray, np.ndarray | None, bool] | None,
) -> tuple[float, Sums]:
    axes, moves, periodic = place
    order = outer_first(density.shape)
    n0, n1, n = (density.shape[k] for k in order)
    begun, rho, psi, to = (x.reshape(n0 * n1, n) for x in (start, density, potential, out))
    axis0, axis1, axis2 = (axes[k] for k in order)
    moving, rings = moves[list(order)], periodic[list(order)]
    diffusion = diffusion if diffusion > SMALLEST else 0.0
    phi, sums, noisy = rho, np.zeros((0, COUNT)), False
    widths = areas = np.zeros(1)
    if measure is not None:
        widths, areas, linear, noisy = measure
        phi = rho if linear is None else linear.reshape(n0 * n1, n)
        sums = np.empty((n0 * n1, COUNT))
    with_linear = measure is not None and measure[2] is not None

    def room(*shape: int) -> np.ndarray:
        return aligned_zeros(shape)

    def run(first: int, last: int) -> float:
        peak = room(n)
        _slab(
            begun, rho, psi, n1, axis0, axis1, axis2, moving, rings, diffusion, speed, *weights, first, last, to,
            phi, widths, areas, noisy, with_linear, sums, room(n1 + 1, n), room(n1 + 1, n),
            room(n + 1), room(n + 1), room(n), room(n), room(n), room(n), room(n + _PAD), room(n + _PAD), peak,
        )  # fmt: skip
        return float(peak.max())

    largest = over_slabs(run, n0, n1 * n)
    return largest, total(sums) if measure is not None else (0.0, 0.0, 0.0, 0.0)


@jit(fastmath=FUSED, apart=True)
def _slab(
    start: np.ndarray,
    rho: np.ndarray,
    psi: np.ndarray,
    n1: int,
    axis0: np.ndarray,
    axis1: np.ndarray,
    axis2: np.ndarray,
    moves: np.ndarray,
    periodic: np.ndarray,
    diffusion: float,
    speed: float,
    share_start: float,
    share: float,
    h: float,
    first: int,
    last: int,
    out: np.ndarray,
    linear: np.ndarray,
    widths: np.ndarray,
    areas: np.ndarray,
    noisy: bool,
    with_linear: bool,
    sums: np.ndarray,
    flux_below: np.ndarray,
    back_below: np.ndarray,
    row: np.ndarray,
    level: np.ndarray,
    jump: np.ndarray,
    spread: np.ndarray,
    rate: np.ndarray,
    leaving: np.ndarray,
    flux: np.ndarray,
    back: np.ndarray,
    peak: np.ndarray,
) -> None:
    """``flux_below`` and ``back_below``: through the lower faces, of axis 0 one row a j, of axis 1 the last one."""
    widest()
    # Rows are named by numbers: a slice is counted by two atomic operations, some 10 ns each.
    rows, n = rho.shape
    n0 = rows // n1
    for i in range(first, last):
        for j in range(n1):
            here = i * n1 + j
            for k in range(n):
                rate[k] = leaving[k] = 0.0
                row[k] = rho[here, k]
                level[k] = psi[here, k]
            row[n], level[n] = row[0], level[0]
            # One body for both transverse axes, and for lower and upper faces: it compiles four times faster.
            for transverse in range(2):
                if not moves[transverse]:
                    continue
                at, count, stride, slot, begins = i, n0, n1, j, i == first
                per_width = axis0[PER_WIDTH, i]
                if transverse == 1:
                    at, count, stride, slot, begins = j, n1, 1, n1, j == 0
                    per_width = axis1[PER_WIDTH, j]
                base = here - at * stride
                for face in range(at if begins else at + 1, at + 2):
                    per_gap = axis0[GAP, face + 1] if transverse == 0 else axis1[GAP, face + 1]
                    is_open = periodic[transverse] or 0 < face < count
                    scale = speed * per_gap if is_open else 0.0
                    low, high = base + (face - 1) % count * stride, base + face % count * stride
                    per = per_width if face > at else 0.0
                    for k in range(n):
                        jump[k] = psi[high, k] - psi[low, k]
                    spreads(jump, diffusion, n, spread)
                    for k in range(n):
                        up = scale * (max(-jump[k], 0.0) + spread[k])
                        down = scale * (max(jump[k], 0.0) + spread[k])
                        through = up * rho[low, k] - down * rho[high, k]
                        rate[k] += (flux_below[slot, k] - through) * per
                        leaving[k] += (up + back_below[slot, k]) * per
                        flux_below[slot, k] = through
                        back_below[slot, k] = down
            if moves[2]:
                for k in range(n):
                    jump[k] = level[k + 1] - level[k]
                spreads(jump, diffusion, n, spread)
                if not periodic[2]:
                    # Nothing passes the wall.
                    jump[n - 1] = spread[n - 1] = 0.0
                for k in range(n):
                    scale = speed * axis2[GAP, k + 2]
                    up = scale * (max(-jump[k], 0.0) + spread[k])
                    down = scale * (max(jump[k], 0.0) + spread[k])
                    flux[k + _PAD] = up * row[k] - down * row[k + 1]
                    back[k + _PAD] = down
                    leaving[k] += up * axis2[PER_WIDTH, k]
                flux[_PAD - 1], back[_PAD - 1] = flux[n + _PAD - 1], back[n + _PAD - 1]
                for k in range(n):
                    rate[k] += (flux[k + _PAD - 1] - flux[k + _PAD]) * axis2[PER_WIDTH, k]
                    leaving[k] += back[k + _PAD - 1] * axis2[PER_WIDTH, k]
            for k in range(n):
                out[here, k] = share_start * start[here, k] + (share * row[k] + h * rate[k])
                peak[k] = max(peak[k], leaving[k])
            if sums.shape[0] > 0:
                row_sums(
                    out, here, linear, widths, areas[here], noisy, with_linear, sums
                )  # fmt: skip


@jit(fastmath=FUSED, apart=True)
def spreads(jump: np.ndarray, diffusion: float, m: int, spread: np.ndarray) -> None:
    """D B(|s|) of m jumps of Ψ."""
    widest()
    per_diffusion = 1.0 / diffusion if diffusion > 0.0 else 0.0
    wild = 0
    for k in range(m):
        s = abs(jump[k]) * per_diffusion
        wild += 0 if s <= 1.0 else 1
        q = s * s
        # (s/2) coth(s/2) − s/2; the even part by interpolation at the Chebyshev points of q in [0, 1], to 3e-19.
        p = -3.0659722541194154e-13
        p = p * q + 1.3330961991201414e-11
        p = p * q - 5.283757898636377e-10
        p = p * q + 2.087673683638037e-08
        p = p * q - 8.267195716069155e-07
        p = p * q + 3.3068783068145235e-05
        p = p * q - 0.0013888888888888586
        p = p * q + 0.08333333333333333
        spread[k] = diffusion * ((1.0 - 0.5 * s) + p * q)
    if wild == 0:
        return
    for k in range(m):
        # B(|s|) = |s|e^{−|s|}/(1 − e^{−|s|}); s > 0 so that 0/0 is 1.
        s = max(min(abs(jump[k]) * per_diffusion, 750.0), 1e-100)
        e, less = exponential_and_less_one(-s)
        spread[k] = diffusion * (s * e / -less)
