"""Sums over long vectors, in one thread and always in the same order.

BLAS shares out a product of 1e4 numbers, a few microseconds, among its threads and waits for them by spinning: on a
machine that has other work to do that is a turn of the scheduler, some milliseconds, each time. And the last bits
depend on how many there are.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import REORDERED, jit


@jit(fastmath=REORDERED)
def dot(a: np.ndarray, b: np.ndarray) -> float:
    """<a, b>.

    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


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
