"""The layer of K outputs against whole arrays in numpy: odd sizes, threads, what is kept, memory."""

import math

import numpy as np
import pytest

from wflow.energies.features import dense as energies
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.kernels import parallel
from wflow.kernels.features import dense_outputs
from wflow.kernels.tile import PANEL


def example(n, q, d, k, offset=True, activation="tanh", seed=0):
    rng = np.random.default_rng(seed)
    features = DenseOutputs(activation, rng.standard_normal((q, d)), k, offset=offset)
    theta = rng.standard_normal((n, features.dimension))
    return features, theta, rng.random(n), rng.standard_normal((q, k))


def twin(features, theta, weights, c):
    """The definition, in whole arrays."""
    a, b, w = features.split(theta)
    z = w @ features.nodes.T + (0.0 if b is None else b[:, None])
    value, slope = features.activation.value_and_derivative(z)
    g = slope * (a @ c.T)
    parts = [value @ c] + [g.sum(axis=1)[:, None]] * features.offset + [g @ features.nodes]
    return value.T @ (weights[:, None] * a), (a * (value @ c)).sum(axis=1), np.hstack(parts)


def assert_twins(features, theta, weights, c, prepared=None):
    prepared = features.prepare(theta) if prepared is None else prepared
    got = prepared.predict(weights), prepared.potential(c), prepared.gradient(c)
    for one, other in zip(got, twin(features, theta, weights, c), strict=True):
        assert one.shape == other.shape
        scale = max(np.abs(other).max(), 1e-3)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * scale)
    return got


@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
@pytest.mark.parametrize("q", [1, 7, 65, 129])
@pytest.mark.parametrize("k", [2, 8, 10, 17])
def test_sizes_that_fill_no_tile(n, q, k):
    assert_twins(*example(n, q, 5, k, offset=k != 8))


def test_many_inputs_and_many_blocks(monkeypatch):
    assert_twins(*example(700, 90, 200, 3))
    assert_twins(*example(3000, 200, 9, 10, activation="sigmoid"))
    # Several lots of neurons whose weights fit the cache add up to one array of predictions.
    monkeypatch.setattr(dense_outputs, "PARTIAL_SUMS", 1)
    assert dense_outputs.block_rows(PANEL, 3000, 400) >= 20 * PANEL
    assert_twins(*example(3000, 200, 9, 10, activation="sigmoid"))


def test_no_neurons_predict_nothing():
    features, theta, weights, c = example(0, 5, 2, 3)
    prepared = features.prepare(theta)
    np.testing.assert_array_equal(prepared.predict(weights), np.zeros((5, 3)))
    assert prepared.gradient(c).shape == (0, 6)


def test_padding_reads_no_singular_point():
    """σ = 1/z is singular where rows of zeros would look."""
    own = (lambda z: 1.0 / z, lambda z: -1.0 / (z * z))
    features = DenseOutputs(own, np.full((3, 2), 2.0), 2)
    prepared = features.prepare(np.tile([1.0, 2.0, 0.25, 0.25], (5, 1)))
    np.testing.assert_array_equal(prepared.predict(np.ones(5)), np.tile([5.0, 10.0], (3, 1)))
    np.testing.assert_array_equal(
        prepared.gradient(np.ones((3, 2))), np.tile([3.0, 3.0, -18.0, -18.0], (5, 1))
    )


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    features, theta, weights, c = example(2000, 150, 7, 10)
    assert theta.shape[0] * 150 >= parallel.LEAST_PAIRS
    answers = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(parallel, "threads", lambda threads=threads: threads)
        prepared = features.prepare(theta)
        for _ in range(2):
            answers.append((prepared.predict(weights), prepared.gradient(c)))
    for answer in answers[1:]:
        for one, other in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n,q,d", [(50, 30, 3), (900, 100, 3), (300, 20, 128)])
def test_kept_activations_change_no_bit(n, q, d, monkeypatch):
    features, theta, weights, c = example(n, q, d, 10, activation="softplus")
    prepared = features.prepare(theta)
    rounds = [assert_twins(features, theta, weights, c, prepared) for _ in range(3)]
    assert prepared._kept.filled
    monkeypatch.setattr(energies, "KEEP_ENTRIES", 0)
    never = features.prepare(theta)
    rounds.append(assert_twins(features, theta, weights, c, never))
    assert not never._kept.filled
    for answer in rounds[1:]:
        for one, other in zip(answer, rounds[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_points_and_weights_in_any_layout():
    features, theta, weights, c = example(40, 20, 3, 4)
    for array in (theta, weights, c):
        array.setflags(write=False)
    assert_twins(features, theta, weights, c)
    assert_twins(features, theta, np.repeat(weights, 2)[::2], np.asfortranarray(c).astype(">f8"))


def test_predictions_of_all_blocks_take_little_memory():
    for n, q, k in ((100_000, 1024, 10), (100_000, 60_000, 10), (400, 60_000, 10)):
        rows = dense_outputs.block_rows(PANEL, n, q * k)
        assert rows % PANEL == 0
        assert math.ceil(n / rows) * q * k * 8 <= max(1 << 25, 8 * q * k * 8)


@pytest.mark.parametrize("activation", ["sigmoid", "erf"])
def test_notes_of_a_prediction_change_no_bit_of_the_gradient(activation, monkeypatch):
    features, theta, weights, c = example(600, 61, 11, 10, activation=activation)
    noted = assert_twins(features, theta, weights, c)
    monkeypatch.setattr(energies, "NOTED", 0)
    for one, plain in zip(noted, assert_twins(features, theta, weights, c), strict=True):
        np.testing.assert_array_equal(one, plain)
