"""In which order SGD takes the samples of a data set: pure functions of the seed and of the samples' numbers.

Samples are counted over a whole run, so that it may be cut anywhere.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from wflow.errors import InputError, shown
from wflow.tools.arrays import as_floats
from wflow.tools.streams import stream


class Order(Protocol):
    """Which of a data set's rows are samples number first, first + 1, …"""

    def __call__(self, seed: int, first: int, count: int) -> np.ndarray: ...


class WithReplacement:
    """Rows drawn evenly from ``size``, each anew."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, seed: int, first: int, count: int) -> np.ndarray:
        return stream(seed, "order", first).integers(0, self._size, count)


class Shuffled:
    """Every row once in each epoch, in a permutation that the seed and the epoch's number key.

    >>> rows = Shuffled(3)(seed=0, first=1, count=5)
    >>> sorted(rows[2:].tolist())
    [0, 1, 2]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: tuple[int, int, np.ndarray] | None = None

    def __call__(self, seed: int, first: int, count: int) -> np.ndarray:
        epochs = range(first // self._size, -(-(first + count) // self._size))
        rows = [self._permutation(seed, epoch) for epoch in epochs] or [np.empty(0, dtype=np.int64)]
        skip = first % self._size
        return np.concatenate(rows)[skip : skip + count]

    def _permutation(self, seed: int, epoch: int) -> np.ndarray:
        # Kept because several blocks of samples fall into one epoch of a long data set.
        latest = self._latest
        if latest is None or latest[:2] != (seed, epoch):
            rows = stream(seed, "order", epoch).permutation(self._size)
            self._latest = latest = (seed, epoch, rows)
        return latest[2]


class Replayed:
    """Rows in an order that was given.

    Raises
    ------
    InputError
        for what is no list of rows of a data set of ``size``
    """

    def __init__(self, order: object, size: int) -> None:
        asked = as_floats("order", order)
        whole = np.asarray(order).dtype.kind in "iu"
        if asked.ndim != 1 or not whole:
            raise InputError(f"order = {shown(order)}: give a 1-D array of sample indices")
        self._rows = asked.astype(np.int64)
        wrong = np.flatnonzero((asked < 0) | (asked >= size))
        if wrong.size:
            k = int(wrong[0])
            raise InputError(
                f"order[{k}] is {self._rows[k]}: samples are numbered from 0 to {size - 1}"
            )

    def __call__(self, seed: int, first: int, count: int) -> np.ndarray:
        if first + count > self._rows.size:
            raise InputError(
                f"order has {self._rows.size} samples and the run needs {first + count}: give more, or fewer steps"
            )
        return self._rows[first : first + count]
