r"""Drift and diffusion by the Scharfetter–Gummel flux and an explicit two-stage Runge–Kutta method.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

Order 2 in time, unsplit, on one to three axes; a discrete Gibbs state is left in place to rounding. Positive while no
cell is left faster than once a step, checked at both stages: dt ≲ h²/(2Dτ), so this is the method for small τ h⁻² or
for many axes, and the check on the implicit ``scharfetter-gummel``.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Gottlieb, Shu & Tadmor, SIAM Rev. 43 (2001)
89, eq. (3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import non_negative
from wflow.kernels.drift_diffusion import drift_diffusion_tendency
from wflow.solvers.grid.problem import GridMethod, GridProblem, energy_rises
from wflow.solvers.method import Arrays, Step, register

POSITIVE = 0.9999
"""Largest dt·(rate out of a cell), with room for rounding."""


@register
@dataclass(frozen=True)
class ExplicitDriftDiffusion(GridMethod):
    """Explicit drift–diffusion; ``cfl`` in (0, 1] is the part of a cell that may leave in a step."""

    cfl: float = 0.9

    name = "scharfetter-gummel-explicit"
    kind = "cfl"
    order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        if not 0 < non_negative("cfl", self.cfl) <= 1:
            raise InputError(f"cfl = {self.cfl}: must be in (0, 1], the bound for positivity")

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return self._limit(problem, t, y["density"], carry["potential"])

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        rho = y["density"]
        rate, leaving = self._tendency(problem, t, rho, carry["potential"])
        if h * leaving > POSITIVE:
            return Step(y, carry, limit=self.cfl / leaving, status="refused", reason="CFL bound")
        stage = rho + h * rate
        psi, _ = problem.potential(stage)
        rate, leaving = self._tendency(problem, t + h, stage, psi)
        if h * leaving > POSITIVE:
            limit = min(self.cfl / leaving, 0.9 * h)
            return Step(y, carry, limit=limit, status="refused", reason="CFL bound at stage 2")
        # ½ρ + ½(stage + h rate): a convex combination, hence positive.
        new = 0.5 * (rho + (stage + h * rate))
        after = problem.state(new)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        return Step(
            {"density": new}, after, limit=self._limit(problem, t + h, new, after["potential"])
        )

    def _tendency(
        self, problem: GridProblem, t: float, rho: np.ndarray, psi: np.ndarray
    ) -> tuple[np.ndarray, float]:
        out = np.empty_like(rho)
        box, flow = problem.box_shape, problem.flow
        leaving = drift_diffusion_tendency(
            rho.reshape(box),
            psi.reshape(box),
            problem.axes,
            problem.moves,
            problem.periodic,
            flow.temperature,
            flow.schedule(t),
            out.reshape(box),
        )
        return out, leaving

    def _limit(self, problem: GridProblem, t: float, rho: np.ndarray, psi: np.ndarray) -> float:
        _, leaving = self._tendency(problem, t, rho, psi)
        return self.cfl / leaving if leaving > 0 else math.inf
