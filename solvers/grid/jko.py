r"""Minimising movements on one axis in quantile coordinates: cells of fixed mass whose edges are the unknowns.

.. math:: \rho_{k+1} = \operatorname{argmin}_\rho\; F(\rho) + \frac{W_2^2(\rho, \rho_k)}{2\,\xi\,dt}, \qquad
          W_2^2 = \sum_i \frac{m_i}{3}\bigl(d_i^2 + d_i d_{i+1} + d_{i+1}^2\bigr),

d the displacements of the edges: exact between laws that are level on cells of equal masses m. The entropy is
τ Σ m log(m/width), Ψ is met at the cells' middles (second order in the widths). At τ = 0 the unknowns are the cells'
middles, atoms that may meet. The state is the edges, so nothing is remapped from step to step; the density on the
grid is a view. The free energy never rises at any dt: Newton's iterates go downhill from the old state (a nearby
minimum where F is not displacement convex).
Source: Jordan, Kinderlehrer & Otto, SIAM J. Math. Anal. 29 (1998) 1; in quantiles Blanchet, Calvez & Carrillo, SIAM J.
Numer. Anal. 46 (2008) 691.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import check_one_axis, check_start
from wflow.solvers.grid.parts.projected_newton import minimise
from wflow.solvers.grid.parts.quantile_energy import QuantileEnergy
from wflow.solvers.grid.parts.quantile_movement import Movement
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import check_count, positive
from wflow.views import View, view_of


class QuantileJkoProblem:
    """Nodes as the state; the density is a view."""

    def __init__(self, flow: GradientFlow, measure: GridDensity, parts: int) -> None:
        check_one_axis("jko", measure, "jko-linearised")
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
class Jko(Method[GridDensity, QuantileJkoProblem]):
    """Minimising movements with the fixed step ``step_size``; each cell of the start makes ``parts`` moving cells.

    ``tolerance`` bounds the residual of a step: the distance in W₂ from the exact minimiser of a displacement convex F,
    relative to the axis's length. It is reported as ``residual`` in the series of the steps.
    """

    step_size: float = 1e-2
    parts: int = 1
    tolerance: float = 1e-10

    name = "jko"
    acts_on = "grid"
    order = 1
    order_in_space = 1
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        object.__setattr__(self, "parts", check_count("parts", self.parts))
        positive("tolerance", self.tolerance)

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> QuantileJkoProblem:
        return QuantileJkoProblem(flow, measure, self.parts)

    def init(self, problem: QuantileJkoProblem, t: float, y: Arrays) -> Arrays:
        return problem.state(y, 0.0, 0)

    def dissipation(self, problem: QuantileJkoProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def control(self, problem: QuantileJkoProblem) -> StepSize:
        return Fixed(self.step_size)

    def step(
        self, problem: QuantileJkoProblem, t: float, h: float, y: Arrays, carry: Arrays
    ) -> Step:
        energy, flow = problem.energy, problem.flow
        clock = h * flow.schedule(t + h)
        if clock == 0 or not flow.mobile[0]:
            return Step(y, carry)
        movement = Movement(energy, y["nodes"], clock)
        found = minimise(
            movement, y["nodes"], energy.low, energy.high, self.tolerance * energy.length
        )
        residual = found.residual / energy.length
        new = {"nodes": found.x, "masses": y["masses"]}
        return Step(new, problem.state(new, residual, found.steps))
