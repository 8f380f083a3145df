"""The one pool of threads for kernels, which release the interpreter; what is shared out never depends on it.

How many threads: ``NUMBA_NUM_THREADS``, or what ``numba.set_num_threads`` said since. A slab or a block is computed by
the same operations whoever takes it, so that their number changes no bit of an answer.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numba

from wflow.kernels.jit import jit

T = TypeVar("T")

CELLS_PER_SLAB = 1 << 14
"""Below this a slab is not worth handing to another thread (about 30 microseconds)."""
SLABS_A_THREAD = 2
"""A thread that has to wait for a processor keeps the others waiting for one slab at most."""
LEAST_PAIRS = 1 << 17
"""Below this many pairs of a row and a column (0.2 ms) one thread does everything."""

_limiting_blas = threading.Lock()
_limits: list[Any] = []


def threads() -> int:
    """The number of threads of the calling thread, read without a lock.

    ``numba.get_num_threads`` takes a lock that forked processes share: one of them killed while it holds the lock
    would stop all the others for ever. Here it is taken once a process tree.

    >>> threads() == numba.get_num_threads()
    True
    """
    _launch()
    return int(_read())


@cache
def _launch() -> None:
    numba.get_num_threads()


@jit(cache=False)  # numba reads an address, which no cache can keep: 0.1 s once a process
def _read() -> int:
    return numba.get_num_threads()


def over_slabs(run: Callable[[int, int], float | None], rows: int, row_cells: int) -> float:
    """The largest ``run(first, last)`` >= 0 over slabs that cover ``range(rows)``, two a thread; 0 for None.

    Threads take slabs as they come to them. One slab that answers no number makes the answer none.

    >>> over_slabs(lambda first, last: float(last - first), 5, 10)
    5.0
    """
    worth = min(rows, rows * row_cells // CELLS_PER_SLAB)
    count = min(threads(), worth) if worth > 1 else 1
    if count == 1:
        return run(0, rows) or 0.0
    slabs = min(SLABS_A_THREAD * count, worth)
    bounds = [rows * k // slabs for k in range(slabs + 1)]
    remaining = iter(list(pairwise(bounds)))

    def take() -> float:
        return _largest(run(first, last) or 0.0 for first, last in remaining)

    return _largest(_side_by_side([take] * count))


def _largest(values: Iterable[float]) -> float:
    """The largest of numbers >= 0, or nan where one is: ``max`` forgets it, or not, by its place.

    >>> _largest([1.0, math.nan, 2.0])
    nan
    """
    largest = 0.0
    for value in values:
        if value > largest or math.isnan(value):
            largest = value
    return largest


def over_blocks(
    work: Callable[[int, int], None], n: int, rows: int, pairs: int, *, products: bool = False
) -> None:
    """Call ``work(start, stop)`` for each block of ``rows`` of n; raises what a block raised.

    ``products`` says that blocks multiply matrices: the library's own threads would only wait for each other in ours,
    and beside a single one of ours they would split a block in their own way, on some machines to other bits.

    >>> seen = []
    >>> over_blocks(lambda start, stop: seen.append((start, stop)), 5, 2, 10)
    >>> seen
    [(0, 2), (2, 4), (4, 5)]
    """
    blocks = [(start, min(start + rows, n)) for start in range(0, n, rows)]
    shared = pairs >= LEAST_PAIRS and len(blocks) > 1
    count = min(threads(), len(blocks)) if shared else 1
    remaining = iter(blocks)

    def take() -> None:
        # next() of a list iterator holds the interpreter: no block is taken twice.
        for start, stop in remaining:
            work(start, stop)

    with one_blas_thread() if products and shared else nullcontext():
        if count < 2:
            take()
        else:
            _side_by_side([take] * count)


def _side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """The answers of all tasks: of the first one here, of another one too if no thread of the pool has begun it."""
    pool = _pool(os.getpid(), len(tasks) - 1)
    waiting = [pool.submit(_outcome, task) for task in tasks[1:]]
    outcomes = [_outcome(tasks[0])]
    for task, other in zip(tasks[1:], waiting, strict=True):
        outcomes.append(_outcome(task) if other.cancel() else other.result())
    for _, failure in outcomes:
        if failure is not None:
            raise failure
    return [answer for answer, _ in outcomes]


def _outcome(task: Callable[[], T]) -> tuple[T, None] | tuple[Any, BaseException]:
    """What a task answers or raises, which has to wait: the others still write into the arrays of the caller."""
    try:
        return task(), None
    except BaseException as failure:  # noqa: BLE001  raised again by the caller
        return None, failure


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """The pool of one process: a forked child inherits the object but not its threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix="wflow")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Matrix products in one thread each meanwhile, whoever else in the process multiplies.

    A second thread of BLAS is waited for by spinning: beside our own threads, or under load, for longer than the
    product takes.
    """
    with _limiting_blas:
        if not _limits:
            _take_control()
        _limits.append(None if _limits else _blas().limit(limits=1))
    try:
        yield
    finally:
        with _limiting_blas:
            # The last one out restores what the first one in had found.
            first = _limits[0]
            _limits.pop()
            if not _limits:
                _take_control()
                first.restore_original_limits()
                _take_control()


def _take_control() -> None:
    """Let the next thread that sets a limit have its way.

    Some versions of threadpoolctl heed the first thread of a process that has set one, and no other, without a word:
    our lock puts ours in order.
    """
    for library in _blas().lib_controllers:
        clear = getattr(library, "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)


@cache
def _blas() -> Any:
    # It knows the libraries that are loaded by now: scipy's is another one than numpy's.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
