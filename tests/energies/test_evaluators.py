"""Evaluators chosen by name: each is held against the formulas in plain numpy, on all features that it serves."""

import pickle

import numpy as np
import pytest
import scipy.special

import wflow
from wflow.energies import (
    BumpFeatures,
    ConvolutionFeatures,
    DenseFeatures,
    FeatureEnergy,
    RadialFeatures,
    RbfFeatures,
    TwoRadiiFeatures,
    piecewise_linear,
)
from wflow.energies.array_units import Arrays
from wflow.energies.evaluator import AUTO, contractions, evaluators
from wflow.energies.evaluators import device, reference
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.errors import InputError
from wflow.measures import GridDensity, Particles

RNG = np.random.default_rng(11)
X = RNG.normal(size=(23, 2))
FEATURES = {
    "dense": DenseFeatures("tanh", X),
    "charges": DenseFeatures("relu", X, charges=True),
    "offset": DenseFeatures(piecewise_linear([(0.0, -1.0), (1.0, 2.0)]), X, offset=True),
    "both": DenseFeatures("softplus", X, charges=True, offset=True),
    "outputs": DenseOutputs("tanh", X, 3),
    "outputs and offset": DenseOutputs("softplus", X, 10, offset=True),
    "rbf": RbfFeatures(X, 0.7),
    "normalised": RbfFeatures(X, variance=0.4, charges=False, normalised=True),
    "lattice": ConvolutionFeatures(0.8, [(-1, 1), (-1, 1)], (7, 9), mask=lambda x: x[..., 0] < 0.9),
    "samples": BumpFeatures(X, 1.1, scale=2.0),
    "radial": RadialFeatures([(0.5, -2.5), (1.5, 7.5)], np.array([0.5, 1.0, 6.0]), 5),
    "tabled": RadialFeatures([(0.5, -2.5), (1.5, 7.5)], np.array([0.5, 1.0, 6.0]), 40),
}
PRECISION = {"float64": 1e-10, "float32": 1e-4}


ON_HOST = Arrays(np, scipy.special, lambda: 10**9, lambda f: f)
"""NumPy in CuPy's place: its arrays take the same operations."""


@pytest.fixture(autouse=True)
def numpy_stands_in_for_cupy(monkeypatch):
    monkeypatch.setattr(device.Device, "arrays", staticmethod(lambda: ON_HOST))
    for name in ("cupy", "cupy-float32"):
        evaluators[name]._nodes.clear()


def example(features, n=31):
    points = RNG.normal(size=(n, features.dimension))
    if np.isfinite(features.bounds[:, 0]).any():
        points = np.abs(points)
    shape = (features.n_nodes, features.outputs)[: 1 + (features.outputs > 1)]
    return points, RNG.random(n), RNG.normal(size=shape)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("evaluator", sorted({AUTO, *evaluators} - {"numpy"}))
def test_every_evaluator_gives_what_the_formulas_say(evaluator, name):
    features = FEATURES[name]
    within = PRECISION["float64"]
    if evaluator != AUTO:
        within = PRECISION[evaluators[evaluator].precision]
        if not isinstance(features, evaluators[evaluator].serves):
            with pytest.raises(InputError, match=f"evaluator '{evaluator}' does not serve"):
                contractions(evaluator, features)
            return
    points, w, c = example(features)
    found = contractions(evaluator, features)(points)
    plain = evaluators["numpy"].prepare(features, points)
    for _ in range(3):  # some keep what they have formed
        for asked, weights in (("predict", w), ("potential", c), ("gradient", c)):
            expected = getattr(plain, asked)(weights)
            scale = np.abs(expected).max() + 1.0
            assert getattr(found, asked)(weights) == pytest.approx(expected, abs=within * scale)


@pytest.mark.parametrize("name", FEATURES)
def test_the_formulas_have_the_gradients_they_say(monkeypatch, name):
    features = FEATURES[name]
    points, w, c = example(features)
    plain = evaluators["numpy"].prepare(features, points)
    assert w @ plain.potential(c) == pytest.approx((plain.predict(w) * c).sum(), rel=1e-12)
    step = 1e-6
    slope = plain.gradient(c)
    for k in range(features.dimension):
        shift = step * np.eye(features.dimension)[k]
        up, down = (
            evaluators["numpy"].prepare(features, points + s * shift).potential(c) for s in (1, -1)
        )
        # A kink between the two is met by no point here.
        assert slope[:, k] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)
    whole = [plain.predict(w), plain.potential(c), slope]
    monkeypatch.setattr(reference, "BLOCK_ENTRIES", 3 * features.n_nodes * features.dimension)
    blocks = [plain.predict(w), plain.potential(c), plain.gradient(c)]
    for one, other in zip(whole, blocks, strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-13)


def test_an_energy_takes_the_one_it_is_told(monkeypatch):
    arguments = ("tanh", X, np.ones(23))
    energies = [FeatureEnergy(*arguments, evaluator=name) for name in ("auto", "numpy")]
    assert energies[0].fingerprint() == energies[1].fingerprint()
    assert [e.evaluator for e in energies] == ["auto", "numpy"]
    points, w, _ = example(energies[0].features)
    fields = [e.prepare(points).field(w) for e in energies]
    assert fields[0].risk == pytest.approx(fields[1].risk, rel=1e-12)
    assert fields[0].gradient() == pytest.approx(fields[1].gradient(), rel=1e-11, abs=1e-13)
    assert isinstance(energies[1].prepare(points)._prepared, reference.ReferenceDense)
    at = RNG.normal(size=(3, 2))
    assert fields[0].first_variation(at) == pytest.approx(fields[1].first_variation(at), rel=1e-11)
    back = pickle.loads(pickle.dumps(energies[1]))  # noqa: S301
    assert back.evaluator == "numpy"
    assert back.prepare(points).field(w).risk == fields[1].risk
    assert energies[1].diagonal(points) == pytest.approx(energies[0].diagonal(points), rel=1e-12)


def test_unknown_ones_and_ones_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="unknown evaluator 'numpi': did you mean 'numpy'"):
        FeatureEnergy("tanh", X, np.ones(23), evaluator="numpi")
    two = TwoRadiiFeatures([1.5, 0.5], (3, 4))
    message = (
        "evaluator 'numpy' does not serve TwoRadiiFeatures: it serves DenseFeatures.*take 'auto'"
    )
    with pytest.raises(InputError, match=message):
        FeatureEnergy(features=two, targets=np.zeros(two.n_nodes), evaluator="numpy")
    with pytest.raises(InputError, match="with unit = 'rbf', whose risk is a closed kernel"):
        wflow.systems.get("spherical-3-spin", evaluator="numpy")
    with pytest.raises(InputError, match="unknown evaluator 'gpu'"):
        wflow.systems.get("digits", evaluator="gpu").energy()


def test_a_run_records_its_evaluator(tmp_path):
    """And goes on with another: the fingerprint is the problem's."""
    start = Particles(np.linspace(-1, 1, 9)[:, None])
    flows = {
        name: wflow.GradientFlow(
            FeatureEnergy("tanh", X[:, :1], np.ones(23), evaluator=name), ridge=0.1
        )
        for name in ("auto", "numpy")
    }
    path = tmp_path / "run.h5"
    sol = wflow.solve(flows["numpy"], start, (0, 0.5), output=path)
    assert sol.attributes["evaluator"] == "numpy"
    on = wflow.resume(path, flows["auto"], t_end=1.0)
    whole = wflow.solve(flows["auto"], start, (0, 1.0))
    assert on.success, on.message
    assert on.risk[-1] == pytest.approx(whole.risk[-1], rel=1e-8)


def test_predictions_are_formed_by_the_evaluator_chosen(monkeypatch):
    energies = [FeatureEnergy("tanh", X, np.ones(23), evaluator=name) for name in ("auto", "numpy")]
    law = Particles(np.linspace(-1, 1, 5 * X.shape[1]).reshape(5, -1))
    own = energies[0].predict(law, X[:3])
    asked, prepare = [], type(evaluators["numpy"]).prepare
    monkeypatch.setattr(
        type(evaluators["numpy"]), "prepare", lambda *given: asked.append(given) or prepare(*given)
    )
    assert energies[1].predict(law, X[:3]) == pytest.approx(own, rel=1e-13)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "system", ["isotropic-gaussians", "predicted-failure", "digits", "bump", "spherical-3-spin"]
)
def test_systems_take_an_evaluator(system):
    options = {"unit": "sigmoid", "nodes": 64} if system == "spherical-3-spin" else {}
    risks = []
    for name in ("auto", "numpy"):
        chosen = wflow.systems.get(system, evaluator=name, **options)
        energy = chosen.flow().energy
        assert energy.evaluator == name
        start = chosen.initial("particles", n=7)
        risks.append(energy.prepare(start.points()).field(start.weights()).risk)
    assert risks[0] == pytest.approx(risks[1], rel=1e-10)


def test_grids_and_their_lattices_agree():
    features = FEATURES["lattice"]
    rho = GridDensity.from_function(lambda x: 1.0, [(-1, 1)] * 2, n=(7, 9))
    lattice = features.prepare(rho.points())
    plain = evaluators["numpy"].prepare(features, rho.points())
    assert lattice.predict(rho.weights()) == pytest.approx(plain.predict(rho.weights()), abs=1e-13)
