"""Side by side over slabs of a grid: serial kernels that release the interpreter, in a small pool of threads.

Every cell is computed by the same operations whatever slab it lies in, and the only reduction is a maximum, so the
number of threads changes no bit of the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from wflow.kernels.threads import threads as count_threads

CELLS_PER_SLAB = 1 << 14
"""Below this a slab is not worth handing to another thread (about 30 microseconds)."""

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def over_slabs(run: Callable[[int, int], float], rows: int, row_cells: int) -> float:
    """The largest of ``run(first, last)`` over slabs that cover ``range(rows)``; 0 for none.

    >>> over_slabs(lambda first, last: float(last - first), 5, 10)
    5.0
    """
    worth = min(rows, rows * row_cells // CELLS_PER_SLAB)
    slabs = min(count_threads(), worth) if worth > 1 else 1
    if slabs == 1:
        return run(0, rows)
    bounds = [rows * k // slabs for k in range(slabs + 1)]
    pool = _pool(slabs - 1)
    waiting = [pool.submit(run, bounds[k], bounds[k + 1]) for k in range(1, slabs)]
    own = run(bounds[0], bounds[1])
    return max(own, *(w.result() for w in waiting))


def _pool(workers: int) -> ThreadPoolExecutor:
    """The pool of this process: a forked child inherits the object but not its threads."""
    key = (os.getpid(), workers)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="wflow-slab")
    return _pools[key]
