"""Products of kept values with weights, either way.

BLAS shares these out to threads that spin: beside another process that takes longer than the product, at every step.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import REORDERED, jit


@jit(fastmath=REORDERED)
def row_products(rows: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """out_i = Σ_j rows_ij w_j, four rows at a time, which read the weights once."""
    m, n = rows.shape
    whole = m - m % 4
    for i in range(0, whole, 4):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(n):
            w = weights[j]
            a += rows[i, j] * w
            b += rows[i + 1, j] * w
            c += rows[i + 2, j] * w
            d += rows[i + 3, j] * w
        out[i], out[i + 1], out[i + 2], out[i + 3] = a, b, c, d
    for i in range(whole, m):
        a = 0.0
        for j in range(n):
            a += rows[i, j] * weights[j]
        out[i] = a


@jit(fastmath=REORDERED, apart=True)
def add_column_products(rows: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """out_j += Σ_i w_i rows_ij, four rows at a time, which write the sums once."""
    m, n = rows.shape
    whole = m - m % 4
    for i in range(0, whole, 4):
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for j in range(n):
            out[j] += (a * rows[i, j] + b * rows[i + 1, j]) + (
                c * rows[i + 2, j] + d * rows[i + 3, j]
            )
    for i in range(whole, m):
        for j in range(n):
            out[j] += weights[i] * rows[i, j]
