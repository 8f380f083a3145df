r"""Drift and diffusion by the Scharfetter–Gummel flux and an explicit two-stage Runge–Kutta method.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

Order 2 in time, unsplit, on one to three axes; a discrete Gibbs state is left in place to rounding. Positive while no
cell is left faster than once a step, checked at both stages: dt ≲ h²/(2Dτ), so this is the method for small τ h⁻² or
for many axes, and the check on the implicit ``scharfetter-gummel``. The rate at the end of a step is the next step's
first stage. Where Ψ does not depend on ρ the rates are formed once, and a step is one sweep over the density.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Gottlieb, Shu & Tadmor, SIAM Rev. 43 (2001)
89, eq. (3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import non_negative
from wflow.kernels.drift_diffusion import drift_diffusion_tendency
from wflow.kernels.drift_diffusion_frozen import FrozenRates, frozen_rates, frozen_step
from wflow.kernels.transport_sums import advance, density_sums
from wflow.solvers.grid.problem import GridMethod, GridProblem, Sums, energy_rises
from wflow.solvers.method import Arrays, Step, Tolerance, register

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

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> GridProblem:
        return _Problem(flow, measure, tolerance)

    def init(self, problem: GridProblem, t: float, y: Arrays) -> Arrays:
        assert isinstance(problem, _Problem)
        if problem.frozen:
            return problem.linear_state(y["density"])
        carry = problem.state(y["density"])
        return carry | self._rate(problem, t, y["density"], carry["potential"])

    def first_step(self, problem: Any, t: float, y: Arrays, carry: Arrays) -> float:
        return self._limit(problem, t, carry)

    def step(self, problem: Any, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if problem.frozen:
            return self._frozen_step(problem, t, h, y, carry)
        rho, leaving = y["density"], float(carry["leaving"])
        if h * leaving > POSITIVE:
            return Step(y, carry, limit=self.cfl / leaving, status="refused", reason="CFL bound")
        stage = advance(rho, rho, carry["rate"], h, 1.0, problem.room("stage"))
        psi, _ = problem.potential(stage)
        middle = self._rate(problem, t + h, stage, psi, problem.room("rate"))
        leaving = float(middle["leaving"])
        if h * leaving > POSITIVE:
            limit = min(self.cfl / leaving, 0.9 * h)
            return Step(y, carry, limit=limit, status="refused", reason="CFL bound at stage 2")
        # ½ρ + ½(stage + h rate): a convex combination, hence positive.
        new = advance(rho, stage, middle["rate"], h, 0.5)
        after = problem.state(new)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        after |= self._rate(problem, t + h, new, after["potential"])
        return Step({"density": new}, after, limit=self._limit(problem, t + h, after))

    def _frozen_step(self, problem: _Problem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        # The trapezoidal rule for the clock ∫ξ dt, second order like the stages.
        schedule = problem.flow.schedule
        clock = 0.5 * h * (schedule(t) + schedule(t + h))
        leaving = problem.rates.leaving
        if clock * leaving > POSITIVE:
            limit = 0.9 * h * POSITIVE / (clock * leaving)
            return Step(y, carry, limit=limit, status="refused", reason="CFL bound")
        new, sums = frozen_step(
            y["density"].reshape(problem.box_shape),
            problem.rates,
            clock,
            problem.widths,
            problem.areas,
            problem.flow.temperature > 0,
        )
        density = new.reshape(y["density"].shape)
        after = problem.linear_state(density, sums)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        return Step({"density": density}, after, limit=self._limit(problem, t + h, after))

    def _rate(
        self,
        problem: GridProblem,
        t: float,
        rho: np.ndarray,
        psi: np.ndarray,
        out: np.ndarray | None = None,
    ) -> Arrays:
        out = np.empty_like(rho) if out is None else out
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
        return {"rate": out, "leaving": np.array(leaving)}

    def _limit(self, problem: _Problem, t: float, carry: Arrays) -> float:
        if problem.frozen:
            leaving = problem.rates.leaving * problem.flow.schedule(t)
        else:
            leaving = float(carry["leaving"])
        return self.cfl / leaving if leaving > 0 else math.inf


class _Problem(GridProblem):
    """With the rates of a potential that stays."""

    @cached_property
    def rates(self) -> FrozenRates:
        box = self.box_shape
        psi = self.potential(self.initial["density"])[0].reshape(box)
        return frozen_rates(psi, self.axes, self.moves, self.periodic, self.flow.temperature)

    @cached_property
    def _constant(self) -> float:
        return self.potential(np.zeros(self.volumes.shape))[1]

    def linear_state(self, density: np.ndarray, sums: Sums | None = None) -> Arrays:
        """Risk and free energy of R = R_# + 2∫V dρ; of ``sums`` the third is ∫(V + φ)dρ."""
        noisy = self.flow.temperature > 0
        if sums is None:
            psi = self.rates.potential.reshape(density.shape)
            sums = density_sums(density, psi, self.widths, self.areas, noisy)
        _, entropy, along, _ = sums
        free = 0.5 * self._constant + along + self.flow.temperature * entropy
        return self.scalars(self._constant + 2.0 * (along - self.fixed_part(density)), free, sums)
