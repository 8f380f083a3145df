r"""Stochastic gradient descent of a finite two-layer network, on an integer clock k with t = kε.

.. math:: \theta_i \leftarrow \theta_i - s_k G_i + \sqrt{2 s_k\tau}\,g_i, \quad
          G_i = -\frac1P\sum_p r_p\nabla\sigma_*(x_p;\theta_i) + \lambda\theta_i, \quad
          s_k = \varepsilon\,\xi(k\varepsilon)

or whatever another optimiser makes of G. One step of the driver is a chunk of many SGD steps. Samples and noise come in
blocks of a fixed number of steps, pure functions of the seed and of where they begin, so the network after k steps
depends on neither chunks nor saves nor cuts. Small batches of a dense network without more go through compiled loops,
one sample a step without noise through the exact block kernel; everything else takes the gradients of the energies.
Source: Mei, Montanari & Nguyen (2018), eq. (5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from wflow.energies.network import NetworkModel
from wflow.errors import InputError
from wflow.solvers.method import Arrays, Method, Step, register
from wflow.solvers.networks.batches import Batches, BatchSize, check_batch_size
from wflow.solvers.networks.optimizers import OPTIMIZERS, Optimizer, get_optimizer
from wflow.solvers.networks.problem import Drawn, Stretch, Trained
from wflow.solvers.step_size import Clock, StepSize
from wflow.tools.checks import check_flag, positive
from wflow.tools.streams import stream

STREAM_STEPS = 1024
"""SGD steps a block of the sample stream holds, fewer where a block would pass ``STREAM_ENTRIES`` numbers."""
STREAM_ENTRIES = 1 << 21
ROWS = 500
"""About so many rows of per-step series a run."""
LOOPED = 1 << 21
"""Up to so many products N·P·d a step, loops over the samples of a batch beat products of matrices."""


@register
@dataclass(frozen=True)
class StochasticGradient(Method[Any, Trained]):
    """Batches of ``batch_size`` samples and steps ``step_size`` (ε), taken by an optimiser.

    Parameters
    ----------
    step_size : ε, the tick of the clock
    batch_size : samples a step: P, "full", pairs (t, P) of what holds from time t on, or a function of k
    replacement : whether samples of a data set are drawn with replacement, or each once an epoch
    optimizer : "sgd", "momentum", "adam", "adagrad"
    optimizer_options : its options by name
    """

    step_size: float = 1e-6
    batch_size: BatchSize = 1
    replacement: bool = True
    optimizer: str = "sgd"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)

    name = "sgd"
    acts_on = "network"
    order = 1

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        check_flag("replacement", self.replacement)
        object.__setattr__(self, "optimizer_options", self.rule.options())

    @cached_property
    def rule(self) -> Optimizer:
        """The optimiser."""
        return get_optimizer(self.optimizer, self.optimizer_options)

    def refuse_noise(self, temperature: float) -> None:
        """Refuse noise under an optimiser that scales each coordinate's drift: no Gibbs state at τ would be left.

        Raises
        ------
        InputError
            which names those that take it
        """
        if temperature > 0 and not self.rule.noisy:
            able = " or ".join(
                sorted(f"'{name}'" for name, rule in OPTIMIZERS.items() if rule.noisy)
            )
            raise InputError(
                f"temperature = {temperature:g} with optimizer = '{self.optimizer}', whose scaled steps have no Gibbs "
                f"state at that temperature: take {able}, or no noise"
            )

    def batches(self, model: Drawn) -> Batches:
        """The batches of a network's samples."""
        # What is not drawn with replacement is a data set, which knows its length.
        epoch = None if self.replacement else model.n_samples  # type: ignore[attr-defined]
        return Batches(self.batch_size, self.step_size, epoch)

    def loops(self, model: NetworkModel, n_neurons: int) -> bool:
        """Whether compiled loops over samples serve a dense network of this size best."""
        batches = self.batches(model)
        if self.optimizer != "sgd" or not batches.known:
            return False
        return batches.most == 1 or n_neurons * batches.most * model.input_dimension < LOOPED

    def init(self, problem: Trained, t: float, y: Arrays) -> Arrays:
        carry = {"loss": np.array(0.0)} | self.rule.init(problem.neurons(y))
        batches = self.batches(problem.model)
        batches.check_memory(batches.most, problem.model.input_dimension)
        if not batches.even:
            carry["drawn"] = np.array(0, dtype=np.int64)
        return carry

    def control(self, problem: Trained) -> StepSize:
        return Clock(self.step_size, self.stream_steps(problem), ROWS)

    def stream_steps(self, problem: Trained) -> int:
        """Steps in a block of samples, a power of two from the sizes of the problem alone."""
        batches = self.batches(problem.model)
        if not batches.known:
            return 1
        width = batches.most * problem.model.input_dimension
        if problem.temperature > 0:
            width += problem.size
        fit = max(1, STREAM_ENTRIES // width)
        return int(min(STREAM_STEPS, 1 << (fit.bit_length() - 1)))

    def step(self, problem: Trained, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        first = round(t / self.step_size)
        count = round(h / self.step_size)
        block = self.stream_steps(problem)
        y = {k: v.copy() for k, v in y.items()}
        carry = {k: v.copy() for k, v in carry.items()}
        total = 0.0
        for k in range(first, first + count, block):
            total += self._train(problem, y, carry, k, min(block, first + count - k))
        carry["loss"] = np.array(total / count)
        return Step(y, carry)

    def _train(self, problem: Trained, y: Arrays, carry: Arrays, k: int, count: int) -> float:
        """Steps k … k + count − 1, in place; the summed training loss before each step."""
        model, batches = problem.model, self.batches(problem.model)
        drawn = k * batches.asked if batches.even else int(carry["drawn"])
        sizes = batches.sizes(k, count, drawn)
        if callable(batches.asked):  # other sizes are looked at before the run begins
            batches.check_memory(max(sizes), model.input_dimension)
        samples = (np.empty((0, model.input_dimension)), np.empty(0))
        if any(sizes):
            samples = model.samples(problem.seed, drawn, sum(sizes))
        if not batches.even:
            carry["drawn"] = np.array(drawn + sum(sizes), dtype=np.int64)
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
        return problem.train(y, carry, Stretch(k, s, sizes, *samples, noise), self.rule)
