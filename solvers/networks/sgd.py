r"""Stochastic gradient descent of a finite two-layer network, on an integer clock k with t = kε.

.. math:: \theta_i \leftarrow (1 - s_k\lambda)\theta_i + s_k\,\frac1P\sum_p r_p\nabla\sigma_*(x_p;\theta_i)
          + \sqrt{2 s_k\tau}\,g_i, \quad s_k = \varepsilon\,\xi(k\varepsilon)

One step of the driver is a chunk of many SGD steps. Samples come in blocks of a fixed number of steps, a pure function
of the seed and the block's number, so the network after k steps depends on neither chunks nor saves nor cuts. One
sample a step without noise runs through the exact block kernel. Source: Mei, Montanari & Nguyen (2018), eq. (5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.measures import Measure
from wflow.solvers.method import Arrays, Method, Step, register
from wflow.solvers.networks.problem import NetworkProblem
from wflow.solvers.step_size import Clock, StepSize
from wflow.tools.checks import check_count, positive
from wflow.tools.streams import stream

STREAM_STEPS = 1024
"""SGD steps a block of the sample stream holds, fewer where a block would pass ``STREAM_ENTRIES`` numbers."""
STREAM_ENTRIES = 1 << 21
ROWS = 500
"""About so many rows of per-step series a run."""


@register
@dataclass(frozen=True)
class StochasticGradient(Method[Measure, NetworkProblem]):
    """Online SGD with batches of ``batch_size`` samples and step ``step_size`` (ε)."""

    step_size: float = 1e-6
    batch_size: int = 1

    name = "sgd"
    acts_on = "network"
    order = 1

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        check_count("batch_size", self.batch_size)

    def init(self, problem: NetworkProblem, t: float, y: Arrays) -> Arrays:
        return {"loss": np.array(0.0)}

    def control(self, problem: NetworkProblem) -> StepSize:
        return Clock(self.step_size, self.stream_steps(problem), ROWS)

    def stream_steps(self, problem: NetworkProblem) -> int:
        """Steps in a block of samples, a power of two from the sizes of the problem alone."""
        width = self.batch_size * problem.model.input_dimension
        if problem.temperature > 0:
            width += problem.size
        fit = max(1, STREAM_ENTRIES // width)
        return int(min(STREAM_STEPS, 1 << (fit.bit_length() - 1)))

    def step(self, problem: NetworkProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        first = round(t / self.step_size)
        count = round(h / self.step_size)
        block = self.stream_steps(problem)
        y = {k: v.copy() for k, v in y.items()}
        total = 0.0
        for k in range(first, first + count, block):
            total += self._train(problem, y, k, min(block, first + count - k))
        return Step(y, {"loss": np.array(total / count)})

    def _train(self, problem: NetworkProblem, y: Arrays, k: int, count: int) -> float:
        """Steps k … k + count − 1, in place; the summed training loss before each step."""
        model, p = problem.model, self.batch_size
        x, target = model.samples(problem.seed, k * p, count * p)
        epsilon = self.step_size
        if callable(problem.schedule):
            s = np.array([epsilon * problem.schedule(j * epsilon) for j in range(k, k + count)])
        else:
            s = np.full(count, epsilon * problem.schedule)
        noise = None
        if problem.temperature > 0:
            shape = (count, *problem.neurons(y).shape)
            noise = stream(problem.seed, "noise", k).standard_normal(shape)
            noise *= np.sqrt(2.0 * s * problem.temperature)[:, None, None]
        f = problem.descend(y, x, target, s, p, noise)
        if model.loss == "logistic":
            return float(np.logaddexp(0.0, -target * f).sum()) / p
        return math.fsum((target - f) ** 2) / p
