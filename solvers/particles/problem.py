"""A flow on weighted particles: positions move along −∇Φ, weights change by birth–death."""

from __future__ import annotations

import math

import numpy as np

from wflow.energies.arrays import answered, answered_number
from wflow.energies.base import Field
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.measures.estimators import ESTIMATORS, log_density
from wflow.solvers.method import Arrays, Tolerance
from wflow.tools.checks import check_word
from wflow.views import View, view_of


class ParticleProblem:
    """The velocity field of a flow at its own particles, kept inside the energy's domain."""

    balanced = True
    """Whether the mass is kept, so that of the logarithms of weights only differences count."""

    def __init__(
        self,
        flow: GradientFlow,
        measure: Measure,
        tolerance: Tolerance,
        seed: int,
        entropy: str | None = None,
    ) -> None:
        if entropy is not None:
            check_word("entropy", entropy, ESTIMATORS)
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
        self._weighed = (self.initial["weights"], math.nan, math.nan)
        self.entropy = entropy

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
        return self.descent(positions, field), answered_number("the energy's risk", field.risk)

    def rates(
        self, t: float, positions: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """dθ/dt = −ξ∇Ψ_λ, d log w/dt = −αξ(Ψ_λ − level) and the risk, at positions moved into the domain.

        Beyond a wall the velocity is the wall's own, so a path that crosses it stays smooth for the integrator
        and is brought back by ``project`` at the end of the step.
        """
        flow = self.flow
        positions = self.project(positions)
        field = flow.energy.prepare(positions).field(weights)
        speed = flow.schedule(t)
        velocity = speed * self.descent(positions, field)
        growth = np.zeros_like(weights)
        if flow.reaction_rate > 0:
            psi = self.potential(positions, field)
            growth = -flow.reaction_rate * speed * (psi - self.level(psi, weights))
        return velocity, growth, answered_number("the energy's risk", field.risk)

    def descent(self, positions: np.ndarray, field: Field) -> np.ndarray:
        """−∇Ψ_λ of the coordinates that move, (n, D)."""
        slope = answered("the energy's gradient", field.gradient(), positions.shape)
        pull: np.ndarray = slope + self.flow.ridge_gradient(positions)
        pull *= -self.flow.mobile
        return pull

    def potential(self, positions: np.ndarray, field: Field) -> np.ndarray:
        """Ψ_λ, (n,)."""
        psi = answered("the energy's first_variation", field.first_variation(), positions.shape[:1])
        return np.asarray(psi + self.flow.ridge_potential(positions))

    def level(self, psi: np.ndarray, weights: np.ndarray) -> float:
        """The Ψ_λ at which a weight stays: the mean, which keeps the mass."""
        return float(weights @ psi) / float(weights.sum())

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
        if self._weighed[0] is not w or math.isnan(self._weighed[1]):
            # Nobody writes into the arrays of a state: the same array has the same sum.
            self._weighed = w, math.fsum(w), float(w.min())
        return {
            "risk": risk,
            # Particles have no entropy: with noise their free energy is undefined, but for an estimator, at frames.
            "free_energy": math.nan if self.flow.temperature > 0 else free,
            "mass": self._weighed[1],
            "minimum": self._weighed[2],
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
            **self.estimated(y, float(carry["risk"])),
            **self.flow.observe(x, w),
        }

    def estimated(self, y: Arrays, risk: float) -> dict[str, float]:
        """∫ρ(log ρ − log vol) and the free energy by the estimator that the method names, if it names one."""
        flow, x, w = self.flow, y["positions"], y["weights"]
        if self.entropy is None or flow.temperature == 0:
            return {}
        held = w > 0
        logs = log_density(x, w, self.entropy) - flow.energy.reference_log_volume(x)
        entropy = float(w[held] @ logs[held])
        free = 0.5 * risk + float(w @ flow.ridge_potential(x)) + flow.temperature * entropy
        return {"entropy": entropy, "free_energy": free}

    def shares(self, x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
        """∫|∇Ψ_λ|²dρ and Var_ρ Ψ_λ; a wall takes up the part of ∇Ψ_λ that points at it."""
        field = self.flow.energy.prepare(x).field(w)
        pull = self.descent(x, field)
        blocked = ((x <= self.low) & (pull < 0)) | ((x >= self.high) & (pull > 0))
        pull = np.where(blocked, 0.0, pull)
        return float(w @ (pull**2).sum(axis=1)), self.spread(self.potential(x, field), w)

    def spread(self, psi: np.ndarray, weights: np.ndarray) -> float:
        """Var_ρ Ψ_λ, what the reaction dissipates at α = 1."""
        mean = float(weights @ psi) / float(weights.sum())
        return float(weights @ (psi - mean) ** 2)

    def fields(self, y: Arrays) -> Arrays:
        return {"positions": y["positions"], "weights": y["weights"]}
