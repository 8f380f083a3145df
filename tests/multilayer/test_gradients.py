"""Gradients of networks of many layers, by automatic differentiation and by what they are invariant under."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from multilayer.nets import LABELS, ROWS, SIGNS, X, Y, loss_of, network, outputs_of, scaled

from wflow.errors import InputError
from wflow.multilayer import Ensemble, Flow, Units

CASES = [
    ("square", Y, 0),
    ("square", ROWS, 2),
    ("huber", 3.0 * Y, 0),
    ("huber", 2.0 * ROWS, 2),
    ("logistic", SIGNS, 0),
    ("softmax", LABELS, 3),
]


@pytest.mark.parametrize("widths", [(5,), (5, 4), (4, 6, 5), (3, 4, 5, 6)])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("loss, targets, outputs", CASES)
@pytest.mark.parametrize("output", ["identity", "tanh"])
def test_automatic_differentiation_gives_the_scaled_gradients(
    widths, biased, loss, targets, outputs, output
):
    net = network(widths, outputs, biased, seed=len(widths))
    flow = Flow(X, targets, loss=loss, output=output)
    final = anp.tanh if output == "tanh" else lambda z: z

    def half_risk(parameters):
        f = outputs_of(*parameters, X, output=final)
        return 0.5 * anp.mean(loss_of(loss, targets, f))

    parameters = list(net.weights), list(net.biases or ())
    assert flow.risk(net) == pytest.approx(2 * half_risk(parameters), rel=1e-12)
    found = flow.gradient(net)
    for own, theirs in zip(
        found, scaled(autograd.grad(half_risk)(parameters), widths, outputs), strict=True
    ):
        assert len(own) == len(theirs)
        for a, b in zip(own, theirs, strict=True):
            assert np.abs(a - b).max() < 1e-12 * max(1.0, np.abs(b).max())


def test_weights_of_samples_and_probabilities_of_atoms_count():
    """Samples and atoms repeated are samples and atoms of twice the weight."""
    net = network((3, 4), biased=True, seed=1)
    twice = Flow(np.vstack([X, X[:4]]), np.concatenate([Y, Y[:4]]))
    weights = np.where(np.arange(12) < 4, 2.0, 1.0) / 16
    flow = Flow(X, Y, weights)
    for a, b in zip(flow.gradient(net).weights, twice.gradient(net).weights, strict=True):
        assert np.abs(a - b).max() < 1e-14
    heavy = Ensemble(net.weights, net.biases, [[0.5, 0.25, 0.25], [0.25, 0.25, 0.4, 0.1]])
    rows, columns = [0, 0, 1, 2], np.repeat([0, 1, 2, 3], [5, 5, 8, 2])
    many = heavy.taken([np.array(rows), columns])
    a, b = flow.gradient(heavy), flow.gradient(many)
    assert flow.risk(heavy) == pytest.approx(flow.risk(many), rel=1e-13)
    assert np.abs(a.weights[1][np.ix_(rows, columns)] - b.weights[1]).max() < 1e-14
    assert np.abs(a.biases[0][columns] - b.biases[0]).max() < 1e-14


def test_neurons_have_no_order():
    net = network((40, 30, 20), biased=True, seed=2)
    order = [np.random.default_rng(i).permutation(n) for i, n in enumerate(net.widths)]
    flow = Flow(X, Y)
    ours, theirs = flow.gradient(net.taken(order)), flow.gradient(net)
    assert flow.risk(net) == pytest.approx(flow.risk(net.taken(order)), rel=1e-14)
    moved = Ensemble(theirs.weights, theirs.biases).taken(order)
    for a, b in zip(ours.weights, moved.weights, strict=True):
        assert np.abs(a - b).max() < 1e-15


def test_blocks_of_samples_change_nothing(monkeypatch):
    net, flow = network((6, 5), seed=3), Flow(X, Y)
    whole = flow.gradient(net)
    monkeypatch.setattr("wflow.layers.flow.BLOCK", 5 * sum(net.widths))
    for a, b in zip(whole.weights, flow.gradient(net).weights, strict=True):
        assert np.abs(a - b).max() < 1e-15


def test_activations_may_differ_from_layer_to_layer():
    net = network((5, 4, 3), seed=4)
    flow = Flow(X, Y, activation=["relu", "tanh", "sigmoid"])
    h1, h2, h3, top = flow.hidden(net)
    assert np.abs(h2 - net.weights[1].T @ np.maximum(h1, 0) / 5).max() < 1e-14
    assert np.abs(h3 - net.weights[2].T @ np.tanh(h2) / 4).max() < 1e-14
    assert np.abs(top[0] - net.weights[3] @ (1 / (1 + np.exp(-h3))) / 3).max() < 1e-14
    assert np.abs(flow.predict(net, X) - top[0]).max() < 1e-15


def standard(activation, slope):
    """The neurons of the standard network as general ones."""
    return Units(
        lambda b, w, h: b + w * activation(h),
        d_bias=lambda b, w, h: 1.0,
        d_weight=lambda b, w, h: activation(h),
        d_hidden=lambda b, w, h: w * slope(h),
    )


def test_general_neurons_hold_the_standard_ones():
    net = network((4, 5, 3), 2, biased=True, seed=5, probabilities=True)
    units = [standard(np.tanh, lambda h: 1 / np.cosh(h) ** 2)] * 3
    general, flow = Flow(X, ROWS, units=units), Flow(X, ROWS)
    assert general.risk(net) == pytest.approx(flow.risk(net), rel=1e-13)
    for own, theirs in zip(general.gradient(net), flow.gradient(net), strict=True):
        for a, b in zip(own, theirs, strict=True):
            assert np.abs(a - b).max() < 1e-14


GATED = Units(
    lambda b, w, h: np.sin(b + w * h),
    d_bias=lambda b, w, h: np.cos(b + w * h),
    d_weight=lambda b, w, h: h * np.cos(b + w * h),
    d_hidden=lambda b, w, h: w * np.cos(b + w * h),
)


def test_neurons_that_are_not_linear_in_their_weights():
    widths = (4, 3)
    net = network(widths, biased=True, seed=6)
    flow = Flow(X, Y, units=[GATED, GATED])

    def half_risk(parameters):
        (w1, w2, w3), (b2, b3) = parameters
        h = anp.dot(X, w1.T)
        h = anp.mean(anp.sin(b2 + w2 * h[:, :, None]), axis=1)
        f = anp.mean(anp.sin(b3 + w3 * h), axis=1)
        return 0.5 * anp.mean((Y - f) ** 2)

    parameters = list(net.weights), list(net.biases)
    found = scaled(autograd.grad(half_risk)(parameters), widths, 0)
    assert flow.risk(net) == pytest.approx(2 * half_risk(parameters), rel=1e-12)
    for own, theirs in zip(flow.gradient(net), found, strict=True):
        for a, b in zip(own, theirs, strict=True):
            assert np.abs(a - b).max() < 1e-13


def test_another_way_back():
    """ψ(D, w, h) = D tanh w: signals come back through bounded weights."""
    plain = standard(np.tanh, lambda h: 1 / np.cosh(h) ** 2)
    bounded = Units(
        plain.phi, d_bias=plain.d_bias, d_weight=plain.d_weight, d_hidden=plain.d_hidden,
        psi=lambda d, w, h: d * np.tanh(w),
    )  # fmt: skip
    net, flow = network((4, 5), seed=7), Flow(X, Y, units=[plain, bounded])
    h1, _, top = flow.hidden(net)
    r = top[0] - Y
    d2 = np.tanh(net.weights[2])[:, None] * r
    d1 = net.weights[1] @ d2 / 5
    d1 = d1 / np.cosh(h1) ** 2
    found = flow.gradient(net)
    assert np.abs(found.weights[1] - np.tanh(h1) @ d2.T / 12).max() < 1e-14
    assert np.abs(found.weights[0] - d1 @ X / 12).max() < 1e-14


def test_derivatives_that_are_wrong_are_refused():
    with pytest.raises(
        InputError, match=r"^d_weight is .* where differences of phi give .*correct the derivative$"
    ):
        Units(
            lambda b, w, h: b + w * h,
            d_bias=lambda b, w, h: 1.0,
            d_weight=lambda b, w, h: 2 * h,
            d_hidden=lambda b, w, h: w,
        )
