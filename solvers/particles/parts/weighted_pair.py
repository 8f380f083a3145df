r"""Runge–Kutta pairs for weighted particles that are drawn anew where few of them carry the weight.

.. math:: n_{\mathrm{eff}} = 1/\textstyle\sum_i w_i^2 < c\,n \quad\Rightarrow\quad
          n w_i \text{ copies of } \theta_i \text{ by systematic rounding, each of weight } 1/n

for c the option ``resample``, after the step that took n_eff there; 0 draws never. It is unbiased, and adds noise of
the order of n^{−1/2} (1/n on a line). Copies of one particle stay together, since nothing parts them: the flow goes on
as it would with fewer particles, but no faster. What the drawing depends on, the seed and the number of the step, is in
the checkpoint. Source: Kong, Liu & Wong, J. Am. Stat. Assoc. 89 (1994) 278, for the effective size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.measures.resampling import drawn, effective_size
from wflow.solvers.method import Arrays, Step, Tolerance
from wflow.solvers.particles.parts.embedded_pair import EmbeddedPair
from wflow.solvers.particles.problem import ParticleProblem
from wflow.tools.checks import number
from wflow.tools.streams import stream
from wflow.views.particles import ParticleView


@dataclass(frozen=True)
class WeightedPair(EmbeddedPair[Particles]):
    """A pair with the option ``resample``, the share of n below which the effective size brings new particles."""

    resample: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= number("resample", self.resample) <= 1.0:
            raise InputError(
                f"resample = {self.resample:g}: give a share of n between 0 (never) and 1"
            )

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> ParticleProblem:
        problem = super().prepare(flow, measure, tolerance, seed)
        if self.resample > 0:
            problem.view = ParticleView(measure.names, followed=False)
        return problem

    def init(self, problem: ParticleProblem, t: float, y: Arrays) -> Arrays:
        counted = {"step": np.zeros((), dtype=np.int64)} if self.resample > 0 else {}
        return super().init(problem, t, y) | counted

    def ended(self, problem: ParticleProblem, t: float, done: Step, carry: Arrays) -> Step:
        if self.resample == 0 or not done.error <= 1.0:
            return done
        counted = {"step": carry["step"] + 1}
        w = done.y["weights"]
        if effective_size(w) >= self.resample * len(w):
            return Step(done.y, done.carry | counted, error=done.error)
        u = stream(problem.seed, "births", int(counted["step"])).random()
        after = {
            "positions": drawn(done.y["positions"], w, len(w), u),
            "weights": np.full(len(w), problem.mass / len(w)),
        }
        return Step(after, self.init(problem, t, after) | counted, error=done.error)
