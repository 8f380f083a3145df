"""A finite network as a model of its limit: samples, a start, units, and the risk that the limit's energy averages."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.features.activations import Activation
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.energy import FeatureEnergy


class Network(Protocol):
    """What SGD needs of a system: a stream of samples, a start, the units, and a risk to report.

    The units are either dense, σ(⟨w, x⟩ + b) with ``activation``, ``input_dimension``, ``charges`` and ``offset``
    stated, or any features: then the model has ``features(x)`` instead (:class:`FeatureNetwork`). Dense ones may state
    ``outputs`` K ≥ 2: then targets are (count, K) and neurons (a1, …, aK, b, w).
    """

    loss: str
    input_dimension: int

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples number first, first+1, …: inputs (count, d) and targets (count,) or (count, K); a pure function."""

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        """I.i.d. neurons θ, shape (N, D); dense ones in the order (a, b, w)."""

    def risk_energy(self) -> Energy:
        """The population risk of neurons in full space, to report."""

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        """Neurons mapped to the state of the system's flow."""


class DataNetwork(Network, Protocol):
    """One whose samples are those of a data set, which it knows the number of."""

    n_samples: int

    def replay(self, order: np.ndarray) -> Network:
        """The same on samples in a given order."""

    def shuffled(self) -> Network:
        """The same on every sample once in ``n_samples``, in an order drawn anew each time."""


class DenseNetwork(Network, Protocol):
    """Neurons [a] σ(⟨w, x⟩ [+ b])."""

    activation: Activation
    charges: bool
    offset: bool


class FeatureNetwork(Network, Protocol):
    """Neurons of any feature map σ*(x; θ)."""

    def features(self, x: np.ndarray) -> FeatureMap:
        """The units on a batch of inputs (count, d)."""


NetworkModel = DenseNetwork | FeatureNetwork


def energy_on(model: NetworkModel, x: np.ndarray, targets: np.ndarray) -> FeatureEnergy:
    """The risk of a model's neurons in full space over some of its samples, all alike."""
    units: Any = model
    data: dict[str, Any] = {"targets": targets, "loss": model.loss}
    if hasattr(units, "features"):
        return FeatureEnergy(features=units.features(x), **data)
    return FeatureEnergy(units.activation, x, charges=units.charges, offset=units.offset, **data)
