"""The entropy of particles by a named estimator, and how far it is off on Gaussians."""

import numpy as np
import pytest
from flows import interacting
from scipy.special import ndtri

import wflow
from wflow import GridDensity, Particles
from wflow.measures import entropy
from wflow.measures.estimators import log_density
from wflow.validation import GaussianWell


def gaussian(d):
    """∫ρ log ρ of N(0, I_d)."""
    return -0.5 * d * np.log(2 * np.pi * np.e)


def off(estimator, d, n, seeds):
    found = [
        entropy(Particles(np.random.default_rng(s).standard_normal((n, d))), estimator)
        for s in range(seeds)
    ]
    print(estimator, d, n, np.mean(found) - gaussian(d), np.std(found) / np.sqrt(seeds))
    return float(np.mean(found)) - gaussian(d)


@pytest.mark.parametrize("d, bias", [(1, 0.01), (2, 0.02), (3, 0.05), (5, 0.08)])
def test_the_bias_of_neighbours(d, bias):
    """As the module says, to four standard errors."""
    assert off("nearest-neighbour", d, 1000, 40) == pytest.approx(bias, abs=0.03)


@pytest.mark.parametrize("d, bias", [(1, 0.01), (2, 0.04), (3, 0.12), (5, 0.58)])
def test_the_bias_of_the_kernel(d, bias):
    assert off("kernel", d, 1000, 6) == pytest.approx(bias, abs=0.03)


def test_more_particles_are_closer():
    for estimator in ("nearest-neighbour", "kernel"):
        few, many = (abs(off(estimator, 3, n, 6)) for n in (125, 1500))
        assert many < 0.6 * few


@pytest.mark.parametrize("estimator", ["nearest-neighbour", "kernel"])
def test_scales_and_shifts_as_it_must(estimator):
    """∫ρ log ρ of Aθ + b is that of θ less log |A|, exactly for the kernel and for multiples of rotations."""
    x = np.random.default_rng(0).standard_normal((300, 2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    known = entropy(Particles(x), estimator)
    assert entropy(Particles(5.0 * x @ turn + 3.0), estimator) == pytest.approx(
        known - 2 * np.log(5), abs=1e-9
    )


@pytest.mark.parametrize("estimator", ["nearest-neighbour", "kernel"])
def test_weights_count(estimator):
    """Uniform places with the weights of a Gaussian are that Gaussian; the mass is in the density."""
    x = np.random.default_rng(0).uniform(-6, 6, 4000)
    w = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi) * 12 / 4000
    assert entropy(Particles(x, w), estimator) == pytest.approx(gaussian(1), abs=0.03)
    doubled = entropy(Particles(x, 2 * w), estimator)
    assert doubled == pytest.approx(2 * (gaussian(1) + np.log(2)), abs=0.06)


def test_the_kernel_flattens_a_gaussian_as_it_says():
    """log ρ̂ of N(0, 1) is that of N(0, 1 + h²): its slopes are 1/(1 + h²) times the true ones."""
    n = 1500
    x = ndtri((np.arange(n) + 0.5) / n)
    inner = np.abs(x) < 1.5
    logs = log_density(x[:, None], np.full(n, 1 / n), "kernel")[inner]
    curvature = -2 * np.polyfit(x[inner], logs, 2)[0]
    assert curvature == pytest.approx(1 / (1 + n ** (-2 / 5)), rel=0.01)


def test_blocks_do_not_show(monkeypatch):
    x, w = np.random.default_rng(0).standard_normal((100, 3)), np.full(100, 0.01)
    whole = log_density(x, w, "kernel")
    monkeypatch.setattr("wflow.measures.estimators.PAIRS", 700)
    assert log_density(x, w, "kernel") == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize("estimator", ["nearest-neighbour", "kernel"])
def test_atoms_have_no_entropy(estimator):
    assert entropy(Particles([[1.0, 2.0]]), estimator) == np.inf
    assert entropy(Particles(np.ones((9, 2))), estimator) == np.inf


def test_a_density_needs_no_estimator():
    rho = GridDensity.from_function(lambda x: np.exp(-0.5 * x[..., 0] ** 2), [(-8, 8)], n=400)
    rho = rho.with_density(rho.density / rho.mass)
    assert entropy(rho) == pytest.approx(gaussian(1), abs=1e-3)


def test_what_is_refused():
    with pytest.raises(wflow.InputError, match="unknown estimator 'histogram'"):
        entropy(Particles([0.0, 1.0]), "histogram")
    with pytest.raises(wflow.InputError, match="measure is a list"):
        entropy([0.0, 1.0])


@pytest.mark.parametrize("method", ["langevin", "birth-death"])
def test_the_free_energy_of_a_run_with_noise(method):
    """The grid knows F; the particles' frames come near it by the estimator that they name."""
    exact = GaussianWell(temperature=0.3)
    grid = exact.law(0.0, 300)
    start = Particles(grid.sample(3000, seed=0))
    options = {"step_size": 0.05, "entropy": "nearest-neighbour"}
    asked = {"t_eval": [0.0, 0.5], "method": method, "method_options": options}
    sol = wflow.solve(exact.flow(), start, (0, 0.5), **asked)
    for found, t in zip(sol.free_energy, sol.t, strict=True):
        assert found == pytest.approx(exact.flow().free_energy(exact.law(t, 300)), abs=0.03)
    assert sol.series["entropy"].shape == sol.t.shape
    assert np.isnan(sol.steps["free_energy"]).all()


def test_without_a_name_there_is_none():
    sol = wflow.solve(
        interacting(temperature=0.1), Particles([0.0, 1.0]), (0, 0.1), method="langevin"
    )
    assert np.isnan(sol.free_energy).all()
    assert "entropy" not in sol.series


def test_a_reduced_state_has_the_volume_that_was_integrated_out():
    """τ ∫ρ(log ρ − log r^{d−1}): F of a radius with noise, beside the grid's."""
    system = wflow.systems.get("isotropic-gaussians", d=5)
    flow, grid = system.flow(temperature=0.2), system.initial("grid", n=400)
    start = Particles(grid.sample(4000, seed=0))
    options = {"entropy": "nearest-neighbour"}
    asked = {"t_eval": [0.0, 0.01], "method": "langevin", "method_options": options}
    sol = wflow.solve(flow, start, (0, 0.01), **asked)
    assert sol.free_energy[0] == pytest.approx(flow.free_energy(grid), abs=0.02)
