r"""Gradient descent on all samples, with steps of one length: what a network of finite width does.

.. math:: w \leftarrow w - h\,\xi(t)\,G
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.solvers.ensembles.problem import PARAMETERS, EnsembleProblem
from wflow.solvers.method import Arrays, Method, Step, Tolerance, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive


@register
@dataclass(frozen=True)
class EnsembleGradientDescent(Method[Ensemble, EnsembleProblem]):
    """Explicit Euler steps of length ``step_size``."""

    step_size: float = 1e-2

    name = "ensemble-gradient-descent"
    acts_on = "ensemble"
    order = 1

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def prepare(
        self, flow: Flow, measure: Ensemble, tolerance: Tolerance, seed: int
    ) -> EnsembleProblem:
        return EnsembleProblem(flow, measure, tolerance)

    def control(self, problem: EnsembleProblem) -> StepSize:
        return Fixed(self.step_size)

    def init(self, problem: EnsembleProblem, t: float, y: Arrays) -> Arrays:
        g, risk = problem.gradient(y[PARAMETERS])
        return {"gradient": g, "risk": np.array(risk)}

    def dissipation(self, problem: EnsembleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return problem.flow.schedule(t) * problem.total(carry["gradient"] ** 2)

    def step(self, problem: EnsembleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        after = y[PARAMETERS] - (h * problem.flow.schedule(t)) * carry["gradient"]
        g, risk = problem.gradient(after)
        return Step({PARAMETERS: after}, {"gradient": g, "risk": np.array(risk)})
