"""Blocks of neurons handed to a pool of threads that stays: which thread takes a block changes no bit of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from wflow.kernels.threads import threads as count_threads

LEAST_PAIRS = 1 << 17
"""Below this many pairs of a neuron and a sample (0.2 ms) one thread does everything."""


def over_blocks(work: Callable[[int, int], None], n: int, rows: int, pairs: int) -> None:
    """Call ``work(start, stop)`` for each block of ``rows`` of n neurons; raises what a block raised.

    ``NUMBA_NUM_THREADS`` and ``numba.set_num_threads`` say how many threads there are.

    >>> seen = []
    >>> over_blocks(lambda start, stop: seen.append((start, stop)), 5, 2, 10)
    >>> seen
    [(0, 2), (2, 4), (4, 5)]
    """
    blocks = [(start, min(start + rows, n)) for start in range(0, n, rows)]
    threads = min(count_threads(), len(blocks)) if pairs >= LEAST_PAIRS else 1
    if threads == 1:
        for start, stop in blocks:
            work(start, stop)
        return
    remaining = iter(blocks)

    def take() -> None:
        # next() of a list iterator holds the interpreter: no block is taken twice.
        for start, stop in remaining:
            work(start, stop)

    waiting = [_pool(os.getpid(), threads - 1).submit(take) for _ in range(threads - 1)]
    try:
        take()
    finally:
        # Also when this thread's share failed: others still write into the arrays of the caller. A helper that
        # has not begun (the pool serves several callers) is not waited for.
        started = [w for w in waiting if not w.cancel()]
        failures = [w.exception() for w in started]
    for failure in failures:
        if failure is not None:
            raise failure


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """The pool of one process: a forked child inherits the object but not its threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix="wflow-dense")
