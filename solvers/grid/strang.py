r"""Strang splitting of the Wasserstein–Fisher–Rao flow into {transport with diffusion} and {birth–death}.

.. math:: S(h) = \mathcal R(h/2)\,\mathcal T(h)\,\mathcal R(h/2)

Second order because each part sees a second-order Ψ. Drift and diffusion stay together (apart they break the no-flux
wall). Transport is ``muscl`` at τ = 0 and ``scharfetter-gummel`` above.
Source: Strang, SIAM J. Numer. Anal. 5 (1968) 506.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wflow.solvers.grid.muscl import Muscl
from wflow.solvers.grid.problem import GridMethod, GridProblem, energy_rises
from wflow.solvers.grid.reaction import react
from wflow.solvers.grid.scharfetter_gummel import ScharfetterGummel
from wflow.solvers.method import Arrays, Step, Tolerance, register


@register
@dataclass(frozen=True)
class Strang(GridMethod):
    """Half a reaction, one transport with diffusion, half a reaction."""

    name = "strang"
    kind = "adaptive"
    order = 2
    error_order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> GridProblem:
        return _inner(flow).prepare(flow, measure, tolerance, seed)

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return min(1e-3, _inner(problem.flow).first_step(problem, t, y, carry))

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        first, error0 = react(problem, t, 0.5 * h, y["density"], carry["potential"])
        middle = _inner(problem.flow).step(problem, t, h, {"density": first}, problem.state(first))
        if middle.status == "refused":
            return Step(y, carry, limit=middle.limit, status="refused", reason=middle.reason)
        new, error1 = react(
            problem, t + 0.5 * h, 0.5 * h, middle.y["density"], middle.carry["potential"]
        )
        after = problem.state(new)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        tol = problem.tolerance
        error = middle.error + (error0 + error1) / (tol.atol + tol.rtol)
        return Step({"density": new}, after, error=error, limit=middle.limit)


def _inner(flow: Any) -> ScharfetterGummel | Muscl:
    return ScharfetterGummel() if flow.temperature > 0 else Muscl()
