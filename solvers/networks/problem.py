"""A finite two-layer network under SGD, as named arrays: output weights a, offsets b, weights w."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.solvers.method import Arrays


class NetworkProblem:
    """N neurons of a system's model, with its sample stream and its population risk.

    ``model`` is a :class:`wflow.systems.catalogue.NetworkModel`; ``schedule`` is ξ(t) on the system's clock.
    """

    def __init__(
        self,
        model: Any,
        neurons: np.ndarray,
        schedule: Any,
        *,
        temperature: float,
        ridge: float,
        seed: int,
    ) -> None:
        head = int(model.charges) + int(model.offset)
        if neurons.ndim != 2 or neurons.shape[1] != head + model.input_dimension:
            raise InputError(
                f"initial neurons of shape {neurons.shape}: expected (N, {head + model.input_dimension})"
            )
        if not np.isfinite(neurons).all():
            raise InputError("initial neurons must be finite")
        self.model = model
        self.schedule = schedule
        self.temperature, self.ridge, self.seed = temperature, ridge, seed
        self._energy = model.risk_energy()
        self.names = tuple(self._energy.coordinates)
        n = neurons.shape[0]
        self.initial: Arrays = {"w": np.ascontiguousarray(neurons[:, head:])}
        self.initial["a"] = neurons[:, 0].copy() if model.charges else np.ones(n)
        self.initial["b"] = neurons[:, int(model.charges)].copy() if model.offset else np.zeros(n)

    def neurons(self, y: Arrays) -> np.ndarray:
        """θ = (a, b, w) as rows, without the parts that the model lacks."""
        parts = [y["a"][:, None]] if self.model.charges else []
        parts += [y["b"][:, None]] if self.model.offset else []
        return np.concatenate([*parts, y["w"]], axis=1)

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        n = y["w"].shape[0]
        return {"loss": float(carry["loss"]), "mass": 1.0, "minimum": 1.0 / n}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        theta = self.neurons(y)
        weights = np.full(theta.shape[0], 1.0 / theta.shape[0])
        risk = self._energy.prepare(theta).field(weights).risk
        square = float((theta**2).sum(axis=1).mean())
        free = 0.5 * risk + 0.5 * self.ridge * square
        return {
            "risk": risk,
            "free_energy": math.nan if self.temperature > 0 else free,
            "mass": 1.0,
            "second_moment": square,
        }

    def fields(self, y: Arrays) -> Arrays:
        theta = self.neurons(y)
        return {"positions": theta, "weights": np.full(theta.shape[0], 1.0 / theta.shape[0])}
