"""Birth–death of particles: weights are known relative to themselves, however small, and keep the mass."""

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, Particles, solve
from wflow.energies import FeatureEnergy, PairEnergy

STEP = PairEnergy(lambda x: 1.0 * (x[..., 0] < 0.5))
"""V = 1 left of ½, 0 right of it."""


@pytest.mark.parametrize("method", ["runge-kutta", "bogacki-shampine"])
@pytest.mark.parametrize("least", [1e-30, 1e-300])
def test_a_weight_grows_from_next_to_nothing(method, least):
    end = -np.log(least)
    flow = GradientFlow(STEP, reaction_rate=1.0, frozen=["x"])
    start = Particles([0.0, 1.0], [1.0, least])
    sol = solve(flow, start, (0, end), t_eval=[0.5 * end, end], method=method)
    assert sol.success
    assert sol.measures[0].weights()[1] == pytest.approx(np.sqrt(least), rel=1e-9)
    assert sol.measures[1].weights() == pytest.approx([0.5, 0.5], rel=1e-9)


def test_a_cell_grows_from_next_to_nothing():
    edges = np.array([-0.5, 0.5, 1.5])
    start = GridDensity(np.array([1.0, 1e-30]), [edges])
    flow = GradientFlow(STEP, reaction_rate=1.0, frozen=["x"])
    end = -np.log(1e-30)
    sol = solve(flow, start, (0, end), t_eval=[end], method="reaction")
    assert sol.measures[-1].weights() == pytest.approx([0.5, 0.5], rel=1e-9)


@pytest.mark.parametrize("method", ["reaction", "strang", "runge-kutta"])
def test_a_clock_that_beats_is_counted_for_the_smallest_too(method):
    """ξ = 1 + sin 20t: while a part of 1e-30 grows, no error of its own is seen in the mass."""
    end = 70.0
    least = np.exp(-(end + (1 - np.cos(20 * end)) / 20))
    flow = GradientFlow(
        STEP, reaction_rate=1.0, frozen=["x"], schedule=lambda t: 1.0 + np.sin(20 * t)
    )
    start = Particles([0.0, 1.0], [1.0, least])
    if method != "runge-kutta":
        start = GridDensity(np.array([1.0, least]), [np.array([-0.5, 0.5, 1.5])])
    sol = solve(flow, start, (0, end), t_eval=[end], method=method)
    assert sol.measures[-1].weights() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_the_heaviest_may_be_overtaken_in_one_step():
    """A step over which all weights change by 300 orders of magnitude loses none of them."""
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0]), reaction_rate=1.0, frozen=["x"])
    start = Particles([0.0, 500.0, 600.0], [1e-250, 0.25, 0.75])
    sol = solve(flow, start, (0, 1), t_eval=[1], first_step=1.0)
    assert sol.stats["steps"] <= 1
    exact = np.log([1e-250, 0.25, 0.75]) - np.array([0.0, 500.0, 600.0])
    exact -= np.logaddexp.reduce(exact)
    assert np.log(sol.measures[-1].weights()) == pytest.approx(exact, abs=1e-10)


def test_weights_that_die_out_cost_no_steps():
    """Rates of 1e4 beside 1: an explicit step for w itself would be held at 3e-4, some 30,000 of them."""
    x = np.linspace(0, 1, 50)
    energy = PairEnergy(lambda z: 1e4 * z[..., 0] ** 2, lambda a, b: np.cos(a[..., 0] - b[..., 0]))
    flow = GradientFlow(energy, reaction_rate=1.0, frozen=["x"])
    sol = solve(flow, Particles(x), (0, 10))
    assert sol.success
    assert sol.stats["steps"] + sol.stats["rejections"] < 200
    assert np.abs(sol.steps["mass"] - 1).max() <= 1e-15 * 50
    assert sol.measures[-1].weights()[0] == pytest.approx(1.0)


def test_the_mass_stays_the_start_s_to_rounding():
    """Of many steps as of one: nothing adds up."""
    rng = np.random.default_rng(3)
    energy = FeatureEnergy("tanh", rng.standard_normal((5, 1)), rng.standard_normal(5))
    start = Particles(rng.standard_normal(40), 0.3 * rng.dirichlet(np.ones(40)))
    flow = GradientFlow(energy, reaction_rate=3.0)
    sol = solve(flow, start, (0, 2), max_step=5e-3)
    assert sol.stats["steps"] >= 400
    assert np.abs(sol.steps["mass"] / start.mass - 1).max() < 1e-15


@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
def test_the_error_of_a_weight_is_relative(rtol):
    """Ψ moves with the particle: log w is a true integral, and the small weight's error is like the others'."""
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2), reaction_rate=5.0)
    x, w = np.array([2.0, 1.0]), np.array([1e-20, 1.0])
    sol = solve(flow, Particles(x, w), (0, 3), t_eval=[3], rtol=rtol)
    # θ = x e^−t, so ∫½θ² dt = x²(1 − e^−2t)/4
    log = np.log(w) - 5.0 * x**2 * (1 - np.exp(-6)) / 4
    log -= np.logaddexp.reduce(log)
    assert np.log(sol.measures[-1].weights()) == pytest.approx(log, abs=200 * rtol)
