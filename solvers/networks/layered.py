"""A multilayer network under SGD: one vector of weights and biases, its gradients scaled by the widths."""

from __future__ import annotations

import math

import numpy as np

from wflow.equation import Schedule
from wflow.layers import Ensemble, Flow
from wflow.layers.network import Samples
from wflow.layers.standard import Descent, Inputs, Written
from wflow.solvers.ensembles.problem import PARAMETERS, LayersProblem
from wflow.solvers.method import Arrays
from wflow.solvers.networks.batches import FULL
from wflow.solvers.networks.optimizers import Optimizer
from wflow.solvers.networks.problem import Drawn, Stretch


class LayeredProblem(LayersProblem):
    """A network on the samples of its flow, in the order that ``model`` draws them."""

    temperature = 0.0

    def __init__(self, flow: Flow, start: Ensemble, model: Drawn, seed: int) -> None:
        super().__init__(flow, start)
        self.model, self.seed = model, seed
        self.schedule: Schedule = flow.schedule if callable(flow.clock) else flow.clock
        self.size = self.layout.size

    def neurons(self, y: Arrays) -> np.ndarray:
        """All weights and biases."""
        return y[PARAMETERS]

    def train(self, y: Arrays, memory: Arrays, stretch: Stretch, rule: Optimizer) -> float:
        """Take these steps in place; the sum of the batches' losses, each before its step."""
        theta, at, total = y[PARAMETERS], 0, 0.0
        layers, network = self.layout.split(theta), self.flow.network
        plain = rule.name == "sgd"
        gradient = np.empty(0 if plain else theta.size)
        written = None if plain else Written(self.layout.split(gradient))
        for j, size in enumerate(stretch.sizes):
            rows, s = slice(at, at + size), float(stretch.lengths[j])
            batch = self.flow.samples
            if size != FULL:
                inputs = Inputs.of(stretch.x[rows])
                batch = Samples(inputs, stretch.targets[rows], np.full(size, 1.0 / size))
            sink = written or Descent(layers, s)
            outputs = network.descend(layers, self.probabilities, batch, sink)
            at, total = (
                at + size,
                total + math.fsum(batch.weights * network.loss.value(batch.targets, outputs)),
            )
            if written is not None:
                rule.move(theta, gradient, s, stretch.first + j, memory, None)
        return total

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        return {"loss": float(carry["loss"])}
