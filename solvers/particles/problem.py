"""A flow on weighted particles: positions move along −∇Φ, weights change by birth–death."""

from __future__ import annotations

import math

import numpy as np

from wflow.energies.arrays import answered, answered_number
from wflow.energies.base import Field
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.solvers.method import Arrays, Tolerance
from wflow.views import View, view_of


class ParticleProblem:
    """The velocity field of a flow at its own particles, kept inside the energy's domain."""

    def __init__(
        self, flow: GradientFlow, measure: Measure, tolerance: Tolerance, seed: int
    ) -> None:
        if flow.energy.dimension != measure.dimension:
            raise InputError(
                f"the particles have {measure.dimension} coordinates and the energy {flow.energy.dimension} "
                f"({', '.join(flow.energy.coordinates)}): give positions of shape (n, {flow.energy.dimension})"
            )
        self.flow = flow
        self.tolerance = tolerance
        self.seed = seed
        self.low = flow.energy.bounds[:, 0]
        self.high = flow.energy.bounds[:, 1]
        self.bounded = bool(np.isfinite(flow.energy.bounds).any())
        positions = np.array(measure.points())
        if (positions < self.low).any() or (positions > self.high).any():
            raise InputError(
                f"a particle lies outside the energy's domain {flow.energy.bounds.tolist()}: move it inside"
            )
        self.view: View = view_of(measure)
        self.initial: Arrays = {"positions": positions, "weights": np.array(measure.weights())}
        self.mass = measure.mass

    def project(self, positions: np.ndarray) -> np.ndarray:
        """Positions moved to the nearest point of the domain."""
        return np.clip(positions, self.low, self.high) if self.bounded else positions

    def reflect(self, positions: np.ndarray) -> np.ndarray:
        """Positions mirrored at the walls once; what is still outside is held at the wall."""
        if not self.bounded:
            return positions
        x = np.where(positions < self.low, 2 * self.low - positions, positions)
        return self.project(np.where(x > self.high, 2 * self.high - x, x))

    def pull(self, positions: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """−∇Ψ_λ on the coordinates that move, and the risk, at positions in the domain."""
        field = self.flow.energy.prepare(positions).field(weights)
        return self._pull(field, positions), answered_number("the energy's risk", field.risk)

    def _pull(self, field: Field, positions: np.ndarray) -> np.ndarray:
        slope = answered("the energy's gradient", field.gradient(), positions.shape)
        return -self.flow.mobile * (slope + self.flow.ridge_gradient(positions))

    def rates(
        self, t: float, positions: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """dθ/dt = −ξ∇Ψ_λ, d log w/dt = −αξ(Ψ_λ − mean) and the risk, at positions moved into the domain.

        Beyond a wall the velocity is the wall's own, so a path that crosses it stays smooth for the integrator
        and is brought back by ``project`` at the end of the step.
        """
        flow = self.flow
        positions = self.project(positions)
        field = flow.energy.prepare(positions).field(weights)
        speed = flow.schedule(t)
        velocity = speed * self._pull(field, positions)
        growth = np.zeros_like(weights)
        if flow.reaction_rate > 0:
            psi = answered("the energy's first_variation", field.first_variation(), weights.shape)
            psi = psi + flow.ridge_potential(positions)
            mean = float(weights @ psi) / float(weights.sum())
            growth = -flow.reaction_rate * speed * (psi - mean)
        return velocity, growth, answered_number("the energy's risk", field.risk)

    def reweighted(self, weights: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """``weights`` times e^gain, scaled as a whole to the mass of the start: of the gain only differences count."""
        log = np.log(weights, where=weights > 0, out=np.full_like(weights, -np.inf))
        heaviest = int(np.argmax(log + gain))
        # Beside the heaviest none overflows, and what falls below the least number is 0.
        with np.errstate(under="ignore"):
            new = weights * np.exp(np.minimum(gain - gain[heaviest], 700.0))
        return np.asarray(new * (self.mass / float(new.sum())))

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        risk = float(carry["risk"])
        x, w = y["positions"], y["weights"]
        free = 0.5 * risk + float(w @ self.flow.ridge_potential(x))
        return {
            "risk": risk,
            # Particles have no entropy: with noise their free energy is undefined.
            "free_energy": math.nan if self.flow.temperature > 0 else free,
            "mass": math.fsum(w),
            "minimum": float(w.min()),
        }

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        x, w = y["positions"], y["weights"]
        transport = variance = math.nan
        if self.flow.temperature == 0:
            transport, variance = self.shares(x, w)
        return self.monitor(y, carry) | {
            "second_moment": float(w @ (x**2).sum(axis=1)),
            "transport_dissipation": transport,
            "reaction_dissipation": self.flow.reaction_rate * variance,
            **self.flow.observe(x, w),
        }

    def shares(self, x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
        """∫|∇Ψ_λ|²dρ and Var_ρ Ψ_λ; a wall takes up the part of ∇Ψ_λ that points at it."""
        flow = self.flow
        field = flow.energy.prepare(x).field(w)
        pull = self._pull(field, x)
        blocked = ((x <= self.low) & (pull < 0)) | ((x >= self.high) & (pull > 0))
        pull = np.where(blocked, 0.0, pull)
        psi = answered(
            "the energy's first_variation", field.first_variation(), w.shape
        ) + flow.ridge_potential(x)
        mean = float(w @ psi) / float(w.sum())
        return float(w @ (pull**2).sum(axis=1)), float(w @ (psi - mean) ** 2)

    def fields(self, y: Arrays) -> Arrays:
        return {"positions": y["positions"], "weights": y["weights"]}
