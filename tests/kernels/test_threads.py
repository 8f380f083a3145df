"""Counting threads must not wait for a lock that died with a forked process."""

import subprocess
import sys

import numba

from wflow.kernels.threads import threads

KILLED_WITH_THE_LOCK = """
import os, signal, time
from numba.np.ufunc import parallel
from wflow.kernels.threads import threads

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


def test_a_fork_killed_with_numbas_lock_in_hand_stops_nobody():
    code = [sys.executable, "-c", KILLED_WITH_THE_LOCK]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "went on\n", done.stderr
