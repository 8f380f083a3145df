"""The neurons of a network under its population risk, what SGD draws for them, and the clock of its steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.energies.network import NetworkModel, energy_on
from wflow.errors import InputError
from wflow.systems.catalogue import System

PUSH = 1e-3
"""κ: terms of its square are left out, those below rounding/κ² not seen."""
FINE = 400
"""Parts of an interval by which ∫ξ dt and ∫ξ² dt are formed."""


class Cloud:
    """The neurons of a model under its population risk."""

    def __init__(self, system: System, model: NetworkModel, theta: np.ndarray) -> None:
        self.model, self.energy = model, model.risk_energy()
        self.weights = np.full(theta.shape[0], 1.0 / theta.shape[0])
        frozen = system.frozen()
        self.mobile = np.array([float(c not in frozen) for c in self.energy.coordinates])

    def velocity(self, theta: np.ndarray, tau: float = 0.0) -> np.ndarray:
        """−∇Ψ of the coordinates that move, at whatever τ."""
        slope = self.energy.prepare(theta).field(self.weights).gradient()
        return np.asarray(-self.mobile * slope)

    def drawn(
        self, theta: np.ndarray, seed: int, first: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """∇σ* (n, D, Q) and the residual f − y (Q,) at fresh samples, each of which is so many of the Q nodes."""
        if self.model.loss != "square":
            raise InputError(
                f"loss '{self.model.loss}': the drift of SGD is predicted for the square loss"
            )
        x, y = self.model.samples(seed, first, count)
        features = energy_on(self.model, x, y).on_nodes().features
        values, slopes = features.jacobian(theta)
        return slopes, self.weights @ values - y.ravel(), features.per_sample

    def observe(self, theta: np.ndarray) -> np.ndarray:
        """The means of the state's coordinates, and the risk."""
        risk = self.energy.prepare(theta).field(self.weights).risk
        return np.append(self.model.reduce(theta).mean(axis=0), risk)

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        """∇ of what is observed, on the coordinates that move, (k + 1, n, D)."""
        n, d = theta.shape
        out = np.empty((self.model.reduce(theta).shape[1] + 1, n, d))
        for e, unit in enumerate(PUSH * np.eye(d)):
            change = self.model.reduce(theta + unit) - self.model.reduce(theta - unit)
            out[:-1, :, e] = change.T / (2 * PUSH * n)
        # dR/dθ_i = 2∇Ψ(θ_i)/n.
        out[-1] = -2.0 * self.velocity(theta) / n
        return np.asarray(self.mobile * out)


def clock(
    schedule: Callable[[float], float], start: float, end: float, steps: int
) -> list[tuple[float, float, float]]:
    """Steps even in τ = ∫ξ dt from one time to another: their length, ∫ξ² dt, and the mean of ξ over τ."""
    if end <= start:
        return []
    # Finer towards the start, where a clock may be steep.
    at = start + (end - start) * np.linspace(0.0, 1.0, FINE * steps + 1) ** 2
    middle = 0.5 * (at[1:] + at[:-1])
    xi = np.array([schedule(float(s)) for s in middle])
    tau, square = (np.append(0.0, np.cumsum(f * np.diff(at))) for f in (xi, xi**2))
    ends = np.linspace(0.0, tau[-1], steps + 1)
    variances = np.diff(np.interp(ends, tau, square))
    return [
        (float(h), float(v), float(v / h)) for h, v in zip(np.diff(ends), variances, strict=True)
    ]
