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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solveh_banded

from wflow.energies.base import Field
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.solvers.grid.parts.problem import check_mass
from wflow.solvers.grid.parts.projected_newton import minimise
from wflow.solvers.grid.quantiles import spread
from wflow.solvers.method import Arrays, Method, Step, Tolerance, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import check_count, positive
from wflow.views import View, view_of

LEAST_MASS = 1e-9
"""Share of the mass below which neighbouring cells are one: a lighter one becomes too thin for its edges' digits."""
DIFFERENCE = 1e-6
"""Length of the differences of ∇Ψ that make Hessians, relative to the axis."""

TO_THE_EDGE = 0.95
"""Share of the way to the first cell of width 0 that one Newton step may take."""
TRUST = (1e-2, 1e8)
"""Least and largest ratio of the foreseen pressure to the present one."""


class QuantileEnergy:
    """F of cells of fixed masses as a function of their nodes: edges where cells have a density, else middles."""

    def __init__(self, flow: GradientFlow, measure: Any, parts: int) -> None:
        self.flow, self.grid_edges = flow, measure.edges[0]
        self.kappa = flow.energy.local_stiffness
        self.level = flow.temperature > 0 or self.kappa > 0
        edges, masses = _cells(measure, parts, self.level)
        self.masses = masses
        self.start = edges if self.level else 0.5 * (edges[:-1] + edges[1:])[masses > 0]
        if not self.level:
            self.masses = masses[masses > 0]
        self.low, self.high = float(self.grid_edges[0]), float(self.grid_edges[-1])
        self.length = self.high - self.low
        # Where Ψ = V + κρ the empty network knows V, on equal cells, from which alone such an energy reads volumes.
        equal = np.linspace(self.low, self.high, 2 * max(2, measure.shape[0]) + 1)[1::2, None]
        empty = flow.energy.prepare(equal).field(np.zeros(len(equal))) if self.kappa else None
        self._empty: Field | None = empty

    def points(self, x: np.ndarray) -> np.ndarray:
        """The cells' middles (n, 1)."""
        return (0.5 * (x[1:] + x[:-1]) if self.level else x)[:, None]

    def back(self, per_cell: np.ndarray) -> np.ndarray:
        """The transpose of ``points``."""
        if not self.level:
            return per_cell
        out = np.zeros(per_cell.size + 1)
        out[1:] = 0.5 * per_cell
        out[:-1] += 0.5 * per_cell
        return out

    def value(self, x: np.ndarray) -> tuple[float, float]:
        """F and the risk."""
        at, m, tau = self.points(x), self.masses, self.flow.temperature
        free = float(m @ self.flow.ridge_potential(at))
        if self.level:
            width = np.diff(x)
        if self._empty is not None:
            v = self._empty.first_variation(at)
            risk = self._empty.risk + float(m @ (self.kappa * m / width + 2 * v))
        else:
            risk = self.flow.energy.prepare(at).field(m).risk
        if tau > 0:
            reference = self.flow.energy.reference_log_volume(at)
            free += tau * float(m @ (np.log(m / width) - reference))
        return free + 0.5 * risk, risk

    def pull(self, x: np.ndarray) -> np.ndarray:
        """The part of ∂F/∂x that comes from potentials at the cells' middles."""
        at = self.points(x)
        return self.back(self.masses * self._slope(at, self._field(at)))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """∂F/∂x."""
        g = self.pull(x)
        if self.level:
            pressure = self.pressure(np.diff(x))[0]
            g[:-1] += pressure
            g[1:] -= pressure
        return g

    def pressure(self, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """−∂/∂w and ∂²/∂w² of a cell's own energy, τ m log(m/w) + κ m²/2w."""
        m, tau = self.masses, self.flow.temperature
        own = self.kappa * (m / width) ** 2
        return tau * m / width + 0.5 * own, tau * m / width**2 + own / width

    def stiffness(self, x: np.ndarray) -> np.ndarray:
        """m Ψ'' at the cells' middles, ρ held; (n,)."""
        at, step = self.points(x), DIFFERENCE * self.length
        up, down = (np.clip(at + s * step, self.low, self.high) for s in (1.0, -1.0))
        field = self._field(at)
        bend = (self._slope(up, field) - self._slope(down, field)) / (up - down)[:, 0]
        return np.asarray(self.masses * bend)

    def dissipation(self, x: np.ndarray) -> float:
        """∫|∇Φ|²dρ as gᵀM⁻¹g: M the mass matrix of W₂², g the gradient of the nodes that no wall holds."""
        g, m = self.gradient(x), self.masses
        g = np.where(((x <= self.low) & (g > 0)) | ((x >= self.high) & (g < 0)), 0.0, g)
        if not self.level:
            return float((g / m) @ g)
        bands = np.zeros((2, x.size))
        bands[0, 1:] = m / 6
        bands[1, :-1] = m / 3
        bands[1, 1:] += m / 3
        return float(g @ solveh_banded(bands, g))

    def density(self, x: np.ndarray) -> np.ndarray:
        """Cell averages on the grid."""
        if not self.level:
            return spread(x, self.masses, self.grid_edges)
        total = np.concatenate([[0.0], np.cumsum(self.masses)])
        inside = np.interp(self.grid_edges, x, total)
        inside[0], inside[-1] = 0.0, total[-1]
        return np.asarray(np.diff(inside) / np.diff(self.grid_edges))

    def _field(self, at: np.ndarray) -> Field:
        return self._empty or self.flow.energy.prepare(at).field(self.masses)

    def _slope(self, at: np.ndarray, field: Field) -> np.ndarray:
        """Ψ_λ' less the drift of a reduced state's volume, at points (n, 1) for a given field."""
        if self.kappa:
            step = DIFFERENCE * self.length
            up, down = (field.first_variation(at + s * step) for s in (1.0, -1.0))
            slope = (up - down) / (2 * step)
        else:
            slope = np.asarray(field.gradient(at))[:, 0]
        slope = slope + np.broadcast_to(self.flow.ridge_gradient(at), at.shape)[:, 0]
        if self.flow.temperature > 0:
            drift = self.flow.energy.reference_drift(at)[:, 0]
            slope = slope - self.flow.temperature * drift
        return np.asarray(slope)


class Movement:
    """F(x) + W₂²(x, x_k)/(2h) as an objective; residuals are lengths.

    The pressures of the cells are unknowns of their own, as in a primal-dual interior-point method: a light cell
    between two others that close in stiffens by what the step foresees, not by what little of it was taken.
    """

    def __init__(self, energy: QuantileEnergy, old: np.ndarray, h: float) -> None:
        self.energy, self.old, self.h = energy, old, h
        self._pressure = energy.pressure(np.diff(old))[0] if energy.level else old

    def moved(self, d: np.ndarray) -> np.ndarray:
        """The mass matrix times d: half the gradient of W₂²."""
        m = self.energy.masses
        if not self.energy.level:
            return np.asarray(m * d)
        out = np.zeros_like(d)
        out[:-1] = m * (2 * d[:-1] + d[1:]) / 6
        out[1:] += m * (d[:-1] + 2 * d[1:]) / 6
        return out

    def value(self, x: np.ndarray) -> float:
        d = x - self.old
        return self.energy.value(x)[0] + 0.5 * float(d @ self.moved(d)) / self.h

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.energy.gradient(x) + self.moved(x - self.old) / self.h)

    def curvature(self, x: np.ndarray, g: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        e = self.energy
        pull = e.pull(x)
        second = self._stiff(x) if e.level else None

        def product(v: np.ndarray) -> np.ndarray:
            step = DIFFERENCE * e.length / max(float(np.abs(v).max()), 1e-300)
            moved = np.clip(x + step * v, e.low, e.high)
            out = (e.pull(moved) - pull) / step + self.moved(v) / self.h
            if second is not None:
                squeeze = second * np.diff(v)
                out[1:] += squeeze
                out[:-1] -= squeeze
            return np.asarray(out)

        return product

    def bands(self, x: np.ndarray) -> np.ndarray:
        e, m = self.energy, self.energy.masses
        stiff = np.maximum(e.stiffness(x), 0.0)
        bands = np.zeros((2, x.size))
        if not e.level:
            bands[1] = m / self.h + stiff
            return bands
        second = self._stiff(x)
        beside = m / (3 * self.h) + 0.25 * stiff + second
        bands[1, :-1] = beside
        bands[1, 1:] += beside
        bands[0, 1:] = m / (6 * self.h) + 0.25 * stiff - second
        return bands

    def longest(self, x: np.ndarray, p: np.ndarray) -> float:
        if not self.energy.level:
            return math.inf
        worst = float((-np.diff(p) / np.diff(x)).max())
        if x.size > 2:
            # An end may be stopped by its wall, the node next to it may not get there.
            worst = max(worst, -p[1] / (x[1] - self.energy.low))
            worst = max(worst, p[-2] / (self.energy.high - x[-2]))
        return TO_THE_EDGE / worst if worst > 0 else math.inf

    def foresee(self, x: np.ndarray, p: np.ndarray) -> None:
        if not self.energy.level:
            return
        width = np.diff(x)
        first, second = self.energy.pressure(width)
        linear = first - self._pressure * (second / first) * np.diff(p)
        self._pressure = np.clip(linear, 0.1 * self._pressure, None)

    def _stiff(self, x: np.ndarray) -> np.ndarray:
        """−∂(pressure)/∂(width) at the foreseen pressure."""
        first, second = self.energy.pressure(np.diff(x))
        return np.asarray(np.clip(self._pressure / first, *TRUST) * second)

    def size(self, decrement: float) -> float:
        # The Hessian is at least the mass matrix over h where F is displacement convex, hence |x − x*|² ≤ h g·H⁻¹g.
        return math.sqrt(self.h * decrement)


class QuantileJkoProblem:
    """Nodes as the state; the density is a view."""

    def __init__(self, flow: Any, measure: Any, parts: int) -> None:
        if measure.dimension != 1 or measure.periodic[0]:
            raise InputError(
                f"method 'jko' works on 1 axis with walls and the grid has {measure.dimension}, "
                f"periodic: {', '.join(str(p) for p in measure.periodic)}: use 'jko-linearised'"
            )
        if flow.energy.dimension != 1:
            raise InputError(
                f"the grid has 1 axis and the energy {flow.energy.dimension} coordinates "
                f"({', '.join(flow.energy.coordinates)}): give one axis a coordinate"
            )
        low, high = flow.energy.bounds[0]
        if measure.edges[0][0] < low or measure.edges[0][-1] > high:
            raise InputError(
                f"the grid leaves the energy's domain {flow.energy.bounds.tolist()}: move its bounds inside"
            )
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
        }

    def fields(self, y: Arrays) -> Arrays:
        return {"density": self.energy.density(y["nodes"])}


@register
@dataclass(frozen=True)
class Jko(Method):
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
        self, flow: Any, measure: Any, tolerance: Tolerance, seed: int
    ) -> QuantileJkoProblem:
        return QuantileJkoProblem(flow, measure, self.parts)

    def init(self, problem: QuantileJkoProblem, t: float, y: Arrays) -> Arrays:
        return problem.state(y, 0.0, 0)

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


def _cells(measure: Any, parts: int, level: bool) -> tuple[np.ndarray, np.ndarray]:
    """Edges and masses of the start: cells cut in parts, too light ones joined to their neighbours.

    An empty stretch between two others holds ``LEAST_MASS`` where cells have a density, so that it can close.
    """
    check_mass(measure)
    edges, masses = measure.edges[0], np.array(measure.weights())
    if np.count_nonzero(masses) == 1:
        # One cell alone could neither tilt nor be told from its walls.
        parts = max(parts, 2)
    total = float(masses.sum())
    cut = np.linspace(edges[:-1], edges[1:], parts, endpoint=False, axis=1).ravel()
    edges, masses = np.append(cut, edges[-1]), np.repeat(masses / parts, parts)
    if not level:
        return edges, masses
    held = np.flatnonzero(masses)
    edges = edges[held[0] : held[-1] + 2]
    masses = masses[held[0] : held[-1] + 1]
    least = LEAST_MASS * total
    at, kept, running = [float(edges[0])], [], 0.0
    for i, m in enumerate(masses):
        heavy = m >= least
        if heavy and 0 < running < least and at[-1] < edges[i]:
            # A light stretch ends here: it is a cell of its own.
            at.append(float(edges[i]))
            kept.append(least)
            running = 0.0
        elif heavy and running == 0 and at[-1] < edges[i]:
            at.append(float(edges[i]))
            kept.append(least)
        running += float(m)
        if running >= least:
            at.append(float(edges[i + 1]))
            kept.append(running)
            running = 0.0
    if at[-1] < edges[-1]:
        at.append(float(edges[-1]))
        kept.append(max(running, least))
    found = np.array(kept)
    return np.array(at), found * (total / math.fsum(found))
