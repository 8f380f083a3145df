"""A run multiplies in one thread of BLAS, and leaves the library as it was: two runs at once are in no one's way."""

import threading

import pytest
from flows import gauss, well
from threadpoolctl import threadpool_info, threadpool_limits

import wflow
from wflow import GradientFlow
from wflow.kernels.parallel import one_blas_thread


def blas_threads() -> set[int]:
    return {int(lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"}


class Look:
    """Notes at every step with how many threads BLAS would multiply, and fails where it is told to."""

    name = "look"

    def __init__(self, fail: bool = False) -> None:
        self.fail = fail
        self.seen: set[int] = set()

    def handle(self, t: float, observed: dict[str, float]) -> None:
        self.seen |= blas_threads()
        if self.fail and t > 0:
            raise RuntimeError("stop")

    def state(self) -> list[float]:
        return []

    def restore(self, state: list[float]) -> None:
        pass


@pytest.mark.parametrize("fail", [False, True])
def test_one_thread_while_it_runs_and_as_many_as_before_afterwards(fail: bool) -> None:
    look = Look(fail)
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        assert before, "no BLAS that could be asked"
        try:
            wflow.solve(GradientFlow(well()), gauss(20), (0, 1), trackers=[look])
        except RuntimeError:
            assert fail
        assert look.seen == {1}
        assert blas_threads() == before


def test_networks_too() -> None:
    look = Look()
    with threadpool_limits(2, "blas"):
        wflow.networks.sgd(
            "isotropic-gaussians", n_neurons=2, step_size=1e-2, n_steps=4, trackers=[look]
        )
    assert look.seen == {1}


def test_in_any_thread_whoever_was_first() -> None:
    """A thread's run after one here, and a limit that this thread sets and another one takes back."""
    look, seen = Look(), list[set[int]]()
    entered, over = threading.Event(), threading.Event()

    def run() -> None:
        wflow.solve(GradientFlow(well()), gauss(20), (0, 1), trackers=[look])

    def last() -> None:
        with one_blas_thread():
            entered.set()
            over.wait(60)
            seen.append(blas_threads())

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        run()
        look.seen.clear()
        there = threading.Thread(target=run)
        there.start()
        there.join()
        assert look.seen == {1}
        assert blas_threads() == before
        there = threading.Thread(target=last)
        with one_blas_thread():
            there.start()
            assert entered.wait(60)
        over.set()
        there.join()
        assert seen == [{1}]
        assert blas_threads() == before
