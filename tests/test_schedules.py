"""Schedules ξ(t), frozen coordinates, and starts from any density or sampler."""

from __future__ import annotations

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.errors import InputError


def interacting() -> PairEnergy:
    return PairEnergy(
        lambda x: 0.5 * (x[..., 0] - 1) ** 2,
        lambda x, y: np.exp(-0.5 * (x[..., 0] - y[..., 0]) ** 2),
    )


def start(kind: str, n: int) -> wflow.GridDensity | wflow.Particles:
    grid = wflow.GridDensity.from_function(
        lambda x: np.exp(-2 * x[..., 0] ** 2), [(-4, 5)], n=n if kind == "grid" else 400
    )
    return grid if kind == "grid" else wflow.Particles(grid.sample(n, 3))


@pytest.mark.parametrize(
    "kind, method, constants, tolerance",
    [
        ("particles", "runge-kutta", {"reaction_rate": 0.7}, 1e-7),
        ("grid", "muscl", {}, 2e-5),
        ("grid", "strang", {"reaction_rate": 0.7, "temperature": 0.1}, 2e-5),
        ("grid", "scharfetter-gummel", {"temperature": 0.1}, 2e-5),
    ],
)
def test_a_rescaled_clock_runs_the_same_orbit(
    kind: str, method: str, constants: dict, tolerance: float
) -> None:
    """With ξ the flow at t is the flow with ξ = 1 at ∫ξ; reaction and noise keep pace."""
    rho = start(kind, 120)
    slow = wflow.GradientFlow(interacting(), schedule=lambda t: (1.0 + t) ** -0.5, **constants)
    even = wflow.GradientFlow(interacting(), **constants)
    t = np.array([0.0, 0.5, 2.0, 3.0])
    options = {"max_step": 0.002} if kind == "grid" else {"rtol": 1e-9, "atol": 1e-11}
    one = wflow.solve(slow, rho, (0, 3), t_eval=t, method=method, **options)
    s = 2 * (np.sqrt(1 + t) - 1)
    other = wflow.solve(even, rho, (0, s[-1]), t_eval=s, method=method, **options)
    assert one.success
    assert other.success
    assert (
        np.abs(one.free_energy - other.free_energy)[np.isfinite(one.free_energy)].max(initial=0)
        < tolerance
    )
    assert np.abs(one.risk - other.risk).max() < tolerance
    assert one.risk[-1] < one.risk[0] - 0.1, "nothing moved"


def test_a_systems_clock_can_decay() -> None:
    system = wflow.systems.get("isotropic-gaussians", d=10)
    rho = system.initial("particles", 60)
    slow = wflow.solve(system.flow(decay=1.0), rho, (0, 3), t_eval=[0, 3], rtol=1e-9)
    even = wflow.solve(system.flow(), rho, (0, np.log(4)), t_eval=[0, np.log(4)], rtol=1e-9)
    assert slow.risk[-1] == pytest.approx(even.risk[-1], abs=1e-7)
    with pytest.raises(InputError, match="decay"):
        wflow.networks.sgd(system, n_neurons=5, n_steps=5, step_size=1e-3, decay=-1.0)


def test_sgd_follows_the_same_schedule() -> None:
    """s_k = ε ξ(kε): with decay 1 the weights after k steps are those of the steps written out."""
    system = wflow.systems.get("isotropic-gaussians", d=4)
    run = wflow.networks.sgd(system, n_neurons=3, step_size=0.01, n_steps=6, decay=1.0, seed=2)
    model = system.network()
    w = model.start(3, 2)
    x, y = model.samples(2, 0, 6)
    for k in range(6):
        value, slope = model.activation.value_and_derivative(w @ x[k])
        w = w + 2 * 0.01 / (1 + 0.01 * k) * (y[k] - value.mean()) * slope[:, None] * x[k]
    assert np.abs(run.measures[-1].points() - w).max() < 1e-13


def test_frozen_coordinates_do_not_move() -> None:
    x = np.linspace(-1, 1, 9)[:, None]
    energy = FeatureEnergy("tanh", x, np.sin(2 * x[:, 0]), charges=True)
    theta = np.random.default_rng(0).standard_normal((30, 2))
    flow = wflow.GradientFlow(energy, frozen=("a",))
    sol = wflow.solve(flow, wflow.Particles(theta), (0, 5))
    last = sol.measures[-1].points()
    assert np.array_equal(last[:, 0], theta[:, 0])
    assert np.abs(last[:, 1] - theta[:, 1]).max() > 0.1
    assert np.all(np.diff(sol.steps["risk"]) <= 1e-12)
    assert flow.fingerprint() != wflow.GradientFlow(energy).fingerprint()
    with pytest.raises(InputError, match="frozen names 'c': the coordinates are a, w"):
        wflow.GradientFlow(energy, frozen=("c",))
    with pytest.raises(InputError, match="frozen a with temperature"):
        wflow.GradientFlow(energy, frozen=("a",), temperature=0.1)


def test_one_law_by_density_and_by_sampler() -> None:
    """A bimodal law of a user's own: on a grid from its density, as particles from its sampler."""
    rng = np.random.default_rng(4)
    n = 1000
    own = np.where(np.arange(n) < 0.3 * n, -1.0, 1.5) + 0.2 * rng.standard_normal(n)
    grid = wflow.GridDensity.from_function(
        lambda x: (
            0.3 * np.exp(-12.5 * (x[..., 0] + 1) ** 2)
            + 0.7 * np.exp(-12.5 * (x[..., 0] - 1.5) ** 2)
        ),
        [(-3, 4)],
        n=280,
    )
    flow = wflow.GradientFlow(interacting())
    a = wflow.solve(flow, grid, (0, 1), t_eval=[0, 1])
    b = wflow.solve(flow, wflow.Particles(own[:, None]), (0, 1), t_eval=[0, 1])
    # The sample's own error: the means of its two parts are off by 0.2/√n.
    assert abs(a.risk[-1] - b.risk[-1]) < 0.02
    assert wflow.measures.wasserstein_2(a.measures[-1], b.measures[-1]) < 0.03
