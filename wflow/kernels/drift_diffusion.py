r"""Drift and diffusion of cell averages by the Scharfetter–Gummel flux, explicit, in one to three dimensions.

.. math:: J_{i+1/2} = \xi\frac{D}{\delta}\bigl[B(s)\rho_i - B(-s)\rho_{i+1}\bigr], \quad
          s = \frac{\Psi_{i+1}-\Psi_i}{D}, \quad B(s) = \frac{s}{e^s-1}

exact for Gibbs states and first-order upwind as D → 0. One sweep: the two exponentials of a cell (one a face and axis)
are taken while its row is in the cache, and no array of rates is formed. Boxes, axes and slabs as in ``transport``.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.exponential import exponential_and_less_one
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.transport import GAP, PER_WIDTH
from wflow.kernels.transport_slabs import over_slabs

SMALLEST = 1e-290
"""Below this D is lost beside any difference of Ψ, and 1/D may overflow."""


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
    n0, n1, n2 = density.shape
    axis0, axis1, axis2 = axes
    diffusion = diffusion if diffusion > SMALLEST else 0.0

    def run(first: int, last: int) -> float:
        box = (first, last, 0, n1) if n0 > 1 else (0, 1, first, last)
        return float(
            _slab(
                density, potential, axis0, axis1, axis2, moves, periodic, diffusion, speed, box, tendency
            )
        )  # fmt: skip

    rows, row_cells = (n0, n1 * n2) if n0 > 1 else (n1, n2)
    return over_slabs(run, rows, row_cells)


@jit(fastmath=FUSED)
def _slab(
    density: np.ndarray,
    potential: np.ndarray,
    axis0: np.ndarray,
    axis1: np.ndarray,
    axis2: np.ndarray,
    moves: np.ndarray,
    periodic: np.ndarray,
    diffusion: float,
    speed: float,
    box: tuple[int, int, int, int],
    tendency: np.ndarray,
) -> float:
    n0, n1, n = density.shape
    rows, levels = density.reshape(n0 * n1, n), potential.reshape(n0 * n1, n)
    first0, last0, first1, last1 = box
    # Flux and backward rate through the lower faces: of axis 0 one row a j, of axis 1 the last one.
    kept = np.zeros((last1 - first1 + 1, 2, n))
    row, level = np.empty(n + 2), np.empty(n + 2)
    flux, ahead, back = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    leaving, peak = np.zeros(n), np.zeros(n)
    for i in range(first0, last0):
        for j in range(first1, last1):
            rho, psi, out = density[i, j], potential[i, j], tendency[i, j]
            out[:] = 0.0
            leaving[:] = 0.0
            for transverse in range(2):
                if not moves[transverse]:
                    continue
                axis, at, count, stride = axis0, i, n0, n1
                slot, begins = j - first1, i == first0
                if transverse == 1:
                    axis, at, count, stride = axis1, j, n1, 1
                    slot, begins = last1 - first1, j == first1
                base = i * n1 + j - at * stride
                for face in range(at if begins else at + 1, at + 2):
                    is_open = periodic[transverse] or 0 < face < count
                    scale = speed * axis[GAP, face + 1] if is_open else 0.0
                    low, high = base + (face - 1) % count * stride, base + face % count * stride
                    _between(
                        rows[low], rows[high], levels[low], levels[high], scale, diffusion,
                        flux, ahead, back,
                    )  # fmt: skip
                    if face == at:
                        kept[slot, 0, :] = flux[:n]
                        kept[slot, 1, :] = back[:n]
                _collect(
                    kept[slot, 0], kept[slot, 1], flux, ahead, back, axis[PER_WIDTH, at], out, leaving
                )  # fmt: skip
            if moves[2]:
                row[1 : n + 1], level[1 : n + 1] = rho, psi
                row[0], row[n + 1] = rho[n - 1], rho[0]
                level[0], level[n + 1] = psi[n - 1], psi[0]
                _along(row, level, axis2, speed, diffusion, flux, ahead, back)
                if not periodic[2]:
                    flux[0] = flux[n] = ahead[n] = back[0] = 0.0
                per_width = axis2[PER_WIDTH]
                for k in range(n):
                    out[k] -= (flux[k + 1] - flux[k]) * per_width[k]
                for k in range(n):
                    leaving[k] += (ahead[k + 1] + back[k]) * per_width[k]
            for k in range(n):
                peak[k] = max(peak[k], leaving[k])
    return float(peak.max())


@jit(fastmath=FUSED)
def _rates(jump: float, diffusion: float, per_diffusion: float) -> tuple[float, float]:
    """D B(s) and D B(−s) by the smaller exponential: B(|s|) = |s|e^{−|s|}/(1 − e^{−|s|}), B(−|s|) = B(|s|) + |s|."""
    s = max(min(abs(jump) * per_diffusion, 750.0), 1e-100)
    e, less = exponential_and_less_one(-s)
    spread = diffusion * (s * e / -less)
    return max(-jump, 0.0) + spread, max(jump, 0.0) + spread


@jit(fastmath=FUSED)
def _between(
    low: np.ndarray,
    high: np.ndarray,
    level_low: np.ndarray,
    level_high: np.ndarray,
    scale: float,
    diffusion: float,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
) -> None:
    """Fluxes and both rates between two neighbouring rows."""
    # At D = 0 both spreads are 0 and the flux is upwind.
    per_diffusion = 1.0 / diffusion if diffusion > 0.0 else 0.0
    for k in range(low.size):
        a, b = _rates(level_high[k] - level_low[k], diffusion, per_diffusion)
        ahead[k], back[k] = scale * a, scale * b
    # A loop of its own: the compiler vectorises only if few pairs of arrays might overlap.
    for k in range(low.size):
        flux[k] = ahead[k] * low[k] - back[k] * high[k]


@jit(fastmath=FUSED)
def _along(
    row: np.ndarray,
    level: np.ndarray,
    axis: np.ndarray,
    speed: float,
    diffusion: float,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
) -> None:
    """Fluxes and rates through the n + 1 faces of one row with a ghost at either end."""
    m = flux.size
    _between(row[:m], row[1:], level[:m], level[1:], speed, diffusion, flux, ahead, back)
    per_gap = axis[GAP]
    for f in range(m):
        flux[f] *= per_gap[f + 1]
        ahead[f] *= per_gap[f + 1]
        back[f] *= per_gap[f + 1]


@jit(fastmath=FUSED)
def _collect(
    flux_below: np.ndarray,
    back_below: np.ndarray,
    flux: np.ndarray,
    ahead: np.ndarray,
    back: np.ndarray,
    per_width: float,
    tendency: np.ndarray,
    leaving: np.ndarray,
) -> None:
    """Add one transverse axis's share; the upper faces become the next row's lower ones."""
    for k in range(tendency.size):
        tendency[k] -= (flux[k] - flux_below[k]) * per_width
    for k in range(tendency.size):
        leaving[k] += (ahead[k] + back_below[k]) * per_width
    for k in range(tendency.size):
        flux_below[k] = flux[k]
        back_below[k] = back[k]
