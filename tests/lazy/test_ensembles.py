"""Lazy training of networks of many layers: the kernel flow against the linearised network, and scaled networks."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import wflow
from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.lazy import (
    ensemble_kernel_flow,
    ensemble_laziness,
    kernel_flow,
    scaled_ensemble,
)
from wflow.multilayer import Ensemble, FeatureFlow, Flow

RNG = np.random.default_rng(8)
X, X2 = RNG.normal(size=(6, 3)), RNG.normal(size=(4, 3))
Y = np.sin(X[:, 0])


def network(depth, outputs=0, biased=True):
    # Its own numbers, whichever tests have run before.
    rng = np.random.default_rng([8, depth, outputs])
    widths, last = [4, 3, 5][: depth - 1], (outputs,) if outputs else ()
    shapes = [(widths[0], 3), *pairwise(widths), (widths[-1], *last)]
    biases = [rng.normal(size=n) for n in widths[1:]] + [rng.normal(size=last)] if biased else None
    probabilities = [p / p.sum() for p in (rng.uniform(0.5, 1.0, n) for n in widths)]
    return Ensemble([2.0 * rng.normal(size=s) for s in shapes], biases, probabilities)


def gradients(net, x, count):
    """Gradients of each output, by E_x[D σ], at each input: (Q·K, size)."""
    shape = (1, count) if count > 1 else (1,)
    rows = []
    for one in x:
        f = Flow([one], np.zeros(shape)).predict(net, [one]).reshape(-1)
        for unit in np.eye(count):
            flow = Flow([one], (f - unit).reshape(shape))
            rows.append(flow.gradient_of(net.flat(), net.layout, net.probabilities)[0])
    return np.array(rows)


def shares(net, rows, x):
    """The derivative of an output by each weight over its gradient, from complex steps' like: central differences."""
    at, h, found = net.flat(), 1e-5, np.zeros(net.layout.size)
    flow = Flow(X, np.zeros((6, *net.weights[-1].shape[1:])))
    for i in range(at.size):
        step = h * np.eye(1, at.size, i)[0]
        up, down = (flow.predict(net.like(at + sign * step), x).ravel() for sign in (1, -1))
        k = np.abs(rows[:, i]).argmax()
        found[i] = (up - down)[k] / (2 * h) / rows[k, i]
    return found


@pytest.mark.parametrize("depth, outputs, biased", [(2, 0, True), (3, 2, True), (4, 0, False)])
def test_the_linearised_network_is_the_kernel_flow(depth, outputs, biased):
    """θ̇ = −ξ Σ p r G(x_q; θ⁰) with f = f₀ + J(θ − θ⁰), in steps of time, on a clock."""
    net, count = network(depth, outputs, biased), max(outputs, 1)
    y = RNG.normal(size=(6, count)) if outputs else Y
    q = np.linspace(1.0, 2.0, 6) / 9.0
    flow = Flow(X, y, q, schedule=lambda t: 1.0 / (1.0 + t))
    g, there = gradients(net, X, count), gradients(net, X2, count)
    by = shares(net, g, X)
    before, target, p = flow.predict(net, X).ravel(), y.ravel(), np.repeat(q, count)

    def moves(t, way):
        return -flow.schedule(t) * (p * (before + (g * by) @ way - target)) @ g

    asked = {"method": "DOP853", "t_eval": [1.0, 3.0], "rtol": 1e-11, "atol": 1e-13}
    way = solve_ivp(moves, (0.0, 3.0), np.zeros(net.layout.size), **asked).y.T
    found = ensemble_kernel_flow(flow, net, [1.0, 3.0], X2)
    # Central differences know the shares to 1e-8 or so.
    np.testing.assert_allclose(found.outputs, before + way @ (g * by).T, rtol=0, atol=1e-8)
    expected = flow.predict(net, X2).ravel() + way @ (there * by).T
    np.testing.assert_allclose(found.predictions, expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.risk, (found.outputs - target) ** 2 @ p, rtol=1e-9)
    assert np.abs(found.outputs[-1] - before).max() > 0.05


def test_two_layers_are_two_layers():
    theta = RNG.normal(size=(7, 4))
    energy = FeatureEnergy("tanh", X, Y, charges=True)
    found = ensemble_kernel_flow(Flow(X, Y), Ensemble([theta[:, 1:], theta[:, 0]]), [0.5, 9.0], X2)
    other = kernel_flow(wflow.GradientFlow(energy), wflow.Particles(theta), [0.5, 9.0], X2)
    np.testing.assert_allclose(found.outputs, other.outputs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.predictions, other.predictions, rtol=0, atol=1e-13)


SCALES = np.array([16.0, 32.0, 64.0, 128.0])


@pytest.mark.parametrize("depth, outputs", [(2, 0), (3, 2), (4, 0)])
def test_the_gap_falls_with_the_scale(depth, outputs):
    net = network(depth, outputs)
    flow = Flow(X, 0.5 * RNG.normal(size=(6, outputs)) if outputs else 0.5 * Y)
    found = [ensemble_laziness(flow, net, [0.0, 0.5, 2.0], scale=s) for s in SCALES]
    gaps = np.array([each.gap.max() for each in found])
    fit = np.polyfit(np.log(SCALES), np.log(gaps), 1)[0]
    assert abs(fit + 1.0) < 0.1, (fit, gaps)
    assert all(each.gap[0] == 0 and each.moved[0] == 0 for each in found)
    np.testing.assert_allclose(found[-2].moved[1:] / found[-1].moved[1:], 2.0, rtol=0.05)


def test_the_way_is_that_of_neurons():
    """Of two layers: the root mean square over neurons, as for particles."""
    theta = RNG.normal(size=(7, 4))
    flow = wflow.GradientFlow(FeatureEnergy("tanh", X, Y, charges=True))
    found = ensemble_laziness(Flow(X, Y), Ensemble([theta[:, 1:], theta[:, 0]]), [2.0], scale=4.0)
    other = wflow.lazy.laziness(flow, wflow.Particles(theta), [2.0], scale=4.0)
    np.testing.assert_allclose(found.moved, other.moved, rtol=1e-7)
    np.testing.assert_allclose(found.outputs, other.outputs, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.linear, other.linear, rtol=0, atol=1e-6)


def test_atoms_of_twice_the_mass_are_two_atoms():
    """Of four layers: outputs, and the way, in which every weight and bias counts with its probability."""
    net = network(4)
    at = [np.sort(np.append(np.arange(n), i)) for n, i in ((4, 1), (3, 2), (5, 4))]
    masses = [np.bincount(i) / i.size for i in at]
    merged = Ensemble(net.weights, net.biases, masses)
    first, *between, last = net.weights
    between = [w[np.ix_(*each)] for w, each in zip(between, pairwise(at), strict=True)]
    biases = [*(b[i] for b, i in zip(net.biases, at[1:], strict=False)), net.biases[-1]]
    apart = Ensemble([first[at[0]], *between, last[at[2]]], biases)
    one, two = (ensemble_laziness(Flow(X, Y), each, [1.0], scale=2.0) for each in (merged, apart))
    np.testing.assert_allclose(one.outputs, two.outputs, rtol=0, atol=1e-8)
    np.testing.assert_allclose(one.moved, two.moved, rtol=1e-7)
    # Of atoms that count alike probabilities are means, of all that a unit sees in the first layer the sum.
    flow = scaled_ensemble(Flow(X, Y), 2.0, apart)
    end = wflow.solve(flow, apart, (0.0, 1.0), t_eval=[1.0], rtol=1e-9, atol=1e-11).measures[-1]
    parts = zip([*end.weights, *end.biases], [*apart.weights, *apart.biases], strict=True)
    ways = [((after - before) ** 2).mean() for after, before in parts]
    assert two.moved[0] ** 2 == pytest.approx(3 * ways[0] + sum(ways[1:]), rel=1e-7)
    assert min(ways) > 1e-5 * sum(ways), "a term that the comparison would not see"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ensemble_kernel_flow(Flow(X, np.sign(Y), loss="logistic"), network(2), [1.0]), "loss 'logistic'"),
        (lambda: ensemble_kernel_flow(Flow(X, Y, output="tanh"), network(2), [1.0]), "output 'tanh'"),
        (lambda: ensemble_kernel_flow("flow", network(2), [1.0]), "flow is a str"),
        (lambda: ensemble_kernel_flow(Flow(X, Y), network(3, 2), [1.0]), "give last weights"),
        (lambda: ensemble_kernel_flow(Flow(X, Y), network(2), [1.0], [[1.0]]), "x of shape"),
        (lambda: scaled_ensemble(Flow(X, Y), 0.0, network(2)), "scale = 0"),
        (lambda: scaled_ensemble(Flow(X, Y), 1e14, network(2)), "lost in rounding"),
        (lambda: ensemble_laziness(Flow(X, Y), network(2), [2.0, 1.0]), "increasing"),
        (lambda: Flow(X, Y).towards([1.0]), "targets of shape"),
        (
            lambda: ensemble_kernel_flow(FeatureFlow(X @ X.T, Y), Ensemble([np.ones((2, 6)), np.ones(2)]), [1.0]),
            "products of its inputs alone",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(call, words):
    with pytest.raises(InputError, match=words) as told:
        call()
    assert "\n" not in str(told.value)
