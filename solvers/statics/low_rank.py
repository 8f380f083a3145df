r"""The interaction matrix of many points as L Lᵀ with few columns, by pivoted Cholesky.

Neighbouring points have nearly equal features, so U has small numerical rank r (tens, for a thousand points).
Each step takes the point worst represented so far and asks for one column of U: r columns in all, never n×n.

Source: Harbrecht, Peters & Schneider, Appl. Numer. Math. 62 (2012) 428, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.errors import InputError

RELATIVE = 1e-15
"""Diagonal left over, of the largest entry: rounding of the columns."""
NOT_CONVEX = (
    "U is not positive semidefinite here, so R is not convex in the measure and has no certificate"
)


def pivoted_cholesky(diagonal: np.ndarray, column: Callable[[int], np.ndarray]) -> np.ndarray:
    """L (n, r) with U = L Lᵀ to rounding of its largest entry.

    Raises
    ------
    InputError
        where U is not positive semidefinite

    >>> x = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    >>> u = x @ x.T
    >>> low = pivoted_cholesky(u.diagonal(), lambda j: u[:, j])
    >>> low.shape, bool(np.allclose(low @ low.T, u))
    ((3, 2), True)
    """
    n = diagonal.size
    left = np.array(diagonal, dtype=np.float64)
    top = float(np.abs(left).max(initial=0.0))
    limit = n
    rows = np.empty((min(limit, 64), n))
    rank = 0
    while rank < limit:
        j = int(np.argmax(left))
        if left[j] <= RELATIVE * top:
            break
        if rank == rows.shape[0]:
            rows = np.concatenate([rows, np.empty((min(limit, 2 * rank) - rank, n))])
        pivot = np.sqrt(left[j])
        new = column(j) - rows[:rank, j] @ rows[:rank]
        rows[rank] = new / pivot
        rows[rank, j] = pivot
        left -= rows[rank] ** 2
        left[j] = 0.0
        rank += 1
        if left.min() < -1e-9 * top:
            raise InputError(f"{NOT_CONVEX}: use a positive semidefinite interaction")
    return np.ascontiguousarray(rows[:rank].T)
