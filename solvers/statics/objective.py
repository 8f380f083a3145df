r"""The functional that the static problems minimise, seen through first variations alone.

.. math:: 2F(\rho) = R(\rho) + \lambda\int|\theta|^2 d\rho, \qquad
          \Psi_\lambda(\theta;\rho) = \Psi + \tfrac\lambda2|\theta|^2, \qquad
          2F(\rho) - \inf 2F \le 2\Bigl(\int\Psi_\lambda\,d\rho - \min\Psi_\lambda\Bigr).

The bound is convexity: :math:`2F(\nu) \ge 2F(\rho) + 2\int\Psi_\lambda\,d(\nu-\rho)` for every ν, and the integral
against a probability ν is at least the minimum. For the square loss Ψ is affine in ρ, so that

.. math:: V(\theta) = \Psi(\theta; 0), \qquad U(\theta,\theta') = \Psi(\theta;\delta_{\theta'}) - V(\theta),

and every energy of points that answers Ψ gives V and the columns of U, whatever it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wflow.energies.arrays import answered
from wflow.energies.base import Energy, Field
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.tools.checks import check_kind, non_negative

ROUNDING = 1e-9
"""How far a mass may be from 1: what a long run may have lost to rounding."""


class Objective:
    """2F = R + λ∫|θ|²dρ of an energy, or of the energy and ridge of a flow."""

    def __init__(
        self, energy: Energy | GradientFlow, ridge: float, ridge_on: Sequence[str] | None
    ) -> None:
        if isinstance(energy, GradientFlow):
            if non_negative("ridge", ridge) or ridge_on is not None:
                raise InputError("the flow has a ridge of its own: give ridge to the flow only")
            if energy.temperature > 0:
                raise InputError(
                    f"temperature = {energy.temperature:g}: statics minimise at temperature 0; "
                    "pass flow.energy, or solve the flow to its steady state"
                )
            flow = energy
        else:
            flow = GradientFlow(energy, ridge=ridge, ridge_on=ridge_on)
        self.energy: Energy = flow.energy
        self.ridge = flow.ridge
        self.flow = flow
        require_affine(self.energy)

    def at(self, points: np.ndarray) -> ObjectiveAtPoints:
        """The functional of weights at fixed points."""
        return ObjectiveAtPoints(self, points)

    def around(self, points: np.ndarray, weights: np.ndarray) -> Landscape:
        """Ψ_λ of the measure Σ w_i δ(θ_i) as a function on the whole space."""
        return Landscape(self, self.energy.prepare(points).field(weights))


class Landscape:
    """Ψ_λ of one measure, and its gradient, at any points (m, D)."""

    def __init__(self, objective: Objective, field: Field) -> None:
        self._flow, self._field = objective.flow, field

    def potential(self, at: np.ndarray) -> np.ndarray:
        """Ψ_λ, shape (m,)."""
        psi = answered(
            "the energy's first_variation", self._field.first_variation(at), at.shape[:1]
        )
        return np.asarray(psi + self._flow.ridge_potential(at))

    def gradient(self, at: np.ndarray) -> np.ndarray:
        """∇Ψ_λ, shape (m, D)."""
        slope = answered("the energy's gradient", self._field.gradient(at), at.shape)
        return np.asarray(slope + self._flow.ridge_gradient(at))


class ObjectiveAtPoints:
    """2F of weights at fixed points, and its interaction matrix a column at a time."""

    def __init__(self, objective: Objective, points: np.ndarray) -> None:
        self.points = points
        self._energy = objective.energy
        self._prepared = objective.energy.prepare(points)
        self._ridge = objective.flow.ridge_potential(points)
        nothing = self._prepared.field(np.zeros(points.shape[0]))
        self.linear = np.asarray(nothing.first_variation()) + self._ridge
        self._columns: Callable[[int], np.ndarray] | None = None

    def value(self, weights: np.ndarray) -> tuple[float, float, np.ndarray]:
        """R, 2F and Ψ_λ at the points."""
        field = self._prepared.field(weights)
        risk = float(field.risk)
        psi = answered("the energy's first_variation", field.first_variation(), weights.shape)
        psi = psi + self._ridge
        return risk, risk + 2.0 * float(weights @ self._ridge), psi

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """∇Ψ at the points, without the ridge."""
        slope = self._prepared.field(weights).gradient()
        return answered("the energy's gradient", slope, self.points.shape)

    def diagonal(self) -> np.ndarray:
        """U(θ_i, θ_i)."""
        return self._energy.diagonal(self.points)

    def column(self, j: int) -> np.ndarray:
        """U(θ_i, θ_j) for all i."""
        if self._columns is None:
            self._columns = self._energy.columns(self.points)
        return self._columns(j)


def require_affine(energy: Energy) -> None:
    """Refuse an energy whose Ψ is not affine in ρ, and one that needs a density."""
    check_kind("energy", energy, Energy, "give a wflow.energies.FeatureEnergy or PairEnergy")
    if energy.needs_density:
        raise InputError(
            f"{type(energy).__name__} is a functional of a density, without a U between points: its minimiser is "
            "(f − c)₊; take a positive width for statics"
        )
    if not energy.affine:
        raise InputError(
            f"{energy.why_not_affine()}: the static problems need loss='square', for which R is quadratic in "
            "the measure; solve the flow to long times instead"
        )


def law_of(energy: Energy, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of a probability measure on the energy's space."""
    check_kind("measure", measure, Measure, "give a wflow.Particles or wflow.GridDensity")
    if measure.dimension != energy.dimension:
        raise InputError(
            f"the measure has {measure.dimension} coordinates and the energy {energy.dimension}: "
            f"give one over ({', '.join(energy.coordinates)})"
        )
    if abs(measure.mass - 1.0) > ROUNDING:
        raise InputError(
            f"the measure has mass {measure.mass:.9g}: this is about probabilities; "
            "divide its weights by the mass"
        )
    return measure.points(), measure.weights()
