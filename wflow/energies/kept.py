r"""Values of pairs of points that stay where they are, and their sums with weights that change.

.. math:: s_i = \sum_j A(\theta_i, z_j)\,w_j \qquad\text{and}\qquad r_j = \sum_i w_i\,A(\theta_i, z_j)

The points of a grid never move, so that A is the same at every step: values are kept where they are asked for again,
up to a stated memory, and blocks beyond it are formed anew at every sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from wflow.errors import InputError
from wflow.kernels.vectors import add_column_products, row_products

BLOCK_ENTRIES = 1 << 20
"""Values formed at a time (8 MiB); what fits one block is kept at once, more from the second sum of a kind on."""
KEPT_ENTRIES = 1 << 25
"""Values kept at most (256 MiB): all pairs of 5792 points."""

LONGEST = 600.0
"""Seconds that the values of all pairs may take: a run asks for them again and again."""

PairFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of points (m, D) and (n, d), gives (m, n) values, or (D, m, n) for a gradient."""


TRIAL = 1
"""The block by which the others are judged: the first one may find nothing compiled and no memory at hand."""


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(90), duration(2e4), duration(3e9)
    ('90 s', '5.56 hours', '95.1 years')
    """
    for unit, length in (("years", 3.156e7), ("days", 86400.0), ("hours", 3600.0)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


class KeptPairs:
    """A function of pairs at fixed points.

    Parameters
    ----------
    values : A, of points (m, D) and (n, d); gives (m, n), or (D, m, n) with ``parts`` = D
    at, points : (m, D) and (n, d)
    parts : values a pair
    keep : whether sums may be asked for again
    block : values formed at a time

    >>> product = KeptPairs(lambda x, y: x @ y.T, np.array([[1.0], [2.0]]), np.array([[3.0]]))
    >>> product.sums(np.array([10.0])).tolist(), product.transposed(np.array([1.0, 1.0])).tolist()
    ([30.0, 60.0], [9.0])
    """

    def __init__(
        self,
        values: PairFunction,
        at: np.ndarray,
        points: np.ndarray,
        *,
        parts: int = 1,
        keep: bool = True,
        block: int = BLOCK_ENTRIES,
    ) -> None:
        self._values, self._at, self._points = values, at, points
        self._rows = max(1, block // max(1, points.shape[0] * parts))
        self._room = KEPT_ENTRIES if keep else 0
        self._asked: set[str] = set()
        self._kept: list[np.ndarray] = []

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Σ_j A_ij w_j, shape (m,); (D, m) for a gradient, and (k, m) for k rows of weights."""
        rows = np.ascontiguousarray(np.atleast_2d(weights), dtype=np.float64)
        found = []
        for _, block in self._blocks("sums"):
            flat = block.reshape(-1, rows.shape[1])
            part = np.empty((rows.shape[0], flat.shape[0]))
            for row, out in zip(rows, part, strict=True):
                row_products(flat, row, out)
            found.append(part.reshape(weights.shape[:-1] + block.shape[:-1]))
        return np.concatenate(found, axis=-1)

    def transposed(self, weights: np.ndarray) -> np.ndarray:
        """Σ_i w_i A_ij, shape (n,)."""
        w = np.ascontiguousarray(weights, dtype=np.float64)
        total = np.zeros(self._points.shape[0])
        for rows, block in self._blocks("transposed"):
            add_column_products(block, w[rows], total)
        return total

    def _refuse_hopeless(self, seconds: float) -> None:
        """Refuse more pairs than anyone would wait for, once it is known how long a block takes."""
        m, n = self._at.shape[0], self._points.shape[0]
        total = seconds * m / min(m, self._rows)
        if total > LONGEST:
            raise InputError(
                f"the values of {m * n:.3g} pairs of points take about {duration(total)} each time they are asked for: "
                "take fewer points, or a KernelEnergy or, on a grid, a ConvolutionEnergy"
            )

    def _blocks(self, kind: str) -> Iterator[tuple[slice, np.ndarray]]:
        # Points that move are asked each kind of sum once. A grid's are asked again.
        worth_keeping = kind in self._asked or self._at.shape[0] <= self._rows
        first_of_all = not self._asked
        self._asked.add(kind)
        for k, start in enumerate(range(0, self._at.shape[0], self._rows)):
            rows = slice(start, start + self._rows)
            if k < len(self._kept):
                yield rows, self._kept[k]
                continue
            began = time.perf_counter()
            block = np.ascontiguousarray(
                self._values(self._at[rows], self._points), dtype=np.float64
            )
            if first_of_all and k == TRIAL:
                self._refuse_hopeless(time.perf_counter() - began)
            if worth_keeping and k == len(self._kept) and block.size <= self._room:
                self._kept.append(np.array(block))  # not a buffer that is filled anew
                self._room -= block.size
            yield rows, block
