"""A finite two-layer network under SGD, as named arrays, and how it takes a stretch of steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from wflow.energies.features.losses import get_loss
from wflow.energies.network import DenseNetwork, NetworkModel, energy_on
from wflow.equation import Schedule
from wflow.errors import InputError
from wflow.kernels.sgd.blocked import sgd, sgd_plain
from wflow.kernels.sgd.outputs import sgd_outputs
from wflow.solvers.method import Arrays, Problem
from wflow.solvers.networks.batches import FULL
from wflow.solvers.networks.optimizers import Optimizer
from wflow.views import ParticleView, View

FEW = 2000
"""So many neurons fit anywhere."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps of SGD: numbers ``first``, first + 1, …, of lengths s_k = ε ξ(kε)."""

    first: int
    lengths: np.ndarray
    sizes: list[int]
    """Samples a step; ``FULL`` where the gradient is exact."""
    x: np.ndarray
    """Inputs of all batches, one after another (m, d)."""
    targets: np.ndarray
    noise: np.ndarray | None
    """√(2 s_k τ) times standard normals, (steps, N, D)."""


Observe = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""Points and weights of a measure ↦ further scalars of a frame."""


class Drawn(Protocol):
    """What SGD draws samples from; a data set knows its length, ``n_samples``, besides."""

    @property
    def input_dimension(self) -> int:
        """d of the inputs."""

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples number first, first+1, …: inputs (count, d) and targets; a pure function."""


class Trained(Problem, Protocol):
    """A network that takes stretches of steps."""

    seed: int
    size: int
    temperature: float
    schedule: Schedule

    @property
    def model(self) -> Drawn:
        """Where its samples come from."""

    def neurons(self, y: Arrays) -> np.ndarray:
        """All that is trained, as one array."""

    def train(self, y: Arrays, memory: Arrays, stretch: Stretch, rule: Optimizer) -> float:
        """Take these steps in place; the sum of the batches' losses, each before its step."""


class NetworkProblem(ABC):
    """N neurons of a system's model, with its sample stream and its population risk.

    ``schedule`` is ξ(t) on the system's clock. The ridge
    acts on the coordinates ``ridge_on`` (all if None), and those in ``frozen`` are not trained. ``observe`` gives what
    is reported with every frame beside the risk.
    """

    def __init__(
        self,
        model: NetworkModel,
        neurons: np.ndarray,
        schedule: Schedule,
        *,
        temperature: float,
        ridge: float,
        seed: int,
        ridge_on: Sequence[str] | None = None,
        frozen: Sequence[str] = (),
        observe: Observe = lambda points, weights: {},
    ) -> None:
        self.model, self._observe = model, observe
        self.schedule = schedule
        self.temperature, self.ridge, self.seed = temperature, ridge, seed
        self.energy = model.risk_energy()
        self.names = tuple(self.energy.coordinates)
        dimension = len(self.names)
        if neurons.ndim != 2 or neurons.shape[1] != dimension:
            raise InputError(f"initial neurons of shape {neurons.shape}: expected (N, {dimension})")
        if (wild := np.argwhere(~np.isfinite(neurons))).size:
            i, k = map(int, wild[0])
            raise InputError(
                f"initial neuron {i} has {self.names[k]} = {neurons[i, k]:g}: give finite numbers"
            )
        self.decays = np.array([float(ridge_on is None or c in ridge_on) for c in self.names])
        self.mobile = np.array([float(c not in frozen) for c in self.names])
        self.size = neurons.size
        self.view: View = ParticleView(self.names)
        self.initial = self.arrays(neurons)

    @abstractmethod
    def arrays(self, neurons: np.ndarray) -> Arrays:
        """Neurons θ as rows, as the arrays that are stepped."""

    @abstractmethod
    def neurons(self, y: Arrays) -> np.ndarray:
        """The neurons θ as rows, (N, D)."""

    @abstractmethod
    def train(self, y: Arrays, memory: Arrays, stretch: Stretch, rule: Optimizer) -> float:
        """Take these steps in place; the sum of the batches' losses, each before its step."""

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        n = self.initial[next(iter(self.initial))].shape[0]
        return {"loss": float(carry["loss"]), "mass": 1.0, "minimum": 1.0 / n}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        theta = self.neurons(y)
        weights = np.full(theta.shape[0], 1.0 / theta.shape[0])
        risk = self.energy.prepare(theta).field(weights).risk
        squares = (theta**2).mean(axis=0)
        free = 0.5 * risk + 0.5 * self.ridge * float(squares @ self.decays)
        return {
            "risk": risk,
            "free_energy": math.nan if self.temperature > 0 else free,
            "mass": 1.0,
            "second_moment": float(squares.sum()),
            **self._observe(theta, weights),
        }

    def fields(self, y: Arrays) -> Arrays:
        theta = self.neurons(y)
        return {"positions": theta, "weights": np.full(theta.shape[0], 1.0 / theta.shape[0])}


class DenseProblem(NetworkProblem):
    """Neurons [a] σ(⟨w, x⟩ [+ b]) as arrays a, b, w, for the loops over samples, which treat the a_k and w_i alike."""

    model: DenseNetwork

    def __init__(self, model: DenseNetwork, *arguments: Any, **options: Any) -> None:
        self.outputs = outputs_of(model)
        self._charges = self.outputs if model.charges else 0
        self._head = self._charges + int(model.offset)
        super().__init__(model, *arguments, **options)
        parts = {"weights w": slice(self._head, None), "charges a": slice(0, self._charges)}
        mixed = [
            what
            for what, part in parts.items()
            if max(len(set(self.mobile[part])), len(set(self.decays[part]))) > 1
        ]
        if mixed or not self.mobile[-1]:
            what = mixed[0] if mixed else "weights w"
            raise InputError(
                f"frozen or ridge_on names some {what} of a dense network: its SGD trains all of them and "
                "lets all or none decay; give the network as features(x) for more"
            )

    def arrays(self, neurons: np.ndarray) -> Arrays:
        model, n, k = self.model, neurons.shape[0], self._charges
        charges = neurons[:, 0] if k == 1 else neurons[:, :k]
        return {
            "w": np.ascontiguousarray(neurons[:, self._head :]),
            "a": charges.copy() if k else np.ones(n),
            "b": neurons[:, k].copy() if model.offset else np.zeros(n),
        }

    def neurons(self, y: Arrays) -> np.ndarray:
        n = y["w"].shape[0]
        parts = [y["a"].reshape(n, -1)] if self._charges else []
        parts += [y["b"][:, None]] if self.model.offset else []
        return np.concatenate([*parts, y["w"]], axis=1)

    def train(self, y: Arrays, memory: Arrays, stretch: Stretch, rule: Optimizer) -> float:
        assert rule.name == "sgd"
        # As many steps together as have batches of one size.
        k, at, total, loss = 0, 0, 0.0, get_loss(self.model.loss)
        for size, alike in groupby(stretch.sizes):
            steps = slice(k, k + len(list(alike)))
            rows = slice(at, at + size * (steps.stop - k))
            targets = stretch.targets[rows]
            noise = None if stretch.noise is None else stretch.noise[steps]
            f = self._descend(y, stretch.x[rows], targets, stretch.lengths[steps], size, noise)
            total += math.fsum(loss.value(targets, f)) / size
            k, at = steps.stop, rows.stop
        return total

    def _descend(
        self,
        y: Arrays,
        x: np.ndarray,
        targets: np.ndarray,
        steps: np.ndarray,
        batch: int,
        noise: np.ndarray | None,
    ) -> np.ndarray:
        """One step a batch in place; the predictions before each step, (samples,) or (samples, K)."""
        model, act, k = self.model, self.model.activation, self._charges
        offsets = y["b"] if model.offset else None
        options: dict[str, Any] = {
            "train_charges": bool(k and self.mobile[0]),
            "train_offsets": bool(model.offset and self.mobile[k]),
            "ridge": (
                self.ridge * float(self.decays[-1]),
                self.ridge * float(self.decays[0]),
                self.ridge * float(self.decays[min(k, self.decays.size - 1)]),
            ),
        }
        network = (x, targets, steps, y["w"], y["a"], offsets, act.map, act.params)
        if self.outputs > 1:
            options |= {"softmax": model.loss == "softmax", "batch": batch, "noise": noise}
            return sgd_outputs(*network, **options)
        options["logistic"] = model.loss == "logistic"
        if batch == 1 and noise is None:
            return np.asarray(sgd(*network, **options))
        return np.asarray(sgd_plain(*network, **options, batch=batch, noise=noise))


class FeatureProblem(NetworkProblem):
    """Neurons of any feature map, dense ones among them: a batch is an energy of its own, and its field the step."""

    def arrays(self, neurons: np.ndarray) -> Arrays:
        return {"neurons": np.ascontiguousarray(neurons)}

    def neurons(self, y: Arrays) -> np.ndarray:
        return y["neurons"]

    def train(self, y: Arrays, memory: Arrays, stretch: Stretch, rule: Optimizer) -> float:
        theta, at, total = y["neurons"], 0, 0.0
        weights = np.full(theta.shape[0], 1.0 / theta.shape[0])
        for j, size in enumerate(stretch.sizes):
            rows = slice(at, at + size)
            energy = (
                self.energy
                if size == FULL
                else energy_on(self.model, stretch.x[rows], stretch.targets[rows])
            )
            field = energy.prepare(theta).field(weights)
            at, total = at + size, total + field.risk
            gradient = self.mobile * field.gradient()
            if self.ridge > 0:
                gradient += (self.ridge * self.mobile * self.decays) * theta
            kick = None if stretch.noise is None else stretch.noise[j]
            rule.move(theta, gradient, stretch.lengths[j], stretch.first + j, memory, kick)
        return total


def started(model: NetworkModel, n_neurons: int, seed: int) -> np.ndarray:
    """I.i.d. neurons (N, D), where memory holds what a run of so many takes.

    Raises
    ------
    InputError
        with the figure, where it does not
    """
    if n_neurons > FEW:
        width = len(model.risk_energy().coordinates)
        ParticleView.refuse_too_large(8.0 * n_neurons * width, remedy="choose fewer neurons")
    return model.start(n_neurons, seed)


LOOPED = ("square", "logistic", "softmax")
"""Losses that the compiled loops know."""


def outputs_of(model: NetworkModel) -> int:
    """K of a network of K outputs."""
    return int(getattr(model, "outputs", 1))


def network_problem(
    model: NetworkModel, *arguments: Any, looped: bool = True, **options: Any
) -> NetworkProblem:
    """The problem for a model's kind of units; ``looped``: dense ones take plain steps by compiled loops."""
    if looped and model.loss in LOOPED and not hasattr(model, "features"):
        return DenseProblem(model, *arguments, **options)
    return FeatureProblem(model, *arguments, **options)
