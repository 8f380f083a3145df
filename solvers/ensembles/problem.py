"""The flow of a multilayer network as one vector of weights and biases."""

from __future__ import annotations

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.layers.layout import Layers
from wflow.solvers.method import Arrays, Tolerance
from wflow.views.ensemble import EnsembleView

PARAMETERS = "parameters"


class EnsembleProblem:
    """An ensemble under a flow.

    Steps carry ``gradient``, all of G at the end of the step, and ``risk`` there.
    """

    def __init__(self, flow: Flow, start: Ensemble, tolerance: Tolerance) -> None:
        self.flow, self.tolerance = flow, tolerance
        self.layout, self.probabilities = start.layout, start.probabilities
        self.view = EnsembleView.of(start)
        self.initial: Arrays = {PARAMETERS: start.flat()}
        self._shares = _shares(start)

    def gradient(self, parameters: np.ndarray) -> tuple[np.ndarray, float]:
        """G, and the risk."""
        g, outputs = self.flow.gradient_of(parameters, self.layout, self.probabilities)
        return g, self.flow.risk_of(outputs)

    def total(self, values: np.ndarray) -> float:
        """E over the atoms that weights and biases join of ``values``, those of all layers added."""
        return float(self._shares @ values)

    def norm(self, values: np.ndarray) -> float:
        """The root mean square, in which every layer counts by its share of the sum above."""
        return float(np.sqrt(self.total(values**2) / self._shares.sum()))

    def typical(self, values: np.ndarray) -> np.ndarray:
        """The root mean square of a layer, in the place of each of its weights and biases."""
        found = np.empty_like(values)
        parts = zip(
            *(dict(self.layout.views(v)).values() for v in (values, self._shares, found)),
            strict=True,
        )
        for own, share, place in parts:
            place[...] = np.sqrt((share * own**2).sum() / share.sum())
        return found

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        risk = float(carry["risk"])
        return {"risk": risk, "free_energy": 0.5 * risk}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        theta = y[PARAMETERS]
        layers: Layers = self.layout.split(theta)
        outputs = self.flow.network.predict(layers, self.probabilities, self.flow.samples.inputs)
        risk = self.flow.risk_of(outputs)
        return {
            "risk": risk,
            "free_energy": 0.5 * risk,
            "second_moment": self.total(theta**2),
            "transport_dissipation": self.total(carry["gradient"] ** 2),
            **self.flow.scored(outputs),
            **self.flow.observe(layers, self.probabilities),
        }

    def fields(self, y: Arrays) -> Arrays:
        arrays = dict(self.layout.views(y[PARAMETERS]))
        return arrays | {f"p{i + 1}": p for i, p in enumerate(self.probabilities)}


def _shares(start: Ensemble) -> np.ndarray:
    """The probability of the atoms that each weight joins, or that each bias belongs to."""
    p, top = start.probabilities, start.depth
    found = {"w1": np.repeat(p[0], start.layout.inputs)}
    for i in range(2, top + 1):
        count = max(start.layout.outputs, 1)
        ends = p[i - 1] if i < top else np.ones(count)
        found[f"w{i}"] = np.outer(p[i - 2], ends).ravel()
        found[f"b{i}"] = ends
    return np.concatenate([found[name] for name in start.layout.shapes])
