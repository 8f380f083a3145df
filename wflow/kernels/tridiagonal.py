r"""Implicit exchange of mass between neighbouring cells.

A jump process on a line has rates :math:`k^+_i` (cell i to i+1) and :math:`k^-_i` (cell i+1 to i). The implicit step
:math:`(I - hA)m = m_{old}` is a tridiagonal M-matrix whose columns sum to one: its solution is positive and keeps mass
for every h.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import jit


@jit
def scharfetter_gummel_rates(
    potential: np.ndarray,
    gaps: np.ndarray,
    widths: np.ndarray,
    diffusion: float,
    speed: float,
    up: np.ndarray,
    down: np.ndarray,
) -> None:
    r"""Rates of :math:`J = (D/\delta)[B(s)\rho_i - B(-s)\rho_{i+1}]`, s = ΔΨ/D, B(s) = s/(e^s − 1).

    For D → 0 these are the first-order upwind rates, reached without overflow.
    """
    for i in range(gaps.size):
        jump = potential[i + 1] - potential[i]
        forward = max(-jump, 0.0)
        backward = max(jump, 0.0)
        if diffusion > 0.0:
            s = abs(jump) / diffusion
            # B(s) with the smaller exponential: B(|s|) = |s|/(e^{|s|} − 1), B(−|s|) = B(|s|) + |s|.
            small = 1.0 - 0.5 * s if s < 1e-8 else (0.0 if s > 700.0 else s / math.expm1(s))
            forward += diffusion * small
            backward += diffusion * small
        up[i] = speed * forward / (gaps[i] * widths[i])
        down[i] = speed * backward / (gaps[i] * widths[i + 1])


@jit
def exchange(mass: np.ndarray, up: np.ndarray, down: np.ndarray, h: float, out: np.ndarray) -> None:
    """Solve (I − hA) out = mass by elimination without subtraction of like-signed numbers.

    The pivots are kept as 1 + (what flows on), so no cancellation occurs and positivity is exact.
    """
    n = mass.size
    leak = np.empty(n)  # h k⁺ of row i after elimination divided by its pivot
    carried = mass[0]
    # Elimination from the left: pivot_i = 1 + a_i + h up_i with a_i ≥ 0 what is left of h down_{i-1}.
    remainder = 0.0
    for i in range(n):
        ahead = h * up[i] if i < n - 1 else 0.0
        pivot = 1.0 + remainder + ahead
        out[i] = carried / pivot
        if i < n - 1:
            leak[i] = h * down[i] / pivot
            share = ahead / pivot
            carried = mass[i + 1] + share * carried
            # h down_i (1 − share) with 1 − share = (1 + remainder)/pivot, written without the difference.
            remainder = h * down[i] * ((1.0 + remainder) / pivot)
    for i in range(n - 2, -1, -1):
        out[i] += leak[i] * out[i + 1]
