"""The length of the next step: what the request clips, what a checkpoint holds, and what a step may not touch."""

import math
import pkgutil

import numpy as np
import pytest
from flows import gauss, interacting

from wflow import InputError, Particles, solve
from wflow.solvers import Tolerance, get_method
from wflow.solvers.step_size import Adaptive, Clock, Fixed, Stability
from wflow.tools.register import Register

START = gauss(40, bounds=(-3, 3))


@pytest.mark.parametrize("made", [Adaptive(3), Stability(), Fixed(0.25), Clock(0.5, block=2)])
def test_restored_it_goes_on_in_the_same_bits(made):
    if not made.fixed:
        made.clip(0.3, 0.4)
    made.first(lambda: math.nan, 100.0)
    made.accept(0.3, 0.35)
    other = {Adaptive: lambda: Adaptive(3), Stability: Stability}.get(
        type(made), lambda: type(made)(1.0)
    )()
    other.restore(made.state())
    for error in (0.2, 0.9, 1e-9, 1e-12):
        for one in (made, other):
            one.accept(error, math.inf)
        assert made.h == other.h
        assert made.h <= 0.4 or made.fixed
    assert made.end(0.1, 3) == other.end(0.1, 3)
    assert made.reject(3.0) == other.reject(3.0) == (not made.fixed)
    assert made.state().tobytes() == other.state().tobytes()


@pytest.mark.parametrize(
    "request_", [{"first_step": 0.1}, {"max_step": 0.1}, {"max_step": math.nan}]
)
@pytest.mark.parametrize("method", ["backward-euler", "langevin"])
def test_a_fixed_step_takes_no_request(method, request_):
    flow = interacting(temperature=0.1)
    start = Particles([0.0, 1.0]) if method == "langevin" else START
    with pytest.raises(InputError, match="give method_options="):
        solve(flow, start, (0, 1), method=method, **request_)


@pytest.mark.parametrize("name", ["strang", "lie"])
def test_no_step_looks_into_the_register_or_on_the_disk(name, monkeypatch):
    method = get_method(name)
    flow = interacting(temperature=0.1, reaction_rate=1.0)
    problem = method.prepare(flow, START, Tolerance(), 0)
    carry = method.init(problem, 0.0, problem.initial)

    def looked(*_):
        raise AssertionError("looked up inside a step")

    monkeypatch.setattr(Register, "__getitem__", looked)
    monkeypatch.setattr(pkgutil, "iter_modules", looked)
    monkeypatch.setattr("wflow.solvers.grid.parts.operator_splitting.get_method", looked)
    assert method.first_step(problem, 0.0, problem.initial, carry) > 0
    assert method.step(problem, 0.0, 1e-3, problem.initial, carry).status == "ok"


@pytest.mark.parametrize("h, tick, own", [(0.4, 0.1, True), (0.3, 3.0, False), (0.05, 0.1, False)])
def test_a_clock_knows_the_ticks_of_another_run(h, tick, own):
    clock = Clock(0.1, block=4)
    clock.restore(np.array([h, tick]))
    assert clock.is_own() is own
