"""Watchers of one's own: plain functions of t and the state, and objects that ask for it."""

from typing import Any

import numpy as np
import pytest
from flows import gauss, well

import wflow
from wflow import GradientFlow, InputError, Particles
from wflow.trackers import Fail, Stop

FLOW, START = GradientFlow(well()), Particles([1.0])


def near(t: float, rho: Particles) -> bool:
    return bool(rho.mean()[0] < 0.5)


def test_a_function_ends_the_run_where_it_says_so() -> None:
    sol = wflow.solve(FLOW, START, (0, 5), trackers=[near])
    assert sol.success
    assert sol.message == f"tracker 'near' at t = {sol.t[-1]:g}"
    assert sol.measures[-1].mean()[0] < 0.5
    before = sol.steps["t"][-2]
    assert np.exp(-before) > 0.5
    assert wflow.solve(FLOW, START, (0, 1), trackers=[lambda t, rho: None]).t[-1] == 1


@pytest.mark.parametrize(
    "answer, success, message",
    [
        ("far enough", True, "far enough"),
        (Stop("there"), True, "there"),
        (Fail("lost"), False, "lost"),
        (np.True_, True, "tracker '<lambda>' at t = 0"),
    ],
)
def test_what_it_may_answer(answer: Any, success: bool, message: str) -> None:
    sol = wflow.solve(FLOW, START, (0, 1), trackers=[lambda t, rho: answer])
    assert (sol.success, sol.message) == (success, message)


def test_what_it_may_not_answer() -> None:
    with pytest.raises(
        InputError, match=r"tracker '<lambda>' answered 3 at t = 0: None or False goes on"
    ):
        wflow.solve(FLOW, START, (0, 1), trackers=[lambda t, rho: 3])
    with pytest.raises(
        InputError, match=r"trackers holds 1: give functions f\(t, rho\), or objects"
    ):
        wflow.solve(FLOW, START, (0, 1), trackers=[1])


def test_it_is_given_again_to_a_resumed_run(tmp_path: Any) -> None:
    path = tmp_path / "run.h5"
    whole = wflow.solve(FLOW, START, (0, 5), trackers=[near])
    wflow.solve(FLOW, START, (0, 5), trackers=[near], output=path, max_steps=3)
    sol = wflow.resume(path, FLOW, trackers=[near])
    assert sol.message == whole.message
    assert sol.measures[-1] == whole.measures[-1]


class Widest:
    """Remembers the largest variance, of the law itself."""

    name = "widest"

    def __init__(self) -> None:
        self.seen = 0.0

    def handle(self, t: float, observed: dict[str, Any]) -> None:
        self.seen = max(self.seen, float(observed["state"].covariance()[0, 0]))

    def state(self) -> list[float]:
        return [self.seen]

    def restore(self, state: list[float]) -> None:
        (self.seen,) = state


def test_an_object_sees_the_measure() -> None:
    widest, rho = Widest(), gauss(60)
    wflow.solve(FLOW, rho, (0, 1), trackers=[widest])
    assert widest.seen == pytest.approx(rho.covariance()[0, 0], rel=1e-12)
