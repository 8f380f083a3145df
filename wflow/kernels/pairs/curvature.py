r"""The matrix ∇₁∇₂U of all pairs of units c φ(x; y), U = cc'K, from the partial derivatives of K = k(s, t, p).

.. math:: \partial_c\partial_{c'}U = K, \quad \partial_c\nabla_2 U = c'(2k_t z + k_p y), \quad
          \nabla_1\nabla_2 U = cc'(k_p I + 4k_{st}\,yz^T + 2k_{sp}\,yy^T + 2k_{tp}\,zz^T + k_{pp}\,zy^T)
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import FUSED, jit


@jit(fastmath=FUSED)
def couple(
    partials: np.ndarray, y: np.ndarray, c: np.ndarray, charges: bool, out: np.ndarray
) -> None:
    """Fill the lower half of ``out`` (nD, nD), D = d + 1 with charges.

    ``partials`` (7, n, n) are K, k_s, k_p, k_ss, k_sp, k_st, k_pp.
    """
    n, d = y.shape
    head = int(charges)
    width = d + head
    for i in range(n):
        for j in range(i + 1):
            own, other, both = partials[1, i, j], partials[1, j, i], c[i] * c[j]
            p, sp, tp = partials[2, i, j], partials[4, i, j], partials[4, j, i]
            st, pp = partials[5, i, j], partials[6, i, j]
            row, column = i * width, j * width
            if charges:
                out[row, column] = partials[0, i, j]
                for a in range(d):
                    out[row, column + 1 + a] = c[j] * (2.0 * other * y[j, a] + p * y[i, a])
                    out[row + 1 + a, column] = c[i] * (2.0 * own * y[i, a] + p * y[j, a])
            for a in range(d):
                of_y = both * (4.0 * st * y[i, a] + 2.0 * tp * y[j, a])
                of_z = both * (2.0 * sp * y[i, a] + pp * y[j, a])
                line = out[row + head + a, column + head : column + width]
                for b in range(d):
                    line[b] = of_y * y[j, b] + of_z * y[i, b]
                line[a] += both * p
