"""The fused layer against whole arrays in numpy: every activation, odd sizes, threads, what is kept."""

import math
import subprocess
import sys

import numpy as np
import pytest

from wflow.energies.features import dense as energies
from wflow.energies.features import notes
from wflow.energies.features.activations import BUILT_IN, get_activation
from wflow.energies.features.dense import DenseFeatures
from wflow.kernels import parallel
from wflow.kernels.features.dense import block_rows
from wflow.kernels.memory import kernel_floats
from wflow.kernels.tile import PANEL


def example(activation, n, q, d, charges, offset, seed=0):
    rng = np.random.default_rng(seed)
    features = DenseFeatures(
        activation, rng.standard_normal((q, d)), charges=charges, offset=offset
    )
    theta = rng.standard_normal((n, features.dimension))
    return features, theta, rng.random(n), rng.standard_normal(q)


def twin(features, theta, weights, node_weights):
    """The definition, in whole arrays."""
    n = theta.shape[0]
    a = theta[:, 0] if features.charges else np.ones(n)
    b = theta[:, int(features.charges)] if features.offset else np.zeros(n)
    w = theta[:, features.charges + features.offset :]
    value, slope = features.activation.value_and_derivative(w @ features.nodes.T + b[:, None])
    pull = a[:, None] * slope * node_weights
    parts = [value @ node_weights] * features.charges + [pull.sum(axis=1)] * features.offset
    gradient = np.column_stack([*parts, pull @ features.nodes])
    return (weights * a) @ value, a * (value @ node_weights), gradient


def assert_twins(features, theta, weights, node_weights, prepared=None):
    prepared = features.prepare(theta) if prepared is None else prepared
    got = (
        prepared.predict(weights),
        prepared.potential(node_weights),
        prepared.gradient(node_weights),
    )
    for one, other in zip(got, twin(features, theta, weights, node_weights), strict=True):
        assert one.shape == other.shape
        scale = max(np.abs(other).max(), 1e-3)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * scale)
    return got


@pytest.mark.parametrize("charges", [False, True])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("activation", BUILT_IN)
def test_every_activation(activation, charges, offset):
    assert_twins(*example(activation, 37, 70, 5, charges, offset))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
@pytest.mark.parametrize("q", [1, 7, 64, 65, 129])
@pytest.mark.parametrize("d", [1, 8, 13])
def test_sizes_that_fill_no_tile(n, q, d):
    assert_twins(*example("tanh", n, q, d, True, True))


def test_many_inputs_and_many_blocks():
    assert_twins(*example("sigmoid", 700, 90, 200, True, True))
    assert_twins(*example("sigmoid", 3000, 200, 9, True, True))


def test_no_neurons_predict_nothing():
    features, theta, weights, node_weights = example("tanh", 0, 5, 2, True, True)
    prepared = features.prepare(theta)
    np.testing.assert_array_equal(prepared.predict(weights), np.zeros(5))
    assert prepared.gradient(node_weights).shape == (0, 4)


def test_the_users_own_activation_and_one_with_constants():
    own = (lambda z: z * math.sin(z), lambda z: math.sin(z) + z * math.cos(z))
    assert_twins(*example(own, 40, 33, 3, True, True))
    knots = energies.get_activation(get_activation("relu"))
    assert_twins(*example(knots, 40, 33, 3, True, False))


def test_padding_reads_no_singular_point():
    """σ = 1/z is singular where rows of zeros would look."""
    features = DenseFeatures((lambda z: 1.0 / z, lambda z: -1.0 / (z * z)), np.full((3, 2), 2.0))
    prepared = features.prepare(np.full((5, 2), 0.25))
    np.testing.assert_array_equal(prepared.predict(np.ones(5)), np.full(3, 5.0))
    np.testing.assert_array_equal(prepared.gradient(np.ones(3)), np.full((5, 2), -6.0))


@pytest.mark.parametrize("charges,offset", [(True, True), (False, False)])
def test_gradient_is_that_of_automatic_differentiation(charges, offset):
    import autograd.numpy as anp
    from autograd import grad

    features, theta, _, node_weights = example("tanh", 33, 21, 4, charges, offset)
    head = charges + offset

    def pairing(points):
        z = anp.dot(points[:, head:], features.nodes.T)
        if offset:
            z = z + points[:, head - 1 : head]
        value = anp.tanh(z)
        return anp.sum(anp.dot(points[:, :1] * value if charges else value, node_weights))

    np.testing.assert_allclose(
        features.prepare(theta).gradient(node_weights), grad(pairing)(theta), rtol=1e-9, atol=1e-13
    )


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    features, theta, weights, node_weights = example("sigmoid", 2000, 150, 7, True, True)
    assert theta.shape[0] * 150 >= parallel.LEAST_PAIRS
    answers = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(parallel, "threads", lambda threads=threads: threads)
        prepared = features.prepare(theta)
        for _ in range(2):
            answers.append((prepared.predict(weights), prepared.gradient(node_weights)))
    for answer in answers[1:]:
        for one, other in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n,q,d", [(50, 30, 3), (900, 100, 3), (300, 20, 128)])
def test_kept_activations_change_no_bit(n, q, d, monkeypatch):
    features, theta, weights, node_weights = example("softplus", n, q, d, True, True)
    prepared = features.prepare(theta)
    rounds = [assert_twins(features, theta, weights, node_weights, prepared) for _ in range(3)]
    assert prepared._kept.filled
    monkeypatch.setattr(energies, "KEEP_ENTRIES", 0)
    never = features.prepare(theta)
    rounds.append(assert_twins(features, theta, weights, node_weights, never))
    assert not never._kept.filled
    for answer in rounds[1:]:
        for one, other in zip(answer, rounds[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_points_and_weights_in_any_layout():
    features, theta, weights, node_weights = example("tanh", 40, 20, 3, True, True)
    for array in (theta, weights, node_weights):
        array.setflags(write=False)
    assert_twins(features, theta, weights, node_weights)
    assert_twins(features, theta, np.repeat(weights, 2)[::2], node_weights.astype(">f8"))
    assert kernel_floats(weights).flags.writeable


def test_blocks_depend_on_the_shape_alone():
    assert block_rows(10, 10, 3) == PANEL
    for n, q, d in ((10_000, 1024, 32), (100_000, 10_000, 784)):
        rows = block_rows(n, q, d)
        assert rows % PANEL == 0
        assert rows * d <= max(1 << 16, PANEL * d)


@pytest.mark.slow  # 15 s on two cores, a minute on a busy machine
def test_1e5_particles_on_1e4_nodes_fit_in_a_gibibyte():
    """One product of all pairs alone would take 7.5 GiB."""
    code = """
import resource, sys
import numpy as np
from wflow.energies import FeatureEnergy
rng = np.random.default_rng(0)
energy = FeatureEnergy("sigmoid", rng.standard_normal((10_000, 16)), rng.standard_normal(10_000),
                       charges=True, offset=True)
theta = rng.standard_normal((100_000, 18))
field = energy.prepare(theta).field(np.full(100_000, 1e-5))
assert np.isfinite(field.risk) and np.isfinite(field.gradient()).all()
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**30


@pytest.mark.parametrize("activation", ["sigmoid", "erf"])
@pytest.mark.parametrize("n,q", [(600, 61), (33, 1000)])
def test_notes_of_a_prediction_change_no_bit_of_the_gradient(activation, n, q, monkeypatch):
    features, theta, weights, node_weights = example(activation, n, q, 11, True, True)
    theta[0] = -1e3 * theta[0]  # saturated, either way
    assert n * q > energies.SMALL

    def answers():
        prepared = features.prepare(theta)
        got = (
            prepared.predict(weights),
            prepared.gradient(node_weights),
            prepared.potential(-node_weights),
        )
        assert not prepared._kept.filled
        return got

    with_notes, again = answers(), answers()
    monkeypatch.setattr(energies, "NOTED", 0)
    for one, other, plain in zip(with_notes, again, answers(), strict=True):
        np.testing.assert_array_equal(one, plain)
        np.testing.assert_array_equal(other, plain)


def test_notes_written_over_or_in_use_are_done_without():
    features, theta, weights, node_weights = example("sigmoid", 600, 64, 3, True, True)
    first, second = features.prepare(theta), features.prepare(2 * theta)
    first.predict(weights)
    second.predict(weights)  # writes over the notes of the first
    assert_twins(features, theta, weights, node_weights, first)
    first, second = features.prepare(theta), features.prepare(2 * theta)
    second.predict(weights)
    with second._notes.read(second) as mine:
        assert mine.size > 0
        assert_twins(features, theta, weights, node_weights, first)
    with second._notes.read(second) as mine:
        assert mine.size > 0, "nobody could write meanwhile"


def test_without_memory_for_notes_there_are_none(monkeypatch):
    def refuse(size):
        raise MemoryError

    monkeypatch.setattr(notes, "aligned_empty", refuse)
    assert_twins(*example("sigmoid", 600, 64, 3, True, True))
