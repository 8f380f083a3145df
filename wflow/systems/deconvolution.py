r"""Spikes on a torus from their low frequencies, with a penalty on their total variation.

.. math:: J(\nu) = \tfrac12\Bigl\|f_* - \int D(\cdot-y)\,\nu(dy)\Bigr\|^2 + \lambda|\nu|, \qquad
          f_* = \sum_{k\le m_0} w_k D(\cdot - y_k)

with the Dirichlet kernel D and the mean square over the torus. Neurons are θ = (s, y) with a sign s = ±1 that stays:
J = ½R(ρ) at ν = ∫sδ_y dρ. The conic method leaves the mass of ρ free, which is what the penalty acts on; where the mass
is kept, λ only adds a constant. Of the source's particles r² is n times a weight here, and one of its iterations
r ← re^{−2aJ'}, θ ← θ − b∇J' is a step b of this flow at reaction rate α = 4a/b.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.dirichlet import DirichletKernel, PenalisedSpikes
from wflow.energies.pairs.kernel import KernelSum
from wflow.errors import InputError
from wflow.measures import GridDensity, Measure, Particles
from wflow.systems.catalogue import System, system
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

PLACES, RADII = ((0.0, 0.0), (1.7, -0.3), (0.7, 1.3)), (1.1, 0.8, 1.0)
"""The three spikes of two dimensions, seen from (π, π), and the roots of their weights."""
FREQUENCIES = {1: 4, 2: 2}
PARTICLES = {1: 30, 2: 25}
CELLS = {1: 96, 2: 32}


@system
class SparseDeconvolution(System):
    """Spikes on the circle or the two-dimensional torus, observed up to a frequency.

    Start: neurons on an even lattice, all of weight r₀²/n, their signs −, +, −, … where both are allowed. On the circle
    spikes are drawn uniformly, no two closer than ``separation``; signed weights ±½ + U(−¼, ¼) are scaled to Σ|w| = 1,
    positive ones are U(0, 1). On the torus there are the three of the source.

    >>> from wflow.systems import get
    >>> system = get("sparse-deconvolution")
    >>> start = system.initial("particles")
    >>> len(start.points()), round(start.mass, 12), round(system.planted().mass, 12)
    (30, 0.25, 1.0)
    """

    name = "sparse-deconvolution"
    title = "spikes on a torus from their low frequencies, with a penalty on their mass"
    source = "Chizat (2022), Math. Program. 194, 487 (arXiv:1907.10300), Section 5"
    parameters = (
        Parameter("dimension", 1, "d of the torus", int, "1, 2", low=1, high=2),
        Parameter(
            "frequencies", 0, "cut-off an axis; 0 is 4 (d = 1) or 2 (d = 2)", int, "4, 2", low=0
        ),
        Parameter("penalty", 0.3, "lambda", published="0.3 (d = 1), 1 (d = 2)", low=0),
        Parameter(
            "signs",
            "both",
            "signs of spikes and neurons; positive on the torus of d = 2",
            str,
            published="both (d = 1), positive (d = 2)",
            choices=("both", "positive"),
        ),
        Parameter("spikes", 5, "m0 on the circle", int, "5", low=1),
        Parameter("separation", 0.2, "least distance of two spikes", published="0.2", low=0),
        Parameter(
            "radius", 0.5, "r0: all neurons start at it", published="0.5", low=0, open_low=True
        ),
        Parameter("spike_seed", 0, "of the spikes on the circle", int, low=0),
    )
    measures = ("particles", "grid")
    clock = 1.0
    t_end = 5.0

    def check(self) -> None:
        if self.spikes * self.separation > math.pi / 2:
            raise InputError(
                f"{self.spikes} spikes no two of which are closer than {self.separation:g} are seldom drawn: "
                "lower spikes or separation, to a product of pi/2 at most"
            )

    @property
    def positive(self) -> bool:
        """Whether spikes and neurons are all positive."""
        return bool(self.signs == "positive" or self.dimension == 2)

    def kernel(self) -> DirichletKernel:
        """⟨φ_θ, φ_θ'⟩."""
        return DirichletKernel(self.frequencies or FREQUENCIES[self.dimension], self.dimension)

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """Places (m₀, d) and weights (m₀,) of the spikes."""
        if self.dimension == 2:
            return math.pi + np.array(PLACES), np.array(RADII) ** 2
        rng, closest = stream(self.spike_seed, "labels"), -1.0
        while closest < self.separation:
            y = np.sort(2 * math.pi * rng.random(self.spikes))
            closest = float(np.diff(y, append=y[0] + 2 * math.pi).min())
        u = rng.random((2, self.spikes))
        w = u[0] if self.positive else np.where(u[0] < 0.5, -0.5, 0.5) + 0.5 * (u[1] - 0.5)
        return y[:, None], w if self.positive else w / np.abs(w).sum()

    def planted(self) -> Particles:
        """The spikes that are observed, as a measure on (s, y) of mass Σ|w|."""
        y, w = self._drawn
        return Particles(
            np.column_stack([np.sign(w), y]), np.abs(w), names=self.kernel().coordinates
        )

    def observed(self) -> KernelSum:
        """f*, as ⟨f*, φ_θ⟩."""
        planted = self.planted()
        return KernelSum(self.kernel(), planted.points(), planted.weights())

    def energy(self) -> KernelEnergy:
        observed = self.observed()
        target = PenalisedSpikes(observed, self.penalty)
        return KernelEnergy(observed.kernel, target, charges=False, constant=observed.square())

    def frozen(self) -> tuple[str, ...]:
        """Signs stay as they are."""
        return ("s",)

    def base_law(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Spikes anywhere, of either sign where both are allowed."""
        signs = np.ones(n) if self.positive else rng.choice([-1.0, 1.0], n)
        return np.column_stack([signs, 2 * math.pi * rng.random((n, self.dimension))])

    def start_from(self, kind: str, n: int | None) -> Measure:
        d, names, mass = self.dimension, self.kernel().coordinates, self.radius**2
        if kind == "grid":
            cells = n or CELLS[d]
            signs = np.linspace(0.0 if self.positive else -2.0, 2.0, 2 if self.positive else 3)
            edges = [signs] + [np.linspace(0.0, 2 * math.pi, cells + 1)] * d
            even = np.full([len(e) - 1 for e in edges], 1.0)
            even *= mass / float(np.prod([e[-1] - e[0] for e in edges]))
            return GridDensity(even, edges, names=names, periodic=[False] + [True] * d)
        n = n or PARTICLES[d]
        side = round(n ** (1 / d))
        if side**d != n:
            raise InputError(f"n = {n} neurons are no square lattice: take {side**d}")
        axis = 2 * math.pi / side * (np.arange(side) + (0.5 if d == 2 else 0.0))
        lattice = np.stack(np.meshgrid(*[axis] * d), axis=-1).reshape(n, d)
        signs = np.ones(n) if self.positive else np.where(np.arange(n) % 2 == 0, -1.0, 1.0)
        return Particles(np.column_stack([signs, lattice]), np.full(n, mass / n), names=names)
