r"""Transport by first-order upwind finite volumes and one explicit Euler stage: the plain twin of ``muscl``.

.. math:: \rho^{n+1} = \rho^n + dt\,\xi\,\nabla\cdot(\rho_{up}\nabla\Psi_\lambda[\rho^n])

One evaluation of Ψ a step, monotone, on one to three axes. Positive for dt·Σv/w ≤ ½; where Ψ depends on ρ locally the
step is also held below half the stability bound that two successive rates show (see ``muscl``).
Source: Courant, Isaacson & Rees, Comm. Pure Appl. Math. 5 (1952) 243.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.kernels.grid.sums import advance
from wflow.solvers.grid.muscl import POSITIVE, TransportMethod, stiffness
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Arrays, Step, register

STABLE, TOO_STIFF, FORGET = 1.5, 2.2, 0.98


@register
@dataclass(frozen=True)
class Upwind(TransportMethod):
    """First-order finite volumes, monotone."""

    name = "upwind"
    order = 1
    order_in_space = 1

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        rho, outflow = y["density"], float(carry["outflow"])
        if h * outflow > POSITIVE:
            return Step.refused(y, carry, "CFL bound", self.cfl / outflow)
        new = advance(rho, rho, carry["rate"], h, 1.0)
        done = problem.accept(h, y, carry, new, problem.state(new))
        if done.status == "refused":
            return done
        after = done.carry
        after |= self.rates(problem, t + h, done.y["density"], after["potential"])
        stiff = stiffness(problem, h, carry["rate"], after["rate"])
        if h * stiff > TOO_STIFF:
            return Step.refused(y, carry, "stability of diffusion", min(STABLE / stiff, 0.9 * h))
        stiff = max(stiff, FORGET * float(carry["stiffness"]))
        after["stiffness"] = np.array(stiff)
        limit = min(self.limit(after), STABLE / stiff if stiff > 0 else math.inf)
        return Step(done.y, after, limit=limit)
