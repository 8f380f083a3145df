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

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.base import Energy, Field
from wflow.energies.grid.local import LocalEnergy
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure

ROUNDING = 1e-9
"""How far a mass may be from 1: what a long run may have lost to rounding."""


class Objective:
    """2F = R + λ∫|θ|²dρ of an energy, or of the energy and ridge of a flow."""

    def __init__(self, energy: Any, ridge: float, ridge_on: Sequence[str] | None) -> None:
        if isinstance(energy, GradientFlow):
            if ridge or ridge_on is not None:
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
        require_square_loss(self.energy)

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
        return np.asarray(self._field.first_variation(at) + self._flow.ridge_potential(at))

    def gradient(self, at: np.ndarray) -> np.ndarray:
        """∇Ψ_λ, shape (m, D)."""
        return np.asarray(self._field.gradient(at) + self._flow.ridge_gradient(at))


class ObjectiveAtPoints:
    """2F of weights at fixed points, and its interaction matrix a column at a time."""

    def __init__(self, objective: Objective, points: np.ndarray) -> None:
        self.points = points
        self._energy = objective.energy
        self._prepared = objective.energy.prepare(points)
        self._ridge = objective.flow.ridge_potential(points)
        features = getattr(objective.energy, "features", None)
        self._features = features.prepare(points) if features is not None else None
        nothing = self._prepared.field(np.zeros(points.shape[0]))
        self._v = np.array(nothing.first_variation())
        self.linear = self._v + self._ridge

    def value(self, weights: np.ndarray) -> tuple[float, float, np.ndarray]:
        """R, 2F and Ψ_λ at the points."""
        field = self._prepared.field(weights)
        risk = float(field.risk)
        psi = np.asarray(field.first_variation()) + self._ridge
        return risk, risk + 2.0 * float(weights @ self._ridge), psi

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """∇Ψ at the points, without the ridge."""
        return np.asarray(self._prepared.field(weights).gradient())

    def diagonal(self) -> np.ndarray:
        """U(θ_i, θ_i)."""
        return self_interaction(self._energy, self.points)

    def column(self, j: int) -> np.ndarray:
        """U(θ_i, θ_j) for all i; features are computed once and cost O(nQ) a column, pairs O(n)."""
        one = self.points[j : j + 1]
        if self._features is not None:
            e: Any = self._energy
            row = e.features.prepare(one).predict(np.ones(1))
            return np.asarray(self._features.potential(e.weights * row))
        field = self._energy.prepare(one).field(np.ones(1))
        return np.asarray(field.first_variation(self.points) - self._v)


def require_square_loss(energy: Any) -> None:
    """Refuse a loss under which Ψ is not affine in ρ, and an energy that needs a density."""
    if isinstance(energy, LocalEnergy):
        raise InputError(
            "LocalEnergy is a functional of a density, without a U between points: its minimiser is (f − c)₊; "
            "take a positive width for statics"
        )
    loss = getattr(energy, "loss", None)
    if loss is not None and loss.name != "square":
        raise InputError(
            f"loss '{loss.name}': the static problems need loss='square', for which R is quadratic in "
            "the measure; solve the flow to long times instead"
        )


def self_interaction(energy: Any, points: np.ndarray) -> np.ndarray:
    r"""U(θ_i, θ_i), shape (n,): Σ_q p_q σ*(x_q; θ_i)² for features, c²K(y, y) for closed kernels.

    An energy that has ``diagonal(points)`` is asked; for any other, one point at a time is.
    """
    if hasattr(energy, "diagonal"):
        return np.asarray(energy.diagonal(points), dtype=np.float64)
    features = getattr(energy, "features", None)
    out = np.empty(points.shape[0])
    if features is None:
        for i in range(out.size):
            prepared = energy.prepare(points[i : i + 1])
            both = [prepared.field(np.array([m])).first_variation()[0] for m in (1.0, 0.0)]
            out[i] = both[0] - both[1]
        return out
    # A call costs some 40 µs whatever it does: Q calls for a node each, or n calls for a point each.
    n, q = points.shape[0], features.n_nodes
    if q * (4e-5 + 1e-9 * n * q) < n * (4e-5 + 1e-8 * q):
        prepared = features.prepare(points)
        out[:] = 0.0
        for k in np.flatnonzero(energy.weights):
            unit = np.zeros(q)
            unit[k] = 1.0
            out += energy.weights[k] * prepared.potential(unit) ** 2
        return out
    for i in range(n):
        out[i] = energy.weights @ features.prepare(points[i : i + 1]).predict(np.ones(1)) ** 2
    return out


def law_of(energy: Any, measure: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of a probability measure on the energy's space."""
    if not isinstance(measure, Measure):
        raise InputError(
            f"measure is a {type(measure).__name__}: give a wflow.Particles or wflow.GridDensity"
        )
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
