"""Sums over long vectors, in one thread and always in the same order.

BLAS shares out a scalar product of 1e4 numbers, a few microseconds, among its threads and waits for them by spinning:
on a machine that has other work to do that is a turn of the scheduler, some milliseconds, each time. And the last
bits depend on how many there are.
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
