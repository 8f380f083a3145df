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

import math
from dataclasses import dataclass, replace

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.grid.muscl import muscl_tendency
from wflow.kernels.grid.sums import advance, size_and_change
from wflow.kernels.memory import recycled_empty
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, Tolerance, register
from wflow.tools.checks import non_negative

POSITIVE = 0.4999
"""Largest dt·Σv/w at which a cell cannot lose more than it holds, with room for rounding."""
MOST_EMPTY = 1e-6
"""The share of the mass that is left alone at a loose tolerance."""
STABLE, TOO_STIFF, FORGET = 1.7, 2.2, 0.98
"""dt·L aimed at, dt·L refused, and the memory of L a step."""


@dataclass(frozen=True)
class TransportMethod(GridMethod[GridProblem]):
    """Explicit finite volumes along −∇Ψ_λ; ``cfl`` is the part of a cell that may leave in a step, at most ½.

    Of the cells with the highest Ψ those that hold less than the share ``empty`` of the mass, all together, stay as
    they are: an empty wall, where velocities are largest, sets no step.
    """

    cfl: float = 0.45
    empty: float = 0.0

    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        if not 0 < non_negative("cfl", self.cfl) <= 0.5:
            raise InputError(f"cfl = {self.cfl}: must be in (0, 0.5], the bound for positivity")
        if not non_negative("empty", self.empty) < 1:
            raise InputError(f"empty = {self.empty}: must be in [0, 1), a share of the mass")

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GridProblem:
        if flow.temperature > 0:
            raise InputError(
                f"method '{self.name}' has no diffusion: use 'scharfetter-gummel' for temperature > 0"
            )
        return super().prepare(flow, measure, tolerance, seed)

    def within(self, tolerance: Tolerance) -> TransportMethod:
        return replace(self, empty=max(self.empty, min(tolerance.atol, MOST_EMPTY)))

    def init(self, problem: GridProblem, t: float, y: Arrays) -> Arrays:
        carry = super().init(problem, t, y)
        rates = self.rates(problem, t, y["density"], carry["potential"])
        return carry | rates | {"stiffness": np.array(0.0)}

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return self.limit(carry)

    def rates(self, problem: GridProblem, t: float, rho: np.ndarray, psi: np.ndarray) -> Arrays:
        """The tendency and the outflow as a carry."""
        rate, outflow = self.tendency(problem, t, rho, psi)
        return {"rate": rate, "outflow": np.array(outflow)}

    def tendency(
        self,
        problem: GridProblem,
        t: float,
        rho: np.ndarray,
        psi: np.ndarray,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, float]:
        """dρ/dt, and the largest rate at which a cell empties."""
        out = recycled_empty(rho.shape) if out is None else out
        if self.empty > 0:
            psi = np.minimum(psi, self.height(problem, rho, psi))
        box = problem.box_shape
        outflow = muscl_tendency(
            rho.reshape(box),
            psi.reshape(box),
            problem.axes,
            problem.flow.schedule(t),
            self.sharpness(),
            out.reshape(box),
        )
        return out, outflow

    def height(self, problem: GridProblem, rho: np.ndarray, psi: np.ndarray) -> float:
        """The highest Ψ of a cell with mass, above which Ψ is taken as level: slopes keep their sign, so F falls."""
        least = self.empty * problem.mass / rho.size
        return float(psi.max(where=rho * problem.volumes > least, initial=-math.inf))

    def sharpness(self) -> float:
        """θ of the slope limiter; 0 is first-order upwind."""
        return 0.0

    def limit(self, carry: Arrays) -> float:
        """The step at which the fastest cell loses the part ``cfl``."""
        outflow = float(carry["outflow"])
        return self.cfl / outflow if outflow > 0 else math.inf


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

    def sharpness(self) -> float:
        return float(self.theta)

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        rho, rate0, outflow = y["density"], carry["rate"], float(carry["outflow"])
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
        done = problem.accept(h, y, carry, new, problem.state(new))
        if done.status == "refused":
            return done
        stiff = max(stiff, FORGET * float(carry["stiffness"]))
        after = done.carry
        after |= self.rates(problem, t + h, done.y["density"], after["potential"])
        after["stiffness"] = np.array(stiff)
        limit = min(self.limit(after), STABLE / stiff if stiff > 0 else math.inf)
        return Step(done.y, after, limit=limit)


def stiffness(problem: GridProblem, h: float, rate0: np.ndarray, rate1: np.ndarray) -> float:
    """‖ρ̇₁ − ρ̇₀‖/(h‖ρ̇₀‖); 0 at rest."""
    moved, changed = size_and_change(rate0, rate1, problem.widths, problem.areas)
    return changed / (h * moved) if moved > 0 and h > 0 else 0.0
