"""The pool: counting threads must not wait for a lock that died with a forked process; failures reach the caller."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from wflow.energies import ErfKernel, GaussianKernel
from wflow.kernels import parallel
from wflow.kernels.parallel import threads

KILLED_WITH_THE_LOCK = """
import os, signal, time
from numba.np.ufunc import parallel
from wflow.kernels.parallel import threads

before = threads()
child = os.fork()
if child == 0:
    parallel._backend_init_process_lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
assert threads() == before
print("went on")
"""


def test_follows_what_the_user_set():
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert threads() == 1
    finally:
        numba.set_num_threads(before)
    assert threads() == before


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the reading without a lock is compiled")
def test_a_fork_killed_with_numbas_lock_in_hand_stops_nobody():
    code = [sys.executable, "-c", KILLED_WITH_THE_LOCK]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "went on\n", done.stderr


def test_what_a_block_raises_reaches_the_caller_after_all_blocks_have_stopped(monkeypatch):
    monkeypatch.setattr(parallel, "threads", lambda: 3)
    done = []

    def work(start, stop):
        if start == 20:
            raise ZeroDivisionError("block")
        done.append(start)

    with pytest.raises(ZeroDivisionError, match="block"):
        parallel.over_blocks(work, 100, 10, parallel.LEAST_PAIRS)
    assert set(done) == {*range(0, 100, 10)} - {20}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("bad", range(4))
def test_no_number_in_one_slab_is_none_in_all(monkeypatch, count, bad):
    monkeypatch.setattr(parallel, "threads", lambda: count)

    def largest(first, last):
        rates = np.arange(4.0)
        rates[bad] = np.nan
        return float(rates[first:last].max())

    assert np.isnan(parallel.over_slabs(largest, 4, 1 << 20))


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(parallel, "threads", lambda: 2)

    def fail(start, stop):
        raise ValueError(f"block {start}")

    with pytest.raises(ValueError, match=r"block [05]"):  # whichever thread took which
        parallel.over_blocks(fail, 10, 5, 1 << 20)


def test_pair_sums_take_as_many_threads_as_the_user_said(monkeypatch):
    def refuse(*_):
        raise AssertionError("another thread was asked")

    rng = np.random.default_rng(0)
    x, q = rng.standard_normal((600, 2)), rng.random(600)
    assert x.shape[0] ** 2 >= parallel.LEAST_PAIRS
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert GaussianKernel(0.5, 2).sums(x, x, q).shape == (600,)
        assert ErfKernel(2).sums(x, x, q).shape == (600,)
    finally:
        numba.set_num_threads(before)
