"""Risks of networks of K outputs: gradients by three ways, targets in every form, scores, what is refused."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.energies import FeatureEnergy, FeatureMap
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.energies.features.losses import get_loss, right
from wflow.errors import InputError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(23, 3))
Y = {"square": RNG.normal(size=(23, 4)), "softmax": RNG.dirichlet(np.ones(4), 23)}
P = RNG.random(23)


def make(loss, offset=True, activation="tanh", **given):
    return FeatureEnergy(activation, X, Y[loss], P, loss, charges=True, offset=offset, **given)


def outputs(theta, weights, offset, activation=anp.tanh):
    """f_qk, written for arrays that are differentiated, real or complex."""
    z = anp.dot(theta[:, 4 + offset :], X.T)
    if offset:
        z = z + theta[:, 4:5]
    return anp.dot((weights[:, None] * activation(z)).T, theta[:, :4])


def risk(theta, weights, loss, offset):
    f = outputs(theta, weights, offset)
    if loss == "square":
        return anp.dot(P, anp.sum((Y[loss] - f) ** 2, axis=1))
    return anp.dot(P, anp.log(anp.sum(anp.exp(f), axis=1)) - anp.sum(Y[loss] * f, axis=1))


def law(energy, n=7, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, energy.dimension)), rng.uniform(0.1, 1.0, n)


@pytest.mark.parametrize("evaluator", ["auto", "numpy"])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("loss", ["square", "softmax"])
def test_gradients_are_those_of_automatic_differentiation_and_of_the_complex_step(
    loss, offset, evaluator
):
    energy = make(loss, offset, evaluator=evaluator)
    theta, w = law(energy)
    field = energy.prepare(theta).field(w)
    assert field.risk == pytest.approx(risk(theta, w, loss, offset), rel=1e-13)
    own = grad(risk)(theta, w, loss, offset) / (2 * w[:, None])
    np.testing.assert_allclose(field.gradient(), own, rtol=1e-9, atol=1e-12)
    # Psi is half the slope in the mass of a neuron.
    step = 1e-30j * np.eye(len(w))
    slopes = [risk(theta, w + one, loss, offset).imag / 1e-30 for one in step]
    np.testing.assert_allclose(field.first_variation(), 0.5 * np.array(slopes), rtol=1e-11)
    # At other points the field is the same function.
    at = law(energy, 3, seed=2)[0]
    psi = [
        0.5 * risk(np.vstack([theta, one]), np.append(w, 1e-30j), loss, offset).imag / 1e-30
        for one in at
    ]
    np.testing.assert_allclose(field.first_variation(at), psi, rtol=1e-11)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus", "erf"])
def test_gradients_of_other_activations_are_differences(activation):
    energy = make("softmax", True, activation)
    theta, w = law(energy, 3)
    gradient, h = energy.prepare(theta).field(w).gradient(), 1e-5
    for i, k in np.ndindex(theta.shape):
        moved = [theta.copy() for _ in range(2)]
        moved[0][i, k] += h
        moved[1][i, k] -= h
        up, down = (energy.prepare(m).field(w).risk for m in moved)
        assert gradient[i, k] == pytest.approx((up - down) / (4 * h * w[i]), abs=2e-9)


@pytest.mark.parametrize("loss", ["square", "logistic", "softmax"])
def test_half_slopes(loss):
    chosen, f = get_loss(loss), X[:5]
    y = np.eye(3)[[0, 2, 1, 1, 0]]
    if loss == "logistic":
        f, y = f[:, 0], 2 * y[:, 0] - 1
    slope, h = chosen.half_slope(y, f), 1e-6
    for place in np.ndindex(f.shape):
        shift = np.zeros(f.shape)
        shift[place] = h
        up, down = (chosen.value(y, f + s * shift).sum() for s in (1, -1))
        assert slope[place] == pytest.approx((up - down) / (4 * h), abs=1e-9)


def test_softmax_of_large_outputs():
    loss, y = get_loss("softmax"), np.eye(2)[[0, 0]]
    f = np.array([[2000.0, -2000.0], [-2000.0, 2000.0]])
    np.testing.assert_array_equal(loss.value(y, f), [0.0, 4000.0])
    np.testing.assert_array_equal(loss.half_slope(y, f), [[0, 0], [-0.5, 0.5]])


def test_two_softmax_outputs_are_the_logistic_loss():
    """log(1 + e^{−y(f1 − f2)}), so that neurons (a, −a) in place of a with half the weight are the same network."""
    labels = np.sign(X[:, 0])
    one = FeatureEnergy("tanh", X, labels, P, "logistic", charges=True)
    two = FeatureEnergy("tanh", X, (labels < 0).astype(int), P, "softmax", charges=True)
    theta, w = law(one)
    both = np.column_stack([0.5 * theta[:, 0], -0.5 * theta[:, 0], theta[:, 1:]])
    found, expected = two.prepare(both).field(w), one.prepare(theta).field(w)
    assert found.risk == pytest.approx(expected.risk, rel=1e-13)
    assert found.first_variation() == pytest.approx(expected.first_variation(), abs=1e-14)
    assert found.accuracy == expected.accuracy
    assert found.gradient()[:, 2:] == pytest.approx(expected.gradient()[:, 1:], abs=1e-14)


def test_labels_rows_and_one_column():
    labels = np.arange(23) % 3
    rows = FeatureEnergy("tanh", X, np.eye(3)[labels], loss="softmax", charges=True)
    named = FeatureEnergy("tanh", X, labels, loss="softmax", charges=True)
    more = FeatureEnergy("tanh", X, labels, loss="softmax", charges=True, outputs=5)
    assert rows.fingerprint() == named.fingerprint()
    assert more.coordinates == ("a1", "a2", "a3", "a4", "a5", "w1", "w2", "w3")
    np.testing.assert_array_equal(more.targets.sum(axis=0)[3:], 0)
    column = FeatureEnergy("tanh", X, labels[:, None], charges=True)
    assert column.fingerprint() == FeatureEnergy("tanh", X, labels, charges=True).fingerprint()
    assert column.coordinates[0] == "a"
    assert named.fingerprint() != more.fingerprint()


def test_each_output_is_a_network_of_its_own():
    """With the square loss R is the sum of K risks; f_k and the slope in a_k are those of the k-th."""
    energy = make("square")
    theta, w = law(energy)
    rho, field = Particles(theta, w), energy.prepare(theta).field(w)
    total, psi = 0.0, 0.0
    for k in range(4):
        one = FeatureEnergy("tanh", X, Y["square"][:, k], P, charges=True, offset=True)
        alone = one.prepare(theta[:, [k, 4, 5, 6, 7]]).field(w)
        total, psi = total + alone.risk, psi + alone.first_variation()
        assert field.gradient()[:, k] == pytest.approx(alone.gradient()[:, 0], abs=1e-13)
        f = one.predict(Particles(theta[:, [k, 4, 5, 6, 7]], w), X[:5])
        assert energy.predict(rho, X[:5])[:, k] == pytest.approx(f, abs=1e-13)
    assert field.risk == pytest.approx(total, rel=1e-13)
    assert field.first_variation() == pytest.approx(psi, abs=1e-13)


def test_interactions_of_several_outputs():
    energy = make("square")
    theta, _ = law(energy)
    n = len(theta)
    z = np.tanh(theta[:, 5:] @ X.T + theta[:, 4:5])
    expected = (theta[:, :4] @ theta[:, :4].T) * ((z * P) @ z.T)
    column = energy.columns(theta)
    np.testing.assert_allclose([column(j) for j in range(n)], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(energy.diagonal(theta), expected.diagonal(), rtol=1e-12)
    with pytest.raises(InputError, match="loss 'softmax': there is no U"):
        make("softmax").diagonal(theta)


@pytest.mark.parametrize("features", [DenseOutputs("tanh", X, 4, offset=True), "own"])
def test_outputs_one_by_one(features):
    """For linearised flows: each output of a node is a node; the same risk, and a Jacobian that is the slope of all."""
    own = Powers(np.linspace(-1, 1, 23))
    features, y = (own, X[:, :2]) if features == "own" else (features, Y["square"])
    energy = FeatureEnergy(features=features, targets=y, weights=P)
    flat = energy.on_nodes()
    theta, w = law(energy, 5)
    field, alike = energy.prepare(theta).field(w), flat.prepare(theta).field(w)
    assert alike.risk == pytest.approx(field.risk, rel=1e-13)
    assert alike.first_variation() == pytest.approx(field.first_variation(), rel=1e-12)
    assert alike.gradient() == pytest.approx(field.gradient(), rel=1e-12, abs=1e-13)
    values, slopes = flat.features.jacobian(theta)
    assert w @ values == pytest.approx(alike.prediction, rel=1e-13)
    c = flat.weights * (alike.prediction - flat.targets)
    assert slopes @ c == pytest.approx(field.gradient(), rel=1e-11, abs=1e-13)
    assert features.jacobian(theta)[1].shape == (*theta.shape, *y.shape)
    with pytest.raises(InputError, match="loss 'softmax' joins the 4 outputs of a node"):
        make("softmax").on_nodes()


def test_fluctuations_of_several_outputs():
    """At the start those of sums: N E Σ p |f_N − f|² = Σ p (∫|σ*|² dρ − |f|²)."""
    energy = make("square")
    theta, w = law(energy, 12)
    rho = Particles(theta, w / w.sum())
    found = wflow.validation.fluctuations(GradientFlow(energy), rho, [0.0, 0.2])
    values = np.tanh(theta[:, 5:] @ X.T + theta[:, 4:5])[..., None] * theta[:, None, :4]
    second, first = (np.tensordot(rho.weights(), part, 1) for part in (values**2, values))
    expected = P @ (second - first**2).sum(axis=1)
    assert found.output_variance[0] == pytest.approx(expected, rel=1e-10)
    assert 0 < found.output_variance[1] != found.output_variance[0]


def test_a_grid_of_two_outputs():
    """a ∈ R² and one weight: a law on three axes; Gibbs's law and all grid methods take it as they take any."""
    energy = FeatureEnergy("tanh", [-1.0, 0.5], [[0.3, -0.1], [0.2, 0.4]], charges=True)
    rho = GridDensity.from_function(
        lambda x: np.exp(-(x**2).sum(-1)), [(-2, 2)] * 3, n=(7, 6, 5), names=energy.coordinates
    )
    f = rho.points()[:, :2].T @ (
        rho.weights()[:, None] * np.tanh(rho.points()[:, 2:] * [-1.0, 0.5])
    )
    np.testing.assert_allclose(energy.predict(rho, [-1.0, 0.5]), f.T, atol=1e-14)
    sol = wflow.solve(
        GradientFlow(energy, temperature=0.1, ridge=0.2), rho, (0, 0.1), t_eval=[0, 0.1]
    )
    assert sol.success, sol.message
    assert sol.risk[-1] < sol.risk[0]


def test_runs_tell_the_accuracy(tmp_path):
    labels = np.digitize(X[:, 0], [-0.5, 0.5])
    train = FeatureEnergy("tanh", X[:15], labels[:15], loss="softmax", charges=True, offset=True)
    test = FeatureEnergy(
        "tanh", X[15:], labels[15:], loss="softmax", charges=True, offset=True, outputs=3
    )
    flow = GradientFlow(train, observations={"test_risk": test})
    start = Particles(law(train, 20)[0], names=train.coordinates)
    sol = wflow.solve(flow, start, (0, 20), t_eval=[0, 10, 20], output=tmp_path / "run.h5")
    for rho, own, other in zip(
        sol.measures, sol.series["accuracy"], sol.series["test_accuracy"], strict=True
    ):
        told = train.predict(rho, X).argmax(axis=1) == labels
        assert (own, other) == pytest.approx((told[:15].mean(), told[15:].mean()), rel=1e-15)
    assert sol.series["accuracy"][-1] > 0.8
    for word in ("accuracy", "test_accuracy"):
        assert word in sol.summary()
    assert sol.predict(X[:2]).shape == (2, 3)
    assert list(sol.to_xarray().coords["coordinate"].values[:4]) == ["a1", "a2", "a3", "b"]
    panels = sol.plot().axes
    assert [p.get_ylabel() for p in panels][1] == "share of samples told right [1]"
    on = wflow.resume(tmp_path / "run.h5", flow, t_end=30.0)
    whole = wflow.solve(flow, start, (0, 30), t_eval=[0, 10, 20, 30])
    np.testing.assert_array_equal(on.series["test_accuracy"], whole.series["test_accuracy"])


def test_weights_and_flags_decide_the_accuracy():
    labels = np.array([1.0, -1.0, -1.0])
    energy = FeatureEnergy("identity", [1.0, 2.0, -1.0], labels, [1, 2, 5], "logistic")
    field = energy.prepare(np.array([[0.5]])).field(np.ones(1))
    assert field.accuracy == 6 / 8
    assert energy.scores == ("accuracy",)
    assert FeatureEnergy("identity", [1.0], [1.0]).scores == ()
    assert FeatureEnergy("identity", [1.0], [1.0], accuracy=True).scores == ("accuracy",)
    quiet = FeatureEnergy("identity", [1.0], [1.0], loss="logistic", accuracy=False)
    start = Particles([0.1])
    assert "accuracy" not in wflow.solve(GradientFlow(quiet), start, (0, 1)).series
    np.testing.assert_array_equal(right(np.array([[0.2, 0.8]]), np.array([[3.0, 1.0]])), [False])


class Powers(FeatureMap):
    """A user's own σ*(x; θ) = (θx, θ²x²) of two outputs."""

    dimension, outputs = 1, 2

    def __init__(self, x):
        self.x = np.asarray(x, dtype=float)
        self.n_nodes = len(self.x)

    def prepare(self, points):
        return PreparedPowers(self.x, points[:, 0])

    def at(self, x):
        return Powers(x)

    def fingerprint(self):
        return "powers"


class PreparedPowers:
    def __init__(self, x, theta):
        z = np.multiply.outer(x, theta)
        self.values = np.stack([z, z**2])
        self.slopes = np.stack([0 * z + x[:, None], 2 * z * x[:, None]])

    def predict(self, weights):
        return (self.values @ weights).T

    def potential(self, c):
        return np.einsum("qk,kqi->i", c, self.values)

    def gradient(self, c):
        return np.einsum("qk,kqi->i", c, self.slopes)[:, None]


def test_features_of_ones_own_may_have_several_outputs():
    energy = FeatureEnergy(features=Powers([1.0, 2.0]), targets=[[0.5, 0.3], [1.0, 0.9]])
    sol = wflow.solve(GradientFlow(energy), Particles([0.1, 0.9]), (0, 5))
    assert sol.risk[-1] < sol.risk[0]
    assert energy.predict(Particles([2.0]), [3.0]).tolist() == [[6.0, 36.0]]


REFUSED = {
    "no charges": (
        ("tanh", X, Y["square"]),
        {},
        "targets of 4 columns without charges: the neurons of a network of 4 outputs have as many weights a; give",
    ),
    "logistic rows": (
        ("tanh", X, Y["square"], None, "logistic"),
        {"charges": True},
        "loss 'logistic' with 4 outputs: it is of one output; take softmax or square",
    ),
    "no probabilities": (
        ("tanh", X, 2 * Y["softmax"], None, "softmax"),
        {"charges": True},
        "with the softmax loss: a row holds the probabilities of the classes, not negative and of sum 1",
    ),
    "a label too many": (
        ("tanh", X, np.arange(23), None, "softmax"),
        {"charges": True, "outputs": 22},
        "targets[22] is 22: labels of 22 classes are the whole numbers 0 ... 21",
    ),
    "signs for labels": (
        ("tanh", X, np.sign(X[:, 0]), None, "softmax"),
        {"charges": True, "outputs": 2},
        "is -1: labels of 2 classes are the whole numbers 0 ... 1",
    ),
    "half a label": (
        ("tanh", X, np.full(23, 0.5), None, "softmax"),
        {"charges": True},
        "targets[0] is 0.5: labels of 2 classes",
    ),
    "an identity number": (
        ("tanh", X, np.full(23, 1e15), None, "softmax"),
        {"charges": True},
        "number the classes 0, 1, 2 ... without gaps",
    ),
    "one class": (
        ("tanh", X, np.zeros(23), None, "softmax"),
        {"charges": True, "outputs": 1},
        "loss 'softmax' with 1 outputs: it is of K >= 2 outputs; take logistic or square",
    ),
    "other outputs": (
        ("tanh", X, Y["square"]),
        {"charges": True, "outputs": 3},
        "targets of shape (23, 4) with outputs = 3: give one column an output, or leave outputs out",
    ),
    "rows missing": (
        ("tanh", X, Y["square"][1:]),
        {"charges": True},
        "targets of shape (22, 4): expected (23, 4), one entry a node",
    ),
    "three axes": (
        ("tanh", X, np.ones((23, 2, 2))),
        {"charges": True},
        "targets of shape (23, 2, 2): expected (Q,), one entry a node, or (Q, K) for K outputs",
    ),
    "features of one output": (
        (),
        {"features": wflow.energies.DenseFeatures("tanh", X), "targets": Y["square"]},
        "targets of shape (23, 4) for features with outputs = 1: give one column an output",
    ),
    "targets of one output": (
        (),
        {"features": DenseOutputs("tanh", X, 4), "targets": Y["square"][:, 0]},
        "targets of shape (23,) for features with outputs = 4: give one column an output",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    given, named, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        FeatureEnergy(*given, **named)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
