r"""Transport by second-order finite volumes: MUSCL slopes, two stages of a strong-stability-preserving Runge–Kutta.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda)

Order 2 in h and dt. Positive for dt·v/w ≤ ½ in every cell, checked again at the second stage; mass by telescoping
fluxes; the free energy is compared before and after every step and a step that raises it is refused.
Sources: van Leer, J. Comput. Phys. 32 (1979) 101; Gottlieb, Shu & Tadmor, SIAM Rev. 43 (2001) 89, eq. (3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import non_negative
from wflow.kernels.transport import muscl_tendency
from wflow.solvers.grid.problem import GridMethod, GridProblem, energy_rises
from wflow.solvers.method import Arrays, Step, Tolerance, register

POSITIVE = 0.4999
"""Largest dt·v/w at which a cell cannot lose more than it holds, with room for rounding."""


@register
@dataclass(frozen=True)
class Muscl(GridMethod):
    """Second-order finite volumes; ``theta`` in [1, 2] sharpens the limiter (1 minmod, 2 monotonised central)."""

    theta: float = 2.0
    cfl: float = 0.45

    name = "muscl"
    kind = "cfl"
    order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        if not 1 <= non_negative("theta", self.theta) <= 2:
            raise InputError(f"theta = {self.theta}: must be in [1, 2]; 2 is the sharpest")
        if not 0 < non_negative("cfl", self.cfl) <= 0.5:
            raise InputError(f"cfl = {self.cfl}: must be in (0, 0.5], the bound for positivity")

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> GridProblem:
        if flow.temperature > 0:
            raise InputError(
                "method 'muscl' has no diffusion: use 'scharfetter-gummel' for temperature > 0"
            )
        return super().prepare(flow, measure, tolerance, seed)

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return self._limit(problem, t, y["density"], carry["potential"])

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        rho = y["density"]
        rate0, outflow = self._tendency(problem, t, rho, carry["potential"])
        if h * outflow > POSITIVE:
            return Step(y, carry, limit=self.cfl / outflow, status="refused", reason="CFL bound")
        stage = rho + h * rate0
        psi, _ = problem.potential(stage)
        rate1, outflow = self._tendency(problem, t + h, stage, psi)
        if h * outflow > POSITIVE:
            limit = min(self.cfl / outflow, 0.9 * h)
            return Step(y, carry, limit=limit, status="refused", reason="CFL bound at stage 2")
        # ½ρ + ½(stage + h rate): a convex combination, hence positive.
        new = 0.5 * (rho + (stage + h * rate1))
        after = problem.state(new)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        limit = self._limit(problem, t + h, new, after["potential"])
        return Step({"density": new}, after, limit=limit)

    def _tendency(
        self, problem: GridProblem, t: float, rho: np.ndarray, psi: np.ndarray
    ) -> tuple[np.ndarray, float]:
        out = np.empty_like(rho)
        widths, speed = problem.grid.widths[0], problem.flow.schedule(t)
        outflow = muscl_tendency(rho, psi, problem.gaps, widths, speed, self.theta, out)
        return out, outflow

    def _limit(self, problem: GridProblem, t: float, rho: np.ndarray, psi: np.ndarray) -> float:
        _, outflow = self._tendency(problem, t, rho, psi)
        return self.cfl / outflow if outflow > 0 else math.inf
