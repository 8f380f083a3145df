r"""Strang splitting of the Wasserstein–Fisher–Rao flow into {transport with diffusion} and {birth–death}.

.. math:: S(h) = \mathcal R(h/2)\,\mathcal T(h)\,\mathcal R(h/2)

Second order because each part sees a second-order Ψ. Source: Strang, SIAM J. Numer. Anal. 5 (1968) 506.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wflow.solvers.grid.parts.operator_splitting import OperatorSplitting
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Arrays, Step, register


@register
@dataclass(frozen=True)
class Strang(OperatorSplitting):
    """Half a reaction, one transport with diffusion, half a reaction; ``transport`` names the method of the middle."""

    name = "strang"
    order = 2

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        first = self.reacted(problem, t, 0.5 * h, y["density"], carry)
        middle = self.transported(problem, t, h, first)
        if middle.status == "refused":
            return replace(middle, y=y, carry=carry)
        new = self.reacted(problem, t + 0.5 * h, 0.5 * h, middle.y["density"], middle.carry)
        clock = h * problem.flow.schedule(t + 0.5 * h)
        return self.finished(problem, h, (y, carry), (first, middle), new, clock)
