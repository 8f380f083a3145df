r"""Minimising movements on a grid of 1 to 3 axes, with W₂ linearised around the new density.

.. math:: \rho_{k+1} = \operatorname{argmin}_\rho \max_\varphi\; F(\rho) - \langle\rho - \rho_k, \varphi\rangle
          - \frac{\xi\,dt}{2}\sum_{faces} a\,\rho_{up}(\varphi_K - \varphi_L)^2

A convex problem for U ≥ 0, first order in dt and in the cells' width (upwind mobility). Its solution is positive, has
the old mass, and does not have more free energy, at every dt: ρ_k itself costs nothing. It needs e'' > 0: a
temperature, or the local energy Ψ = ρ − f. A step that the solver cannot solve is taken in two halves. What a step
costs, and which movement to choose, is in docs/jko.md.
Source: Cancès, Gallouët & Todeschini, Numer. Math. 146 (2020) 437.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.vectors import dot
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.linearised_movement import Convex, Internal, box_of, solve
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem, energy_rises
from wflow.solvers.method import Arrays, Step, Tolerance, in_halves, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive

LOOSE = 1e-4
"""Residual above which a step is taken in two halves."""
HALVINGS = 6
DIFFERENCE = 1e-4
"""Relative length of the differences of Ψ where it is not affine in ρ (a loss other than the square)."""


class JkoProblem(GridProblem):
    """A grid problem that also reports how well each step was solved."""

    told: ClassVar[tuple[str, ...]] = ("residual", "gap", "newton_steps")

    def __init__(self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance) -> None:
        super().__init__(flow, measure, tolerance)
        self.internal = Internal(flow.temperature, flow.energy.local_stiffness)
        self.box = box_of(self)
        self.at_rest = self.potential(np.zeros(measure.shape))[0].ravel()
        """Ψ_λ of the empty network."""

    def state(self, density: np.ndarray) -> Arrays:
        none = {k: np.array(0.0) for k in self.told}
        return super().state(density) | none

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        solved = {k: float(carry[k]) for k in self.told}
        return super().monitor(y, carry) | solved

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        seen = super().observe(y, carry)
        return {k: v for k, v in seen.items() if k not in self.told}

    def drift(self, density: np.ndarray) -> np.ndarray:
        """Ψ_λ without the part that :class:`Internal` holds, flat."""
        if self.internal.kappa:
            return self.at_rest
        return self.potential(density.reshape(self.volumes.shape))[0].ravel()

    def drawn(self, density: np.ndarray, change: np.ndarray) -> np.ndarray:
        """The change of Ψ for a change of the density, flat."""
        shape = self.volumes.shape
        if self.flow.energy.affine:
            return np.asarray(self.potential(change.reshape(shape))[0].ravel() - self.at_rest)
        size = dot(np.abs(change), self.flat_volumes)
        if size == 0:
            return np.zeros_like(change)
        step = DIFFERENCE * dot(density, self.flat_volumes) / size
        up, down = (self.potential((density + s * change).reshape(shape))[0] for s in (step, -step))
        return np.asarray((up - down).ravel() / (2 * step))


@register
@dataclass(frozen=True)
class JkoLinearised(GridMethod[JkoProblem]):
    """Linearised minimising movements with the fixed step ``step_size``, each solved to a residual of ``tolerance``.

    The residual is ‖ρ − ρ̂‖₁/mass between the density that the potential carries there and the one it asks for; with
    it, ``gap`` bounds what the step misses of its minimum. Both are in the series of the steps.
    """

    step_size: float = 1e-2
    tolerance: float = 1e-6

    name = "jko-linearised"
    order = 1
    order_in_space = 1
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        positive("tolerance", self.tolerance)

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> JkoProblem:
        if flow.temperature == 0 and flow.energy.local_stiffness == 0:
            raise InputError(
                "method 'jko-linearised' at temperature 0 needs a LocalEnergy: atoms have no density; "
                "use 'jko' on 1 axis, or 'muscl'"
            )
        return JkoProblem(flow, measure, tolerance)

    def control(self, problem: JkoProblem) -> StepSize:
        return Fixed(self.step_size)

    def step(self, problem: JkoProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        return _step(problem, t, h, y, carry, self.tolerance)


def _step(
    problem: JkoProblem,
    t: float,
    h: float,
    y: Arrays,
    carry: Arrays,
    tolerance: float,
    halvings: int = HALVINGS,
) -> Step:
    clock = h * problem.flow.schedule(t + h)
    if clock == 0 or problem.box.faces.shape[0] == 0:
        return Step(y, carry)
    interaction = None if problem.internal.kappa else problem.drawn
    start = y["density"].ravel() * problem.flat_volumes
    found = solve(
        Convex(problem.box, problem.internal, start, clock, problem.drift, interaction), tolerance
    )
    numbers = {"residual": found.residual, "gap": found.gap, "newton_steps": found.steps}
    solved = {k: np.array(float(v)) for k, v in numbers.items()}
    if found.residual <= max(tolerance, LOOSE):
        new = found.density.reshape(y["density"].shape)
        after = problem.state(new)
        if not energy_rises(carry, after):
            new, after = problem.settled(new, after)
            return Step({"density": new}, after | solved)
        mass = float(start.sum())
        if float(after["free_energy"] - carry["free_energy"]) <= found.gap * mass:
            # At rest to the tolerance: what was found is as good as the old density, which is kept.
            return Step(y, carry | solved)
    if halvings == 0:
        why = f"the step's problem was not solved (residual {found.residual:.1e})"
        return Step.refused(y, carry, why, 0.5 * h)
    half = partial(_step, problem, tolerance=tolerance, halvings=halvings - 1)
    done = in_halves(half, t, h, y, carry)
    if done.status == "ok" and energy_rises(carry, done.carry):
        # At rest: each half rose by rounding, and both together by more than one step may.
        return Step(y, carry | {k: done.carry[k] for k in solved})
    return done
