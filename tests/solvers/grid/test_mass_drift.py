"""Rounding adds up to no loss of mass, over however many steps; a leak is still a leak."""

import numpy as np
import pytest
from flows import interacting

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import PairEnergy
from wflow.run.trackers import Fail, Mass
from wflow.solvers import Tolerance, get_method, methods

WELL = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)
START = GridDensity.from_function(lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [(-5, 5)], n=200)
NEEDS = {
    "muscl": {},
    "upwind": {},
    "reaction": {"reaction_rate": 1.0},
    "strang": {"reaction_rate": 1.0},
    "lie": {"reaction_rate": 1.0},
    "jko-wfr": {"reaction_rate": 1.0, "temperature": 0.3},
}


def grid_methods():
    return sorted(
        n
        for n, m in methods().items()
        # Of jko and quantiles the masses themselves are kept.
        if m.acts_on == "grid" and "mass" in m.preserves and n not in ("jko", "quantiles")
    )


def test_a_long_run_keeps_its_mass():
    """14,000 steps, over which the mass of one sign drifted by 3e-13, and 5e4 ended the run."""
    sol = solve(GradientFlow(WELL), START, (0, 70), t_eval=[0, 70])
    assert sol.success, sol.message
    assert sol.stats["steps"] > 10_000
    assert np.abs(sol.steps["mass"] - 1).max() <= 1.1e-14


@pytest.mark.slow
def test_a_run_of_hours_keeps_its_mass():
    sol = solve(GradientFlow(WELL), START, (0, 1000), t_eval=[0, 1000])
    assert sol.success, sol.message
    assert np.abs(sol.steps["mass"] - 1).max() <= 1.1e-14


@pytest.mark.parametrize("name", grid_methods())
@pytest.mark.parametrize("off", [3e-14, -3e-14])
def test_every_method_gives_back_what_rounding_took(name, off):
    """A state whose mass is off by what many steps round is put right by the next one, its order kept."""
    method = get_method(name)
    flow = interacting(**NEEDS.get(name, {"temperature": 0.3}))
    problem = method.prepare(flow, START, Tolerance(), 0)
    y = {"density": problem.initial["density"] * (1 + off)}
    carry = method.init(problem, 0.0, y)
    h = 0.1 if name == "jko-entropic" else 1e-4
    done = method.step(problem, 0.0, h, y, carry)
    assert done.status == "ok", done.reason
    mass = float((done.y["density"] * START.volumes).sum())
    assert abs(mass / START.mass - 1) <= 1.1e-14
    assert float(done.carry["mass"]) == pytest.approx(mass, rel=2e-15)
    assert {k: v.shape for k, v in done.carry.items()} == {
        k: v.shape for k, v in carry.items()
    } or ("residual" in done.carry)


def test_what_is_more_than_rounding_is_not_put_right():
    problem = get_method("muscl").prepare(GradientFlow(WELL), START, Tolerance(), 0)
    rho = START.density * (1 - 1e-12)
    settled, _ = problem.settled(rho, problem.state(rho))
    assert settled is rho


def test_the_watch_lets_each_step_round_and_no_more():
    watch = Mass()
    watch.handle(0.0, {"mass": 1.0})
    for k in range(20_000):
        assert watch.handle(k, {"mass": 1.0 + 1e-12 + 2e-16 * k}) is None
    again = Mass()
    again.restore(watch.state())
    assert again.handle(1.0, {"mass": 1.0 + 4e-12}) is None
    assert isinstance(again.handle(1.0, {"mass": 1.0 + 7e-12}), Fail)
    assert isinstance(again.handle(1.0, {"mass": float("nan")}), Fail)
    old = Mass()
    old.restore([1.0, float("nan")])  # a file of before the steps were counted
    assert isinstance(old.handle(1.0, {"mass": 1.0 + 2e-12}), Fail)
