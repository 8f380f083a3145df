r"""Drift and diffusion of cell averages by the Scharfetter–Gummel flux, explicit, in one to three dimensions.

.. math:: J_{i+1/2} = \xi\frac{D}{\delta}\bigl[B(s)\rho_i - B(-s)\rho_{i+1}\bigr], \quad
          s = \frac{\Psi_{i+1}-\Psi_i}{D}, \quad B(s) = \frac{s}{e^s-1}

exact for Gibbs states and first-order upwind as D → 0. One sweep: the Bernoulli functions of a row are taken while it
is in the cache, and no array of rates is formed. Where all |s| ≤ 1 along a row, as they are on a grid that resolves the
Gibbs state, B is its Taylor polynomial, without exponential and division. Boxes, axes and slabs as in ``transport``.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.exponential import exponential_and_less_one
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.transport import GAP, PER_WIDTH
from wflow.kernels.transport_slabs import over_slabs

SMALLEST = 1e-290
"""Below this D is lost beside any difference of Ψ, and 1/D may overflow."""


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
    order = outer_first(density.shape)
    n0, n1, n = (density.shape[k] for k in order)
    rho, psi, out = (x.reshape(n0 * n1, n) for x in (density, potential, tendency))
    axis0, axis1, axis2 = (axes[k] for k in order)
    moving, rings = moves[list(order)], periodic[list(order)]
    diffusion = diffusion if diffusion > SMALLEST else 0.0

    def run(first: int, last: int) -> float:
        return float(
            _slab(
                rho, psi, n1, axis0, axis1, axis2, moving, rings, diffusion, speed, first, last, out
            )
        )  # fmt: skip

    return over_slabs(run, n0, n1 * n)


@jit(fastmath=FUSED)
def _slab(
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
    first: int,
    last: int,
    tendency: np.ndarray,
) -> float:
    # Rows are named by numbers: a slice is counted by two atomic operations, some 10 ns each.
    rows, n = rho.shape
    n0 = rows // n1
    # Flux and backward rate through the lower faces: of axis 0 one row a j, of axis 1 the last one.
    flux_below, back_below = np.zeros((n1 + 1, n)), np.zeros((n1 + 1, n))
    row, level = np.empty(n + 2), np.empty(n + 2)
    flux, ahead, back = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    out, leaving, peak = np.empty(n), np.empty(n), np.zeros(n)
    scale = np.empty(n + 1)
    for k in range(n + 1):
        scale[k] = speed * axis2[GAP, k + 1]
    if not periodic[2]:
        scale[0] = scale[n] = 0.0
    for i in range(first, last):
        for j in range(n1):
            here = i * n1 + j
            for k in range(n):
                out[k] = leaving[k] = 0.0
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
                    is_open = periodic[transverse] or 0 < face < count
                    per_gap = axis0[GAP, face + 1] if transverse == 0 else axis1[GAP, face + 1]
                    low, high = base + (face - 1) % count * stride, base + face % count * stride
                    _across(
                        rho, psi, low, high, speed * per_gap if is_open else 0.0, diffusion,
                        flux, ahead, back,
                    )  # fmt: skip
                    if face == at:
                        for k in range(n):
                            flux_below[slot, k] = flux[k]
                            back_below[slot, k] = back[k]
                _collect(flux_below, back_below, slot, flux, ahead, back, per_width, out, leaving)
            if moves[2]:
                for k in range(n):
                    row[k + 1] = rho[here, k]
                    level[k + 1] = psi[here, k]
                row[0], row[n + 1] = row[n], row[1]
                level[0], level[n + 1] = level[n], level[1]
                _along(row, level, scale, diffusion, flux, ahead, back)
                for k in range(n):
                    out[k] -= (flux[k + 1] - flux[k]) * axis2[PER_WIDTH, k]
                for k in range(n):
                    leaving[k] += (ahead[k + 1] + back[k]) * axis2[PER_WIDTH, k]
            for k in range(n):
                tendency[here, k] = out[k]
            for k in range(n):
                peak[k] = max(peak[k], leaving[k])
    largest = 0.0
    for k in range(n):
        largest = max(largest, peak[k])
    return largest


@jit(fastmath=FUSED)
def spreads(jump: np.ndarray, diffusion: float, m: int, spread: np.ndarray) -> None:
    """D B(|s|) of m jumps of Ψ."""
    if diffusion == 0.0:
        for k in range(m):
            spread[k] = 0.0
        return
    per_diffusion = 1.0 / diffusion
    wild = 0
    for k in range(m):
        wild += 0 if abs(jump[k]) <= diffusion else 1
    if wild == 0:
        for k in range(m):
            s = abs(jump[k]) * per_diffusion
            q = s * s
            # 1 − s/2 + Σ s^{2k} B_{2k}/(2k)! up to k = 10; the next term is 6e-18.
            p = -2.174868698558062e-16
            p = p * q + 8.586062056277845e-15
            p = p * q - 3.3896802963225827e-13
            p = p * q + 1.3382536530684679e-11
            p = p * q - 5.284190138687493e-10
            p = p * q + 2.08767569878681e-08
            p = p * q - 8.267195767195768e-07
            p = p * q + 3.306878306878307e-05
            p = p * q - 1.0 / 720.0
            p = p * q + 1.0 / 12.0
            p = (1.0 - 0.5 * s) + p * q
            spread[k] = diffusion * p
        return
    for k in range(m):
        # B(|s|) = |s|e^{−|s|}/(1 − e^{−|s|}); s > 0 so that 0/0 is 1.
        s = max(min(abs(jump[k]) * per_diffusion, 750.0), 1e-100)
        e, less = exponential_and_less_one(-s)
        spread[k] = diffusion * (s * e / -less)


@jit(fastmath=FUSED)
def _across(
    rho: np.ndarray,
    psi: np.ndarray,
    low: int,
    high: int,
    scale: float,
    diffusion: float,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
) -> None:
    """Fluxes through the faces between two rows, and the rates up and down; ``scale`` is ξ/δ, 0 at a wall."""
    n = rho.shape[1]
    # Loops of their own: the compiler vectorises only if few pairs of arrays might overlap.
    for k in range(n):
        ahead[k] = psi[high, k] - psi[low, k]
    spreads(ahead, diffusion, n, back)
    for k in range(n):
        jump, spread = ahead[k], back[k]
        # B(−|s|) = B(|s|) + |s|
        ahead[k] = scale * (max(-jump, 0.0) + spread)
        back[k] = scale * (max(jump, 0.0) + spread)
    for k in range(n):
        flux[k] = ahead[k] * rho[low, k] - back[k] * rho[high, k]


@jit(fastmath=FUSED)
def _along(
    row: np.ndarray,
    level: np.ndarray,
    scale: np.ndarray,
    diffusion: float,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
) -> None:
    """The same along a row that carries a ghost at either end."""
    m = scale.size
    for k in range(m):
        ahead[k] = level[k + 1] - level[k]
    spreads(ahead, diffusion, m, back)
    for k in range(m):
        jump, spread = ahead[k], back[k]
        ahead[k] = scale[k] * (max(-jump, 0.0) + spread)
        back[k] = scale[k] * (max(jump, 0.0) + spread)
    for k in range(m):
        flux[k] = ahead[k] * row[k] - back[k] * row[k + 1]


@jit(fastmath=FUSED)
def _collect(
    flux_below: np.ndarray,
    back_below: np.ndarray,
    slot: int,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
    per_width: float,
    out: np.ndarray,
    leaving: np.ndarray,
) -> None:
    """Add one transverse axis's share; the upper faces become the next row's lower ones."""
    for k in range(out.size):
        out[k] -= (flux[k] - flux_below[slot, k]) * per_width
    for k in range(out.size):
        leaving[k] += (ahead[k] + back_below[slot, k]) * per_width
    for k in range(out.size):
        flux_below[slot, k] = flux[k]
        back_below[slot, k] = back[k]
