"""Steps of a minimising movement on the grid's own cells: solved, or taken in halves, or refused."""

from __future__ import annotations

from functools import partial

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.jko_linearised import JkoProblem
from wflow.solvers.grid.parts.moving_pieces import FLOOR, Plan, lattice_of, pieces_of, solve
from wflow.solvers.grid.parts.problem import energy_rises
from wflow.solvers.method import Arrays, Step, Tolerance, in_halves

LOOSE = 1e-4
"""Residual above which a step is taken in two halves."""
HALVINGS = 7


class PiecesProblem(JkoProblem):
    """A grid of equal cells, and how well each step was solved."""

    told = ("residual", "newton_steps")

    def __init__(self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance) -> None:
        if not measure.uniform:
            raise InputError(
                "method 'jko' on several axes needs equal cells along each axis, and these differ in width: "
                "use 'jko-linearised'"
            )
        if flow.temperature == 0 and flow.energy.local_stiffness == 0:
            raise InputError(
                "method 'jko' on several axes at temperature 0 needs a LocalEnergy: atoms have no density; "
                "use a temperature, or 'muscl'"
            )
        super().__init__(flow, measure, tolerance)
        self.lattice = lattice_of(self)

    def plan(self, density: np.ndarray, clock: float, parts: int, tolerance: float) -> Plan:
        """The step from ``density`` over ∫ξdt = ``clock``."""
        masses = (density * self.volumes).reshape(self.box_shape)
        outside = self.internal.kappa > 0 or self.frozen
        return Plan(
            self.box,
            self.box_shape,
            self.lattice,
            pieces_of(self.lattice, masses, parts),
            self.internal,
            masses.ravel(),
            clock,
            FLOOR * tolerance * float(masses.sum() / self.volumes.sum()),
            self.drift,
            None if outside else self.drawn,
        )


def advance(
    problem: PiecesProblem,
    t: float,
    h: float,
    y: Arrays,
    carry: Arrays,
    *,
    parts: int,
    tolerance: float,
    iterations: int,
    halvings: int = HALVINGS,
) -> Step:
    """One step of h, or two of half of it where its problem is not solved or the free energy would rise."""
    clock = h * problem.flow.schedule(t + h)
    if clock == 0 or problem.box.faces.shape[0] == 0:
        return Step(y, carry)
    found = solve(problem.plan(y["density"], clock, parts, tolerance), tolerance, iterations)
    solved = {"residual": np.array(found.residual), "newton_steps": np.array(float(found.steps))}
    why = f"the step's problem was not solved (residual {found.residual:.1e})"
    if found.residual <= max(tolerance, LOOSE):
        new = found.density.reshape(y["density"].shape)
        after = problem.state(new)
        if not energy_rises(carry, after):
            new, after = problem.settled(new, after)
            return Step({"density": new}, after | solved)
        if float(after["free_energy"] - carry["free_energy"]) <= found.gap:
            # At rest to the tolerance: what was found is as good as the old density, which is kept.
            return Step(y, carry | solved)
        why = "free energy would rise"
    if halvings == 0:
        return Step.refused(y, carry, why, 0.5 * h)
    half = partial(
        advance,
        problem,
        parts=parts,
        tolerance=tolerance,
        iterations=iterations,
        halvings=halvings - 1,
    )
    done = in_halves(half, t, h, y, carry)
    if done.status == "ok" and energy_rises(carry, done.carry):
        # At rest: each half rose by rounding, and both together by more than one step may.
        return Step(y, carry | {k: done.carry[k] for k in solved})
    return done
