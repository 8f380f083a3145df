"""Blocks of rows handed to a few threads: which thread takes a block does not change a bit of it.

A kernel writes the rows [start, stop) of its outputs and reads nothing that another block writes. The blocks are
fixed by the problem alone, so that one thread and many give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

LEAST_PAIRS = 1 << 17
"""Below this many pairs (a fraction of a millisecond) a pool costs more than it gains."""


def thread_count() -> int:
    """How many threads share the rows: numba's own setting, by default one a core.

    ``NUMBA_NUM_THREADS`` in the environment changes it.
    """
    settings: Any = numba.config
    return int(settings.NUMBA_NUM_THREADS)


def run_in_blocks(
    work: Callable[[int, int], None],
    n_rows: int,
    rows: int,
    pairs: int,
    threads: int | None = None,
) -> None:
    """Call ``work(start, stop)`` for each block of ``rows`` rows; raises what a block raised."""
    count = thread_count() if threads is None else threads
    blocks = [(start, min(start + rows, n_rows)) for start in range(0, n_rows, rows)]
    if count < 2 or len(blocks) < 2 or pairs < LEAST_PAIRS:
        for start, stop in blocks:
            work(start, stop)
        return
    with ThreadPoolExecutor(min(count, len(blocks))) as pool:
        for done in [pool.submit(work, start, stop) for start, stop in blocks]:
            done.result()
