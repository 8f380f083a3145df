r"""Drift and diffusion of cell averages by the Scharfetter–Gummel flux, explicit, in one to three dimensions.

.. math:: J_{i+1/2} = \xi\frac{D}{\delta}\bigl[B(s)\rho_i - B(-s)\rho_{i+1}\bigr], \quad
          s = \frac{\Psi_{i+1}-\Psi_i}{D}, \quad B(s) = \frac{s}{e^s-1}

exact for Gibbs states and first-order upwind as D → 0. One sweep a stage: the Bernoulli functions of a row are taken
while it is in the cache, no array of rates is formed, and the Runge–Kutta combination and the sums of what is written
are part of it. Where all |s| ≤ 1 along a row, as they are on a grid that resolves the Gibbs state, B is a polynomial,
without exponential and division. Boxes, axes and slabs as in ``muscl``.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.axes import GAP, PER_WIDTH, Axes
from wflow.kernels.grid.sums import COUNT, Integrals, Summed, row_sums, total
from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.memory import kept_room
from wflow.kernels.parallel import over_slabs
from wflow.kernels.scalars import exponential_and_less_one

SMALLEST = 1e-290
"""Below this D is lost beside any difference of Ψ, and 1/D may overflow."""
_PAD = 512
"""Room before the faces of a row, a page."""
_NONE = np.zeros(1)
Sums = tuple[float, float, float, float]
Room = tuple[np.ndarray, ...]
"""Where a slab is worked on, a plain tuple as in ``muscl``."""


def outer_first(axes: Axes, shape: tuple[int, ...]) -> tuple[Axes, tuple[int, int, int]]:
    """The axes and the shape with the long axis outermost: a plane is taken as rows of one."""
    if shape[0] > 1:
        return axes, (shape[0], shape[1], shape[2])
    order = [1, 0, 2]
    geometry = (axes.geometry[1], axes.geometry[0], axes.geometry[2])
    return Axes(geometry, axes.moves[order], axes.periodic[order]), (shape[1], shape[0], shape[2])


def drift_diffusion_tendency(
    density: np.ndarray,
    potential: np.ndarray,
    axes: Axes,
    diffusion: float,
    speed: float,
    tendency: np.ndarray,
) -> float:
    """Write dρ/dt of a box; return the largest rate at which a cell is left, in 1/time."""
    law, weights = (diffusion, speed), (0.0, 0.0, 1.0)
    return _sweep(density, density, potential, axes, law, weights, tendency, None)[0]


def drift_diffusion_stage(
    start: np.ndarray,
    density: np.ndarray,
    potential: np.ndarray,
    axes: Axes,
    law: tuple[float, float],
    h: float,
    share: float,
    out: np.ndarray,
    integrals: Integrals | None = None,
) -> tuple[float, Sums]:
    """Write (1 − share) start + share (density + h dρ/dt); return the largest rate out of a cell, and sums.

    ``law`` is (D, ξ). The sums are those of ``density_sums``, 0 without ``integrals``.
    """
    weights = (1.0 - share, share, share * h)
    return _sweep(start, density, potential, axes, law, weights, out, integrals)


def _sweep(
    start: np.ndarray,
    density: np.ndarray,
    potential: np.ndarray,
    axes: Axes,
    law: tuple[float, float],
    weights: tuple[float, float, float],
    out: np.ndarray,
    integrals: Integrals | None,
) -> tuple[float, Sums]:
    axes, (n0, n1, n) = outer_first(axes, density.shape)
    begun, rho, psi, to = (x.reshape(n0 * n1, n) for x in (start, density, potential, out))
    if integrals is None:
        sums, summed = np.zeros((0, COUNT)), (rho, _NONE, _NONE, False, False)
    else:
        sums, summed = np.empty((n0 * n1, COUNT)), integrals.over(rho)
    law = (float(law[0]) if law[0] > SMALLEST else 0.0, float(law[1]))

    def run(first: int, last: int) -> float:
        room = kept_room(_room_shapes(n1, n))
        part = (first, last, n1)
        _slab(begun, rho, psi, axes, law, weights, part, to, summed, sums, room)
        return float(room[0].max())

    largest = over_slabs(run, n0, n1 * n)
    return largest, total(sums) if integrals is not None else (0.0, 0.0, 0.0, 0.0)


def _room_shapes(n1: int, n: int) -> tuple[tuple[int, ...], ...]:
    """The largest rate out of each column; flux and rate back through lower faces, of axis 0 one row a j, of axis 1 the
    last one; density and potential of a row and its first cell again; rows of numbers; faces along a row."""
    lower, row, again, faces = (n1 + 1, n), (n,), (n + 1,), (n + _PAD,)
    return row, lower, lower, again, again, row, row, row, row, faces, faces


@jit(fastmath=FUSED, apart=True)
def _slab(
    start: np.ndarray,
    rho: np.ndarray,
    psi: np.ndarray,
    axes: Axes,
    law: tuple[float, float],
    weights: tuple[float, float, float],
    part: tuple[int, int, int],
    out: np.ndarray,
    summed: Summed,
    sums: np.ndarray,
    room: Room,
) -> None:
    """The planes ``part`` = (first, last) of n1 rows each."""
    (axis0, axis1, axis2), moves, periodic = axes
    (diffusion, speed), (share_start, share, h), (first, last, n1) = law, weights, part
    (
        peak, flux_below, back_below, row, level, jump, spread, rate, leaving, flux, back,
    ) = room  # fmt: skip
    widest()
    # Rows are named by numbers: a slice is counted by two atomic operations, some 10 ns each.
    rows, n = rho.shape
    n0 = rows // n1
    # The room is as the last step left it, and 0 times what is no number is none.
    for k in range(n):
        peak[k] = 0.0
    for j in range(n1 + 1):
        for k in range(n):
            flux_below[j, k] = back_below[j, k] = 0.0
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
                row_sums(out, here, summed, sums)


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
