"""The sources' smallest words as numbers (SYSTEMS A15): one neuron is not enough, nor a polynomial σ; any other is."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from wflow.energies import FeatureEnergy
from wflow.solvers.statics import excess_bound, minimise_on_grid, minimise_sparse
from wflow.systems import get


def one_neuron(r, knots, delta):
    """R_1 = R_# + 2V + U(θ, θ) of |w| = r by quadrature: ⟨w, x⟩ is normal of deviation r(1 ± Δ) in any dimension."""
    z = np.linspace(-10.0, 10.0, 8001)
    p = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    places, values = np.transpose(knots)
    risk = 0.0
    for y, s in ((1, 1 + delta), (-1, 1 - delta)):
        risk += 0.5 * p @ (y - np.interp(r * s * z, places, values)) ** 2
    return risk


def test_one_neuron_is_not_enough_for_two_gaussians():
    """A3, Δ = .8, d = 40: inf R_1 = 6.70 against inf R = .0145 (r ≤ 6.5), less than N = 1 costs the best law by A1."""
    system = get("isotropic-gaussians", d=40, delta=0.8)
    energy = system.energy()
    r = np.linspace(0.0, 6.5, 66)
    risks = [one_neuron(x, system.knots, 0.8) for x in r]
    k = int(np.argmin(risks))
    found = minimize_scalar(
        one_neuron, bounds=(r[k - 1], r[k + 1]), args=(system.knots, 0.8), method="bounded"
    )
    assert found.fun == pytest.approx(6.6951, abs=5e-4)
    assert found.x == pytest.approx(0.31, abs=0.02)
    # V is that of the library, at the mean over directions.
    at = np.array([[found.x]])
    v = energy.prepare(at).field(np.zeros(1)).first_variation()[0]
    z = np.linspace(-10.0, 10.0, 8001)
    p = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    places, values = np.transpose(system.knots)
    square = sum(0.5 * p @ np.interp(found.x * s * z, places, values) ** 2 for s in (1.8, 0.2))
    assert found.fun == pytest.approx(1 + 2 * v + square, rel=1e-6)
    best = minimise_sparse(energy, [(0, 6.5)])
    assert best.risk == pytest.approx(0.01448, abs=1e-5)
    assert best.risk < found.fun / 400
    # A1: inf R ≤ inf R_N ≤ inf R + K/N, with K of neurons in R^d.
    full = system.network().risk_energy()
    w = np.zeros((len(best.weights), 40))
    w[:, 0] = best.points[:, 0]
    k_full = best.weights @ full.diagonal(w)
    assert best.risk < found.fun < best.risk + k_full
    assert excess_bound(energy, best.measure) <= k_full + 1e-9


X = np.linspace(-1.5, 1.5, 61)
TARGET = np.sin(3 * X) + 0.3 * np.abs(X)
POLYNOMIALS = {
    1: (lambda u: 0.5 * u + 1.0, lambda u: 0.5 + 0.0 * u),
    2: (lambda u: u * u - 0.3 * u, lambda u: 2.0 * u - 0.3),
    3: (lambda u: u * u * u + u, lambda u: 3.0 * u * u + 1.0),
}


def least(activation):
    """The least risk of Σ a σ(wx + b) over laws on a grid with |a| ≤ 300: the charges are large enough to cancel."""
    energy = FeatureEnergy(activation, X[:, None], TARGET, charges=True, offset=True)
    a, b, w = np.meshgrid(
        [-300.0, 300.0], np.linspace(-2, 2, 9), np.linspace(-2, 2, 8), indexing="ij"
    )
    return minimise_on_grid(energy, np.column_stack([x.ravel() for x in (a, b, w)]), tolerance=1e-8)


@pytest.mark.parametrize(
    "degree", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_polynomial_reaches_no_further_than_polynomials_of_its_degree(degree):
    floor = np.mean((TARGET - np.polyval(np.polyfit(X, TARGET, degree), X)) ** 2)
    found = least(POLYNOMIALS[degree])
    assert found.risk > floor * (1 - 1e-9)
    assert found.risk - floor < 1e-5
    assert floor > 0.005


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_any_other_reaches_further(activation):
    cubic = np.mean((TARGET - np.polyval(np.polyfit(X, TARGET, 3), X)) ** 2)
    assert least(activation).risk < 0.02 * cubic
