"""The samples of a multilayer flow as SGD draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.layers import Flow
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.systems.shared.order import Order, Replayed, Shuffled
from wflow.tools.streams import stream


class ByWeight:
    """Rows drawn anew, each with its weight as the probability."""

    def __init__(self, weights: np.ndarray) -> None:
        self._edges = np.cumsum(weights)

    def __call__(self, seed: int, first: int, count: int) -> np.ndarray:
        u = stream(seed, "order", first).random(count) * self._edges[-1]
        rows = np.searchsorted(self._edges, u, side="right")
        return np.asarray(np.minimum(rows, self._edges.size - 1))


class FlowSamples:
    """Samples of the data that a flow holds."""

    def __init__(self, flow: Flow, order: Order | None = None) -> None:
        self._flow = flow
        inputs, targets, weights = flow.samples
        self.input_dimension = flow.inputs
        self.n_samples = weights.size
        self._rows, self._targets = np.ascontiguousarray(inputs.back.T), targets
        self._order = order or ByWeight(weights)

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples number first, first + 1, …."""
        pick = self._order(seed, first, count)
        return self._rows[pick], self._targets[pick]

    def shuffled(self) -> FlowSamples:
        """The same, every sample once an epoch.

        Raises
        ------
        InputError
            where samples have unequal weights
        """
        self._refuse_unequal("replacement=False")
        return FlowSamples(self._flow, Shuffled(self.n_samples))

    def replay(self, order: Any) -> FlowSamples:
        """The same in a given order."""
        return FlowSamples(self._flow, Replayed(order, self.n_samples))

    def _refuse_unequal(self, asked: str) -> None:
        q = self._flow.samples.weights
        if np.ptp(q) > 1e-12 * q.max():
            raise InputError(
                f"{asked}: the samples have weights from {q.min():g} to {q.max():g}, and an epoch takes each of them "
                "once; draw with replacement, or give equal weights"
            )


def drawn(flow: Flow, method: StochasticGradient, order: Any = None) -> FlowSamples:
    """The samples of a flow as a method draws them, or in a given order."""
    model = FlowSamples(flow)
    if order is not None:
        return model.replay(order)
    return model if method.replacement else model.shuffled()
