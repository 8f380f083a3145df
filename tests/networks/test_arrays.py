"""Networks of other libraries are carried over: they compute the same, and a gradient step of theirs is one of ours."""

import itertools

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given
from hypothesis import strategies as st

import wflow
from wflow import InputError
from wflow.networks import from_arrays, layer_rates, to_arrays

RNG = np.random.default_rng(11)
X = RNG.normal(size=(40, 3))
Y = np.sin(X[:, 0])


def layers(sizes, biased, seed=0):
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=(a, b)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]
    biases = [rng.normal(size=b) if on else None for b, on in zip(sizes[1:], biased, strict=True)]
    return kernels, biases


def outputs(kernels, biases, x, powers):
    """The network of plain weights, as any library would compute it."""
    h = x
    for i, (k, b, power) in enumerate(zip(kernels, biases, powers, strict=True)):
        h = anp.dot(h if i == 0 else anp.tanh(h), k) * float(k.shape[0]) ** -power
        h = h if b is None else h + b
    return h


@pytest.mark.parametrize("scaling, power", [("sum", 0.0), ("ntk", 0.5), ("mean", 1.0)])
@pytest.mark.parametrize("outs", [1, 2])
def test_two_layers_compute_the_same(scaling, power, outs):
    kernels, biases = layers((3, 20, outs), (True, False))
    start = from_arrays(kernels, biases, scaling=scaling)
    targets = Y if outs == 1 else np.column_stack([Y, Y])
    energy = wflow.energies.FeatureEnergy("tanh", X, targets, charges=True, offset=True)
    assert start.names == energy.coordinates
    f = outputs(kernels, biases, X, (0.0, power))
    np.testing.assert_allclose(energy.predict(start, X).reshape(f.shape), f, atol=1e-14)


@pytest.mark.parametrize("outs", [1, 2])
@pytest.mark.parametrize(
    "biased", [(True, True, True), (False, False, False), (True, False, False)]
)
def test_many_layers_compute_the_same(biased, outs):
    kernels, biases = layers((3, 12, 15, outs), biased)
    net = from_arrays(kernels, biases, scaling="ntk")
    x = np.column_stack([X, np.ones(len(X))]) if biased[0] else X
    targets = Y if outs == 1 else np.column_stack([Y, Y])
    flow = wflow.multilayer.Flow(x, targets)
    f = outputs(kernels, biases, X, (0.0, 0.5, 0.5))
    np.testing.assert_allclose(flow.predict(net, x).reshape(f.shape), f, atol=1e-14)


@given(
    st.lists(st.integers(1, 5), min_size=3, max_size=5),
    st.sampled_from(["sum", "ntk", "mean"]),
    st.booleans(),
    st.booleans(),
)
def test_there_and_back(sizes, scaling, first, later):
    biased = (first, *[later and len(sizes) > 3] * (len(sizes) - 2))
    kernels, biases = layers(sizes, biased)
    measure = from_arrays(kernels, biases, scaling=scaling)
    back, also = to_arrays(measure, scaling=scaling, constant_input=first and len(sizes) > 3)
    for a, b in zip([*kernels, *biases], [*back, *also], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=0)


def test_weights_of_particles_go_into_the_last_layer():
    law = wflow.Particles([[2.0, 1.0], [1.0, -1.0]], [0.25, 0.5], names=("a", "w"))
    kernels, biases = to_arrays(law, scaling="mean")
    assert biases == [None, None]
    assert kernels[1].tolist() == [[1.0], [1.0]]
    plain, _ = to_arrays(wflow.Particles([[1.0, 0.5], [1.0, 2.0]], names=("w1", "w2")))
    assert plain[1].tolist() == [[0.5], [0.5]]


@pytest.mark.parametrize("scaling, power", [("sum", 0.0), ("ntk", 0.5), ("mean", 1.0)])
def test_a_gradient_step_of_two_layers_is_one_of_sgd(scaling, power, tmp_path):
    """Automatic derivatives of the plain loss, at the rates of each layer, through 5 steps of 4 samples."""
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    system = wflow.systems.get("dataset", path=str(tmp_path / "d.npz"), scaled="no")
    kernels, biases = layers((3, 20, 1), (True, False))
    start, order = from_arrays(kernels, biases, scaling=scaling), RNG.integers(0, 40, 20)
    run = wflow.networks.sgd(
        system, initial=start, step_size=0.1, n_steps=5, batch_size=4, order=order
    )
    weights = [kernels[0], biases[0], kernels[1]]
    (first, offset), (last, _) = layer_rates([20], scaling=scaling)

    def loss(w, x, y):
        f = outputs([w[0], w[2]], [w[1], None], x, (0.0, power))[:, 0]
        return anp.mean((y - f) ** 2)

    for k in range(5):
        pick = order[4 * k : 4 * k + 4]
        slopes = grad(loss)(weights, X[pick], Y[pick])
        for w, rate, slope in zip(weights, (first, offset, last), slopes, strict=True):
            w -= 0.1 * rate * slope
    ended = from_arrays([weights[0], weights[2]], [weights[1], None], scaling=scaling)
    assert np.abs(ended.points() - start.points()).max() > 1e-2
    np.testing.assert_allclose(run.measures[-1].points(), ended.points(), atol=1e-13)


@pytest.mark.parametrize("scaling, power", [("sum", 0.0), ("ntk", 0.5)])
def test_a_gradient_step_of_three_layers_is_one_of_sgd(scaling, power):
    """The same of biases and a constant input, on the whole data set."""
    kernels, biases = layers((3, 12, 15, 1), (True, True, True))
    net = from_arrays(kernels, biases, scaling=scaling)
    flow = wflow.multilayer.Flow(np.column_stack([X, np.ones(40)]), Y)
    run = wflow.multilayer.sgd(flow, net, step_size=0.1, n_steps=3, batch_size="full")
    rates = layer_rates([12, 15], scaling=scaling)

    def loss(w):
        return anp.mean((Y - outputs(w[:3], w[3:], X, (0.0, power, power))[:, 0]) ** 2)

    weights = [*kernels, *biases]
    for _ in range(3):
        for w, rate, slope in zip(
            weights,
            [*(r for r, _ in rates), *(r for _, r in rates)],
            grad(loss)(weights),
            strict=True,
        ):
            w -= 0.1 * rate * slope
    ended = from_arrays(weights[:3], weights[3:], scaling=scaling)
    np.testing.assert_allclose(run.measures[-1].flat(), ended.flat(), atol=1e-12)
    assert np.abs(run.measures[-1].flat() - net.flat()).max() > 1e-2


ONES = [np.ones((2, 3)), np.ones((3, 1))]


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: from_arrays([np.ones((2, 3))]), "kernels has 1 entries: give two layers or more"),
        (lambda: from_arrays([ONES[0], np.ones((4, 1))]), r"kernels\[1\] has shape \(4, 1\): give \(3, outputs\)"),
        (lambda: from_arrays([np.ones(3), np.ones((3, 1))]), r"kernels\[0\] has shape \(3,\)"),
        (lambda: from_arrays(ONES, [None]), "biases has 1 entries for 2 layers"),
        (lambda: from_arrays(ONES, [np.ones(2), None]), r"biases\[0\] has shape \(2,\): give \(3,\)"),
        (lambda: from_arrays(ONES, [None, [0.0]]), "the output has a bias, which belongs to no neuron"),
        (lambda: from_arrays([*ONES, np.ones((1, 1))], [None, [1.0], None]), "layer 3 has no bias"),
        (lambda: from_arrays([np.ones((2, 3)), [[np.nan]] * 3]), r"kernels\[1\]"),
        (lambda: from_arrays(ONES, scaling="mup"), "unknown scaling 'mup'"),
        (lambda: to_arrays(wflow.Particles([1.0], names=("r",))), r"particles in \(r\): neurons have \(a, b, w\)"),
        (lambda: to_arrays(wflow.Particles([[1.0, 2.0]], names=("w", "a"))), "neurons have"),
        (lambda: to_arrays(3), "give Particles or an Ensemble"),
        (lambda: layer_rates([]), "widths has no entries"),
        (lambda: layer_rates([0]), r"widths\[0\] = 0: give a whole number of at least 1"),
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_a_constant_input_alone_is_refused():
    net = wflow.multilayer.Ensemble([[[1.0]], [[1.0]], [1.0]])
    with pytest.raises(InputError, match="one input only"):
        to_arrays(net, constant_input=True)
