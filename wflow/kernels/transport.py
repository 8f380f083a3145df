r"""Second-order upwind transport of cell averages along -∇Ψ, in one dimension.

The face velocity is the difference :math:`v_{i+1/2} = -\xi(\Psi_{i+1}-\Psi_i)/\delta_{i+1/2}`, so that the discrete
free energy has :math:`\dot F = -\sum \delta\,v^2 \rho_{face}/\xi \le 0`. Face values come from slopes limited by
:math:`minmod(\theta D^-, D^0, \theta D^+)` (MUSCL) and are kept in [0, 2ρ_i].
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import jit


@jit
def muscl_tendency(
    density: np.ndarray,
    potential: np.ndarray,
    gaps: np.ndarray,
    widths: np.ndarray,
    speed: float,
    theta: float,
    tendency: np.ndarray,
) -> float:
    """Write dρ/dt into ``tendency``; return the largest outflow rate max(v/w) of a cell, in 1/time."""
    n = density.size
    tendency[:] = 0.0
    left_slope = 0.0
    if n < 2:
        return 0.0
    outflow = 0.0
    for i in range(n - 1):
        # slope in the cell on the right of the face; walls have slope 0
        right_slope = 0.0
        if i + 2 < n:
            back = (density[i + 1] - density[i]) / gaps[i]
            ahead = (density[i + 2] - density[i + 1]) / gaps[i + 1]
            if back * ahead > 0.0:
                centre = abs(density[i + 2] - density[i]) / (gaps[i] + gaps[i + 1])
                size = min(theta * abs(back), theta * abs(ahead), centre)
                right_slope = size if back > 0.0 else -size
        v = -speed * (potential[i + 1] - potential[i]) / gaps[i]
        if v > 0.0:
            face = density[i] + 0.5 * left_slope * widths[i]
            face = min(max(face, 0.0), 2.0 * density[i])
            outflow = max(outflow, v / widths[i])
        else:
            face = density[i + 1] - 0.5 * right_slope * widths[i + 1]
            face = min(max(face, 0.0), 2.0 * density[i + 1])
            outflow = max(outflow, -v / widths[i + 1])
        flux = v * face
        tendency[i] -= flux / widths[i]
        tendency[i + 1] += flux / widths[i + 1]
        left_slope = right_slope
    return outflow
