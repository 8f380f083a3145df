"""Mass, positivity and the decay of the free energy, over random problems; kernels against their numpy twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_banded

from wflow import GradientFlow, GridDensity, Particles, solve
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.kernels.transport import muscl_tendency
from wflow.kernels.tridiagonal import exchange, scharfetter_gummel_rates
from wflow.solvers import methods


@st.composite
def problems(draw, particles=False):
    """A random network's data, a random start (with holes), and constants over several sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    q = draw(st.integers(1, 6))
    name = draw(st.sampled_from(["tanh", "relu", "sigmoid", "softplus"]))
    scale = 10.0 ** draw(st.integers(-1, 1))
    energy = FeatureEnergy(name, rng.standard_normal((q, 1)), scale * rng.standard_normal(q))
    if particles:
        start = Particles(rng.standard_normal((7, 1)), rng.dirichlet(np.ones(7)))
    else:
        n = draw(st.integers(4, 40))
        density = rng.random(n) * (rng.random(n) < 0.6)
        density[rng.integers(n)] += 0.5
        edges = np.cumsum(np.concatenate([[-2.0], rng.uniform(0.05, 0.2, n)]))
        start = GridDensity(density / float(density @ np.diff(edges)), [edges])
    constants = {"ridge": draw(st.sampled_from([0.0, 0.5]))}
    return energy, start, constants


NEEDS = {
    "muscl": {},
    "scharfetter-gummel": {"temperature": 0.3},
    "backward-euler": {"temperature": 0.3},
    "reaction": {"reaction_rate": 2.0, "temperature": 0.1},
    "strang": {"reaction_rate": 2.0, "temperature": 0.1},
    "runge-kutta": {"reaction_rate": 2.0},
    "langevin": {"temperature": 0.3},
}


def test_every_method_is_under_test():
    assert {n for n, m in methods().items() if m.acts_on != "network"} == set(NEEDS)


@pytest.mark.parametrize("name", sorted(NEEDS))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_what_a_method_declares_it_keeps(name, data):
    method = methods()[name]
    energy, start, constants = data.draw(problems(particles=method.acts_on == "particles"))
    flow = GradientFlow(energy, **constants, **NEEDS[name])
    options = {"step_size": 0.02} if method.kind == "fixed" else None
    sol = solve(flow, start, (0, 0.4), method=name, method_options=options, rtol=1e-4)
    assert sol.success, sol.message
    steps = sol.steps
    assert np.abs(sol.mass / sol.mass[0] - 1).max() <= 1e-12
    if "positive" in method.preserves:
        assert min(float(m.weights().min()) for m in sol.measures) >= 0.0
        assert steps["minimum"].min() >= 0.0
    if "energy" in method.preserves:
        free = np.concatenate([sol.free_energy[:1], steps["free_energy"]])
        slack = 1e-12 * np.maximum(np.abs(free[1:]), np.abs(free[:-1])) + 1e-15
        assert (np.diff(free) <= slack).all()


@given(st.integers(2, 60), st.integers(0, 10**6), st.floats(1, 2))
@settings(max_examples=40, deadline=None)
def test_muscl_kernel_against_numpy(n, seed, theta):
    rng = np.random.default_rng(seed)
    density, potential = rng.random(n), rng.standard_normal(n)
    edges = np.cumsum(rng.uniform(0.1, 0.3, n + 1))
    widths, centers = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    gaps = np.diff(centers)
    slope = np.zeros(n)
    if n > 2:
        back, ahead = np.diff(density)[:-1] / gaps[:-1], np.diff(density)[1:] / gaps[1:]
        middle = (density[2:] - density[:-2]) / (gaps[:-1] + gaps[1:])
        size = np.minimum(theta * np.minimum(abs(back), abs(ahead)), abs(middle))
        slope[1:-1] = np.where(back * ahead > 0, np.sign(back) * size, 0.0)
    v = -1.7 * np.diff(potential) / gaps
    left = np.clip(density + slope * widths / 2, 0, 2 * density)[:-1]
    right = np.clip(density - slope * widths / 2, 0, 2 * density)[1:]
    flux = np.concatenate([[0.0], v * np.where(v > 0, left, right), [0.0]])
    out = np.empty(n)
    muscl_tendency(density, potential, gaps, widths, 1.7, theta, out)
    assert out == pytest.approx(-np.diff(flux) / widths, abs=1e-11)


@given(st.integers(2, 60), st.integers(0, 10**6), st.floats(-3, 6))
@settings(max_examples=40, deadline=None)
def test_exchange_against_a_banded_solver(n, seed, log_h):
    rng = np.random.default_rng(seed)
    mass, up, down = rng.random(n), rng.random(n - 1), rng.random(n - 1)
    h = 10.0**log_h
    bands = np.zeros((3, n))
    bands[0, 1:] = -h * down
    bands[2, :-1] = -h * up
    bands[1] = 1 + h * np.append(up, 0) + h * np.insert(down, 0, 0)
    out = np.empty(n)
    exchange(mass, up, down, h, out)
    assert out == pytest.approx(solve_banded((1, 1), bands, mass), rel=1e-8, abs=1e-12)
    assert out.sum() == pytest.approx(mass.sum(), rel=1e-13)
    assert out.min() > 0


@pytest.mark.parametrize("diffusion", [0.0, 1e-300, 1e-12, 1e-3, 1.0, 1e6])
def test_rates_without_overflow_tend_to_upwind(diffusion):
    potential = np.array([0.0, 3.0, 3.0, -800.0])
    gaps, widths = np.full(3, 0.5), np.full(4, 0.5)
    up, down = np.empty(3), np.empty(3)
    scharfetter_gummel_rates(potential, gaps, widths, diffusion, 1.0, up, down)
    assert np.isfinite([up, down]).all()
    assert min(up.min(), down.min()) >= 0
    drift = -np.diff(potential) / gaps / widths[:-1]
    assert up - down == pytest.approx(drift, rel=1e-12, abs=1e-9 * max(1.0, diffusion))
    if diffusion < 1e-2:
        assert up == pytest.approx(np.maximum(drift, 0), abs=8 * max(diffusion, 1e-12))


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 0.4])
def test_pure_reaction_is_exact(temperature):
    """V alone: log ρ(t) = a log ρ₀ − (1−a)V/τ + c with a = e^{−ατt}, in any number of steps (SYSTEMS C1)."""
    alpha, t = 1.3, 0.8
    energy = PairEnergy(lambda x: np.sin(3 * x[..., 0]))
    start = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-2, 2)], n=60)
    flow = GradientFlow(energy, temperature=temperature, reaction_rate=alpha)
    sol = solve(flow, start, (0, t), method="reaction", t_eval=[t])
    a = np.exp(-alpha * temperature * t)
    gain = alpha * t if temperature == 0 else (1 - a) / temperature
    exact = start.density**a * np.exp(-gain * np.sin(3 * start.points()[:, 0]))
    exact /= float(exact @ start.widths[0])
    # (1 − a)/τ cancels in this test, not in the method.
    tolerance = 1e-6 if temperature == 1e-9 else 1e-12
    assert sol.measures[0].density == pytest.approx(exact, rel=tolerance)


def test_grid_and_particles_agree_on_birth_and_death():
    """The weighted particles solve what the grid solves: transport and reaction together."""
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    flow = GradientFlow(energy, ridge=0.2, reaction_rate=1.0)
    grid = GridDensity.from_function(lambda x: np.exp(-2 * x[..., 0] ** 2), [(-4, 4)], n=1600)
    one = solve(flow, grid, (0, 1.5), t_eval=[1.5], rtol=1e-5)
    two = solve(flow, grid.to_particles(4000), (0, 1.5), t_eval=[1.5], rtol=1e-8)
    assert one.risk[0] == pytest.approx(two.risk[0], abs=2e-5)
    assert one.measures[0].mean() == pytest.approx(two.measures[0].mean(), abs=5e-5)
