"""How many threads kernels may use: ``NUMBA_NUM_THREADS``, or what ``numba.set_num_threads`` said since."""

from __future__ import annotations

from functools import cache

import numba

from wflow.kernels.jit import jit


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
