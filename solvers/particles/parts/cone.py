"""What conic particles follow: transport, and growth without the mean, on all of R^D or along a sphere."""

from __future__ import annotations

import numpy as np

from wflow.energies.base import Field
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.solvers.method import Arrays, Tolerance
from wflow.solvers.particles.problem import ParticleProblem
from wflow.tools.checks import check_flag, number

LARGEST = 700.0
"""Most that the logarithm of a weight may grow in a step; e^LARGEST is near the end of the floats."""
LEAST = 1e-150
"""Where the heaviest weight would fall below it, none falls further: ν goes to 0 and is never without mass."""


class Cone(ParticleProblem):
    r"""Growth :math:`-\alpha\xi(\Psi_\lambda + \kappa)`, or less its mean, and F with κ times the mass."""

    def __init__(
        self,
        method: str,
        flow: GradientFlow,
        measure: Measure,
        tolerance: Tolerance,
        penalty: float,
        balanced: bool,
        sphere: bool,
    ) -> None:
        if flow.temperature > 0:
            raise InputError(
                f"method '{method}' has no noise: use temperature = 0, or 'birth-death'"
            )
        super().__init__(flow, measure, tolerance, 0)
        self.penalty = number("penalty", penalty)
        self.balanced = check_flag("balanced", balanced)
        self.sphere = check_flag("sphere", sphere)
        if self.sphere:
            self.lengths = np.linalg.norm(self.initial["positions"], axis=1, keepdims=True)
            if self.bounded or not flow.mobile.all():
                raise InputError(
                    "sphere = True with walls or frozen coordinates: a direction has neither; use sphere = False"
                )
            if not self.lengths.all():
                raise InputError(
                    "sphere = True and a particle at 0, which has no direction: leave it out of the start"
                )

    def level(self, psi: np.ndarray, weights: np.ndarray) -> float:
        return super().level(psi, weights) if self.balanced else -self.penalty

    def reweighted(self, weights: np.ndarray, gain: np.ndarray) -> np.ndarray:
        if self.balanced:
            return super().reweighted(weights, gain)
        with np.errstate(under="ignore"):
            return self.held(weights, weights * np.exp(np.minimum(gain, LARGEST)))

    @staticmethod
    def held(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Weights ``after`` a step, not all of them lost to rounding."""
        if after.max() >= LEAST:
            return after
        return np.asarray(np.maximum(after, np.minimum(before, LEAST)))

    def project(self, positions: np.ndarray) -> np.ndarray:
        if not self.sphere:
            return super().project(positions)
        return np.asarray(
            positions * (self.lengths / np.linalg.norm(positions, axis=1, keepdims=True))
        )

    def descent(self, positions: np.ndarray, field: Field) -> np.ndarray:
        """−∇Ψ_λ; its part along the sphere through each position."""
        pull = super().descent(positions, field)
        if not self.sphere:
            return pull
        outward = np.einsum("ij,ij->i", positions, pull) / self.lengths[:, 0] ** 2
        return np.asarray(pull - outward[:, None] * positions)

    def spread(self, psi: np.ndarray, weights: np.ndarray) -> float:
        if self.balanced:
            return super().spread(psi, weights)
        return float(weights @ (psi + self.penalty) ** 2)

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        seen = super().monitor(y, carry)
        seen["free_energy"] += self.penalty * seen["mass"]
        return seen
