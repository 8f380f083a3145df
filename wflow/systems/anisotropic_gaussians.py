r"""Two anisotropic Gaussians told apart by ReLU neurons with offsets and output weights.

.. math:: y = \pm1 \text{ with probability } \tfrac12, \quad x \sim N(0, \Sigma_\pm), \quad
          \Sigma_\pm = \mathrm{diag}(s_\pm^2 I_{s_0}, I_{d-s_0}), \quad
          \sigma_*(x;\theta) = a\,(\langle w, x\rangle + b)_+

Rotations of the first s₀ inputs and of the others leave the data alone, so a law of neurons that they leave alone
reduces to one of (a, b, r₁, r₂), r₁ = |w_{1…s₀}|, r₂ = |w_{s₀+1…d}| (:mod:`wflow.energies.features.two_radii`). At
d = ∞ the ratio s₀/d is kept, r₁ and r₂ start at κ√(s₀/d) and κ√(1 − s₀/d), and the law stays one particle.

a ∂_aΨ = (b ∂_b + r·∂_r)Ψ = Ψ, as a ReLU is homogeneous: a² − b² − |w|² of every neuron is conserved. One sample a step
adds noise to w that the flow lacks: |w₂|² grows by 4 ε ξ² E[(y−f)² a² 1(⟨w,x⟩+b>0) |x₂|²], about (d − s₀) ε ξ² times
a number of order 1, a unit of time, so that r₂ of SGD lies above the flow's by O(εd): by 0.013 at t = 1 and 0.025 at
t = 5 for ε = 2.5e-5, about twice that for 5e-5, and 0.17 at t = 5 for the default 2e-4, where the risk is 0.03 higher.

Published values marked (m) are remembered, not read off the paper; the talk has the variances 1 ± Δ.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from wflow.energies import Activation, FeatureEnergy, get_activation
from wflow.energies.features.two_radii import two_radii_energy
from wflow.energies.pairs.ramps import RampsOnGaussians
from wflow.equation import Schedule
from wflow.errors import InputError
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import EVALUATOR, System, system
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

S0 = 60
"""The published number of inputs whose scale tells the class."""
RATIO = 0.1875
"""s₀/d as published, 60/320."""
PARTICLES = 2000


@system
class AnisotropicGaussians(System):
    """y = ±1, x ~ N(0, diag(s±² I, I)); neurons a relu(⟨w, x⟩ + b); state (a, b, r₁, r₂)."""

    name = "anisotropic-gaussians"
    title = "two anisotropic Gaussians, ReLU with offset, two-radii reduction"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 3"
    parameters = (
        Parameter("d", 320, "input dimension, an integer or inf", "dimension", "320"),
        Parameter("s0", S0, "inputs whose scale tells the class; finite d", int, "60", low=1),
        Parameter("ratio", RATIO, "s0/d at d = inf", published="60/320", low=0, high=1),
        Parameter("delta", 0.5, "class separation", low=0, high=1, published="0.5 (m)"),
        Parameter(
            "spread",
            "scale",
            "what 1 +- delta is: the standard deviation (scale) or the variance",
            str,
            "scale (m)",
            choices=("scale", "variance"),
        ),
        Parameter("charge", 1.0, "a starts here", published="1 (m)"),
        Parameter("offset", 1.0, "b starts here", published="1 (m)"),
        Parameter(
            "kappa",
            0.8,
            "weights start as N(0, kappa^2/d I)",
            low=0,
            open_low=True,
            published="0.8 (m)",
        ),
        Parameter(
            "exponent",
            0.25,
            "xi(t) = max(t, t_first)^-exponent; 0 is constant",
            low=0,
            high=1,
            published="0.25 (m)",
        ),
        Parameter(
            "t_first",
            2e-4,
            "xi stays at its value here before; the step size in MMN, whose k starts at 1",
            low=0,
            open_low=True,
            published="2e-4 (m)",
        ),
        EVALUATOR,
    )
    measures = ("particles",)
    t_end = 5.0
    t_eval = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
    sgd = {"n_neurons": 800, "step_size": 2e-4, "batch_size": 1}  # noqa: RUF012

    def check(self) -> None:
        if math.isinf(self.d):
            if self.s0 != S0:
                raise InputError(
                    f"s0 = {self.s0} at d = inf: s0 is for a finite d; give ratio = s0/d instead"
                )
            return
        if self.s0 >= self.d:
            raise InputError(
                f"s0 = {self.s0} of d = {self.d}: s0 must be less than d; lower s0 or raise d"
            )
        if self.ratio != RATIO:
            raise InputError(
                f"ratio = {self.ratio:g} at d = {self.d}: ratio is for d = inf; give s0 instead"
            )

    def scales(self) -> tuple[float, float]:
        """Standard deviations of the first block in the classes y = +1 and y = −1."""
        steps = np.array([1 + self.delta, 1 - self.delta])
        plus, minus = steps if self.spread == "scale" else np.sqrt(steps)
        return float(plus), float(minus)

    def sizes(self) -> tuple[float, float]:
        """Dimensions of the two blocks."""
        if math.isinf(self.d):
            return math.inf, math.inf
        return self.s0, self.d - self.s0

    def energy(self) -> FeatureEnergy:
        return two_radii_energy(self.scales(), self.sizes(), self.evaluator)

    def schedule(self) -> Schedule:
        if self.exponent == 0:
            return 1.0
        return partial(power_law, first=float(self.t_first), exponent=float(self.exponent))

    def start_from(self, kind: str, n: int | None) -> Measure:
        """Equal masses: each radius at the means of its n quantile bins (:func:`chi_means`), and the bins of one
        radius paired with those of the other by a lattice of low discrepancy (:func:`mirrored_pairing`).
        """
        m = n or (1 if math.isinf(self.d) else PARTICLES)
        points = np.empty((m, 4))
        points[:, 0], points[:, 1] = self.charge, self.offset
        if math.isinf(self.d):
            points[:, 2] = self.kappa * math.sqrt(self.ratio)
            points[:, 3] = self.kappa * math.sqrt(1 - self.ratio)
        else:
            scale = self.kappa / math.sqrt(self.d)
            points[:, 2] = scale * chi_means(self.s0, m)
            points[:, 3] = scale * chi_means(self.d - self.s0, m)[mirrored_pairing(m)]
        return Particles(points, names=("a", "b", "r1", "r2"))

    def network(self) -> TwoBlockNetwork:
        if math.isinf(self.d):
            raise InputError(
                f"system '{self.name}' at d = inf has no finite network: choose a finite d for SGD"
            )
        return TwoBlockNetwork(self)


class TwoBlockNetwork:
    """Neurons a relu(⟨w, x⟩ + b) on samples of the two classes; the population risk is exact."""

    charges = True
    offset = True
    loss = "square"

    def __init__(self, system: AnisotropicGaussians) -> None:
        self._system = system
        self.input_dimension = int(system.d)
        self.activation: Activation = get_activation("relu")

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        # Labels and inputs from streams of their own: fewer samples from one origin are a prefix of more.
        plus = stream(seed, "labels", first).random(count) < 0.5
        x = stream(seed, "inputs", first).standard_normal((count, self.input_dimension))
        x[:, : self._system.s0] *= np.where(plus, *self._system.scales())[:, None]
        return x, np.where(plus, 1.0, -1.0)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        s, d = self._system, self.input_dimension
        neurons = np.empty((n_neurons, d + 2))
        neurons[:, 0], neurons[:, 1] = s.charge, s.offset
        w = stream(seed, "start").standard_normal((n_neurons, d))
        neurons[:, 2:] = s.kappa / math.sqrt(d) * w
        return neurons

    def risk_energy(self) -> RampsOnGaussians:
        variances = np.ones((2, self.input_dimension))
        variances[:, : self._system.s0] = np.square(self._system.scales())[:, None]
        return RampsOnGaussians(variances)

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        """(a, b, |w₁|, |w₂|) of each neuron."""
        split = 2 + int(self._system.s0)
        first = np.linalg.norm(neurons[:, 2:split], axis=1)
        second = np.linalg.norm(neurons[:, split:], axis=1)
        return np.column_stack([neurons[:, :2], first, second])


def power_law(t: float, first: float, exponent: float) -> float:
    """ξ(t) = max(t, first)^−exponent: the singularity at t = 0 is cut at the first step.

    >>> power_law(0.0, 1e-4, 0.25), power_law(16.0, 1e-4, 0.25)
    (10.0, 0.5)
    """
    return float(max(t, first) ** -exponent)


def chi_means(dimension: float, n: int) -> np.ndarray:
    r"""Means of χ_d in the n bins of equal probability, in increasing order.

    .. math:: E[\chi_d; u<\chi_d<v] = \sqrt2\,\frac{\Gamma((d+1)/2)}{\Gamma(d/2)}\,P(u<\chi_{d+1}<v)

    >>> bool(np.isclose(chi_means(2, 5).mean(), math.sqrt(math.pi / 2)))
    True
    """
    from scipy.special import gammainc, gammaincc, gammaincinv

    half = dimension / 2
    ends = gammaincinv(half, np.linspace(0, 1, n + 1))  # χ²/2 at the bins' ends, 0 … inf
    mean = math.sqrt(2) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))
    lower, upper = gammainc(half + 0.5, ends), gammaincc(half + 0.5, ends)
    # Differences of whichever tail is small.
    return np.asarray(mean * n * np.where(lower[1:] < 0.5, np.diff(lower), -np.diff(upper)))


def mirrored_pairing(n: int) -> np.ndarray:
    """A permutation of n bins that spreads like a golden-ratio lattice and is uncorrelated with its argument.

    Neighbours 2i, 2i + 1 get mirror images j, n − 1 − j, in turns the one or the other first; a lattice alone leaves
    a correlation of order 1/√n between two radii.

    >>> sorted(mirrored_pairing(7).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    half = n // 2
    lattice = np.argsort(np.argsort(np.arange(half) * (math.sqrt(5) - 1) / 2 % 1.0))
    partner = np.full(n, half)
    i = np.arange(half)
    partner[2 * i + i % 2] = lattice
    partner[2 * i + 1 - i % 2] = n - 1 - lattice
    return partner
