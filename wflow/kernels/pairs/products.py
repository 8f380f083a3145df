r"""Sums over pairs of kernels that depend on ⟨w, w'⟩ and on numbers of each neuron alone, no n×m array.

.. math:: S_i = \sum_j q_j k(g_{ij};\, r_i, c_j), \qquad g_{ij} = \langle w_i, w_j'\rangle, \qquad
          \sum_j q_j \nabla k = \sum_j A_{ij} w_j' + B_i w_i

Scalar products of ROWS × COLUMNS pairs come from one matrix product, a map of :mod:`wflow.kernels.pairs.maps` turns
them into the values' sums and, in place, into the coefficients A, which a second product contracts with the points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.kernels.jit import jit
from wflow.kernels.parallel import over_blocks

ROWS = 128
COLUMNS = 512

SUMS, GRADIENTS, MATRIX = 0, 1, 2
"""What a map leaves in the array of products: nothing of use, the coefficients A, or the values k."""

Map = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], None]
"""map(g (r, c), row numbers (p, r), column numbers (p, c), charges (c,), out (3, r), mode): adds S, B and the
derivative in the row's own offset to the rows of out."""


def product_sums(
    kernel: Map,
    left: tuple[np.ndarray, np.ndarray],
    right: tuple[np.ndarray, np.ndarray],
    charges: np.ndarray,
    gradients: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """(S, B, offset derivative) as (3, m) and Σ_j A_ij w_j' (m, d), from pairs (weights, numbers) of either side."""
    w, rows = left
    v, columns = right
    m, d = w.shape
    n = v.shape[0]
    out = np.zeros((3, m))
    pull = np.zeros((m, d) if gradients else (0, d))
    transposed = np.ascontiguousarray(v.T)
    mode = GRADIENTS if gradients else SUMS
    if m <= ROWS and n <= COLUMNS:
        g = w @ transposed
        kernel(g, rows, columns, charges, out, mode)
        if gradients:
            pull += g @ v
        return out, pull

    def work(start: int, stop: int) -> None:
        here = np.ascontiguousarray(w[start:stop])
        numbers = np.ascontiguousarray(rows[:, start:stop])
        total = np.zeros((3, stop - start))
        for begin in range(0, n, COLUMNS):
            end = min(begin + COLUMNS, n)
            g = here @ transposed[:, begin:end]
            theirs = np.ascontiguousarray(columns[:, begin:end])
            kernel(g, numbers, theirs, charges[begin:end], total, mode)
            if gradients:
                pull[start:stop] += g @ v[begin:end]
        out[:, start:stop] = total

    over_blocks(work, m, ROWS, m * n, products=True)
    return out, pull


@jit(apart=True)
def finish(out: np.ndarray, pull: np.ndarray, w: np.ndarray, factor: float) -> None:
    """Σ_j A_ij w_j' + B_i w_i in place of the first sum, and S, times a factor."""
    for i in range(pull.shape[0]):
        own = out[1, i]
        for k in range(pull.shape[1]):
            pull[i, k] = factor * (pull[i, k] + own * w[i, k])
    for i in range(out.shape[1]):
        out[0, i] *= factor


def product_matrix(
    kernel: Map, left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """k(g_ij; r_i, c_j) as an (m, n) array."""
    w, rows = left
    v, columns = right
    g = np.ascontiguousarray(w @ v.T)
    kernel(g, rows, columns, np.ones(v.shape[0]), np.zeros((3, w.shape[0])), MATRIX)
    return g
