"""Feature energies against direct sums, finite differences, blocks and a pair energy."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow.energies import FeatureEnergy, PairEnergy
from wflow.energies.features import dense
from wflow.errors import InputError


def make(charges, offset, loss="square", activation="tanh", q=9, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((q, d))
    y = np.sign(rng.standard_normal(q))
    p = rng.random(q)
    return FeatureEnergy(activation, x, y, p / p.sum(), loss, charges=charges, offset=offset)


@pytest.mark.parametrize("charges", [False, True])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("loss", ["square", "logistic"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "erf"])
def test_gradient_is_half_n_times_the_networks_own(charges, offset, loss, activation):
    """∇Ψ(θ_i) = (1/(2w_i)) ∂R/∂θ_i, by complex-free central differences of the whole risk."""
    energy = make(charges, offset, loss, activation)
    rng = np.random.default_rng(1)
    theta = rng.standard_normal((5, energy.dimension))
    w = rng.random(5)
    gradient = energy.prepare(theta).field(w).gradient()
    numeric = np.empty_like(theta)
    h = 1e-5
    for i in range(5):
        for k in range(energy.dimension):
            values = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[i, k] += sign * h
                values.append(energy.prepare(moved).field(w).risk)
            numeric[i, k] = (values[0] - values[1]) / (4 * h * w[i])
    assert gradient == pytest.approx(numeric, abs=2e-9)


@pytest.mark.parametrize("loss", ["square", "logistic"])
def test_first_variation_is_half_the_derivative_in_the_weights(loss):
    energy = make(True, True, loss)
    rng = np.random.default_rng(2)
    theta, w, direction = rng.standard_normal((6, 5)), rng.random(6), rng.standard_normal(6)
    prepared = energy.prepare(theta)
    h = 1e-6
    slope = (prepared.field(w + h * direction).risk - prepared.field(w - h * direction).risk) / (
        2 * h
    )
    assert prepared.field(w).first_variation() @ direction == pytest.approx(slope / 2, abs=1e-8)


def test_nothing_kept_does_not_change_the_answer(monkeypatch):
    energy = make(True, True, q=40)
    theta = np.random.default_rng(3).standard_normal((50, 5))
    w = np.full(50, 0.02)
    kept = energy.prepare(theta).field(w)
    monkeypatch.setattr(dense, "KEEP_ENTRIES", 0)
    computed_again = energy.prepare(theta).field(w)
    assert computed_again.risk == kept.risk
    np.testing.assert_array_equal(computed_again.first_variation(), kept.first_variation())
    np.testing.assert_array_equal(computed_again.gradient(), kept.gradient())


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_risk_is_convex_in_the_measure(n, seed, share):
    energy = make(True, False, seed=seed)
    rng = np.random.default_rng(seed)
    prepared = energy.prepare(rng.standard_normal((n, 4)))
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    mixed = prepared.field(share * a + (1 - share) * b).risk
    assert mixed <= share * prepared.field(a).risk + (1 - share) * prepared.field(b).risk + 1e-12


def test_features_and_pair_potentials_are_twins():
    """A linear unit w·x has V(w) = −E[y x]·w and U(w, w') = w·E[xxᵀ]w'."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((30, 2)), rng.standard_normal(30)
    cross, second = (y[:, None] * x).mean(axis=0), x.T @ x / 30
    features = FeatureEnergy("identity", x, y)
    pair = PairEnergy(
        lambda w: -w @ cross,
        lambda w, v: (w @ second * v).sum(axis=-1),
        dimension=2,
        constant=float((y**2).mean()),
    )
    theta, weights = rng.standard_normal((12, 2)), np.full(12, 1 / 12)
    one, two = features.prepare(theta).field(weights), pair.prepare(theta).field(weights)
    assert one.risk == pytest.approx(two.risk, rel=1e-12)
    assert one.first_variation() == pytest.approx(two.first_variation(), rel=1e-10)
    assert one.gradient() == pytest.approx(two.gradient(), abs=1e-8)
    at = rng.standard_normal((3, 2))
    assert one.gradient(at) == pytest.approx(two.gradient(at), abs=1e-8)


def test_user_activation_is_compiled_from_scalars():
    pair = (lambda z: z**3, lambda z: 3 * z**2)
    energy = FeatureEnergy(pair, [[2.0]], [1.0])
    field = energy.prepare(np.array([[0.5]])).field(np.ones(1))
    assert field.risk == 0.0
    assert energy.prepare(np.array([[1.0]])).field(np.ones(1)).gradient() == pytest.approx(
        7 * 12 * 2
    )


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("tanh", [[np.nan]], [1.0]), "nodes.*finite"),
        (("tanh", [[1.0], [2.0]], [1.0]), r"targets of shape \(1,\): expected \(2,\)"),
        (("tanh", [[1.0]], [np.inf]), r"targets\[0\] is inf"),
        (("tanh", [[1.0]], [1.0], [-1.0]), "weights must not be negative"),
        (("tan", [[1.0]], [1.0]), "unknown activation 'tan'"),
        (("tanh", [[1.0]], [1.0], None, "hinge"), "unknown loss 'hinge'"),
        (("tanh", [[1.0]], [2.0], None, "logistic"), "labels are -1 or"),
        (("tanh", [[1.0]]), "targets missing"),
        (("tanh", "text", [1.0]), "nodes is not an array of real numbers"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        FeatureEnergy(*arguments)
    assert "\n" not in str(caught.value)


def test_points_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r"expected \(n, 5\)"):
        make(True, True).prepare(np.zeros((4, 2)))


def test_a_gradient_brings_the_first_variation_with_it(monkeypatch):
    """Births need both of the same measure: one pass over neurons and nodes, and the same bits as two."""
    energy = make(True, True, q=40)
    theta, w = np.random.default_rng(3).standard_normal((50, 5)), np.full(50, 0.02)
    alone = energy.prepare(theta).field(w).first_variation()
    field, passes = energy.prepare(theta).field(w), []
    once = dense.PreparedDense._contract
    monkeypatch.setattr(dense.PreparedDense, "_contract", lambda *a: passes.append(1) or once(*a))
    field.gradient()
    np.testing.assert_array_equal(field.first_variation(), alone)
    assert len(passes) == 1


def test_a_larger_cloud_before_leaves_no_trace():
    """What 2000 neurons noted, who are no more, is not taken for that of 20 whose activations are kept."""
    rng = np.random.default_rng(5)
    x, few, many = rng.normal(size=(40, 2)), rng.normal(size=(20, 3)), rng.normal(size=(2000, 3))

    def energy():
        return FeatureEnergy("tanh", x, np.sin(x[:, 0]), charges=True)

    def slope(one, points):
        return one.prepare(points).field(np.full(len(points), 1 / len(points))).gradient()

    used = energy()
    slope(used, many)
    np.testing.assert_array_equal(slope(used, few), slope(energy(), few))


def test_sums_of_blocks_take_little_memory(monkeypatch):
    """On so many samples, 8 sums of blocks and not 32; each adds up what several blocks would."""
    rng = np.random.default_rng(3)
    features = dense.DenseFeatures("identity", rng.normal(size=(1 << 19, 1)))
    points, w = rng.normal(size=(256, 1)), rng.random(256)
    monkeypatch.setattr(dense, "NOTED", 0)  # nothing is kept
    found = features.prepare(points)
    features.prepare(points[:9]).predict(w[:9])  # compiles
    tracemalloc.start()
    out = found.predict(w)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 12 * out.nbytes
    assert np.abs(out - features.nodes[:, 0] * (w @ points[:, 0])).max() < 1e-10
