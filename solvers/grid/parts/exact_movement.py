"""Steps of a minimising movement on the grid's own cells: solved, or taken in halves, or refused."""

from __future__ import annotations

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.jko_linearised import JkoProblem
from wflow.solvers.grid.parts.moving_pieces import FLOOR, Found, Plan, lattice_of, pieces_of, solve
from wflow.solvers.grid.parts.problem import energy_rises
from wflow.solvers.method import Arrays, Step, Tolerance, in_halves

LOOSE = 1e-4
"""Residual above which a step is taken in two halves."""
HALVINGS = 7
TIGHT = 1e-3
"""Times the tolerance, of a second try."""
REST = 1e-2
"""Of what a residual leaves open in F: a flow that falls by less in a step is at rest."""


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
    found, after = _solved(problem, y, clock, parts, tolerance, iterations)
    if found.residual <= tolerance and energy_rises(carry, after):
        # Near the end of the way a step falls by less than its tolerance leaves open.
        found, after = _solved(problem, y, clock, parts, TIGHT * tolerance, iterations)
    solved = {"residual": np.array(found.residual), "newton_steps": np.array(float(found.steps))}
    why = f"the step's problem was not solved (residual {found.residual:.1e})"
    if found.residual <= max(tolerance, LOOSE):
        if not energy_rises(carry, after):
            new, after = problem.settled(found.density.reshape(y["density"].shape), after)
            return Step({"density": new}, after | solved)
        if _at_rest(problem, clock, y, carry, found.gap):
            # What was found is as good as the old density, which is kept.
            return Step(y, carry | solved)
        why = "free energy would rise: more cells, or 'jko-linearised', resolve what falls steeply here"
    if halvings == 0:
        return Step.refused(y, carry, why, 0.5 * h)
    tried: list[Arrays] = []

    def half(t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        done = advance(
            problem,
            t,
            h,
            y,
            carry,
            parts=parts,
            tolerance=tolerance,
            iterations=iterations,
            halvings=halvings - 1,
        )
        tried.append(done.carry)
        return done

    done = in_halves(half, t, h, y, carry)
    if done.status != "ok":
        return done
    # Of both halves, and of the try before them.
    told = {
        "residual": np.array(max(float(one["residual"]) for one in tried)),
        "newton_steps": solved["newton_steps"] + sum(one["newton_steps"] for one in tried),
    }
    if energy_rises(carry, done.carry) and _at_rest(problem, clock, y, carry, found.gap):
        # Each half rose by rounding, and both together by more than one step may.
        return Step(y, carry | told)
    return Step(done.y, done.carry | told)


def _solved(
    problem: PiecesProblem,
    y: Arrays,
    clock: float,
    parts: int,
    tolerance: float,
    iterations: int,
) -> tuple[Found, Arrays]:
    """The step's density and its state."""
    found = solve(problem.plan(y["density"], clock, parts, tolerance), tolerance, iterations)
    return found, problem.state(found.density.reshape(y["density"].shape))


def _at_rest(problem: PiecesProblem, clock: float, y: Arrays, carry: Arrays, gap: float) -> bool:
    """Whether the flow itself would bring F down by far less than what the residual leaves open.

    Not just by less: a density that is kept step after step would stand still where the flow goes on.
    """
    return clock * problem.observe(y, carry)["transport_dissipation"] <= REST * gap
