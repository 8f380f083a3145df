"""The 1/N identity: by enumeration, by Monte Carlo, and its bound on inf R_N."""

import itertools
from math import comb

import numpy as np
import pytest

from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.measures import GridDensity, Particles
from wflow.solvers.statics import (
    excess_bound,
    expected_excess,
    expected_risk,
    minimise_sparse,
)


def risk(energy, points):
    n = points.shape[0]
    return energy.prepare(points).field(np.full(n, 1.0 / n)).risk


def network():
    x = np.linspace(-1, 1, 7)
    return FeatureEnergy("tanh", x, np.cos(2 * x), charges=True, offset=True)


@pytest.mark.parametrize("which", ["features", "pairs"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_identity_by_enumeration(which, n, mixture):
    if which == "features":
        energy, atoms = network(), np.array([[1.0, 0.2, 2.0], [-0.7, 0.4, -1.0]])
    else:
        energy, atoms = mixture.energy(), np.array([[1.0, 0.5], [-1.2, -1.0]])
    weights = np.array([0.3, 0.7])
    rho = Particles(atoms, weights)
    mean = sum(
        np.prod(weights[list(drawn)]) * risk(energy, atoms[list(drawn)])
        for drawn in itertools.product(range(2), repeat=n)
    )
    assert expected_risk(energy, rho, n) == pytest.approx(mean, abs=1e-14)
    assert expected_excess(energy, rho, n) == pytest.approx(
        mean - energy.prepare(atoms).field(weights).risk, abs=1e-14
    )


def test_identity_by_monte_carlo(gaussians):
    energy = gaussians(0.8)
    rho = GridDensity.from_function(lambda r: np.exp(-2 * (r[..., 0] - 1.5) ** 2), [(0, 4)], n=64)
    n, draws = 5, 20_000
    cells = np.random.default_rng(0).choice(64, size=(draws, n), p=rho.weights())
    features = energy.features.prepare(rho.points())._value
    predictions = features[cells].mean(axis=1)
    risks = (predictions - energy.targets) ** 2 @ energy.weights
    error = risks.std() / np.sqrt(draws)
    expected = expected_risk(energy, rho, n)
    assert abs(risks.mean() - expected) < 4 * error
    # The statistical error resolves the effect itself.
    assert expected_excess(energy, rho, n) > 40 * error


def test_self_interaction_by_both_roads(gaussians, mixture):
    energy = gaussians(0.8)
    few, many = np.linspace(0.1, 5, 3)[:, None], np.linspace(0.1, 5, 3000)[:, None]
    direct = energy.features.prepare(many)._value ** 2 @ energy.weights
    assert energy.diagonal(many) == pytest.approx(direct, rel=1e-12)
    at_few = energy.features.prepare(few)._value ** 2 @ energy.weights
    assert energy.diagonal(few) == pytest.approx(at_few, rel=1e-12)
    points = np.array([[1.0, 0.0], [-2.0, 3.0]])
    assert mixture.energy().diagonal(points) == pytest.approx(
        points[:, 0] ** 2 / np.sqrt(2 * np.pi), rel=1e-12
    )


def test_energy_that_knows_its_diagonal_is_asked(mixture):
    energy = mixture.energy()
    energy.diagonal = lambda points: np.full(points.shape[0], 7.0)
    assert excess_bound(energy, Particles([[1.0, 0.0]])) == 7.0


@pytest.mark.parametrize("n", [2, 5, 20])
def test_least_risk_of_finite_networks(gaussians, n):
    # inf R ≤ inf R_N ≤ min over draws from ρ* ≤ E R_N ≤ inf R + K/N, all draws by counts of the atoms.
    energy = gaussians(0.8)
    best = minimise_sparse(energy, [(0.0, 6.5)])
    least = min(
        energy.prepare(best.points).field(np.array([i, j, n - i - j]) / n).risk
        for i in range(n + 1)
        for j in range(n + 1 - i)
    )
    average = sum(
        comb(n, i)
        * comb(n - i, j)
        * np.prod(best.weights ** np.array([i, j, n - i - j]))
        * energy.prepare(best.points).field(np.array([i, j, n - i - j]) / n).risk
        for i in range(n + 1)
        for j in range(n + 1 - i)
    )
    expected = expected_risk(energy, best.measure, n)
    assert average == pytest.approx(expected, rel=1e-10)
    assert best.risk - best.gap <= least <= expected
    assert expected <= best.risk + excess_bound(energy, best.measure) / n


@pytest.mark.parametrize(
    "measure, n, words",
    [
        (Particles([[1.0]]), 0, "n = 0"),
        (Particles([[1.0]], [0.5]), 2, "mass 0.5"),
        (Particles([[1.0, 2.0]]), 2, "2 coordinates and the energy 1"),
        (np.ones((3, 1)), 2, "measure is a ndarray"),
    ],
)
def test_refusals(gaussians, measure, n, words):
    with pytest.raises(InputError, match=words):
        expected_excess(gaussians(0.8), measure, n)


def test_other_losses_are_refused():
    energy = FeatureEnergy("tanh", [1.0], [1.0], loss="logistic")
    with pytest.raises(InputError, match="loss 'logistic'"):
        expected_excess(energy, Particles([1.0]))
