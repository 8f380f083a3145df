"""A multilayer network as one vector of weights and biases, and its flow."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.solvers.method import ActsOn, Arrays, Method, Tolerance
from wflow.views.ensemble import EnsembleView

PARAMETERS = "parameters"


class LayersProblem:
    """An ensemble under a flow, however it is advanced."""

    def __init__(self, flow: Flow, start: Ensemble) -> None:
        self.flow = flow
        self.layout, self.probabilities = start.layout, start.probabilities
        self.view = EnsembleView.of(start)
        self.initial: Arrays = {PARAMETERS: start.flat()}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        """Risks, and the shares told right."""
        layers = self.layout.split(y[PARAMETERS])
        outputs = self.flow.network.predict(layers, self.probabilities, self.flow.samples.inputs)
        risk = self.flow.risk_of(outputs)
        return {
            "risk": risk,
            "free_energy": 0.5 * risk,
            **self.flow.scored(outputs),
            **self.flow.observe(layers, self.probabilities),
        }

    def fields(self, y: Arrays) -> Arrays:
        """Weights, biases and probabilities by their names."""
        arrays = dict(self.layout.views(y[PARAMETERS]))
        return arrays | {f"p{i + 1}": p for i, p in enumerate(self.probabilities)}


class EnsembleProblem(LayersProblem):
    """One that follows the gradient over all samples.

    Steps carry ``gradient``, all of G at the end of the step, and ``risk`` there.
    """

    def __init__(self, flow: Flow, start: Ensemble, tolerance: Tolerance) -> None:
        super().__init__(flow, start)
        self.tolerance = tolerance
        self._shares = _shares(start)

    def at(self, parameters: np.ndarray) -> Arrays:
        """G and the risk, as they are carried."""
        g, outputs = self.flow.gradient_of(parameters, self.layout, self.probabilities)
        return {"gradient": g, "risk": np.array(self.flow.risk_of(outputs))}

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
        """The same with the second moment and the dissipation."""
        return super().observe(y, carry) | {
            "second_moment": self.total(y[PARAMETERS] ** 2),
            "transport_dissipation": self.total(carry["gradient"] ** 2),
        }


class EnsembleMethod(Method[Ensemble, EnsembleProblem]):
    """Base of the methods that carry the gradient over all samples."""

    acts_on: ClassVar[ActsOn] = "ensemble"

    def prepare(
        self, flow: Flow, measure: Ensemble, tolerance: Tolerance, seed: int
    ) -> EnsembleProblem:
        return EnsembleProblem(flow, measure, tolerance)

    def init(self, problem: EnsembleProblem, t: float, y: Arrays) -> Arrays:
        return problem.at(y[PARAMETERS])

    def dissipation(self, problem: EnsembleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return problem.flow.schedule(t) * problem.total(carry["gradient"] ** 2)


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
