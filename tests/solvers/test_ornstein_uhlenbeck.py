r"""Ornstein–Uhlenbeck pins every factor of two: V = x²/2, noise τ, on grids, particles, SGD, and by ridge alone.

With ∂tρ = ξ[∇·(ρ∇V) + τΔρ]: mean m e^{−ξt}, variance τ + (v − τ)e^{−2ξt}.
"""

import math

import numpy as np
import pytest
from flows import gauss, march

from wflow import GradientFlow, GridDensity, Particles, solve
from wflow.energies import FeatureEnergy, PairEnergy, RadialFeatures

TAU, MEAN, VARIANCE = 0.7, 1.0, 0.25


def exact(t, rate=1.0):
    decay = math.exp(-rate * t)
    return MEAN * decay, TAU + (VARIANCE - TAU) * decay**2


def by_potential(schedule=1.0, rate=1.0):
    energy = PairEnergy(lambda x: 0.5 * rate * x[..., 0] ** 2, grad_V=lambda x: rate * x)
    return GradientFlow(energy, temperature=TAU, schedule=schedule)


def by_ridge():
    silent = FeatureEnergy("zero", [[1.0]], [0.0])
    return GradientFlow(silent, temperature=TAU, ridge=1.0)


@pytest.mark.parametrize("flow", [by_potential(), by_ridge()], ids=["potential", "ridge"])
def test_grid_mean_and_variance_are_second_order(flow):
    errors = []
    for n in (150, 300, 600):
        y, problem = march(
            "scharfetter-gummel", flow, gauss(n, MEAN, VARIANCE, (-7, 8)), 1 / (n // 5), 1.0
        )
        measure = problem.grid.with_density(y["density"])
        mean, variance = measure.mean()[0], measure.covariance()[0, 0]
        errors.append(np.hypot(mean - exact(1)[0], variance - exact(1)[1]))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", orders)
    assert errors[-1] < 2e-4
    assert orders.min() > 1.85


def test_schedule_speeds_drift_and_noise_alike():
    fast = solve(
        by_potential(schedule=2.0), gauss(300, MEAN, VARIANCE, (-7, 8)), (0, 0.5), t_eval=[0.5]
    ).measures[0]
    slow = solve(
        by_potential(), gauss(300, MEAN, VARIANCE, (-7, 8)), (0, 1), t_eval=[1.0]
    ).measures[0]
    assert np.abs(fast.density - slow.density).max() < 1e-5


@pytest.mark.parametrize("h", [0.1, 0.02])
def test_langevin_follows_its_own_recursion_and_the_flow(h):
    """Euler–Maruyama has mean m(1−h)^k and variance v(1−h)^{2k} + 2τh Σ(1−h)^{2j}; both tend to the exact ones."""
    n, k = 200_000, round(1 / h)
    rng = np.random.default_rng(1)
    start = Particles(MEAN + math.sqrt(VARIANCE) * rng.standard_normal((n, 1)))
    flow = by_potential()
    sol = solve(
        flow, start, (0, 1), method="langevin", method_options={"step_size": h}, t_eval=[1.0]
    )
    x = sol.measures[-1].points()[:, 0]
    q = (1 - h) ** 2
    own_mean = MEAN * (1 - h) ** k
    own_variance = VARIANCE * q**k + 2 * TAU * h * (1 - q**k) / (1 - q)
    sigma = math.sqrt(own_variance / n)
    assert x.mean() == pytest.approx(own_mean, abs=4 * sigma)
    assert x.var() == pytest.approx(own_variance, abs=4 * own_variance * math.sqrt(2 / n))
    assert abs(own_mean - exact(1)[0]) < 0.25 * h
    assert abs(own_variance - exact(1)[1]) < 0.75 * h


def test_gibbs_state_on_the_grid_is_exact_and_left_in_place():
    flow, n = by_potential(), 400
    start = gauss(n, MEAN, VARIANCE, (-7, 8))
    x = start.points()[:, 0]
    gibbs = np.exp(-0.5 * x**2 / TAU)
    gibbs /= gibbs.sum() * 15 / n
    sol = solve(flow, start.with_density(gibbs), (0, 50), t_eval=[1.0, 50.0])
    for measure in sol.measures:
        assert np.abs(measure.density - gibbs).max() < 1e-12
    relaxed = solve(flow, start, (0, 40), t_eval=[40.0]).measures[0]
    assert np.abs(relaxed.density - gibbs).max() < 1e-8


@pytest.mark.parametrize("method", ["scharfetter-gummel", "langevin"])
def test_radius_of_a_process_in_five_dimensions(method):
    """|w| of a d = 5 process with ridge 1 ends as √τ χ₅: E|w| = √τ·√2Γ(3)/Γ(5/2) (0.505 without log r⁴)."""
    tau, d = 0.4, 5
    features = RadialFeatures([(0.0, 0.0), (1.0, 0.0)], np.ones(1), d)
    flow = GradientFlow(FeatureEnergy(features=features, targets=[0.0]), temperature=tau, ridge=1.0)
    expected = math.sqrt(2 * tau) * math.gamma(3) / math.gamma(2.5)
    if method == "langevin":
        start = Particles(np.full((10_000, 1), 0.5))
        sol = solve(
            flow, start, (0, 4), method=method, method_options={"step_size": 5e-3}, t_eval=[4.0]
        )
        assert sol.measures[-1].mean()[0] == pytest.approx(expected, abs=1.5e-2)
    else:
        start = GridDensity.from_function(
            lambda r: np.exp(-((r[..., 0] - 0.5) ** 2) * 8), [(0, 6)], n=600
        )
        sol = solve(flow, start, (0, 20), t_eval=[20.0])
        assert sol.measures[-1].mean()[0] == pytest.approx(expected, abs=2e-4)
