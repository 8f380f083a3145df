r"""Minimising movements by the Wasserstein distance itself: in quantiles on one axis, by an optimal map on several.

.. math:: \rho_{k+1} = \operatorname{argmin}_\rho\; F(\rho) + \frac{W_2^2(\rho, \rho_k)}{2\,\xi\,dt}

On one axis with walls cells of fixed mass move, and their edges x are the unknowns:
:math:`W_2^2 = \sum_i \frac{m_i}{3}(d_i^2 + d_i d_{i+1} + d_{i+1}^2)`,
d the displacements of the edges: exact between laws that are level on cells of equal masses m. The entropy is
τ Σ m log(m/width), Ψ is met at the cells' middles (second order in the widths). At τ = 0 the unknowns are the cells'
middles, atoms that may meet. The state is the edges, so nothing is remapped from step to step; the density on the
grid is a view. The free energy never rises at any dt: Newton's iterates go downhill from the old state (a nearby
minimum where F is not displacement convex).

On several axes, and on a ring, the state is the density on the grid's equal cells. A step finds Kantorovich's potential
as a spline, and moves the pieces of the old cells by its map: :mod:`wflow.solvers.grid.parts.moving_pieces`. It needs
a density: a temperature, or the local energy Ψ = ρ − f. A step that is not solved, or along which F would rise, is
taken in two halves.
Source: Jordan, Kinderlehrer & Otto, SIAM J. Math. Anal. 29 (1998) 1; in quantiles Blanchet, Calvez & Carrillo, SIAM J.
Numer. Anal. 46 (2008) 691.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.exact_movement import PiecesProblem, advance
from wflow.solvers.grid.parts.problem import GridMethod, check_start
from wflow.solvers.grid.parts.projected_newton import minimise
from wflow.solvers.grid.parts.quantile_energy import QuantileEnergy
from wflow.solvers.grid.parts.quantile_movement import Movement
from wflow.solvers.method import Arrays, Step, Tolerance, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import check_count, positive
from wflow.views import View, view_of

TOLERANCE, GRID_TOLERANCE = 1e-10, 1e-6
LEAST_PARTS = 2
"""Pieces of a cell along an axis: from one alone a neighbour two cells away would hear nothing."""


class QuantileJkoProblem:
    """Nodes as the state; the density is a view."""

    def __init__(self, flow: GradientFlow, measure: GridDensity, parts: int) -> None:
        check_start(flow, measure)
        self.flow = flow
        self.view: View = view_of(measure)
        self.energy = QuantileEnergy(flow, measure, parts)
        self.initial: Arrays = {"nodes": self.energy.start, "masses": self.energy.masses}

    def state(self, y: Arrays, residual: float, steps: int) -> Arrays:
        """The carry: free energy and risk of the nodes, and how well the last step was solved."""
        free, risk = self.energy.value(y["nodes"])
        numbers = {"risk": risk, "free_energy": free, "residual": residual, "newton_steps": steps}
        return {k: np.array(float(v)) for k, v in numbers.items()}

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        return {k: float(v) for k, v in carry.items()} | {
            "mass": math.fsum(y["masses"]),
            "minimum": float(y["masses"].min()),
        }

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        keep = ("risk", "free_energy", "mass", "minimum")
        seen = self.monitor(y, carry)
        x, m = y["nodes"], y["masses"]
        if self.energy.level:
            second = float(m @ (x[1:] ** 2 + x[1:] * x[:-1] + x[:-1] ** 2)) / 3
        else:
            second = float(m @ x**2)
        return {k: seen[k] for k in keep} | {
            "second_moment": second,
            "transport_dissipation": self.energy.dissipation(x),
            "reaction_dissipation": 0.0,
            **self.flow.observe(self.energy.points(x), m),
        }

    def fields(self, y: Arrays) -> Arrays:
        return {"density": self.energy.density(y["nodes"])}


@register
@dataclass(frozen=True)
class Jko(GridMethod[Any]):
    """Minimising movements with the fixed step ``step_size``.

    On one axis each cell of the start makes ``parts`` moving cells; on several each old cell is cut in ``parts`` along
    each axis in every step, at least 2. ``tolerance`` bounds the residual of a step, reported as ``residual`` in the
    series of the steps: on one axis the distance in W₂ from the exact minimiser of a displacement convex F, relative
    to the axis's length (1e-10 unless given); on several ‖ρ − ρ̂‖₁/mass between the density that the map makes and
    the one that its potential asks for (1e-6; a step that stays above is accepted up to 1e-4). ``iterations`` is the
    most Newton steps of one solve on several axes; a step in halves takes several, whose Newton steps are summed and
    whose largest residual is told.
    """

    step_size: float = 1e-2
    parts: int = 1
    tolerance: float | None = None
    iterations: int = 150

    name = "jko"
    order = 1
    order_in_space = 1
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        for name in ("parts", "iterations"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        if self.tolerance is not None:
            positive("tolerance", self.tolerance)

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> QuantileJkoProblem | PiecesProblem:
        if measure.dimension > 1 or measure.periodic[0]:
            return PiecesProblem(flow, measure, tolerance)
        return QuantileJkoProblem(flow, measure, self.parts)

    def init(self, problem: Any, t: float, y: Arrays) -> Arrays:
        if isinstance(problem, PiecesProblem):
            return problem.state(y["density"])
        return dict(problem.state(y, 0.0, 0))

    def control(self, problem: Any) -> StepSize:
        return Fixed(self.step_size)

    def step(self, problem: Any, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if isinstance(problem, PiecesProblem):
            return advance(
                problem,
                t,
                h,
                y,
                carry,
                parts=max(self.parts, LEAST_PARTS),
                tolerance=self.tolerance or GRID_TOLERANCE,
                iterations=self.iterations,
            )
        energy, flow = problem.energy, problem.flow
        clock = h * flow.schedule(t + h)
        if clock == 0 or not flow.mobile[0]:
            return Step(y, carry)
        movement = Movement(energy, y["nodes"], clock)
        tolerance = self.tolerance or TOLERANCE
        found = minimise(movement, y["nodes"], energy.low, energy.high, tolerance * energy.length)
        residual = found.residual / energy.length
        new = {"nodes": found.x, "masses": y["masses"]}
        return Step(new, problem.state(new, residual, found.steps))
