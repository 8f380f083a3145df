r"""Transport by second-order finite volumes: MUSCL slopes, two stages of a strong-stability-preserving Runge–Kutta.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda)

On one to three axes, unsplit. Order 2 in h and dt. Positive for dt·Σv/w ≤ ½ in every cell, checked again at the second
stage; mass by telescoping fluxes; the free energy is compared before and after every step and a step that raises it is
refused. Where Ψ depends on ρ locally (Ψ = ρ − f) the flow is a diffusion and |v| alone bounds no step: the two stages
measure the stiffness, :math:`L = \|\dot\rho_1 - \dot\rho_0\| / \|\rho_1 - \rho_0\|`, and dt·L stays inside the
stability interval (0, 2) of the two-stage method; a growing ripple shows in L long before it shows in ρ.
Sources: van Leer, J. Comput. Phys. 32 (1979) 101; Gottlieb, Shu & Tadmor, SIAM Rev. 43 (2001) 89, eq. (3.2); for the
estimate of L: Sommeijer, Shampine & Verwer, J. Comput. Appl. Math. 88 (1998) 315, §3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wflow.errors import InputError
from wflow.kernels.grid.sums import advance
from wflow.solvers.grid.parts.explicit_transport import POSITIVE, TransportMethod, stiffness
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Arrays, Step, register
from wflow.tools.checks import non_negative

STABLE, TOO_STIFF, FORGET = 1.7, 2.2, 0.98
"""dt·L aimed at, dt·L refused, and the memory of L a step."""


@register
@dataclass(frozen=True)
class Muscl(TransportMethod):
    """Second-order finite volumes; ``theta`` in [1, 2] sharpens the limiter (1 minmod, 2 monotonised central)."""

    theta: float = 2.0
    cfl: float = 0.45

    name = "muscl"
    order = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= non_negative("theta", self.theta) <= 2:
            raise InputError(f"theta = {self.theta}: must be in [1, 2]; 2 is the sharpest")

    def init(self, problem: GridProblem, t: float, y: Arrays) -> Arrays:
        return super().init(problem, t, y) | {"stiffness": np.array(0.0)}

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        rho, carry = y["density"], self.known(problem, t, y, carry)
        rate0, outflow = carry["rate"], float(carry["outflow"])
        if h * outflow > POSITIVE:
            return Step.refused(y, carry, "CFL bound", self.cfl / outflow)
        stage = advance(rho, rho, rate0, h, 1.0, problem.room("stage"))
        psi, _ = problem.potential(stage)
        rate1, outflow = self.tendency(problem, t + h, stage, psi, problem.room("rate"))
        if h * outflow > POSITIVE:
            return Step.refused(y, carry, "CFL bound at stage 2", min(self.cfl / outflow, 0.9 * h))
        stiff = stiffness(problem, h, rate0, rate1)
        if h * stiff > TOO_STIFF:
            return Step.refused(y, carry, "stability of diffusion", min(STABLE / stiff, 0.9 * h))
        # ½ρ + ½(stage + h rate): a convex combination, hence positive.
        new = advance(rho, stage, rate1, h, 0.5)
        after = problem.state(new)
        done = problem.accept(h, y, carry, new, after)
        if done.status == "refused":
            return done
        stiff = max(stiff, FORGET * float(carry.get("stiffness", 0.0)))
        after |= self.rates(problem, t + h, new, after["potential"])
        limit = self.limit(after)
        if stiff > 0:
            limit = min(limit, STABLE / stiff)
        after["stiffness"] = np.array(stiff)
        return replace(done, limit=limit)
