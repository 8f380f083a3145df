"""One number of each pair of a neuron and a node, noted by a prediction for the gradient at the same points.

A step asks for both, and without the note the gradient would multiply all neurons with all nodes once more. The memory
stays with the feature map from step to step, since fresh pages cost as much as they save; whoever predicts next
writes over it, and who finds it written over or in use computes anew: the bits are the same.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from wflow.kernels.memory import aligned_empty

NOTED = 1 << 27
"""Pairs up to which they are noted (1 GiB)."""
NOTHING = np.empty(0)


class Notes:
    """The memory of one feature map.

    >>> notes, points, others = Notes(), {1}, {2}
    >>> with notes.written(points, 3) as numbers:
    ...     numbers[:] = 7.0
    >>> with notes.read(points) as mine, notes.read(others) as theirs:
    ...     mine, theirs
    (array([7., 7., 7.]), array([], dtype=float64))
    """

    def __init__(self) -> None:
        self._using = threading.Lock()
        self._numbers = NOTHING
        self._author: Any = lambda: None

    @contextmanager
    def written(self, author: Any, size: int) -> Iterator[np.ndarray]:
        """``size`` numbers to write, or none where there is no memory or another is at work."""
        if not size or not self._using.acquire(blocking=False):
            yield NOTHING
            return
        try:
            self._author = lambda: None
            if self._numbers.size != size:
                self._numbers = NOTHING  # first, so that both never take memory at a time
                with suppress(MemoryError):
                    self._numbers = aligned_empty(size)
            yield self._numbers
            self._author = weakref.ref(author)
        finally:
            self._using.release()

    @contextmanager
    def read(self, author: Any) -> Iterator[np.ndarray]:
        """What ``author`` wrote, or nothing; nothing for None, which an author that is no more leaves, too."""
        if not self._using.acquire(blocking=False):
            yield NOTHING
            return
        try:
            mine = author is not None and self._author() is author
            yield self._numbers if mine else NOTHING
        finally:
            self._using.release()


_of_maps: weakref.WeakKeyDictionary[Any, Notes] = weakref.WeakKeyDictionary()


def notes_of(features: Any) -> Notes:
    """The notes of a feature map, which are no part of it where it goes to another process."""
    return _of_maps.setdefault(features, Notes())
