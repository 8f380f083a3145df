"""What systems on data sets share: nodes are the samples, neurons θ = (a, b, w), SGD draws samples with replacement.

Targets of K columns (classes, say) make networks of K outputs, with neurons (a1, …, aK, b, w).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import EVALUATOR, System
from wflow.systems.shared.label_noise import LABEL_NOISE, noisy
from wflow.systems.shared.order import Order, Replayed, Shuffled, WithReplacement
from wflow.tools.arrays import as_floats, check_size
from wflow.tools.fingerprint import digest
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

Samples = tuple[np.ndarray, np.ndarray]
"""Inputs (Q, d) and targets (Q,), or (Q, K) of K outputs."""

LIMIT_SEED = 2**40
"""Seed of the flow's own neurons, apart from the small seeds that networks are trained with."""

NETWORK_PARAMETERS = (
    Parameter(
        "test",
        None,
        "samples held out of training, whose risk is the series test_risk: a share of them, or a file",
        "share",
    ),
    Parameter("test_seed", 0, "key of the split where test is a share", int, low=0),
    Parameter("activation", "tanh", "activation by name", str),
    Parameter(
        "loss",
        "square",
        "square |y - f|^2, logistic with labels +-1, or softmax: the cross-entropy of classes, one output each",
        str,
        choices=("square", "logistic", "softmax"),
    ),
    Parameter("seed", LIMIT_SEED, "of the particles: the start of that network", int, low=0),
    Parameter(
        "kappa", 1.0, "start: a ~ N(0, 1), b = 0, w ~ N(0, kappa^2/d I)", low=0, open_low=True
    ),
    *LABEL_NOISE,
    EVALUATOR,
)


class DataSystem(System):
    """Base of the systems whose risk is a mean over samples; subclasses read inputs and targets."""

    measures = ("particles",)
    random_particles = True
    offset: ClassVar[bool] = True
    """Whether neurons have offsets b."""
    clock = 1.0
    t_end = 20.0
    sgd = {"n_neurons": 400, "step_size": 1e-3, "batch_size": 1}  # noqa: RUF012

    @abstractmethod
    def read(self) -> Samples:
        """Inputs (Q, d) and targets (Q,) or (Q, K), as they come."""

    def read_other(self, path: Path) -> Samples:
        """The same from a second file, to be held out."""
        raise InputError(
            f"test = '{path}': system '{self.name}' has no files; hold out a share, test=0.2 say"
        )

    def scales(self) -> bool:
        """Whether inputs are centred and scaled to E|x|² = d, by the mean and the scale of those in training."""
        return True

    def data(self) -> Samples:
        """Inputs and targets in training, checked, scaled and read once; the targets with the noise of labels."""
        return self._parts[0][0], self._labels

    def clean(self) -> Samples:
        """The same with the targets as they were read."""
        return self._parts[0]

    def held_out(self) -> Samples | None:
        """Inputs and noiseless targets that are held out, on the scale of those in training; None without ``test``."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Samples, Samples | None]:
        (x, y), other = checked(*self.read()), None
        if isinstance(self.test, float):
            held = split(len(y), self.test, self.test_seed)
            (x, y), other = (x[~held], y[~held]), (x[held], y[held])
        elif self.test is not None:
            other = checked(*self.read_other(Path(self.test)))
            if other[0].shape[1] != x.shape[1]:
                raise InputError(
                    f"test = '{self.test}' has {other[0].shape[1]} inputs a sample and training has {x.shape[1]}: "
                    "give a file with the same columns"
                )
            if other[1].shape[1:] != y.shape[1:]:
                raise InputError(
                    f"test = '{self.test}' has targets of shape {other[1].shape} and training {y.shape}: give a file "
                    "with the same outputs"
                )
        if self.scales():
            other = other and (standardise(other[0], x), other[1])
            x = standardise(x, x)
        return (x, y), other

    def data_digest(self) -> str:
        """Of what is trained on and of what is held out, shapes and values."""
        arrays = [*self.data(), *(self.held_out() or ())]
        return digest(*(part for a in arrays for part in (a.shape, a)))[:16]

    @cached_property
    def _labels(self) -> np.ndarray:
        return noisy(self.clean()[1], self.label_noise, self._classes, self.label_seed)

    def observations(self) -> dict[str, FeatureEnergy]:
        held = self.held_out()
        found = {} if held is None else {"test_risk": self._energy(*held)}
        # What was learned of f* at the inputs in training, beside the risk of their noisy labels.
        return found | ({"clean_risk": self._energy(*self.clean())} if self.label_noise else {})

    def energy(self) -> FeatureEnergy:
        return self._energy(*self.data())

    def _energy(self, x: np.ndarray, y: np.ndarray) -> FeatureEnergy:
        return FeatureEnergy(
            self.activation,
            x,
            y,
            loss=self.loss,
            charges=True,
            offset=self.offset,
            evaluator=self.evaluator,
            accuracy=self._classes or None,
        )

    @cached_property
    def _classes(self) -> bool:
        """Whether the targets in training are classes: labels ±1, or rows with one 1."""
        y = self.clean()[1]
        return is_one_hot(y) if y.ndim == 2 else bool((np.abs(y) == 1.0).all())

    def start_from(self, kind: str, n: int | None) -> Measure:
        network = self.network()
        return Particles(network.start(n or 400, self.seed), names=self.energy().coordinates)

    def network(self) -> DataNetwork:
        return DataNetwork(self)


class DataNetwork:
    """Neurons a σ(⟨w, x⟩ + b) on samples of a data set; a ∈ R^K where the targets are K columns."""

    charges = True

    def __init__(self, system: DataSystem, order: Order | None = None) -> None:
        from wflow.energies import get_activation

        self._system = system
        self.offset = system.offset
        self._x, self._y = system.data()
        self.n_samples = self._y.shape[0]
        self._order = WithReplacement(self.n_samples) if order is None else order
        self.activation = get_activation(system.activation)
        self.loss: str = system.loss
        self.input_dimension = self._x.shape[1]
        self.outputs = self._y[:1].size

    def replay(self, order: Any) -> DataNetwork:
        """The same network on samples in a given order.

        Raises
        ------
        InputError
            for indices outside the data set
        """
        return type(self)(self._system, Replayed(order, self.n_samples))

    def shuffled(self) -> DataNetwork:
        """The same network on every sample once an epoch, in a fresh order each."""
        return type(self)(self._system, Shuffled(self.n_samples))

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        pick = self._order(seed, first, count)
        return self._x[pick], self._y[pick]

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        rng = stream(seed, "start")
        d, k = self.input_dimension, self.outputs
        theta = np.zeros((n_neurons, k + 1 + d))
        theta[:, :k] = rng.standard_normal((n_neurons, k))
        theta[:, k + 1 :] = self._system.kappa / math.sqrt(d) * rng.standard_normal((n_neurons, d))
        return theta

    def risk_energy(self) -> FeatureEnergy:
        return self._system.energy()

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return neurons


def checked(x: np.ndarray, y: np.ndarray) -> Samples:
    """Inputs and targets as arrays of floats.

    Raises
    ------
    InputError
        for other shapes than (Q, d) and (Q,) or (Q, K), and for what is not finite
    """
    x, y = (as_floats(*given, finite=False) for given in (("inputs", x), ("targets", y)))
    fits = x.ndim == 2 and y.ndim in (1, 2) and x.shape[0] == y.shape[0]
    if not fits or x.size == 0 or y.size == 0:
        raise InputError(
            f"inputs of shape {x.shape} and targets of shape {y.shape}: expected (Q, d) and (Q,) or (Q, K)"
        )
    for what, values in (("inputs", x), ("targets", y)):
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            raise InputError(
                f"the data hold NaN or infinity: {what}{bad[0].tolist()} is the first of {len(bad)}; "
                "fill them in or leave their rows out"
            )
        check_size(what, values)
    return x, y


def split(size: int, share: float, seed: int) -> np.ndarray:
    """Which of ``size`` samples are held out: ``share`` of them to the nearest whole number, drawn evenly.

    >>> int(split(10, 0.3, seed=0).sum())
    3
    """
    count = round(share * size)
    if not 0 < count < size:
        raise InputError(
            f"test = {share:g} holds out {count} of {size} samples: leave one or more on either side"
        )
    held = np.zeros(size, dtype=bool)
    held[stream(seed, "split").permutation(size)[:count]] = True
    return held


def standardise(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Inputs less the mean of ``like``, divided by the scale that gives it E|x|² = d; constant inputs become 0."""
    mean = like.mean(axis=0)
    scale = math.sqrt(float(((like - mean) ** 2).mean()))
    return np.asarray((x - mean) / scale if scale > 0 else x - mean)


def is_one_hot(rows: np.ndarray) -> bool:
    """Whether each of rows (Q, K) holds one 1 and 0 elsewhere."""
    return bool(np.isin(rows, (0.0, 1.0)).all() and (rows.sum(axis=1) == 1.0).all())
