r"""The matrix ∇₁∇₂U of pairs of units c φ(x; y), U = cc'K, or its products, from the partial derivatives of K(s, t, p).

.. math:: \partial_c\partial_{c'}U = K, \quad \partial_c\nabla_2 U = c'(2k_t z + k_p y), \quad
          \nabla_1\nabla_2 U = cc'(k_p I + 4k_{st}\,yz^T + 2k_{sp}\,yy^T + 2k_{tp}\,zz^T + k_{pp}\,zy^T)
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit


@jit(fastmath=FUSED)
def couple(
    partials: np.ndarray, y: np.ndarray, c: np.ndarray, charges: bool, out: np.ndarray
) -> None:
    """Fill the lower half of ``out`` (nD, mD), D = d + 1 with charges: the columns of the first m ≤ n units.

    ``partials`` (7, n, n) are K, k_s, k_p, k_ss, k_sp, k_st, k_pp.
    """
    n, d = y.shape
    head = int(charges)
    width = d + head
    for i in range(n):
        for j in range(min(i + 1, out.shape[1] // width)):
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


@jit(fastmath=REORDERED, apart=True)
def couple_rows(
    dots: np.ndarray,
    first: int,
    partials: np.ndarray,
    turned: np.ndarray,
    masses: np.ndarray,
    along: np.ndarray,
    values: np.ndarray,
    radial: np.ndarray,
) -> None:
    r"""What the moves of all units are to the rows from ``first`` on, but for one product of matrices.

    .. math:: \delta\Psi_{c,i} = \sum_j K m_j + 2k_t\sigma_j + k_p P_{ij}, \qquad
              \delta\nabla\Psi_i = c_i\Bigl[2y_i\sum_j\bigl(k_s m_j + 2k_{st}\sigma_j + k_{sp}P_{ij}\bigr)
              + \sum_j k_p u_j + \bigl(k_p m_j + 2k_{tp}\sigma_j + k_{pp}P_{ij}\bigr)\,y_j\Bigr]

    ``masses`` (n,) are m = w δc, ``dots`` P = ⟨y_i, u_j⟩ of u = w c δy, ``along`` σ = ⟨y_j, u_j⟩; ``turned`` holds the
    transposes of k_s and k_sp. Written are ``values``, ``radial`` (the first two sums) and, in place of the dots, the
    factors of y_j.
    """
    rows, columns = dots.shape
    for r in range(rows):
        i = first + r
        k, s, p = partials[0, i], partials[1, i], partials[2, i]
        sp, st, pp = partials[4, i], partials[5, i], partials[6, i]
        t, tp, dot = turned[0, i], turned[1, i], dots[r]
        value, out = 0.0, 0.0
        for j in range(columns):
            x, m, a = dot[j], masses[j], along[j]
            value += k[j] * m + 2.0 * t[j] * a + p[j] * x
            out += s[j] * m + 2.0 * st[j] * a + sp[j] * x
            dot[j] = p[j] * m + 2.0 * tp[j] * a + pp[j] * x
        values[i], radial[i] = value, 2.0 * out
