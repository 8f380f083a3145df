"""What the explicit transport methods on a grid share: the tendency, its CFL limit, and the refusal of noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.kernels.grid.muscl import muscl_tendency
from wflow.kernels.grid.sums import size_and_change
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Tolerance
from wflow.tools.checks import non_negative

POSITIVE = 0.4999
"""Largest dt·Σv/w at which a cell cannot lose more than it holds, with room for rounding."""


@dataclass(frozen=True)
class TransportMethod(GridMethod):
    """Explicit finite volumes along −∇Ψ_λ; ``cfl`` is the part of a cell that may leave in a step, at most ½."""

    cfl: float = 0.45

    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        if not 0 < non_negative("cfl", self.cfl) <= 0.5:
            raise InputError(f"cfl = {self.cfl}: must be in (0, 0.5], the bound for positivity")

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> GridProblem:
        if flow.temperature > 0:
            raise InputError(
                f"method '{self.name}' has no diffusion: use 'scharfetter-gummel' for temperature > 0"
            )
        return super().prepare(flow, measure, tolerance, seed)

    def init(self, problem: GridProblem, t: float, y: Arrays) -> Arrays:
        carry = super().init(problem, t, y)
        return carry | self.rates(problem, t, y["density"], carry["potential"])

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return self.limit(self.known(problem, t, y, carry))

    def known(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> Arrays:
        """The carry with the rate at its end, which the step before has left there unless another method took it."""
        if "rate" in carry:
            return carry
        return carry | self.rates(problem, t, y["density"], carry["potential"])

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
        out = np.empty_like(rho) if out is None else out
        box = problem.box_shape
        outflow = muscl_tendency(
            rho.reshape(box),
            psi.reshape(box),
            problem.axes,
            problem.moves,
            problem.periodic,
            problem.flow.schedule(t),
            self.sharpness(),
            out.reshape(box),
        )
        return out, outflow

    def sharpness(self) -> float:
        """θ of the slope limiter; 0 is first-order upwind."""
        return float(getattr(self, "theta", 0.0))

    def limit(self, carry: Arrays) -> float:
        """The step at which the fastest cell loses the part ``cfl``."""
        outflow = float(carry["outflow"])
        return self.cfl / outflow if outflow > 0 else math.inf


def stiffness(problem: GridProblem, h: float, rate0: np.ndarray, rate1: np.ndarray) -> float:
    """‖ρ̇₁ − ρ̇₀‖/(h‖ρ̇₀‖); 0 at rest."""
    moved, changed = size_and_change(rate0, rate1, problem.widths, problem.areas)
    return changed / (h * moved) if moved > 0 and h > 0 else 0.0
