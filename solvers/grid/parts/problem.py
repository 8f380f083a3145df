"""A flow on a grid, as the finite-volume methods see it: cell averages, face differences of Ψ, never ∇Ψ."""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast

import numpy as np

from wflow.energies.arrays import answered, answered_number
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.grid.axes import Axes
from wflow.kernels.grid.sums import Integrals, density_sums, distance
from wflow.kernels.memory import recycled_empty
from wflow.kernels.parallel import CELLS_PER_SLAB, over_slabs
from wflow.kernels.vectors import dot
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.dissipation import shares
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation
from wflow.views import View, view_of

Sums = tuple[float, float, float, float]
"""∫ρ, ∫ρ log ρ, ∫φρ with Φ's fixed part φ, min ρ."""
ROUNDED = 1e-14, 1e-13
"""How far from the start's mass, relative to it, rounding is left alone, and how far a step's rounding may go."""


class GridProblem:
    """The energy's features at the cell centres, cached, and the observations of a density.

    ``potential`` is Ψ_λ − τ log vol, so that Φ = potential + τ log ρ on a reduced state too.
    """

    transport: GridMethod[Any]
    """The method of an operator splitting's transport, which made this problem."""

    def __init__(self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance) -> None:
        check_start(flow, measure)
        if flow.energy.needs_density and not measure.uniform:
            raise InputError(
                f"{type(flow.energy).__name__} works on uniform grids and the cells differ in width: take equal cells"
            )
        self.flow = flow
        self.grid = measure
        self.tolerance = tolerance
        points = measure.points()
        self.volumes = np.ascontiguousarray(measure.volumes)
        self.flat_volumes = self.volumes.ravel()
        # Copies: a kernel is compiled once more for arrays that are read-only.
        self.widths = np.array(measure.widths[-1])
        """Widths along the last axis, and the products of the others', one a row."""
        self.areas = np.ones(1)
        for width in measure.widths[:-1]:
            self.areas = np.multiply.outer(self.areas, width).ravel()
        missing = 3 - measure.dimension
        self.box_shape = cast(tuple[int, int, int], (*(1,) * missing, *measure.shape))
        """The grid's shape with leading axes of one cell, as the kernels take it."""
        ends = [np.array([0.0, 1.0])] * missing + list(measure.edges)
        self.periodic = np.array([False] * missing + list(measure.periodic))
        self.moves = np.array([False] * missing + [bool(m) for m in flow.mobile])
        self.moves &= np.array(self.box_shape) > 1
        self.axes = Axes.of(ends, self.moves, self.periodic)
        self._prepared = flow.energy.prepare(points)
        self._fixed = flow.ridge_potential(points)
        if flow.temperature > 0:
            self._fixed = self._fixed - flow.temperature * flow.energy.reference_log_volume(points)
        self._linear = self._fixed if self._fixed.any() else None
        self.integrals = Integrals(self.widths, self.areas, self._linear, flow.temperature > 0)
        self._square = (points**2).sum(axis=1)
        self._rooms: Arrays = {}
        self.view: View = view_of(measure)
        self.initial: Arrays = {"density": np.array(measure.density)}
        self.mass = measure.mass
        self._least_drift = ROUNDED[0] * self.mass

    def potential(self, density: np.ndarray) -> tuple[np.ndarray, float]:
        """Ψ_λ − τ log vol at the centres, and the risk."""
        field = self._prepared.field(self._masses(density.ravel()))
        psi = answered("the energy's first_variation", field.first_variation(), (density.size,))
        if self._linear is not None:
            psi = psi + self._fixed
        risk = answered_number("the energy's risk", field.risk)
        return psi.reshape(density.shape), risk

    def _masses(self, density: np.ndarray) -> np.ndarray:
        if density.size < CELLS_PER_SLAB:
            return density * self.flat_volumes
        masses = recycled_empty(density.shape)

        def run(first: int, last: int) -> None:
            part = slice(first, last)
            np.multiply(density[part], self.flat_volumes[part], out=masses[part])

        over_slabs(run, density.size, 1)
        return masses

    def room(self, name: str) -> np.ndarray:
        """An array for what a step forms and forgets: a new one each time would be paid for in page faults."""
        if name not in self._rooms:
            self._rooms[name] = np.empty(self.volumes.shape)
        return self._rooms[name]

    @property
    def frozen(self) -> bool:
        """Whether Ψ is the same at every ρ."""
        return not self.flow.energy.interacts

    def sums(self, density: np.ndarray) -> Sums:
        """What the observations need, in one pass."""
        return density_sums(density, self.integrals)

    def free_energy(self, density: np.ndarray, risk: float) -> float:
        """F of cell averages whose risk is known."""
        return self._free(risk, self.sums(density))

    def error(self, masses: np.ndarray) -> float:
        """The L1 norm of a difference of ``masses`` over the tolerance: an embedded error is met at 1."""
        allowed = (self.tolerance.atol + self.tolerance.rtol) * self.mass
        return float(np.abs(masses).sum()) / allowed

    def apart(self, one: np.ndarray, two: np.ndarray) -> float:
        """The same of two densities' difference."""
        allowed = (self.tolerance.atol + self.tolerance.rtol) * self.mass
        return distance(one, two, self.widths, self.areas) / allowed

    def fixed_part(self, density: np.ndarray) -> float:
        """∫φρ, φ the ridge less τ log vol."""
        if self._linear is None:
            return 0.0
        return density_sums(density, self.integrals._replace(noisy=False))[2]

    def _free(self, risk: float, sums: Sums) -> float:
        _, entropy, linear, _ = sums
        return 0.5 * risk + linear + self.flow.temperature * entropy

    def state(self, density: np.ndarray) -> Arrays:
        """The carry that every flow method on a grid keeps: Ψ, and the scalars observed at the present density."""
        psi, risk = self.potential(density)
        return self.observed(psi, risk, self.sums(density))

    def observed(self, psi: np.ndarray, risk: float, sums: Sums) -> Arrays:
        """The same carry of what is known already."""
        return {"potential": psi} | self.scalars(risk, self._free(risk, sums), sums)

    def scalars(self, risk: float, free: float, sums: Sums) -> Arrays:
        """What is observed of a step, as a carry."""
        mass, _, _, least = sums
        seen = {"risk": risk, "free_energy": free, "mass": mass, "minimum": least}
        return {name: np.array(value) for name, value in seen.items()}

    def settled(self, density: np.ndarray, after: Arrays) -> tuple[np.ndarray, Arrays]:
        """A step's density and carry, with what rounding has added to the mass over many steps taken out again.

        Fluxes telescope but for rounding, some 1e-17 of the mass a step and always of one sign. Scaled as a whole, ρ
        keeps its sign, its order and its ratios. A step that is off by more than rounding is left as it is, for the
        run's watch to see.
        """
        mass = after["mass"].item()
        off = abs(mass - self.mass)
        if off <= self._least_drift or not off <= ROUNDED[1] * self.mass:
            return density, after
        density = density * (self.mass / mass)
        return density, after | {k: v for k, v in self.state(density).items() if k in after}

    def accept(
        self,
        h: float,
        y: Arrays,
        carry: Arrays,
        density: np.ndarray,
        after: Arrays,
        *,
        error: float = 0.0,
        limit: float = math.inf,
    ) -> Step:
        """The step of h from ``y`` to ``density``, or its refusal where F rose from ``carry`` to ``after``."""
        # An energy that is not a number does not rise: the driver says where it is none.
        if energy_rises(carry, after) and math.isfinite(after["free_energy"]):
            return Step.refused(y, carry, "free energy would rise", 0.5 * h)
        density, after = self.settled(density, after)
        return Step({"density": density}, after, error=error, limit=limit)

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        if "mass" not in carry:
            mass, _, _, least = self.sums(y["density"])
            carry = carry | {"mass": np.array(mass), "minimum": np.array(least)}
        return {name: float(carry[name]) for name in ("risk", "free_energy", "mass", "minimum")}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        rho, flow = y["density"], self.flow
        psi = carry["potential"] if "potential" in carry else self.potential(rho)[0]
        transport, variance = shares(self.grid, flow.mobile, flow.temperature, rho, psi)
        masses = rho.ravel() * self.flat_volumes
        return self.monitor(y, carry) | {
            "second_moment": dot(masses, self._square),
            "transport_dissipation": transport,
            "reaction_dissipation": flow.reaction_rate * variance,
            **(flow.observe(self.grid.points(), masses) if flow.observations else {}),
        }

    def fields(self, y: Arrays) -> Arrays:
        return {"density": y["density"]}


GP = TypeVar("GP", bound="GridProblem")


class GridMethod(Method[GridDensity, GP]):
    """What the flow methods on a grid share: the problem they prepare and the carry they start from."""

    acts_on = "grid"
    order_in_space = 2

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GP:
        # A method with a problem of its own prepares that one.
        return cast(GP, GridProblem(flow, measure, tolerance))

    def within(self, tolerance: Tolerance) -> GridMethod[GP]:
        """The same as part of a step whose error is held to ``tolerance``, of which it may make use."""
        return self

    def init(self, problem: GP, t: float, y: Arrays) -> Arrays:
        return problem.state(y["density"])

    def dissipation(self, problem: GP, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)


def check_start(flow: GradientFlow, measure: GridDensity) -> None:
    """Refuse a grid that the energy does not fit, and a start without mass."""
    energy, axes = flow.energy, measure.dimension
    if energy.dimension != axes:
        raise InputError(
            f"the grid has {axes} {'axis' if axes == 1 else 'axes'} and the energy {energy.dimension} coordinates "
            f"({', '.join(energy.coordinates)}): give one axis a coordinate"
        )
    if not measure.mass > 0:
        raise InputError("the start has mass 0: give a density that is positive somewhere")
    low, high = np.array([(edges[0], edges[-1]) for edges in measure.edges]).T
    if (low < energy.bounds[:, 0]).any() or (high > energy.bounds[:, 1]).any():
        raise InputError(
            f"the grid leaves the energy's domain {energy.bounds.tolist()}: move its bounds inside"
        )


def check_one_axis(method: str, measure: GridDensity, instead: str) -> None:
    """Refuse what cannot be cut into cells of fixed mass: several axes, and a ring."""
    if measure.dimension != 1 or measure.periodic[0]:
        raise InputError(
            f"method '{method}' works on 1 axis with walls and the grid has {measure.dimension}, "
            f"periodic: {', '.join(str(p) for p in measure.periodic)}: use '{instead}'"
        )


def energy_rises(before: Arrays, after: Arrays) -> bool:
    """Whether the free energy rose by more than rounding (1e-12 of its size)."""
    old, new = float(before["free_energy"]), float(after["free_energy"])
    return not new <= old + 1e-12 * max(abs(old), abs(new)) + 1e-15
