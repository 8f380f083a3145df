r"""Lie splitting of the Wasserstein–Fisher–Rao flow, in either order.

.. math:: L(h) = \mathcal R(h)\,\mathcal T(h) \quad\text{or}\quad \mathcal T(h)\,\mathcal R(h)

First order: the parts do not commute. Source: Gallouët & Monsaingeon, SIAM J. Math. Anal. 49 (2017) 1100 (splitting of
the Kantorovich–Fisher–Rao metric); Trotter, Proc. Amer. Math. Soc. 10 (1959) 545.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wflow.errors import InputError, shown
from wflow.solvers.grid.parts.operator_splitting import OperatorSplitting
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Arrays, Step, register


@register
@dataclass(frozen=True)
class Lie(OperatorSplitting):
    """One transport with diffusion and one reaction; ``first`` is "transport" or "reaction"."""

    first: str = "transport"

    name = "lie"
    order = 1

    def __post_init__(self) -> None:
        if not isinstance(self.first, str) or self.first not in ("transport", "reaction"):
            raise InputError(f"first = {shown(self.first)}: must be 'transport' or 'reaction'")

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        start = y["density"]
        if self.first == "reaction":
            start = self.reacted(problem, t, h, start, carry)
        moved = self.transported(problem, t, h, start)
        if moved.status == "refused":
            return replace(moved, y=y, carry=carry)
        new = moved.y["density"]
        if self.first == "transport":
            new = self.reacted(problem, t, h, new, moved.carry)
        clock = h * problem.flow.schedule(t + 0.5 * h)
        return self.finished(problem, h, (y, carry), (start, moved), new, clock)
