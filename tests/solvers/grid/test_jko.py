"""Minimising movements on one axis in quantiles: closed-form steps, any dt, every energy."""

import math

import numpy as np
import pytest
from flows import gauss
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow import GradientFlow, GridDensity, InputError, resume, solve
from wflow.energies import FeatureEnergy, LocalEnergy, PairEnergy
from wflow.solvers import Tolerance, get_method

WIDE = (-6, 6)


def nothing(x):
    return 0 * x[..., 0]


def explicit_limit(temperature, width):
    """Half of what a three-point diffusion allows, or dt for velocities of order one."""
    return 0.25 * width**2 / temperature if temperature else 0.25 * width


def bures(mean, spread, k, tau, h):
    """argmin over Gaussians of k(m² + s²)/2 − τ log s + [(m − m₀)² + (s − s₀)²]/2h."""
    a = k + 1 / h
    b = spread / h
    return mean / (1 + h * k), (b + math.sqrt(b * b + 4 * a * tau)) / (2 * a)


@pytest.mark.parametrize("h", [0.05, 1.0, 50.0])
def test_every_step_of_a_gaussian_is_the_closed_form(h):
    """Ornstein–Uhlenbeck: the moments after 1, 2 and 3 steps, to the second order of the cells."""
    k, tau, errors = 0.8, 0.3, []
    for n in (200, 400):
        start = gauss(n, bounds=WIDE)
        flow = GradientFlow(PairEnergy(lambda x: 0.4 * x[..., 0] ** 2), temperature=tau)
        method = get_method("jko", {"step_size": h})
        problem = method.prepare(flow, start, Tolerance(), 0)
        y, carry = problem.initial, method.init(problem, 0.0, problem.initial)
        mean, spread, worst = 1.0, 0.5, 0.0
        for _ in range(3):
            y = method.step(problem, 0.0, h, y, carry).y
            mean, spread = bures(mean, spread, k, tau, h)
            x, m = y["nodes"], y["masses"]
            middle = float(m @ (x[1:] + x[:-1])) / 2
            second = float(m @ (x[1:] ** 2 + x[1:] * x[:-1] + x[:-1] ** 2)) / 3
            worst = max(worst, abs(middle - mean), abs(math.sqrt(second - middle**2) - spread))
        errors.append(worst)
    print("errors", errors)
    assert errors[1] < 1e-3
    assert errors[1] < 0.4 * errors[0]


def test_a_gaussian_stays_one():
    """The cells' edges after a step are an affine map of those before, away from the cut tails."""
    start = gauss(400, bounds=WIDE)
    flow = GradientFlow(PairEnergy(lambda x: 0.4 * x[..., 0] ** 2), temperature=0.3)
    sol = solve(flow, start, (0, 1), method="jko", method_options={"step_size": 0.5})
    mean, spread = 1.0, 0.5
    for _ in range(2):
        mean, spread = bures(mean, spread, 0.8, 0.3, 0.5)
    exact = gauss(400, mean, spread**2, WIDE).density
    assert float(np.abs(sol.measures[-1].density - exact) @ start.widths[0]) < 2e-3


def test_order_one_in_time_with_an_interaction():
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    flow, start, end = (
        GradientFlow(energy, ridge=1.0, temperature=0.3),
        gauss(200, bounds=WIDE),
        0.8,
    )
    far = solve(flow, start, (0, end), t_eval=[end], rtol=1e-8).measures[-1].density
    errors = []
    for n in (8, 16, 32):
        options = {"step_size": end / n}
        sol = solve(flow, start, (0, end), method="jko", method_options=options, t_eval=[end])
        errors.append(float(np.abs(sol.measures[-1].density - far) @ start.widths[0]))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert (np.abs(found - 1) < 0.1).all()


def test_porous_medium_meets_barenblatt():
    """Ψ = ρ at τ = 0 from a compact start, dt and widths halved together: order one."""
    mass = 0.3**1.5 * 6**0.5 * 4 / 3

    def profile(t):
        return lambda x: t ** (-1 / 3) * np.maximum(0.3 - (x**2).sum(-1) / 6 * t ** (-2 / 3), 0.0)

    errors = []
    for n in (100, 200, 400):
        start = GridDensity.from_function(profile(1.0), [(-4, 4)], n=n)
        exact = GridDensity.from_function(profile(3.0), [(-4, 4)], n=n).density
        flow = GradientFlow(LocalEnergy(nothing))
        options = {"step_size": 2 * mass * 5 / n}
        sol = solve(flow, start, (0, 2 * mass), method="jko", method_options=options)
        assert sol.success, sol.message
        errors.append(float(np.abs(sol.measures[-1].density - exact) @ start.widths[0]))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert found.min() > 0.9


@st.composite
def problems(draw):
    """Potentials, kernels, networks or the local energy, with noise or without, from a start with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, scale = draw(st.integers(4, 40)), 10.0 ** draw(st.integers(-1, 1))
    tau = draw(st.sampled_from([0.0, 0.01, 0.3]))
    kind = draw(st.sampled_from(["local", "waves", "tanh", "relu"]))
    at, k = rng.random(2), rng.integers(1, 4, 2)
    if kind == "local":
        energy = LocalEnergy(lambda x: scale * np.cos(k[0] * x[..., 0] + at[0]))
    elif kind == "waves":
        energy = PairEnergy(
            lambda x: scale * np.cos(k[0] * x[..., 0] + at[0]),
            lambda x, y: 0.3 * np.cos(k[1] * (x[..., 0] - y[..., 0])),
        )
    else:
        energy = FeatureEnergy(kind, rng.standard_normal((3, 1)), scale * rng.standard_normal(3))
    density = rng.random(n) * (rng.random(n) < 0.6)
    density[rng.integers(n)] += 0.5
    start = GridDensity(density, [np.linspace(-1, 1.5, n + 1)])
    flow = GradientFlow(energy, temperature=tau, ridge=draw(st.sampled_from([0.0, 0.5])))
    return flow, start.with_density(density / start.mass)


@given(problems(), st.floats(0, 3))
@settings(max_examples=40)
def test_mass_positivity_and_energy_at_any_step(problem, log_size):
    flow, start = problem
    h = 10.0**log_size * explicit_limit(flow.temperature, float(start.widths[0][0]))
    sol = solve(flow, start, (0, 3 * h), method="jko", method_options={"step_size": h})
    assert sol.success, sol.message
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert min(float(m.density.min()) for m in sol.measures) >= 0
    assert all(abs(m.mass - 1) < 1e-12 for m in sol.measures)


def test_without_noise_a_quadratic_contracts_by_the_implicit_factor():
    start = gauss(200, 0.5, 0.04, WIDE)
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2))
    sol = solve(flow, start, (0, 1), method="jko", method_options={"step_size": 0.5})
    second = float(start.weights() @ start.points()[:, 0] ** 2)
    method = get_method("jko", {"step_size": 0.5})
    problem = method.prepare(flow, start, Tolerance(), 0)
    y = method.step(problem, 0.0, 0.5, problem.initial, {}).y
    assert float(y["masses"] @ y["nodes"] ** 2) == pytest.approx(second / 4, rel=1e-8)
    assert sol.success


def test_a_run_that_is_resumed_keeps_its_cells(tmp_path):
    flow, start, options = (
        GradientFlow(LocalEnergy(nothing)),
        gauss(60, bounds=WIDE),
        {"step_size": 0.125},
    )
    once = solve(flow, start, (0, 1), method="jko", method_options=options)
    solve(flow, start, (0, 0.5), method="jko", method_options=options, output=tmp_path / "a.h5")
    again = resume(tmp_path / "a.h5", flow=flow, t_end=1.0)
    assert again.free_energy[-1] == pytest.approx(once.free_energy[-1], rel=1e-12)
    assert again.measures[-1].density == pytest.approx(once.measures[-1].density, rel=1e-9)


def test_what_it_refuses():
    for option in ({"step_size": 0.0}, {"parts": 0}, {"tolerance": 0.0}):
        with pytest.raises(InputError):
            get_method("jko", option)
