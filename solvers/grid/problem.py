"""A flow on a grid, as the finite-volume methods see it: cell averages, face differences of Ψ, never ∇Ψ."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow, entropy
from wflow.kernels.transport import axis_geometry
from wflow.solvers.method import Arrays, Method, Tolerance

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


class GridProblem:
    """The energy's features at the cell centres, cached, and the observations of a density.

    ``potential`` is Ψ_λ − τ log vol, so that Φ = potential + τ log ρ on a reduced state too.
    """

    def __init__(self, flow: GradientFlow, measure: Any, tolerance: Tolerance) -> None:
        if flow.energy.dimension != measure.dimension:
            raise InputError(
                f"the grid has {measure.dimension} axes and the energy {flow.energy.dimension} coordinates "
                f"({', '.join(flow.energy.coordinates)}): give one axis a coordinate"
            )
        self.flow = flow
        self.grid = measure
        self.tolerance = tolerance
        points = measure.points()
        low = np.array([e[0] for e in measure.edges])
        if (low < flow.energy.bounds[:, 0]).any() or (
            np.array([e[-1] for e in measure.edges]) > flow.energy.bounds[:, 1]
        ).any():
            raise InputError(
                f"the grid leaves the energy's domain {flow.energy.bounds.tolist()}: move its bounds inside"
            )
        self.volumes = np.ascontiguousarray(measure.volumes)
        self.flat_volumes = self.volumes.ravel()
        missing = 3 - measure.dimension
        self.box_shape: tuple[int, int, int] = (*(1,) * missing, *measure.shape)
        """The grid's shape with leading axes of one cell, as the kernels take it."""
        ends = [np.array([0.0, 1.0])] * missing + list(measure.edges)
        self.periodic = np.array([False] * missing + list(measure.periodic))
        self.axes = cast(Axes, tuple(map(axis_geometry, ends, self.periodic.tolist())))
        mobile = getattr(flow, "mobile", None)
        mobile = np.ones(measure.dimension) if mobile is None else np.asarray(mobile)
        self.moves = np.array([False] * missing + [bool(m) for m in mobile])
        self.moves &= np.array(self.box_shape) > 1
        self._prepared = flow.energy.prepare(points)
        self._log_volume = flow.energy.reference_log_volume(points) if flow.temperature else None
        self._ridge = flow.ridge_potential(points)
        self._fixed = self._ridge
        if self._log_volume is not None:
            self._fixed = self._ridge - flow.temperature * self._log_volume
        self._square = (points**2).sum(axis=1)
        self.initial: Arrays = {"density": np.array(measure.density)}

    def potential(self, density: np.ndarray) -> tuple[np.ndarray, float]:
        """Ψ_λ − τ log vol at the centres, and the risk."""
        field = self._prepared.field(density.ravel() * self.flat_volumes)
        psi = field.first_variation() + self._fixed
        return psi.reshape(density.shape), field.risk

    def free_energy(self, density: np.ndarray, risk: float) -> float:
        """F of cell averages whose risk is known."""
        masses = density.ravel() * self.flat_volumes
        value = 0.5 * risk + float(masses @ self._ridge)
        if self._log_volume is not None:
            value += self.flow.temperature * entropy(masses, density.ravel(), self._log_volume)
        return value

    def state(self, density: np.ndarray) -> Arrays:
        """The carry that every flow method on a grid keeps: Ψ, risk and free energy at the present density."""
        psi, risk = self.potential(density)
        free = self.free_energy(density, risk)
        return {"potential": psi, "risk": np.array(risk), "free_energy": np.array(free)}

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        density = y["density"]
        return {
            "risk": float(carry["risk"]),
            "free_energy": float(carry["free_energy"]),
            "mass": math.fsum(density.ravel() * self.flat_volumes),
            "minimum": float(density.min()),
        }

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        masses = y["density"].ravel() * self.flat_volumes
        return self.monitor(y, carry) | {"second_moment": float(masses @ self._square)}

    def fields(self, y: Arrays) -> Arrays:
        return {"density": y["density"]}


class GridMethod(Method):
    """What the flow methods on a grid share: the problem they prepare and the carry they start from."""

    acts_on = "grid"

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> GridProblem:
        return GridProblem(flow, measure, tolerance)

    def init(self, problem: GridProblem, t: float, y: Arrays) -> Arrays:
        return problem.state(y["density"])


def energy_rises(before: Arrays, after: Arrays) -> bool:
    """Whether the free energy rose by more than rounding (1e-12 of its size)."""
    old, new = float(before["free_energy"]), float(after["free_energy"])
    return not new <= old + 1e-12 * max(abs(old), abs(new)) + 1e-15
