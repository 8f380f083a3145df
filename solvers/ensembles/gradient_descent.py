r"""Gradient descent on all samples, with steps of one length: what a network of finite width does.

.. math:: w \leftarrow w - h\,\xi(t)\,G
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.ensembles.problem import PARAMETERS, EnsembleMethod, EnsembleProblem
from wflow.solvers.method import Arrays, Step, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive


@register
@dataclass(frozen=True)
class EnsembleGradientDescent(EnsembleMethod):
    """Explicit Euler steps of length ``step_size``."""

    step_size: float = 1e-2

    name = "ensemble-gradient-descent"
    order = 1

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def control(self, problem: EnsembleProblem) -> StepSize:
        return Fixed(self.step_size)

    def step(self, problem: EnsembleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        after = y[PARAMETERS] - (h * problem.flow.schedule(t)) * carry["gradient"]
        return Step({PARAMETERS: after}, problem.at(after))
