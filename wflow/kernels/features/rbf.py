r"""Values of Gaussian bumps at nodes, a :math:`e^{-\kappa|y_i - x_j|^2/2}`, in one pass over the pairs.

Squares are summed coordinate by coordinate in a chunk that stays in the first-level cache, and the exponential is taken
there. Differences are taken before squares: nothing cancels far from the origin.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import REORDERED, jit, widest
from wflow.kernels.scalars import exponential

CHUNK = 512


@jit(fastmath=REORDERED, apart=True)
def bump_values(
    y: np.ndarray, columns: np.ndarray, kappa: float, amplitude: float, out: np.ndarray
) -> None:
    """Fill ``out`` (m, n) from centres y (m, D) and nodes given coordinate by coordinate, (D, n)."""
    widest()
    d, n = columns.shape
    square = np.empty(CHUNK)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        for i in range(y.shape[0]):
            to = out[i, start:stop]
            s = square[: stop - start]
            s[:] = 0.0
            for k in range(d):
                at, x = y[i, k], columns[k, start:stop]
                for j in range(s.size):
                    a = at - x[j]
                    s[j] += a * a
            for j in range(s.size):
                to[j] = amplitude * exponential(-0.5 * kappa * s[j])
