"""The evaluator "float32" is within the bound of rounding that it states, at every activation and every scale."""

import pickle
import tracemalloc

import numba
import numpy as np
import pytest

import wflow
from wflow.energies import DenseFeatures, FeatureEnergy, piecewise_linear
from wflow.energies.evaluator import contractions, evaluators
from wflow.energies.evaluators import float32
from wflow.energies.features.activations import BUILT_IN, get_activation
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.errors import InputError

U = 2.0**-24
KNOTS = [(-1.0, 0.5), (0.25, -1.0), (1.0, 2.0)]
OWN = (lambda z: z * z / (1 + z * z), lambda z: 2 * z / (1 + z * z) ** 2)
ACTIVATIONS = {name: get_activation(name) for name in BUILT_IN} | {
    "knots": piecewise_linear(KNOTS),
    "own": get_activation(OWN),
}
KINKS = {"relu": (0.0,), "knots": tuple(k for k, _ in KNOTS)}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_as_accurate_as_stated(name):
    sigma = ACTIVATIONS[name]
    z = np.concatenate([s * np.geomspace(1e-30, 80, 20_000) for s in (-1.0, 1.0)] + [np.zeros(1)])
    z = z.astype(np.float32)
    got = np.empty_like(z), np.empty_like(z)
    float32.map_of(sigma)(z, sigma.params.astype(np.float32), *got)
    for one, exact in zip(got, sigma.value_and_derivative(z.astype(float)), strict=True):
        error = np.abs(one - exact)
        if name == "gaussian-rbf":
            assert (error <= 8 * U * np.abs(exact)).all()
        else:
            assert (error <= 4 * U * (1 + np.abs(exact))).all()


@pytest.mark.parametrize("name", ["tanh", "identity", "erf"])
def test_odd_activations_are_accurate_near_zero_too(name):
    sigma = ACTIVATIONS[name]
    z = np.geomspace(1e-30, 1.0, 5_000).astype(np.float32)
    got = np.empty_like(z)
    float32.map_of(sigma)(z, np.zeros(1, np.float32), got, np.empty_like(z))
    assert got == pytest.approx(sigma(z.astype(float)), rel=8 * U, abs=0)


def stated(features, points, w, c, kinks):
    """The bounds of the module for prediction, sums over nodes and slopes, for one output."""
    a, b, theta = features.split(points)
    charges = np.ones((len(points), 1)) if a is None else a.reshape(len(points), -1)
    size = np.abs(theta) @ np.abs(features.nodes).T + (0 if b is None else np.abs(b)[:, None])
    at = theta @ features.nodes.T + (0 if b is None else b[:, None])
    dz = (features.dimension + 3) * U * size
    value, slope = features.activation.value_and_derivative(at)
    around = [features.activation.value_and_derivative(at + s * dz) for s in (-1, 0, 1)]
    steep = np.max([np.abs(s) for _, s in around], axis=0)
    bend = np.max([np.abs(s - slope) for _, s in around], axis=0)
    for kink in kinks:
        bend[np.abs(at - kink) <= dz] = 3.0
    in_value = steep * dz + 2 * float32.TERMS * U * (1 + np.abs(value))
    in_slope = bend + 2 * float32.TERMS * U * (1 + np.abs(slope))
    c = np.abs(c.reshape(len(c), -1))
    pull = in_slope * (np.abs(charges) @ c.T)
    sums = in_value @ c
    head = [sums] * features.charges + [pull.sum(1)[:, None]] * features.offset
    predict = in_value.T @ (np.abs(w)[:, None] * np.abs(charges))
    gradient = np.concatenate([*head, pull @ np.abs(features.nodes)], axis=1)
    return predict, (np.abs(charges) * sums).sum(1), gradient


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_contractions_are_within_the_bound_stated(name, scale):
    rng = np.random.default_rng(5)
    x, sigma = rng.normal(size=(301, 3)), ACTIVATIONS[name]
    if name == "gaussian-rbf":
        scale = min(scale, 3.0)
    for features in (
        DenseFeatures(sigma, x),
        DenseFeatures(sigma, x, charges=True, offset=True),
        DenseOutputs(sigma, x, 5, offset=True),
    ):
        points = scale * rng.normal(size=(67, features.dimension))
        w = rng.normal(size=67)
        c = rng.normal(size=(301, features.outputs)[: 1 + (features.outputs > 1)])
        found = contractions("float32", features)(points)
        exact = evaluators["numpy"].prepare(features, points)
        bounds = stated(features, points, w, c, KINKS.get(name, ()))
        for asked, weights, bound in zip(
            ("predict", "potential", "gradient"), (w, c, c), bounds, strict=True
        ):
            expected = getattr(exact, asked)(weights)
            error = np.abs(getattr(found, asked)(weights) - expected)
            assert (error <= bound.reshape(expected.shape)).all(), (asked, features)


def test_long_sums_are_no_less_accurate():
    """2e5 equal terms: a sum in float32 alone loses 3 digits of them."""
    features = DenseFeatures("sigmoid", np.full((200_000, 1), 0.3))
    plain = contractions("float32", features)(np.array([[0.7]]))
    c = np.full(200_000, 0.1)
    expected = evaluators["numpy"].prepare(features, np.array([[0.7]])).potential(c)
    assert plain.potential(c) == pytest.approx(expected, rel=20 * U)
    few = DenseFeatures("sigmoid", [[0.3]])
    many = np.full((200_000, 1), 0.7)
    expected = evaluators["numpy"].prepare(few, many).predict(c)
    assert contractions("float32", few)(many).predict(c) == pytest.approx(expected, rel=20 * U)


def test_weights_of_any_size_are_kept():
    rng = np.random.default_rng(6)
    features = DenseFeatures("tanh", rng.normal(size=(40, 2)), charges=True)
    points, w, c = rng.normal(size=(9, 3)), rng.random(9), rng.random(40)
    at = contractions("float32", features)(points)
    for power in (2.0**-300, 2.0**300):
        assert (at.predict(power * w) == power * at.predict(w)).all()
        assert (at.gradient(power * c) == power * at.gradient(c)).all()
    assert (at.predict(0 * w) == 0).all()


def test_threads_change_no_bit():
    rng = np.random.default_rng(7)
    before = numba.get_num_threads()
    for features in (
        DenseFeatures("tanh", rng.normal(size=(700, 5)), charges=True, offset=True),
        DenseOutputs("erf", rng.normal(size=(700, 5)), 4),
    ):
        points, w = rng.normal(size=(1003, features.dimension)), rng.random(1003)
        c = rng.normal(size=(700, features.outputs)[: 1 + (features.outputs > 1)])
        answers = []
        for count in (1, before):
            numba.set_num_threads(count)
            found = contractions("float32", features)(points)
            answers.append([found.predict(w), found.gradient(c), found.potential(c)])
        for one, other in zip(*answers, strict=True):
            assert (one == other).all()


def test_sums_of_blocks_take_little_memory():
    """On so many samples by outputs, 8 sums of blocks and not 32; each adds up what several blocks would."""
    rng = np.random.default_rng(3)
    features = DenseOutputs("identity", rng.normal(size=(50_000, 1)), 10)
    points, w = rng.normal(size=(512, features.dimension)), rng.random(512)
    found = contractions("float32", features)(points)
    found.predict(w)  # compiles
    tracemalloc.start()
    out = found.predict(w)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 12 * out.nbytes
    exact = features.nodes * (w[:, None] * points[:, 10:] * points[:, :10]).sum(axis=0)
    assert np.abs(out - exact).max() < 1e-5 * np.abs(exact).max()


def test_a_resumed_run_has_the_bits_of_one_that_was_not(tmp_path):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(30, 2))
    energy = FeatureEnergy("tanh", x, np.sin(x[:, 0]), evaluator="float32")
    energy = pickle.loads(pickle.dumps(energy))  # noqa: S301
    assert energy.evaluator == "float32"
    flow = wflow.GradientFlow(energy, ridge=0.1)
    start = wflow.measures.Particles(rng.normal(size=(20, 2)))
    whole = wflow.solve(flow, start, (0, 2.0), t_eval=[0, 1, 2])
    path = tmp_path / "run.h5"
    wflow.solve(flow, start, (0, 1.0), t_eval=[0, 1], output=path)
    assert wflow.resume(path, flow, t_end=2.0).risk[-1] == whole.risk[-1]
    own = FeatureEnergy("tanh", x, np.sin(x[:, 0]))
    exact = wflow.solve(wflow.GradientFlow(own, ridge=0.1), start, (0, 2.0))
    assert whole.risk[-1] == pytest.approx(exact.risk[-1], rel=1e-6)


def test_inputs_beyond_float32_are_refused():
    features = DenseFeatures("tanh", [[1e39]])
    with pytest.raises(InputError, match=r"an input of 1e\+39 is above 3.4e\+38.*take 'auto'"):
        contractions("float32", features)(np.ones((1, 1)))
