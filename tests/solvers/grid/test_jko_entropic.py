"""Entropic movements: the size of the blur, order one, mass, and logarithms that reach far."""

import numpy as np
import pytest
from flows import gauss
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import FeatureEnergy, LocalEnergy, PairEnergy
from wflow.solvers import get_method
from wflow.solvers.grid.jko_entropic import smoothed

WIDE = (-6, 6)


def nothing(x):
    return 0.0 * x[..., 0]


def variance(measure):
    w, x = measure.weights(), measure.points()
    return float(w @ ((x - w @ x) ** 2).mean(axis=1))


@pytest.mark.parametrize("d,n", [(1, 240), (2, 100)])
def test_a_blur_is_a_diffusion_of_its_variance(d, n):
    """Without an energy, K steps of blur σ add K σ² to the variance: a temperature of σ²/2dt, and no more."""
    start, sigma = gauss(n, 0.0, bounds=WIDE, dimension=d), 0.2
    flow = GradientFlow(PairEnergy(nothing, dimension=d))
    options = {"step_size": 0.1, "blur": sigma}
    sol = solve(flow, start, (0, 0.5), method="jko-entropic", method_options=options)
    assert variance(sol.measures[-1]) - variance(start) == pytest.approx(5 * sigma**2, rel=1e-8)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3])
def test_the_temperature_is_at_least_that_of_the_blur(sigma):
    """Ornstein–Uhlenbeck rests near the variance max(τ, σ²/2dt), to the first order in dt."""
    tau, h = 0.2, 0.1
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2), temperature=tau)
    options = {"step_size": h, "blur": sigma}
    sol = solve(
        flow, gauss(240, 0.0, bounds=WIDE), (0, 12), method="jko-entropic", method_options=options
    )
    assert sol.success, sol.message
    felt = max(tau, sigma**2 / (2 * h))
    print("blur", sigma, "variance at rest", variance(sol.measures[-1]), "temperature", felt)
    assert variance(sol.measures[-1]) == pytest.approx(felt, rel=0.6 * h)


@pytest.mark.parametrize("blur", [None, 0.08])
def test_order_one_in_time_with_an_interaction(blur):
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    flow, end, errors = GradientFlow(energy, ridge=1.0, temperature=0.3), 0.8, []
    start = gauss(200, bounds=WIDE)
    far = solve(flow, start, (0, end), t_eval=[end], rtol=1e-8).measures[-1].density
    for n in (8, 16, 32):
        options = {"step_size": end / n, "blur": blur}
        sol = solve(flow, start, (0, end), method="jko-entropic", method_options=options)
        assert sol.success, sol.message
        errors.append(float(np.abs(sol.measures[-1].density - far) @ start.widths[0]))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert (np.abs(found - 1) < 0.12).all()


@given(st.integers(0, 10**6), st.integers(1, 3), st.floats(0, 2), st.booleans())
@settings(max_examples=25)
def test_mass_and_positivity(seed, d, log_size, local):
    """Random potentials up to a thousand blurs high, from starts with holes, walls and rings."""
    rng = np.random.default_rng(seed)
    k, at, tau = rng.integers(-2, 3, d), rng.random(), 0.05
    shape = rng.integers(3, {1: 40, 2: 10, 3: 6}[d], d)
    energy = PairEnergy(lambda x: 10 * np.cos(x @ k + at), dimension=d)
    if local:
        energy = LocalEnergy(lambda x: np.cos(x @ k + at), dimension=d)
    energy.check = lambda start: None  # V jumps where a ring closes, which a run would refuse
    density = rng.random(shape) * (rng.random(shape) < 0.6)
    density.ravel()[rng.integers(density.size)] += 0.5
    edges = [np.linspace(-1.0, 1.0, n + 1) for n in shape]
    start = GridDensity(density, edges, periodic=bool(rng.integers(2)))
    start = start.with_density(density / start.mass)
    h = 10**log_size * float(max(w[0] for w in start.widths)) ** 2 / (2 * tau)
    sol = solve(
        GradientFlow(energy, temperature=tau),
        start,
        (0, 2 * h),
        method="jko-entropic",
        method_options={"step_size": h * (1 + 1e-9)},
    )
    assert sol.success, sol.message
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert sol.steps["minimum"].min() >= 0


def test_logarithms_where_products_vanish():
    rng = np.random.default_rng(0)
    lines, x = 3000 * rng.standard_normal((3, 20)), np.arange(20.0)
    log = -20 * (x[:, None] - x) ** 2
    exact = np.array([np.logaddexp.reduce(line + log, axis=1) for line in lines])
    assert smoothed(lines, log) == pytest.approx(exact, rel=1e-12)


def test_what_it_refuses():
    start = gauss(60, 0.0, bounds=WIDE)
    with pytest.raises(InputError, match="needs a blur"):
        solve(GradientFlow(PairEnergy(nothing)), start, (0, 1), method="jko-entropic")
    with pytest.raises(InputError, match="less than the widest cell"):
        solve(
            GradientFlow(PairEnergy(nothing), temperature=0.1),
            start,
            (0, 1),
            method="jko-entropic",
            method_options={"step_size": 1e-4},
        )
    for option in ("step_size", "tolerance", "blur"):
        with pytest.raises(InputError):
            get_method("jko-entropic", {option: 0.0})
