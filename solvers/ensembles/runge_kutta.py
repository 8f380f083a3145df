r"""The default for ensembles: Dormand & Prince's pair of orders 5 and 4, the step by the error of the weights.

.. math:: \mathrm{error}^2 = E\Bigl[\bigl((w - \hat w)/(\mathrm{atol} + \mathrm{rtol}\,\max(|w|, \|w\|))\bigr)^2\Bigr]

where E is over the atoms that weights and biases join, and the norm is the root mean square over a layer: what few
atoms do is not lost among many, nor does one weight near 0 stop the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.solvers.ensembles.problem import PARAMETERS, EnsembleMethod, EnsembleProblem
from wflow.solvers.method import Arrays, Step, register
from wflow.solvers.tableau import DORMAND_PRINCE, combine


@register
@dataclass(frozen=True)
class EnsembleRungeKutta(EnsembleMethod):
    """Dormand–Prince 5(4) of all weights and biases together."""

    name = "ensemble-runge-kutta"
    order = 5
    error_order = 5

    def first_step(self, problem: EnsembleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        # A first step that moves the weights by about 1% of their size (Hairer, Norsett & Wanner, II.4).
        size = problem.norm(y[PARAMETERS]) + 1e-6
        pace = problem.flow.schedule(t) * problem.norm(carry["gradient"]) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def step(self, problem: EnsembleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        theta, after = y[PARAMETERS], y[PARAMETERS]
        rates = [-problem.flow.schedule(t) * carry["gradient"]]
        for c, row in zip(DORMAND_PRINCE.abscissae, DORMAND_PRINCE.stages, strict=True):
            after = theta + h * combine(row, rates)
            carry = problem.at(after)
            rates.append(-problem.flow.schedule(t + c * h) * carry["gradient"])
        apart = h * combine(DORMAND_PRINCE.estimate, rates)
        tol = problem.tolerance
        size = np.maximum(np.maximum(np.abs(theta), np.abs(after)), problem.typical(theta))
        error = problem.norm(apart / (tol.atol + tol.rtol * size))
        return Step({PARAMETERS: after}, carry, error=error)
