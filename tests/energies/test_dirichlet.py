"""Low-pass spikes on a torus: sums of exponentials, quadrature over the torus, differences, the penalty."""

import numpy as np
import pytest

from wflow.energies import DirichletKernel, KernelEnergy, KernelSum, PenalisedSpikes
from wflow.measures import Particles


def dirichlet(z, frequencies):
    """Π_k Σ_{|j|≤J} e^{ijz_k}, one exponential after the other."""
    waves = sum(np.exp(1j * j * z) for j in range(-frequencies, frequencies + 1))
    return np.prod(waves.real, axis=-1)


@pytest.fixture(params=[(1, 4), (2, 2), (3, 1)], ids=["circle", "torus", "three axes"])
def case(request):
    d, frequencies = request.param
    rng = np.random.default_rng(d)
    return DirichletKernel(frequencies, d), rng.normal(size=(5, 1 + d)), rng.normal(size=(4, 1 + d))


def test_it_is_the_sum_of_exponentials(case):
    kernel, at, points = case
    signs = np.outer(at[:, 0], points[:, 0])
    exact = signs * dirichlet(at[:, None, 1:] - points[:, 1:], kernel.frequencies)
    np.testing.assert_allclose(kernel.matrix(at, points), exact, rtol=0, atol=1e-13)
    np.testing.assert_allclose(kernel.diagonal(at), kernel.matrix(at, at).diagonal(), rtol=1e-13)
    q = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_allclose(kernel.sums(at, points, q), exact @ q, rtol=0, atol=1e-12)


def test_its_gradient_is_that_of_the_sums(case):
    kernel, at, points = case
    q = np.array([1.0, -2.0, 0.5, 3.0])
    value, slope = kernel.sums_and_gradients(at, points, q)
    np.testing.assert_array_equal(value, kernel.sums(at, points, q))
    for k, step in enumerate(1e-5 * np.eye(kernel.dimension)):
        up, down = (kernel.sums(at + s * step, points, q) for s in (1, -1))
        np.testing.assert_allclose(slope[:, k], (up - down) / 2e-5, rtol=0, atol=2e-7)


def test_it_is_the_overlap_of_its_units(case):
    """Trapezoidal rule on the torus, exact from 4J + 1 nodes an axis on."""
    kernel, at, points = case
    d = kernel.inputs_dimension
    axis = 2 * np.pi * np.arange(q := 4 * kernel.frequencies + 1) / q
    x = np.stack(np.meshgrid(*[axis] * d), axis=-1).reshape(-1, d)
    phi, psi = kernel.unit(x, at), kernel.unit(x, points)
    np.testing.assert_allclose(phi.T @ psi / len(x), kernel.matrix(at, points), atol=1e-12)


def test_half_the_risk_is_the_misfit_and_the_penalty(case):
    kernel, at, points = case
    weights = np.array([0.2, 0.5, 0.1, 0.4])
    observed = KernelSum(kernel, at, np.ones(len(at)))
    energy = KernelEnergy(
        kernel, PenalisedSpikes(observed, 0.7), charges=False, constant=observed.square()
    )
    field = energy.prepare(points).field(weights)
    both = np.concatenate([at, points])
    left = np.concatenate([np.ones(len(at)), -weights])
    misfit = left @ kernel.matrix(both, both) @ left
    cost = 0.7 * weights @ np.abs(points[:, 0])
    assert 0.5 * field.risk == pytest.approx(0.5 * misfit + cost, rel=1e-12)
    for k, step in enumerate(1e-6 * np.eye(kernel.dimension)):
        up, down = (field.first_variation(points + s * step) for s in (1, -1))
        np.testing.assert_allclose(field.gradient()[:, k], (up - down) / 2e-6, atol=1e-6)
    x = np.zeros((1, kernel.inputs_dimension))
    assert energy.predict(Particles(points, weights), x) == pytest.approx(
        kernel.unit(x, points) @ weights
    )
