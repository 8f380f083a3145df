"""What systems on data sets share: nodes are the samples, neurons θ = (a, b, w), SGD draws samples with replacement."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import System
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

LIMIT_SEED = 2**40
"""Seed of the flow's own neurons, apart from the small seeds that networks are trained with."""

NETWORK_PARAMETERS = (
    Parameter("activation", "tanh", "activation by name", str),
    Parameter(
        "loss",
        "square",
        "square (y - f)^2, or logistic with labels +-1",
        str,
        choices=("square", "logistic"),
    ),
    Parameter(
        "kappa", 1.0, "start: a ~ N(0, 1), b = 0, w ~ N(0, kappa^2/d I)", low=0, open_low=True
    ),
)


class DataSystem(System):
    """Base of the systems whose risk is a mean over samples; subclasses read inputs and targets."""

    measures = ("particles",)
    clock = 1.0
    t_end = 20.0
    sgd = {"n_neurons": 400, "step_size": 1e-3, "batch_size": 1}  # noqa: RUF012
    _data: tuple[np.ndarray, np.ndarray] | None = None

    @abstractmethod
    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (Q, d) and targets (Q,), as they come."""

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, checked and read once."""
        if self._data is None:
            x, y = self.read()
            x, y = np.ascontiguousarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
            if x.ndim != 2 or y.shape != (x.shape[0],) or x.size == 0:
                raise InputError(
                    f"inputs of shape {x.shape} and targets of shape {y.shape}: expected (Q, d) and (Q,)"
                )
            for what, values in (("inputs", x), ("targets", y)):
                bad = np.argwhere(~np.isfinite(values))
                if bad.size:
                    raise InputError(
                        f"the data hold NaN or infinity: {what}{bad[0].tolist()} is the first of {len(bad)}; "
                        "fill them in or leave their rows out"
                    )
            self._data = (x, y)
        return self._data

    def energy(self) -> FeatureEnergy:
        x, y = self.data()
        return FeatureEnergy(self.activation, x, y, loss=self.loss, charges=True, offset=True)

    def start_from(self, kind: str, n: int | None) -> Measure:
        network = self.network()
        return Particles(network.start(n or 400, LIMIT_SEED), names=self.energy().coordinates)

    def network(self) -> DataNetwork:
        return DataNetwork(self)


class DataNetwork:
    """Neurons a σ(⟨w, x⟩ + b) on samples of a data set."""

    charges = True
    offset = True

    def __init__(self, system: DataSystem, order: np.ndarray | None = None) -> None:
        from wflow.energies import get_activation

        self._system = system
        self._x, self._y = system.data()
        self._order = order
        self.activation = get_activation(system.activation)
        self.loss: str = system.loss
        self.input_dimension = self._x.shape[1]

    def replay(self, order: np.ndarray) -> DataNetwork:
        """The same network on samples in a given order.

        Raises
        ------
        InputError
            for indices outside the data set
        """
        order = np.asarray(order)
        if order.ndim != 1 or order.dtype.kind not in "iu":
            raise InputError("order must be a 1-D array of sample indices")
        if order.size and not 0 <= order.min() <= order.max() < self._x.shape[0]:
            raise InputError(f"order names samples outside [0, {self._x.shape[0]})")
        return DataNetwork(self._system, order)

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if self._order is None:
            pick = stream(seed, "order", first).integers(0, self._x.shape[0], count)
        else:
            if first + count > self._order.size:
                raise InputError(
                    f"order has {self._order.size} samples and the run needs {first + count}: give more, or fewer steps"
                )
            pick = self._order[first : first + count]
        return self._x[pick], self._y[pick]

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        rng = stream(seed, "start")
        d = self.input_dimension
        theta = np.zeros((n_neurons, d + 2))
        theta[:, 0] = rng.standard_normal(n_neurons)
        theta[:, 2:] = self._system.kappa / math.sqrt(d) * rng.standard_normal((n_neurons, d))
        return theta

    def risk_energy(self) -> FeatureEnergy:
        return self._system.energy()

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return neurons


def standardise(x: np.ndarray) -> np.ndarray:
    """Inputs less their mean, divided by one common scale so that E|x|² = d; constant inputs become 0.

    What is empty or not finite comes back as it is, for ``DataSystem.data`` to refuse.
    """
    if x.size == 0 or not np.isfinite(x).all():
        return x
    x = x - x.mean(axis=0)
    scale = math.sqrt(float((x**2).mean()))
    return x / scale if scale > 0 else x


def labels_to_targets(labels: np.ndarray, task: str) -> np.ndarray:
    """±1 targets from class labels: "parity" (even +1), or a digit "k" against the rest.

    >>> labels_to_targets(np.array([3, 4]), "parity").tolist()
    [-1.0, 1.0]
    """
    if task == "parity":
        return np.where(labels % 2 == 0, 1.0, -1.0)
    return np.where(labels == int(task), 1.0, -1.0)


TASKS = ("parity", *(str(k) for k in range(10)))


def task_parameter() -> Any:
    """The parameter that says what is to be told apart."""
    return Parameter(
        "task",
        "parity",
        "parity: even (+1) against odd (-1); or a digit against the rest",
        str,
        choices=TASKS,
    )
