r"""Bumps that learn a strongly concave function: displacement convexity, and a porous-medium limit.

.. math:: R(\rho) = \int_\Omega \Bigl(f(x) - \int K^\delta(x-w)\,\rho(dw)\Bigr)^2 dx, \qquad
          f(x) = A - \sum_i \Bigl(\tfrac\alpha2 z_i^2 + \tfrac\gamma4 z_i^4\Bigr), \quad z = x - x_0

on the box Ω = [−L, L]^d. The integral has Lebesgue weight, so that width δ = 0 is ∂tρ = ∇·(ρ∇(ρ − f)); with x uniform
on Ω as a probability the same flow would run |Ω| times slower. On our clock ½R − min ½R ≤ e^{−2αt}(½R₀ − min ½R) at
δ = 0, and the flow ends at (f − c)₊ of mass 1. A positive width stops it at a floor. Where f < 0 at the walls, a bump
half outside costs less than one inside, and a mass of order δ stays there for good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.features.bump import BumpFeatures, ConvolutionFeatures
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.grid.local import LocalEnergy
from wflow.energies.network import FeatureNetwork
from wflow.errors import InputError
from wflow.measures import GridDensity, Measure, Particles
from wflow.systems.catalogue import EVALUATOR, System, system
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

CELLS = {1: 256, 2: 64}
NODES = {1: 512, 2: 128}
PARTICLES = 1000


@dataclass(frozen=True)
class ConcaveTarget:
    """f(x) = A − Σ (α/2 z_i² + γ/4 z_i⁴), z = x − x₀; −∇²f ≥ α."""

    top: float
    alpha: float
    quartic: float
    centre: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        z = np.array(x, dtype=np.float64)
        z[..., 0] -= self.centre
        return np.asarray(self.top - _bowl(z, self.alpha, self.quartic).sum(axis=-1))


def _bowl(z: np.ndarray, alpha: float, quartic: float) -> np.ndarray:
    return np.asarray(0.5 * alpha * z**2 + 0.25 * quartic * z**4)


@system
class BumpSystem(System):
    """Bumps of width δ and mass 1 fit a strongly concave f on a box; δ = 0 is the porous-medium limit."""

    name = "bump"
    title = "bump units on a strongly concave target; width 0 is the porous-medium limit"
    source = "Javanmard, Mondelli & Montanari, Ann. Statist. 48 (2020) 3619"
    parameters = (
        Parameter("dimension", 1, "dimension d of the box", int, "any d", low=1, high=2),
        Parameter(
            "width",
            0.1,
            "radius delta of a bump; 0 is the limit, on a grid",
            low=0,
            published="to 0",
        ),
        Parameter("alpha", 4.0, "concavity of f", low=0, open_low=True, published="any"),
        Parameter("quartic", 0.0, "gamma: f falls by gamma z^4/4 in addition", low=0),
        Parameter("center", 0.0, "where f is largest, on the first axis"),
        Parameter("floor", 0.0, "least value of f on the box; below 0 mass may stay at the walls"),
        Parameter("half_width", 1.0, "L of the box [-L, L]^d", low=0, open_low=True),
        Parameter("nodes", 0, "nodes x an axis; 0 is 512 (d = 1) or 128 (d = 2)", int, low=0),
        Parameter(
            "start",
            "uniform",
            "law of the centres w: uniform on the box, or (1 - |w - m|^2/r^2)+",
            str,
            choices=("uniform", "paraboloid"),
        ),
        Parameter("start_center", 0.0, "m of the paraboloid, on the first axis"),
        Parameter("start_radius", 0.5, "r of the paraboloid", low=0, open_low=True),
        EVALUATOR,
    )
    clock = 1.0
    t_end = 1.5
    sgd = {"n_neurons": 400, "step_size": 1e-4, "batch_size": 1}  # noqa: RUF012

    def check(self) -> None:
        reach = abs(self.start_center) + self.start_radius
        if self.start == "paraboloid" and reach > self.half_width:
            raise InputError(
                f"the paraboloid reaches {reach:g} and the box ends at {self.half_width:g}: "
                "lower start_radius or start_center, or raise half_width"
            )

    def box(self) -> list[tuple[float, float]]:
        """(lo, hi) of each axis of Ω."""
        return [(-self.half_width, self.half_width)] * self.dimension

    @property
    def volume(self) -> float:
        """The volume |Ω|."""
        return float((2 * self.half_width) ** self.dimension)

    def target(self) -> ConcaveTarget:
        """f, whose least value on the box, at a corner, is ``floor``."""
        ends = np.array(self.box())
        ends[0] -= self.center
        deepest = _bowl(ends, self.alpha, self.quartic).max(axis=1).sum()
        return ConcaveTarget(self.floor + float(deepest), self.alpha, self.quartic, self.center)

    def energy(self) -> Energy:
        f = self.target()
        if self.width == 0:
            return LocalEnergy(f, dimension=self.dimension, bounds=self.box())
        features = self.features()
        weights = np.full(features.n_nodes, features.cell)
        return FeatureEnergy(
            features=features,
            targets=f(features.nodes),
            weights=weights,
            evaluator=self.evaluator,
        )

    def features(self) -> ConvolutionFeatures:
        """Bumps on nodes of Ω at the centres of equal cells."""
        n = self.nodes or NODES[self.dimension]
        # A bump that no node meets would be felt nowhere.
        if self.width * n < 2 * self.half_width * math.sqrt(self.dimension):
            least = math.ceil(2 * self.half_width * math.sqrt(self.dimension) / self.width)
            raise InputError(
                f"width = {self.width:g} falls between {n} nodes an axis: give nodes = {least} or more"
            )
        return ConvolutionFeatures(self.width, self.box(), n, domain=self.box())

    def start_from(self, kind: str, n: int | None) -> Measure:
        names = ("w",) if self.dimension == 1 else ("w1", "w2")
        if kind == "particles":
            if self.width == 0:
                raise InputError(
                    "width = 0 needs a density: start from the grid, or choose a positive width"
                )
            return Particles(self._spread(n or PARTICLES), names=names)
        cells = n or CELLS[self.dimension]
        if self.start == "uniform":
            return GridDensity.from_function(lambda w: 1.0, self.box(), cells, names=names)
        return GridDensity.from_function(self._paraboloid, self.box(), cells, names=names)

    def _paraboloid(self, w: np.ndarray) -> np.ndarray:
        z = np.array(w)
        z[..., 0] -= self.start_center
        return np.asarray(np.maximum(1 - (z**2).sum(axis=-1) / self.start_radius**2, 0.0))

    def _spread(self, n: int) -> np.ndarray:
        """Points of the starting law: quantiles on a line, a Kronecker sequence of the plastic number in the plane."""
        i = np.arange(n)
        if self.dimension == 1:
            return self.from_uniform(((i + 0.5) / n)[:, None])
        plastic = 1.3247179572447460
        return self.from_uniform((0.5 + np.outer(i + 1.0, [1 / plastic, plastic**-2])) % 1.0)

    def from_uniform(self, u: np.ndarray) -> np.ndarray:
        """Uniform numbers (n, d) in [0, 1) carried to the starting law."""
        if self.start == "uniform":
            return np.asarray(self.half_width * (2 * u - 1))
        if self.dimension == 1:
            # cdf ½ + (3s − s³)/4 of s in [−1, 1], solved by s = 2 sin(asin(2u − 1)/3).
            w = 2 * np.sin(np.arcsin(2 * u - 1) / 3)
        else:
            # The mass within s is 1 − (1 − s²)².
            s, angle = np.sqrt(1 - np.sqrt(1 - u[:, 0])), 2 * np.pi * u[:, 1]
            w = np.stack([s * np.cos(angle), s * np.sin(angle)], axis=1)
        w = self.start_radius * w
        w[:, 0] += self.start_center
        return np.asarray(w)

    def steady_state(self, n: int | None = None) -> GridDensity:
        r"""The minimiser (f − c)₊ of mass 1 at width 0, with f at the cell centres.

        >>> from wflow.systems import get
        >>> rho = get("bump", width=0, alpha=4).steady_state(100)
        >>> bool(abs(rho.mass - 1) < 1e-14)
        True
        """
        grid = cast(GridDensity, self.start_from("grid", n))
        cell = float(grid.volumes.flat[0])
        f = self.target()(grid.points())
        # Water filling: with the k highest cells wet, c = (Σ f − 1/cell)/k; the right k has f_k > c ≥ f_{k+1}.
        high = np.sort(f)[::-1]
        levels = (np.cumsum(high) - 1 / cell) / np.arange(1, high.size + 1)
        c = levels[np.flatnonzero(high > levels)[-1]]
        return grid.with_density(np.maximum(f - c, 0.0).reshape(grid.shape))

    def barenblatt(self, t: float, x: np.ndarray) -> np.ndarray:
        r"""The exact density at width 0 of a paraboloid start and a quadratic target, at points (..., d).

        .. math:: \rho = \bigl(a - \tfrac b2|x-m|^2\bigr)_+, \quad \dot m = -\alpha (m - x_0), \quad
                  \dot b = -(d+2)\,b\,(b-\alpha), \quad \tfrac{2\omega_d}{d+2}\,a\,(2a/b)^{d/2} = 1

        because ∇(ρ − f) = α(x − x₀) − b(x − m) is linear where ρ > 0; ω_d is the volume of the unit ball. It holds as
        long as the support stays in the box.

        Raises
        ------
        InputError
            for another start or target, or once the support leaves the box
        """
        if self.start != "paraboloid" or self.quartic:
            raise InputError(
                f"barenblatt with start = '{self.start}' and quartic = {self.quartic:g}: exact for start = "
                "'paraboloid' and quartic = 0 only"
            )
        d, alpha = self.dimension, self.alpha
        ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)

        def steepness(radius: float) -> float:
            # b = 2a/r² with a = (d + 2)/(2 ω_d r^d), for mass 1
            return float((d + 2) / (ball * radius ** (d + 2)))

        # The support may leave the box and come back: look at all times up to t.
        s = np.append(np.linspace(0.0, t, 1001), t)
        b_of = alpha / (
            1 + (alpha / steepness(self.start_radius) - 1) * np.exp(-(d + 2) * alpha * s)
        )
        radii = ((d + 2) / (ball * b_of)) ** (1 / (d + 2))
        means = self.center + (self.start_center - self.center) * np.exp(-alpha * s)
        reach = float((np.abs(means) + radii).max())
        if reach > self.half_width:
            raise InputError(
                f"barenblatt({t:g}): the support reaches {reach:g} by then, beyond the box "
                f"at {self.half_width:g}; raise half_width or alpha"
            )
        b, radius, m = float(b_of[-1]), float(radii[-1]), float(means[-1])
        z = np.array(x, dtype=np.float64)
        z[..., 0] -= m
        return np.asarray(np.maximum(0.5 * b * (radius**2 - (z**2).sum(axis=-1)), 0.0))

    def network(self) -> FeatureNetwork:
        if self.width == 0:
            raise InputError("width = 0 is a limit without a network: choose a positive width")
        return BumpNetwork(self)


class BumpNetwork:
    """N bumps on samples uniform in Ω; features and targets carry √|Ω|, so that E over samples is ∫ dx."""

    charges = False
    offset = False
    loss = "square"

    def __init__(self, system: BumpSystem) -> None:
        self._system = system
        self.input_dimension = int(system.dimension)
        self._scale = math.sqrt(system.volume)

    def features(self, x: np.ndarray) -> BumpFeatures:
        """The features of a batch of inputs (count, d)."""
        s = self._system
        return BumpFeatures(x, s.width, self._scale, domain=s.box())

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        s = self._system
        u = stream(seed, "inputs", first).random((count, self.input_dimension))
        x = s.half_width * (2 * u - 1)
        return x, self._scale * s.target()(x)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        u = stream(seed, "start").random((n_neurons, self.input_dimension))
        return np.asarray(self._system.from_uniform(u))

    def risk_energy(self) -> Energy:
        return self._system.energy()

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        # SGD has no walls; the flow's domain has.
        wall = self._system.half_width
        return np.asarray(np.clip(neurons, -wall, wall))
