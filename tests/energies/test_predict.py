"""f(x; ρ) against sums of units written out; reduced laws against the networks that they stand for."""

import math

import numpy as np
import pytest
from scipy.special import erf, ndtr

import wflow
from wflow.energies import (
    ArcCosineKernel,
    BumpFeatures,
    ConvolutionEnergy,
    ConvolutionFeatures,
    ErfKernel,
    FeatureEnergy,
    GaussianKernel,
    KernelEnergy,
    KernelSum,
    LocalEnergy,
    PairEnergy,
    ProbitKernel,
    RadialFeatures,
    RampsOnGaussians,
    RbfFeatures,
    SphereRbfKernel,
    StepKernel,
    TwoRadiiFeatures,
)
from wflow.energies.features import two_blocks
from wflow.errors import InputError
from wflow.measures import GridDensity, Particles

RNG = np.random.default_rng(3)
X = RNG.normal(size=(11, 2))
W = RNG.dirichlet(np.ones(6))


def law(dimension):
    return Particles(RNG.normal(size=(6, dimension)), W)


def test_dense_networks():
    energy = FeatureEnergy("tanh", RNG.normal(size=(4, 2)), np.ones(4), charges=True, offset=True)
    rho = law(4)
    a, b, w = rho.points()[:, 0], rho.points()[:, 1], rho.points()[:, 2:]
    assert energy.predict(rho, X) == pytest.approx(np.tanh(X @ w.T + b) @ (W * a), rel=1e-12)
    # At its own nodes it is what the risk is made of, whatever the loss.
    field = energy.prepare(rho.points()).field(W)
    assert energy.predict(rho, energy.features.nodes) == pytest.approx(field.prediction, rel=1e-12)


def test_a_grid_predicts_as_its_cells_do():
    rho = GridDensity.from_function(lambda x: np.exp(-(x**2).sum(-1)), [(-2, 2)], n=30)
    energy = FeatureEnergy("relu", [1.0], [0.0])
    expected = np.maximum(np.outer([0.5, -2.0], rho.points()[:, 0]), 0) @ rho.weights()
    assert energy.predict(rho, [0.5, -2.0]) == pytest.approx(expected, rel=1e-13)


def test_bumps_and_radial_basis_functions():
    rho = law(3)
    c, y = rho.points()[:, 0], rho.points()[:, 1:]
    square = ((X[:, None] - y) ** 2).sum(-1)
    rbf = RbfFeatures(np.zeros((1, 2)), variance=0.7, normalised=True)
    expected = np.exp(-square / 1.4) / (1.4 * np.pi) @ (W * c)
    assert FeatureEnergy(features=rbf, targets=[0.0]).predict(rho, X) == pytest.approx(expected)
    places = Particles(y, W)
    bump = 4 / np.pi / 2.25 * np.maximum(1 - square / 2.25, 0.0) ** 3
    grid = ConvolutionFeatures(1.5, [(-1, 1)] * 2, 5)
    for features in (grid, BumpFeatures(np.zeros((3, 2)), 1.5)):
        energy = FeatureEnergy(features=features, targets=np.zeros(features.n_nodes))
        assert energy.predict(places, X) == pytest.approx(bump @ W, rel=1e-12)
    scaled = BumpFeatures(np.zeros((1, 2)), 1.5, scale=3.0)
    energy = FeatureEnergy(features=scaled, targets=[0.0])
    assert energy.predict(places, X) == pytest.approx(3 * bump @ W, rel=1e-12)


@pytest.mark.parametrize(
    "kernel, unit",
    [
        (ArcCosineKernel(2), lambda x, y: np.maximum(x @ y.T, 0)),
        (StepKernel(2), lambda x, y: 1.0 * (x @ y.T > 0)),
        (ErfKernel(2), lambda x, y: erf(x @ y.T / np.sqrt(2))),
        (ProbitKernel(2), lambda x, y: ndtr(y[:, 0] + x @ y[:, 1:].T)),
        (ProbitKernel(2, offset=False), lambda x, y: ndtr(x @ y.T)),
        (
            SphereRbfKernel(2, 0.8),
            lambda x, y: np.exp(-0.4 * ((x[:, None] - y) ** 2).sum(-1)),
        ),
    ],
    ids=lambda p: type(p).__name__ if hasattr(p, "sums") else "",
)
def test_units_of_closed_kernels(kernel, unit):
    """The kernel is the mean of products of the units that predict."""
    target = KernelSum(kernel, np.full((1, kernel.dimension), 0.3), [1.0])
    energy = KernelEnergy(kernel, target)
    rho = law(energy.dimension)
    c, y = rho.points()[:, 0], rho.points()[:, 1:]
    assert energy.predict(rho, X) == pytest.approx(unit(X, y) @ (W * c), rel=1e-12)
    inputs = RNG.standard_normal((100_000, 2))
    if isinstance(kernel, SphereRbfKernel):
        inputs *= math.sqrt(2) / np.linalg.norm(inputs, axis=1, keepdims=True)
    phi = kernel.unit(inputs, y)
    mean, error = phi.T @ phi / len(phi), np.sqrt((phi**2).T @ phi**2 / len(phi) / len(phi))
    assert np.all(np.abs(mean - kernel.matrix(y, y)) < 5 * error)


@pytest.mark.parametrize("amplitude", [None, 0.7])
def test_units_of_gaussian_kernels(amplitude):
    kernel = GaussianKernel(0.8, dimension=2, amplitude=amplitude)
    axis = np.linspace(-6, 6, 121)
    inputs = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    y = 0.5 * RNG.normal(size=(3, 2))
    phi = kernel.unit(inputs, y)
    assert phi.T @ phi * 0.1**2 == pytest.approx(kernel.matrix(y, y), rel=1e-12)
    target = KernelSum(kernel, [[0.3, 0.0]], [1.0])
    closed = KernelEnergy(kernel, target)
    lattice = ConvolutionEnergy.from_kernel(kernel, target)
    rho = law(3)
    expected = kernel.unit(X, rho.points()[:, 1:]) @ (W * rho.points()[:, 0])
    assert closed.predict(rho, X) == pytest.approx(expected, rel=1e-13)
    assert lattice.predict(rho, X) == pytest.approx(expected, rel=1e-13)


def test_systems_predict_what_their_networks_do():
    """The bumps of the mixture: with the target's own charges the network is the target."""
    system = wflow.systems.get("gaussian-mixture", evaluator="closed")
    features = wflow.systems.get("gaussian-mixture", evaluator="features")
    rho = system.initial("particles", n=50)
    x = np.linspace(-3, 3, 7)
    assert system.energy().predict(rho, x) == pytest.approx(features.energy().predict(rho, x))
    teacher = wflow.systems.get("teacher-student", d=5, teachers=3)
    sphere = RNG.normal(size=(9, 5))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    found = teacher.energy().predict(teacher.planted(), sphere)
    assert found == pytest.approx(teacher.target(sphere), rel=1e-12)


def test_ramps_on_gaussians():
    energy, rho = RampsOnGaussians(np.ones((2, 2))), law(4)
    p = rho.points()
    expected = np.maximum(X @ p[:, 2:].T + p[:, 1], 0) @ (W * p[:, 0])
    assert energy.predict(rho, X) == pytest.approx(expected, rel=1e-12)


def test_the_local_energy_is_its_own_density():
    rho = GridDensity([1.0, 3.0], [[0.0, 0.25, 0.5]])
    found = LocalEnergy(lambda x: np.cos(x[..., 0])).predict(rho, [0.1, 0.3, 0.7])
    assert found == pytest.approx([1.0, 3.0, 0.0], abs=1e-15)


def directions(count, d):
    u = RNG.standard_normal((count, d))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


def test_a_radial_law_is_a_network_of_turned_weights():
    d = 4
    features = RadialFeatures([(0.5, -2.5), (1.5, 7.5)], np.ones(1), d)
    energy = FeatureEnergy(features=features, targets=[0.0])
    rho = Particles([[0.8], [2.0]], [0.3, 0.7])
    x = RNG.normal(size=(3, d))
    sigma = wflow.energies.piecewise_linear([(0.5, -2.5), (1.5, 7.5)])
    u = directions(100_000, d)
    outputs = [w * sigma(r * x @ u.T) for r, w in zip((0.8, 2.0), (0.3, 0.7), strict=True)]
    samples = sum(outputs)
    error = samples.std(axis=1) / np.sqrt(len(u))
    assert np.all(np.abs(energy.predict(rho, x) - samples.mean(axis=1)) < 5 * error)
    assert features.n_nodes == 1  # its own nodes stay


@pytest.mark.parametrize("sizes", [(1, 1), (1, 3), (2, 2), (2, 1), (3, 20), (12, 12), (60, 260)])
def test_a_law_of_two_radii_is_a_network_of_turned_blocks(sizes):
    d = sum(sizes)
    features = TwoRadiiFeatures([1.0], sizes)
    energy = FeatureEnergy(features=features, targets=np.zeros(features.n_nodes))
    theta = np.array([[1.0, 0.3, 0.8, 1.2], [-0.7, -0.4, 1.5, 0.4], [0.5, 0.2, 0.0, 0.0]])
    x, weights = RNG.normal(size=(2, d)), np.array([0.5, 0.3, 0.2])
    n = 30_000
    u, v = directions(n, sizes[0]), directions(n, sizes[1])
    first, second = x[:, : sizes[0]] @ u.T, x[:, sizes[0] :] @ v.T
    samples = sum(
        w * a * np.maximum(b + r * first + s * second, 0)
        for w, (a, b, r, s) in zip(weights, theta, strict=True)
    )
    found = energy.predict(Particles(theta, weights), x)
    error = samples.std(axis=1) / np.sqrt(n)
    assert np.all(np.abs(found - samples.mean(axis=1)) < 5 * error + 1e-12)


@pytest.mark.parametrize(
    "sizes, tolerance",
    [((2, 2), 2e-6), ((2, 30), 1e-6), ((3, 5), 1e-8), ((12, 12), 1e-13), ((20, 40), 1e-12)],
)
def test_two_blocks_are_resolved(monkeypatch, sizes, tolerance):
    """Against four times as many directions, neurons of one block and of no block among them."""
    x = RNG.normal(size=(5, sum(sizes)))
    theta = np.abs(RNG.normal(size=(12, 4)))
    theta[:, 1] -= 1.0
    theta[:3, 2:] = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    space, weights = TwoRadiiFeatures([1.0], sizes), np.full(12, 1 / 12)
    found = space.at(x).prepare(theta).predict(weights)
    monkeypatch.setattr(two_blocks, "ORDER", 256)
    monkeypatch.setattr(two_blocks, "ORDER_OF_SHORT", 2048)
    assert found == pytest.approx(space.at(x).prepare(theta).predict(weights), abs=tolerance)


def test_two_blocks_have_a_gradient():
    features = TwoRadiiFeatures([1.0], (3, 4)).at(RNG.normal(size=(5, 7)))
    assert isinstance(features, two_blocks.TwoBlockFeatures)
    theta, c = np.array([[1.0, 0.3, 0.8, 1.2], [-0.7, -0.4, 1.5, 0.4]]), RNG.normal(size=5)
    step = 1e-6
    found = features.prepare(theta).gradient(c)
    for k in range(4):
        shift = step * np.eye(4)[k]
        up, down = (features.prepare(theta + s * shift).potential(c) for s in (1, -1))
        assert found[:, k] == pytest.approx((up - down) / (2 * step), abs=1e-8)
    assert features.prepare(theta).predict(W[:2]) @ c == pytest.approx(
        W[:2] @ features.prepare(theta).potential(c)
    )


@pytest.mark.parametrize(
    "energy, x, message",
    [
        (PairEnergy(lambda x: x[..., 0]), [0.0], "PairEnergy has no predict: it knows the risk"),
        (
            ConvolutionEnergy(lambda x: 0 * x[..., 0], lambda z: 1 + 0 * z[..., 0]),
            [0.0],
            "ConvolutionEnergy has no predict",
        ),
        (wflow.systems.get("isotropic-gaussians", d=math.inf).energy(), [0.0], "at d = inf"),
        (
            FeatureEnergy("relu", [[1.0, 2.0]], [0.0]),
            [0.0],
            r"x of shape \(1,\): expected \(Q, 2\)",
        ),
        (FeatureEnergy("relu", [[1.0]], [0.0]), [np.nan], r"x\[0, 0\] is nan"),
    ],
)
def test_refusals(energy, x, message):
    with pytest.raises(InputError, match=message):
        energy.predict(Particles(np.zeros((1, energy.dimension))), x)


def test_another_dimension_is_refused():
    energy = FeatureEnergy("relu", [1.0], [0.0], charges=True)
    with pytest.raises(InputError, match=r"expected \(n, 2\)"):
        energy.predict(Particles([0.0]), [0.0])
