r"""The default for ensembles: Dormand & Prince's pair of orders 5 and 4, the step by the error of the weights.

.. math:: \mathrm{error}^2 = E\Bigl[\bigl((w - \hat w)/(\mathrm{atol} + \mathrm{rtol}\,\max(|w|, \|w\|))\bigr)^2\Bigr]

where E is over the atoms that weights and biases join, and the norm is the root mean square over a layer: what few
atoms do is not lost among many, nor does one weight near 0 stop the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.solvers.ensembles.problem import PARAMETERS, EnsembleProblem
from wflow.solvers.method import Arrays, Method, Step, Tolerance, register
from wflow.solvers.tableau import DORMAND_PRINCE, combine


@register
@dataclass(frozen=True)
class EnsembleRungeKutta(Method[Ensemble, EnsembleProblem]):
    """Dormand–Prince 5(4) of all weights and biases together."""

    name = "ensemble-runge-kutta"
    acts_on = "ensemble"
    order = 5
    error_order = 5

    def prepare(
        self, flow: Flow, measure: Ensemble, tolerance: Tolerance, seed: int
    ) -> EnsembleProblem:
        return EnsembleProblem(flow, measure, tolerance)

    def init(self, problem: EnsembleProblem, t: float, y: Arrays) -> Arrays:
        g, risk = problem.gradient(y[PARAMETERS])
        return {"gradient": g, "risk": np.array(risk)}

    def dissipation(self, problem: EnsembleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return problem.flow.schedule(t) * problem.total(carry["gradient"] ** 2)

    def first_step(self, problem: EnsembleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        # A first step that moves the weights by about 1% of their size (Hairer, Norsett & Wanner, II.4).
        size = problem.norm(y[PARAMETERS]) + 1e-6
        pace = problem.flow.schedule(t) * problem.norm(carry["gradient"]) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def step(self, problem: EnsembleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        theta, after, risk = y[PARAMETERS], y[PARAMETERS], 0.0
        g = carry["gradient"]
        rates = [-problem.flow.schedule(t) * g]
        for c, row in zip(DORMAND_PRINCE.abscissae, DORMAND_PRINCE.stages, strict=True):
            after = theta + h * combine(row, rates)
            g, risk = problem.gradient(after)
            rates.append(-problem.flow.schedule(t + c * h) * g)
        apart = h * combine(DORMAND_PRINCE.estimate, rates)
        tol = problem.tolerance
        size = np.maximum(np.maximum(np.abs(theta), np.abs(after)), problem.typical(theta))
        error = problem.norm(apart / (tol.atol + tol.rtol * size))
        carry = {"gradient": g, "risk": np.array(risk)}
        return Step({PARAMETERS: after}, carry, error=error)
