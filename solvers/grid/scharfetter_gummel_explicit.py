r"""Drift and diffusion by the Scharfetter–Gummel flux and an explicit two-stage Runge–Kutta method.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

Order 2 in time, unsplit, on one to three axes; a discrete Gibbs state is left in place to rounding. Positive while no
cell is left faster than once a step, checked at both stages: dt ≲ h²/(2Dτ), so this is the method for small τ h⁻² or
for many axes, and the check on the implicit ``scharfetter-gummel``. A stage is one sweep over the density. Where Ψ does
not depend on ρ (and the Gibbs weights are floating-point numbers) the rates are formed once, and so is a whole step.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Gottlieb, Shu & Tadmor, SIAM Rev. 43 (2001)
89, eq. (3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.grid.drift_diffusion import drift_diffusion_stage
from wflow.kernels.grid.drift_diffusion_frozen import FrozenRates, frozen_rates, frozen_step, spans
from wflow.kernels.memory import recycled_empty
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem, Sums
from wflow.solvers.method import Arrays, Step, Tolerance, register
from wflow.tools.checks import non_negative

POSITIVE = 0.9999
"""Largest dt·(rate out of a cell), with room for rounding."""


class ExplicitProblem(GridProblem):
    """With the rates of a potential that stays."""

    @cached_property
    def _psi(self) -> np.ndarray:
        return self.potential(self.initial["density"])[0].reshape(self.box_shape)

    @cached_property
    def fast(self) -> bool:
        """Whether the potential stays and its Gibbs weights are numbers."""
        return self.frozen and spans(self._psi, self.flow.temperature)

    @cached_property
    def rates(self) -> FrozenRates:
        return frozen_rates(self._psi, self.axes, self.flow.temperature)

    def stage(
        self,
        t: float,
        start: np.ndarray,
        rho: np.ndarray,
        psi: np.ndarray,
        h: float,
        share: float,
        out: np.ndarray,
        seen: bool = False,
    ) -> tuple[float, Sums]:
        """(1 − share) start + share (ρ + h dρ/dt) into ``out``: the rate out of a cell, and if ``seen`` the sums."""
        box, flow = self.box_shape, self.flow
        return drift_diffusion_stage(
            start.reshape(box),
            rho.reshape(box),
            psi.reshape(box),
            self.axes,
            (flow.temperature, flow.schedule(t)),
            h,
            share,
            out.reshape(box),
            self.integrals if seen else None,
        )

    @cached_property
    def _constant(self) -> float:
        return self.potential(np.zeros(self.volumes.shape))[1]

    def linear_state(self, density: np.ndarray, sums: Sums | None = None) -> Arrays:
        """Risk and free energy of R = R_# + 2∫V dρ; of ``sums`` the third is ∫(V + φ)dρ."""
        if sums is None:
            # A step of no length, of which the kernel is compiled anyway.
            box = density.reshape(self.box_shape)
            _, sums = frozen_step(box, self.rates, 0.0, self.integrals)
        _, entropy, along, _ = sums
        free = 0.5 * self._constant + along + self.flow.temperature * entropy
        return self.scalars(self._constant + 2.0 * (along - self.fixed_part(density)), free, sums)


@register
@dataclass(frozen=True)
class ExplicitDriftDiffusion(GridMethod[ExplicitProblem]):
    """Explicit drift–diffusion; ``cfl`` in (0, 1] is the part of a cell that may leave in a step."""

    cfl: float = 0.9

    name = "scharfetter-gummel-explicit"
    order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        if not 0 < non_negative("cfl", self.cfl) <= 1:
            raise InputError(f"cfl = {self.cfl}: must be in (0, 1], the bound for positivity")

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> ExplicitProblem:
        return ExplicitProblem(flow, measure, tolerance)

    def init(self, problem: ExplicitProblem, t: float, y: Arrays) -> Arrays:
        if problem.fast:
            return problem.linear_state(y["density"])
        rho = y["density"]
        psi, risk = problem.potential(rho)
        # A stage of no length: the rates and the sums of what is there.
        leaving, sums = problem.stage(t, rho, rho, psi, 0.0, 1.0, problem.room("stage"), seen=True)
        return problem.observed(psi, risk, sums) | {"leaving": np.array(leaving)}

    def first_step(self, problem: ExplicitProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return self._limit(problem, t, carry)

    def step(self, problem: ExplicitProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if problem.fast:
            return self._frozen_step(problem, t, h, y, carry)
        rho = y["density"]
        stage = problem.room("stage")
        leaving, _ = problem.stage(t, rho, rho, carry["potential"], h, 1.0, stage)
        if h * leaving > POSITIVE:
            return Step.refused(y, carry, "CFL bound", self.cfl / leaving)
        psi, _ = problem.potential(stage)
        new = recycled_empty(rho.shape)
        # ½ρ + ½(stage + h rate): a convex combination, hence positive.
        leaving, sums = problem.stage(t + h, rho, stage, psi, h, 0.5, new, seen=True)
        if h * leaving > POSITIVE:
            return Step.refused(y, carry, "CFL bound at stage 2", min(self.cfl / leaving, 0.9 * h))
        after = problem.observed(*problem.potential(new), sums) | {"leaving": np.array(leaving)}
        # The rates at the new density are not known before the next step; those of the last stage stand for them.
        return problem.accept(h, y, carry, new, after, limit=self._limit(problem, t + h, after))

    def _frozen_step(
        self, problem: ExplicitProblem, t: float, h: float, y: Arrays, carry: Arrays
    ) -> Step:
        # The trapezoidal rule for the clock ∫ξ dt, second order like two stages.
        schedule = problem.flow.schedule
        clock = 0.5 * h * (schedule(t) + schedule(t + h))
        leaving = problem.rates.leaving
        if clock * leaving > POSITIVE:
            return Step.refused(y, carry, "CFL bound", 0.9 * h * POSITIVE / (clock * leaving))
        new, sums = frozen_step(
            y["density"].reshape(problem.box_shape),
            problem.rates,
            clock,
            problem.integrals,
            self.order,
        )
        density = new.reshape(y["density"].shape)
        after = problem.linear_state(density, sums)
        return problem.accept(h, y, carry, density, after, limit=self._limit(problem, t + h, after))

    def _limit(self, problem: ExplicitProblem, t: float, carry: Arrays) -> float:
        if problem.fast:
            leaving = problem.rates.leaving * problem.flow.schedule(t)
        else:
            leaving = float(carry["leaving"])
        return self.cfl / leaving if leaving > 0 else math.inf
