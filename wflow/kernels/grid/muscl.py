r"""Upwind transport of cell averages along -∇Ψ on a box of cells, in one to three dimensions.

The face velocity is the difference :math:`v_{i+1/2} = -\xi(\Psi_{i+1}-\Psi_i)/\delta_{i+1/2}`, so that the discrete
free energy has :math:`\dot F = -\sum \delta\,v^2 \rho_{face}/\xi \le 0` along every axis. Face values come from slopes
limited by :math:`minmod(\theta D^-, D^0, \theta D^+)` (MUSCL; θ = 0 is first-order upwind) and are kept in [0, 2ρ_i].

Arrays are boxes (n0, n1, n2). Rows along the last axis are contiguous; both transverse fluxes of a row are formed
beside it and the lower ones are kept from the row before, so the density is swept once.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.axes import GAP, HALF, PER_WIDTH, SPAN, Axes
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.memory import kept_room
from wflow.kernels.parallel import over_slabs

Room = tuple[np.ndarray, ...]
"""Where a slab is worked on, made by the caller, which saves half a second of compiling; a plain tuple, since numba
takes 1 µs to see what a named one made for the call is."""


def _room(rows: int, n: int) -> Room:
    """Flux and velocity through lower faces (of axis 0 one row a j, of axis 1 the last); the largest outflow of each
    column; density and potential of a row with ghosts; flux and velocity through upper faces; the outflow."""
    ghosts = (4, 2, 1, 1, 0)
    return kept_room(((rows + 1, 2, n), (n,), *((n + more,) for more in ghosts)))


@jit(fastmath=FUSED, apart=True)
def _slab(
    density: np.ndarray,
    potential: np.ndarray,
    axes: Axes,
    speed: float,
    theta: float,
    part: tuple[int, int, int, int],
    tendency: np.ndarray,
    room: Room,
) -> float:
    """Write dρ/dt of the rows ``part`` = (i0, i1, j0, j1); return max Σ_axes v_out/w over their cells, in 1/time."""
    (axis0, axis1, axis2), moves, periodic = axes
    kept, peak, row, level, flux, v, outflow = room
    n0, n1, n = density.shape
    rows, levels = density.reshape(n0 * n1, n), potential.reshape(n0 * n1, n)
    first0, last0, first1, last1 = part
    for k in range(n):
        peak[k] = 0.0
    for i in range(first0, last0):
        for j in range(first1, last1):
            out = tendency[i, j]
            for k in range(n):
                out[k] = 0.0
                outflow[k] = 0.0
            for transverse in range(2):
                if not moves[transverse]:
                    continue
                # One body for both transverse axes, and for lower and upper faces: it compiles four times faster.
                axis, at, count, stride = axis0, i, n0, n1
                slot, begins = j - first1, i == first0
                if transverse == 1:
                    axis, at, count, stride = axis1, j, n1, 1
                    slot, begins = last1 - first1, j == first1
                base = i * n1 + j - at * stride
                for face in range(at if begins else at + 1, at + 2):
                    a, b, c, d = _around(face, count, periodic[transverse])
                    _transverse(
                        rows[base + a * stride],
                        rows[base + b * stride],
                        rows[base + c * stride],
                        rows[base + d * stride],
                        levels[base + b * stride],
                        levels[base + c * stride],
                        axis,
                        face,
                        speed,
                        theta,
                        flux,
                        v,
                    )
                    if face == at:
                        # A loop, here and below: a slice assignment compiles for two seconds.
                        for k in range(n):
                            kept[slot, 0, k] = flux[k]
                            kept[slot, 1, k] = v[k]
                _collect(kept[slot, 0], kept[slot, 1], flux, v, axis[PER_WIDTH, at], out, outflow)
            if moves[2]:
                _padded(density[i, j], potential[i, j], periodic[2], row, level)
                _along(row, level, axis2, speed, theta, flux, v)
                per_width = axis2[PER_WIDTH]
                for k in range(n):
                    out[k] -= (flux[k + 1] - flux[k]) * per_width[k]
                for k in range(n):
                    outflow[k] += max(max(v[k + 1], -v[k]), 0.0) * per_width[k]
            for k in range(n):
                peak[k] = max(peak[k], outflow[k])
    largest = 0.0
    for k in range(n):
        largest = max(largest, peak[k])
    return largest


@jit
def _around(face: int, n: int, periodic: bool) -> tuple[int, int, int, int]:
    """The two cells before face ``face`` (between cells face − 1 and face) and the two after; walls repeat cells."""
    if periodic:
        return (face - 2) % n, (face - 1) % n, face % n, (face + 1) % n
    top = n - 1
    return (
        max(face - 2, 0), min(max(face - 1, 0), top), min(face, top), min(face + 1, top),
    )  # fmt: skip


@jit(fastmath=FUSED)
def _face_value(
    up: float, behind: float, down: float, per_gap_behind: float, per_gap: float,
    per_span: float, half: float, theta: float,
) -> float:  # fmt: skip
    """The upwind cell's reconstruction at its face, in [0, 2ρ]; its two faces' values add to 2ρ at most."""
    back = (up - behind) * per_gap_behind
    ahead = (down - up) * per_gap
    centre = (down - behind) * per_span
    size = min(theta * min(abs(back), abs(ahead)), abs(centre))
    slope = size if back > 0.0 else -size
    slope = slope if back * ahead > 0.0 else 0.0
    return min(max(up + half * slope, 0.0), 2.0 * up)


@jit(fastmath=FUSED, apart=True)
def _transverse(
    before: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    after: np.ndarray,
    level_low: np.ndarray,
    level_high: np.ndarray,
    axis: np.ndarray,
    face: int,
    speed: float,
    theta: float,
    flux: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Fluxes through the faces between two neighbouring rows."""
    gap_before, gap, gap_after = axis[GAP, face], axis[GAP, face + 1], axis[GAP, face + 2]
    span_low, span_high = axis[SPAN, face], axis[SPAN, face + 1]
    half_low, half_high = axis[HALF, face], axis[HALF, face + 1]
    # Two loops: the compiler vectorises a loop only if few pairs of arrays might overlap.
    for k in range(low.size):
        velocity[k] = speed * (level_low[k] - level_high[k]) * gap
    for k in range(low.size):
        v = velocity[k]
        forward = v > 0.0
        up = low[k] if forward else high[k]
        down = high[k] if forward else low[k]
        behind = before[k] if forward else after[k]
        value = _face_value(
            up, behind, down, gap_before if forward else gap_after, gap,
            span_low if forward else span_high, half_low if forward else half_high, theta,
        )  # fmt: skip
        flux[k] = v * value


@jit(fastmath=FUSED, apart=True)
def _along(
    row: np.ndarray,
    level: np.ndarray,
    axis: np.ndarray,
    speed: float,
    theta: float,
    flux: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Fluxes through the n + 1 faces along one row that carries its ghosts."""
    gap, span, half = axis[GAP], axis[SPAN], axis[HALF]
    for f in range(flux.size):
        velocity[f] = speed * (level[f] - level[f + 1]) * gap[f + 1]
    for f in range(flux.size):
        v = velocity[f]
        forward = v > 0.0
        up = row[f + 1] if forward else row[f + 2]
        down = row[f + 2] if forward else row[f + 1]
        behind = row[f] if forward else row[f + 3]
        value = _face_value(
            up, behind, down, gap[f] if forward else gap[f + 2], gap[f + 1],
            span[f] if forward else span[f + 1], half[f] if forward else half[f + 1], theta,
        )  # fmt: skip
        flux[f] = v * value


@jit(apart=True)
def _padded(
    cells: np.ndarray, levels: np.ndarray, periodic: bool, row: np.ndarray, level: np.ndarray
) -> None:
    """Copy a row with its ghosts: two cells of density, one of potential."""
    n = cells.size
    for k in range(n):
        row[k + 2] = cells[k]
        level[k + 1] = levels[k]
    a, b, c, d = _around(0, n, periodic)
    row[0], row[1], level[0] = cells[a], cells[b], levels[b]
    a, b, c, d = _around(n, n, periodic)
    row[n + 2], row[n + 3], level[n + 1] = cells[c], cells[d], levels[c]


@jit(fastmath=FUSED, apart=True)
def _collect(
    low_flux: np.ndarray,
    low_v: np.ndarray,
    high_flux: np.ndarray,
    high_v: np.ndarray,
    per_width: float,
    tendency: np.ndarray,
    outflow: np.ndarray,
) -> None:
    """Add one axis's share; the upper faces become the next row's lower ones."""
    for k in range(tendency.size):
        tendency[k] -= (high_flux[k] - low_flux[k]) * per_width
    for k in range(tendency.size):
        outflow[k] += max(max(high_v[k], -low_v[k]), 0.0) * per_width
    for k in range(tendency.size):
        low_flux[k] = high_flux[k]
        low_v[k] = high_v[k]


def muscl_tendency(
    density: np.ndarray,
    potential: np.ndarray,
    axes: Axes,
    speed: float,
    theta: float,
    tendency: np.ndarray,
) -> float:
    """Write dρ/dt of a box into ``tendency``; return the largest Σ_axes v_out/w of a cell, in 1/time."""
    n0, n1, n = density.shape

    def run(first: int, last: int) -> float:
        part = (first, last, 0, n1) if n0 > 1 else (0, 1, first, last)
        room = _room(part[3] - part[2], n)
        return float(_slab(density, potential, axes, speed, theta, part, tendency, room))

    return over_slabs(run, *((n0, n1 * n) if n0 > 1 else (n1, n)))
