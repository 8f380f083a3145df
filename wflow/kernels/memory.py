"""Arrays as kernels want them: in one layout, beginning where the cache likes it, in memory that is there already."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

_PAGE = 4096
"""Bytes. Vectors that lie across two cache lines take twice as long; and a load waits for a store that is under way to
an address that differs in the page alone, so that arrays swept side by side had better begin alike."""

_kept: list[np.ndarray] = []
_KEPT = 8
_keeping = threading.Lock()


def kernel_floats(array: np.ndarray) -> np.ndarray:
    """The array as C-ordered, writeable float64: any other layout would compile a kernel once more."""
    flags = array.flags
    if array.dtype == np.float64 and flags.c_contiguous and flags.writeable and flags.aligned:
        return array
    return np.require(array, np.float64, ["C", "W", "A"])


def _on_page(room: np.ndarray, shape: tuple[int, ...], shift: int = 0) -> np.ndarray:
    """A part of ``room``, which is a page longer, that begins ``shift`` bytes after a page does."""
    first = (shift - room.ctypes.data) % _PAGE // 8
    return room[first : first + math.prod(shape)].reshape(shape)


def aligned_zeros(shape: tuple[int, ...], shift: int = 0) -> np.ndarray:
    """A new float64 array of zeros that begins ``shift`` bytes after a page does.

    ``fill`` would give the interpreter to the other thread once more and wait 0.2 ms to get it back.

    >>> a = aligned_zeros((3, 5), 2048)
    >>> a.ctypes.data % 4096, float(a.sum())
    (2048, 0.0)
    """
    return _on_page(np.zeros(math.prod(shape) + _PAGE // 8), shape, shift)


def aligned_empty(size: int) -> np.ndarray:
    """A new float64 vector that begins with a page, of any numbers.

    >>> aligned_empty(5).ctypes.data % 4096
    0
    """
    return _on_page(np.empty(size + _PAGE // 8), (size,))


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy that begins with a page.

    >>> aligned(np.ones((3, 5))).ctypes.data % 4096
    0
    """
    made = _on_page(np.empty(values.size + _PAGE // 8), values.shape)
    made[...] = values
    return made


def recycled_empty(shape: tuple[int, ...]) -> np.ndarray:
    """A float64 array that begins with a page, in memory that none uses any more: fresh pages cost half a step.

    Of the last size asked for the memory of up to eight arrays is kept.

    >>> a = recycled_empty((300, 1000)); where = a.ctypes.data; del a
    >>> b = recycled_empty((300, 1000)); c = recycled_empty((300, 1000))
    >>> b.ctypes.data == where, c.ctypes.data == where
    (True, False)
    """
    size = math.prod(shape) + _PAGE // 8
    with _keeping:
        if _kept and _kept[0].size != size:
            _kept.clear()
        # A view refers to the array that owns its memory.
        free = [k for k, count in enumerate(_references(_kept)) if count == _UNUSED]
        if free:
            room = _kept[free[0]]
        else:
            room = np.empty(size)
            if len(_kept) < _KEPT:
                _kept.append(room)
        return _on_page(room, shape)


def _references(arrays: list[np.ndarray]) -> list[int]:
    return [sys.getrefcount(array) for array in arrays]


_UNUSED = _references([np.empty(1)])[0]
"""The references of an array that nothing but a list refers to."""


class _Rooms(threading.local):
    """Those a thread asked for last."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], tuple[np.ndarray, ...]] = {}


_rooms = _Rooms()
_ROOMS = 4


def kept_room(shapes: tuple[tuple[int, ...], ...], shift: int = 0) -> tuple[np.ndarray, ...]:
    """Arrays for what a kernel forms and forgets, of any numbers, ``shift`` bytes after a page each: those that this
    thread had for these shapes before, if it is not long ago.

    >>> kept_room(((2, 3), (4,)))[0] is kept_room(((2, 3), (4,)))[0]
    True
    """
    kept = _rooms.kept
    room = kept.get((shapes, shift))
    if room is None:
        while len(kept) >= _ROOMS:
            del kept[next(iter(kept))]
        room = kept[shapes, shift] = tuple(aligned_zeros(shape, shift) for shape in shapes)
    return room
