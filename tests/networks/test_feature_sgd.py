"""SGD of networks given by a feature map: the dense network through it is the dense network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from wflow.energies import DenseFeatures, FeatureEnergy, get_activation
from wflow.errors import InputError
from wflow.solvers.networks.problem import DenseProblem, FeatureProblem, network_problem
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.tools.streams import stream

D, N = 3, 7


def dense_model(loss: str = "square") -> SimpleNamespace:
    activation = get_activation("tanh")

    def samples(seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = stream(seed, "inputs", first).standard_normal((count, D))
        return x, np.sign(x[:, 0] + 0.1)

    def risk_energy() -> FeatureEnergy:
        x, y = samples(1, 0, 20)
        return FeatureEnergy(activation, x, y, charges=True, offset=True, loss=loss)

    return SimpleNamespace(
        activation=activation,
        input_dimension=D,
        charges=True,
        offset=True,
        loss=loss,
        samples=samples,
        risk_energy=risk_energy,
    )


def feature_model(loss: str = "square") -> SimpleNamespace:
    model = dense_model(loss)
    inside = {k: getattr(model, k) for k in ("input_dimension", "loss", "samples", "risk_energy")}

    def features(x: np.ndarray) -> DenseFeatures:
        return DenseFeatures("tanh", x, charges=True, offset=True)

    return SimpleNamespace(features=features, **inside)


def train(model: SimpleNamespace, batch: int, **options: object) -> np.ndarray:
    theta = stream(3, "start").standard_normal((N, D + 2))
    given = {"temperature": 0.0, "ridge": 0.0, "seed": 5} | options
    problem = network_problem(model, theta, lambda t: 1.0 + t, **given)
    method = StochasticGradient(step_size=0.02, batch_size=batch)
    carry = method.init(problem, 0.0, problem.initial)
    done = method.step(problem, 0.0, 150 * 0.02, problem.initial, carry)
    assert np.isfinite(done.carry["loss"])
    assert np.array_equal(problem.neurons(problem.initial), theta), "the start was changed"
    return problem.neurons(done.y)


@pytest.mark.parametrize("loss", ["square", "logistic"])
@pytest.mark.parametrize(
    "batch, options",
    [
        (1, {}),
        (5, {"ridge": 0.1}),
        (5, {"ridge": 0.1, "ridge_on": ("a",)}),
        (2, {"temperature": 0.05}),
        (1, {"frozen": ("a",)}),
    ],
)
def test_a_dense_network_through_its_features(loss: str, batch: int, options: dict) -> None:
    one, other = (train(m, batch, **options) for m in (dense_model(loss), feature_model(loss)))
    assert np.abs(one - other).max() < 1e-11


def test_kinds_of_problem() -> None:
    theta = np.zeros((2, D + 2))
    options = {"temperature": 0.0, "ridge": 0.0, "seed": 0}
    assert isinstance(network_problem(dense_model(), theta, 1.0, **options), DenseProblem)
    assert isinstance(network_problem(feature_model(), theta, 1.0, **options), FeatureProblem)


def test_frozen_charges_stay_and_ridge_reaches_only_what_it_names() -> None:
    start = stream(3, "start").standard_normal((N, D + 2))
    for model in (dense_model(), feature_model()):
        assert np.array_equal(train(model, 1, frozen=("a",))[:, 0], start[:, 0])
        assert not np.allclose(train(model, 1)[:, 0], start[:, 0])
        with_a = train(model, 2, ridge=0.5, ridge_on=("a",))
        everywhere = train(model, 2, ridge=0.5)
        assert np.linalg.norm(with_a[:, 2:]) > np.linalg.norm(everywhere[:, 2:])


def test_wrong_neurons_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 4\).*\(N, 5\)"):
        network_problem(feature_model(), np.zeros((2, 4)), 1.0, temperature=0.0, ridge=0.0, seed=0)


@pytest.mark.parametrize("what", [{"frozen": ("w1",)}, {"ridge_on": ("w3",), "ridge": 0.1}])
def test_single_weights_of_a_dense_network_are_refused_and_of_features_obeyed(what) -> None:
    with pytest.raises(InputError, match=r"give the network as features\(x\)"):
        train(dense_model(), 1, **what)
    start = stream(3, "start").standard_normal((N, D + 2))
    moved = np.abs(train(feature_model(), 1, **what) - start).max(axis=0)
    assert (moved[2] == 0) == ("frozen" in what)
