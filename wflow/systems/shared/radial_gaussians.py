r"""What two isotropic Gaussians share: y = ±1 with probability ½, x ~ N(0, s²I_d), s depending on the class.

Rotations leave the law of the data alone, so a law of weights reduces to that of r = |w| with features
h(r|x|) (:mod:`wflow.energies.features.radial`). At d = ∞ inputs are measured in units of √d, and two nodes are left.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from wflow.energies import (
    Activation,
    DenseFeatures,
    FeatureEnergy,
    RadialFeatures,
    piecewise_linear,
    radial_nodes,
)
from wflow.energies.features.centred import CentredFeatures
from wflow.errors import InputError
from wflow.measures import GridDensity, Measure, Particles
from wflow.systems.catalogue import EVALUATOR, System
from wflow.systems.shared.sphere import frames
from wflow.tools.streams import stream

DIRECTIONS = 64
"""At least so many directions, with their opposites, average a network's population risk."""


class RadialGaussians(System):
    """Base of the systems with two isotropic Gaussians; subclasses give σ and the starting radius."""

    knots: tuple[tuple[float, float], ...]

    def scales(self) -> np.ndarray:
        """Standard deviations of the classes y = +1 and y = −1."""
        steps = np.array([1 + self.delta, 1 - self.delta])
        return steps if self.spread == "scale" else np.sqrt(steps)

    @abstractmethod
    def start_radius(self) -> float:
        """κ: weights start as N(0, κ²/d I)."""

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Radii |x|, targets and probabilities of the reduced problem."""
        t, p = radial_nodes(self.d)
        plus, minus = self.scales()
        y = np.ones(t.size)
        return np.concatenate([plus * t, minus * t]), np.concatenate([y, -y]), np.tile(p / 2, 2)

    def energy(self) -> FeatureEnergy:
        radii, targets, weights = self.nodes()
        features = RadialFeatures(self.knots, radii, self.d)
        return FeatureEnergy(
            features=features, targets=targets, weights=weights, evaluator=self.evaluator
        )

    def start_from(self, kind: str, n: int | None) -> Measure:
        kappa = self.start_radius()
        if math.isinf(self.d):
            # |w| = κ exactly: one particle, on a grid shared by the two cells around κ so that the mean is right.
            if kind == "particles":
                return Particles(np.full((n or 1, 1), kappa), names=("r",))
            if kappa >= self.top:
                raise InputError(
                    f"kappa = {kappa:g} lies beyond the grid's wall top = {self.top:g}: raise top"
                )
            atom = Particles([[kappa]], names=("r",))
            return atom.to_grid([(0.0, self.top)], n or 512, method="linear")
        from scipy.special import gammainc, gammaincc, gammaincinv

        half, scale = self.d / 2, kappa / math.sqrt(self.d)
        if kind == "particles":
            m = n or 2000
            # Equal masses at the conditional means of the quantile bins of χ_d:
            # E[χ_d; a<χ<b] = √2 Γ((d+1)/2)/Γ(d/2) P(a<χ_{d+1}<b).
            ends = gammaincinv(half, np.linspace(0, 1, m + 1))  # χ²/2 at the bins' ends, 0 … inf
            mean = math.sqrt(2) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))
            lower, upper = gammainc(half + 0.5, ends), gammaincc(half + 0.5, ends)
            parts = np.where(lower[1:] < 0.5, np.diff(lower), -np.diff(upper))
            return Particles((scale * mean * m * parts)[:, None], names=("r",))
        return GridDensity.from_cdf(
            lambda r: gammainc(half, (r / scale) ** 2 / 2),
            [(0.0, self.top)],
            n=n or 512,
            names=("r",),
        )

    def network(self) -> GaussianNetwork:
        if math.isinf(self.d):
            raise InputError(
                f"system '{self.name}' at d = inf has no finite network: choose a finite d for SGD"
            )
        return GaussianNetwork(self)


class GaussianNetwork:
    """Neurons σ(⟨w, x⟩) with fixed output weights on samples of two isotropic Gaussians."""

    charges = False
    offset = False
    loss = "square"

    def __init__(self, system: RadialGaussians) -> None:
        self._system = system
        self.input_dimension = int(system.d)
        self.activation: Activation = piecewise_linear(system.knots)
        self._scales = system.scales()

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        # Labels and inputs from streams of their own: fewer samples from one origin are a prefix of more.
        plus = stream(seed, "labels", first).random(count) < 0.5
        x = stream(seed, "inputs", first).standard_normal((count, self.input_dimension))
        x *= np.where(plus, *self._scales)[:, None]
        return x, np.where(plus, 1.0, -1.0)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        rng = stream(seed, "start")
        scale = self._system.start_radius() / math.sqrt(self.input_dimension)
        return scale * rng.standard_normal((n_neurons, self.input_dimension))

    def risk_energy(self) -> FeatureEnergy:
        radii, targets, weights = self._system.nodes()
        u = frames(self.input_dimension, DIRECTIONS)
        x = (radii[:, None, None] * u).reshape(-1, self.input_dimension)
        features = CentredFeatures(
            RadialFeatures(self._system.knots, radii, self.input_dimension),
            DenseFeatures(self.activation, x),
        )
        return FeatureEnergy(
            features=features,
            targets=np.concatenate([targets, np.zeros(x.shape[0])]),
            weights=np.concatenate([weights, np.repeat(weights, u.shape[0]) / u.shape[0]]),
        )

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(neurons, axis=1)[:, None])


def shared_parameters(d: int, spread: str, delta: float, top: float) -> tuple[Any, ...]:
    """The parameters both systems have."""
    from wflow.tools.parameters import Parameter

    return (
        Parameter("d", d, "input dimension, an integer or inf", "dimension", str(d)),
        Parameter("delta", delta, "class separation", low=0, high=1, published=str(delta)),
        Parameter(
            "spread",
            spread,
            "what 1 +- delta is: the standard deviation (scale) or the variance",
            str,
            spread,
            choices=("scale", "variance"),
        ),
        Parameter("top", top, "outer wall of the grid in r", low=0, open_low=True),
        EVALUATOR,
    )
