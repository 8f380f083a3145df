"""Tangent kernels against differences of the outputs, quadrature, and each other."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from wflow.energies import (
    ArcCosineKernel,
    DirichletKernel,
    ErfKernel,
    FeatureEnergy,
    GaussianKernel,
    KernelEnergy,
    KernelSum,
    ProbitKernel,
    SphereRbfKernel,
    StepKernel,
)
from wflow.errors import InputError
from wflow.lazy import ensemble_tangent_kernel, gaussian_tangent_kernel, tangent_kernel
from wflow.measures import GridDensity, Particles
from wflow.multilayer import Ensemble, FeatureFlow, Flow, Units
from wflow.systems import get

RNG = np.random.default_rng(3)
GAUSSIANS = get("isotropic-gaussians").energy()
BY_KERNEL = get("teacher-student").energy()
STEPS = KernelEnergy(StepKernel(3), KernelSum(StepKernel(3), [[1.0, 0.0, 0.0]], [1.0]))
X, X2 = RNG.normal(size=(6, 3)), RNG.normal(size=(4, 3))


def by_differences(output, theta, weights, moves):
    """Σ_i w_i ∇f_i·∇f_i' from complex steps of a single neuron's output (Q,)."""
    slopes = []
    for at in theta:
        steps = [output(at + 1e-30j * e).imag / 1e-30 for e in np.eye(theta.shape[1])]
        slopes.append(np.array(steps) * np.sqrt(moves)[:, None])
    return sum(w * s.T @ s for w, s in zip(weights, slopes, strict=True))


@pytest.mark.parametrize("frozen", [(), ("a",), ("b", "w1")])
def test_a_network_of_one_output(frozen):
    energy = FeatureEnergy("tanh", X, np.zeros(6), charges=True, offset=True)
    theta, weights = RNG.normal(size=(5, 5)), RNG.uniform(size=5)
    measure, names = Particles(theta, weights), ("a", "b", "w1", "w2", "w3")
    moves = np.array([float(n not in frozen) for n in names])
    every = np.concatenate([X, X2])
    whole = by_differences(lambda p: p[0] * np.tanh(every @ p[2:] + p[1]), theta, weights, moves)
    np.testing.assert_allclose(
        tangent_kernel(energy, measure, frozen=frozen), whole[:6, :6], rtol=0, atol=1e-12
    )
    found = tangent_kernel(energy, measure, X, X2, frozen=frozen)
    np.testing.assert_allclose(found, whole[:6, 6:], rtol=0, atol=1e-12)


def test_a_network_of_two_outputs():
    energy = FeatureEnergy("tanh", X, np.zeros((6, 2)), charges=True)
    theta = RNG.normal(size=(5, 5))
    found = tangent_kernel(energy, Particles(theta))
    assert found.shape == (6, 2, 6, 2)
    rows = by_differences(
        lambda p: (p[:2] * np.tanh(X @ p[2:])[:, None]).ravel(), theta, np.full(5, 0.2), np.ones(5)
    )
    np.testing.assert_allclose(found.reshape(12, 12), rows, rtol=0, atol=1e-12)


def test_a_grid_is_its_cells():
    energy = FeatureEnergy("tanh", [1.0, -0.5], [0.0, 0.0])
    rho = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-3, 3)], n=40)
    there = Particles(rho.points(), rho.weights())
    np.testing.assert_allclose(
        tangent_kernel(energy, rho), tangent_kernel(energy, there), rtol=1e-14
    )


@pytest.mark.parametrize("name", ["gaussian-mixture", "digits", "isotropic-gaussians"])
def test_systems_with_nodes(name):
    """Symmetric, without negative eigenvalues, and what the flow's outputs begin with."""
    system = get(name)
    flow, start = system.flow(), system.initial("particles", 30)
    kernel = tangent_kernel(flow.energy, start, frozen=system.frozen())
    nodes, points, weights = flow.energy.on_nodes(), start.points(), start.weights()
    f = nodes.features_of(points).predict(weights)
    velocity = -nodes.features_of(points).gradient(
        nodes.weights * nodes.loss.half_slope(nodes.targets, f)
    )
    move = 1e-6 * flow.mobile * velocity
    ahead, back = (nodes.features_of(points + s * move).predict(weights) for s in (1, -1))
    count = nodes.features.n_nodes
    expected = -kernel.reshape(count, count) @ (
        nodes.weights * nodes.loss.half_slope(nodes.targets, f)
    )
    np.testing.assert_allclose(
        (ahead - back) / 2e-6, expected, rtol=0, atol=1e-7 * np.abs(expected).max()
    )


def pair(unit, c11, c22, c12):
    """Eσσ' and Eσ'σ' over a pair of normal numbers, by quadrature."""
    if unit == "relu":
        angle = np.arccos(c12 / np.sqrt(c11 * c22))
        ends = np.sort(
            np.mod([np.pi / 2, -np.pi / 2, np.pi / 2 + angle, -np.pi / 2 + angle], 2 * np.pi)
        )
        ends = np.concatenate([[0.0], ends, [2 * np.pi]])

        def over(f):
            return sum(quad(f, a, b, epsabs=1e-14)[0] for a, b in pairwise(ends)) / (2 * np.pi)

        # E r² = 2 for the radius of two normal numbers.
        value = 2 * over(lambda t: max(np.cos(t), 0) * max(np.cos(t - angle), 0))
        return np.sqrt(c11 * c22) * value, over(
            lambda t: float(np.cos(t) > 0 and np.cos(t - angle) > 0)
        )
    from scipy.special import erf

    t, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    low = np.linalg.cholesky([[c11, c12], [c12, c22]])
    u = low[0, 0] * t[:, None] + 0 * t
    v = low[1, 0] * t[:, None] + low[1, 1] * t
    slope = 2 / np.pi * np.exp(-(u**2 + v**2) / 2)
    return w @ (erf(u / np.sqrt(2)) * erf(v / np.sqrt(2))) @ w, w @ slope @ w


@pytest.mark.parametrize("unit", ["relu", "erf"])
@pytest.mark.parametrize("offset", [None, 0.4])
def test_closed_forms(unit, offset):
    s_w, s_a = 0.7, 1.3
    x, x2 = 0.6 * X, 0.6 * X2
    found = gaussian_tangent_kernel(unit, x, x2, weight_std=s_w, charge_std=s_a, offset_std=offset)
    shift = (offset or 0.0) ** 2
    for i, j in np.ndindex(found.shape):
        c = [s_w**2 * p @ q + shift for p, q in ((x[i], x[i]), (x2[j], x2[j]), (x[i], x2[j]))]
        value, slope = pair(unit, *c)
        expected = value + s_a**2 * (x[i] @ x2[j] + (offset is not None)) * slope
        assert abs(found[i, j] - expected) < 1e-10, (i, j)


def test_many_particles_come_to_the_closed_form():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(200_000, 4)) * [1.3, 0.7, 0.7, 0.7]
    energy = FeatureEnergy("relu", X, np.zeros(6), charges=True)
    closed = gaussian_tangent_kernel("relu", X, weight_std=0.7, charge_std=1.3)
    np.testing.assert_allclose(
        tangent_kernel(energy, Particles(theta)), closed, rtol=0.01, atol=0.02
    )


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("outputs", [0, 2])
@pytest.mark.parametrize("biased", [False, True])
def test_networks_of_many_layers(depth, outputs, biased):
    """Against gradients sample by sample, of a loss whose residual is 1 at one output."""
    widths, last = [4, 3, 5][: depth - 1], (outputs,) if outputs else ()
    shapes = [(widths[0], 3), *pairwise(widths), (widths[-1], *last)]
    biases = [RNG.normal(size=n) for n in widths[1:]] + [RNG.normal(size=last)] if biased else None
    probabilities = [p / p.sum() for p in (RNG.uniform(0.5, 1.0, n) for n in widths)]
    net = Ensemble([RNG.normal(size=s) for s in shapes], biases, probabilities)
    # Square roots of the probabilities of the inputs, of all hidden layers and of the outputs.
    roots = [np.ones(3), *map(np.sqrt, probabilities), np.ones(outputs or 1)]
    x = np.concatenate([X, X2])
    f = Flow(x, np.zeros((10, *last)), output="tanh").predict(net, x).reshape(10, -1)
    rows = []
    for q, k in np.ndindex(f.shape):
        target = f[q] - np.eye(f.shape[1])[k]
        g = Flow(x[q : q + 1], target.reshape(1, *last), output="tanh").gradient(net)
        parts = [
            a.reshape(left.size, -1) * left[:, None] * right
            for a, left, right in zip(
                g.weights, [roots[1], *roots[1:-1]], [roots[0], *roots[2:]], strict=True
            )
        ]
        parts += [np.ravel(b) * root for b, root in zip(g.biases, roots[2:], strict=biased)]
        rows.append(np.concatenate([part.ravel() for part in parts]))
    rows = np.array(rows)
    count = outputs or 1
    flow = Flow(X, np.zeros((6, *last)), output="tanh")
    found = ensemble_tangent_kernel(flow, net, X, X2)
    expected = (rows[: 6 * count] @ rows[6 * count :].T).reshape(6, count, 4, count)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-12)
    own = ensemble_tangent_kernel(flow, net)
    own = own.reshape(6 * count, 6 * count)
    np.testing.assert_allclose(own, rows[: 6 * count] @ rows[: 6 * count].T, rtol=0, atol=1e-12)


def test_two_layers_are_two_layers():
    theta = RNG.normal(size=(7, 4))
    energy = FeatureEnergy("tanh", X, np.zeros(6), charges=True)
    net = Ensemble([theta[:, 1:], theta[:, 0]])
    np.testing.assert_allclose(
        ensemble_tangent_kernel(Flow(X, np.zeros(6)), net),
        tangent_kernel(energy, Particles(theta)),
        rtol=0,
        atol=1e-14,
    )


KERNELS = {
    "relu": ArcCosineKernel(3),
    "erf": ErfKernel(3),
    "probit": ProbitKernel(3),
    "probit without offset": ProbitKernel(3, offset=False),
    "gaussian": GaussianKernel(0.7, 3),
    "sphere": SphereRbfKernel(3, 0.8),
    "dirichlet": DirichletKernel(2, 3),
}


@pytest.mark.parametrize("name", KERNELS)
def test_slopes_of_the_units_of_a_kernel(name):
    """Against central differences of the units, with the error of a fourth order."""
    kernel = KERNELS[name]
    at = RNG.normal(size=(5, kernel.dimension))
    slopes, h = kernel.unit_slopes(X, at), 1e-3
    for k, e in enumerate(h * np.eye(kernel.dimension)):
        one, two = (kernel.unit(X, at + j * e) - kernel.unit(X, at - j * e) for j in (1, 2))
        expected = (8 * one - two) / (12 * h)
        np.testing.assert_allclose(slopes[:, k].T, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "kernel, activation", [(ArcCosineKernel(3), "relu"), (ErfKernel(3), "erf")]
)
def test_a_kernel_energy_is_its_units(kernel, activation):
    energy = KernelEnergy(kernel, KernelSum(kernel, [[1.0, 0.0, 0.0]], [1.0]))
    theta, scale = RNG.normal(size=(7, 4)), np.sqrt(2.0) if activation == "erf" else 1.0
    features = FeatureEnergy(activation, X / scale, np.zeros(6), charges=True)
    found = tangent_kernel(energy, Particles(theta), X, X2, frozen=["c"])
    expected = tangent_kernel(features, Particles(theta), X / scale, X2 / scale, frozen=["a"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    whole = tangent_kernel(energy, Particles(theta), X, X2)
    units = [kernel.unit(x, theta[:, 1:]) for x in (X, X2)]
    np.testing.assert_allclose(whole - found, units[0] @ units[1].T / 7, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: tangent_kernel(GAUSSIANS, Particles([1.0]), [[1.0, 2.0]]), r"x of shape \(1, 2\)"),
        (lambda: tangent_kernel(BY_KERNEL, Particles(np.ones((2, 51)))), "give the inputs x"),
        (lambda: tangent_kernel(STEPS, Particles(np.ones((2, 4))), X), "a step has no slope"),
        (lambda: tangent_kernel("tanh", Particles([1.0])), "energy is a str"),
        (lambda: gaussian_tangent_kernel("tanh", X), "unit"),
        (lambda: gaussian_tangent_kernel("relu", X, [[1.0]]), "x2"),
        (
            lambda: ensemble_tangent_kernel(
                FeatureFlow(X @ X.T, np.zeros(6)), Ensemble([np.ones((2, 6)), np.ones(2)])
            ),
            "products of its inputs alone",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(call, words):
    with pytest.raises(InputError, match=words) as told:
        call()
    assert "\n" not in str(told.value)


def test_units_have_no_closed_form():
    product = Units(
        phi=lambda b, w, h: w * np.tanh(h) + b,
        d_weight=lambda b, w, h: np.tanh(h) + 0 * w,
        d_hidden=lambda b, w, h: w / np.cosh(h) ** 2,
    )
    flow = Flow(X, np.zeros(6), units=[product])
    with pytest.raises(InputError, match="give a flow without units"):
        ensemble_tangent_kernel(flow, Ensemble([np.ones((2, 3)), np.ones(2)]))
