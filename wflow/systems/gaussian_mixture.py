r"""A mixture of three Gaussians learnt by Gaussian units with charges, in closed form.

.. math:: f_*(x) = \tfrac13\sum_s c_s\,N(x; z_s, v_s I), \qquad \sigma_*(x;(c,y)) = c\,N(x; y, \sigma^2 I), \qquad
          R(\rho) = \int_{\mathbb R^d}\Bigl(f_*(x) - \int\sigma_*(x;\theta)\,\rho(d\theta)\Bigr)^2 dx

with z = (−2, 0, 2), v = (½, 1, ½), c = (1, −2, 1) and σ² = ½; in d dimensions the components sit on the first axis and
stay isotropic. Products of Gaussians integrate to Gaussians, so that

.. math:: K(y,y') = N(y - y'; 0, 2\sigma^2 I), \quad F(y) = \tfrac13\sum_s c_s N(y; z_s, (v_s+\sigma^2) I), \quad
          R_\# = \int f_*^2 = 2 \times 0.068868\ldots \;(d = 1)

From the good start the noiseless flow learns f*. The bad one puts all units near −2. Most of the negative charge
gathers at −0.1, the rest stays near −2, together they fit the first two components, and the risk rests at a plateau,
0.0274 for d = 1 (0.02745 at t = 100, 0.02737 at 3e4: c and y still creep). Ψ/c and its slope vanish where the units
are; it is −0.1 near +2, where a positive charge would be drawn, but nobody is there. Plain births and deaths multiply
who is there already; reinjection brings units near +2, and a density with full support has them.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.energies.base import Energy
from wflow.energies.features.rbf import RbfFeatures
from wflow.energies.features.weighted import WeightedFeatures
from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.gaussian import GaussianKernel, GaussianSum
from wflow.errors import InputError
from wflow.measures import GridDensity, Measure, Particles
from wflow.measures.marginal import Marginal
from wflow.systems.catalogue import System, system
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

PLACES, VARIANCES, CHARGES = (-2.0, 0.0, 2.0), (0.5, 1.0, 0.5), (1.0, -2.0, 1.0)
CELLS = {1: 128, 2: 48}
BAD_PLACE, BAD_SPREAD, GOOD_HALF_WIDTH = -2.0, 0.1, 2.0


@system
class GaussianMixtureSystem(System):
    r"""Gaussian units with charges on a mixture of three Gaussians, in 1 to 10 dimensions.

    Start: c ~ N(0, 1); y uniform on (−2, 2)^d, or Gaussian at (−2, 0, …) with spread 0.1 an axis, where 200 particles
    fall beyond the ``cut`` of 4 spreads once in 80 draws. Rates go with K(y, y) = (4πσ²)^{−d/2}: 0.4 at d = 1, 0.01 at
    d = 5, 1e-4 at d = 10, and so must t_end be longer.

    >>> from wflow.systems import get
    >>> system = get("gaussian-mixture")
    >>> round(system.constant / 2, 6)
    0.068868
    """

    name = "gaussian-mixture"
    title = "Gaussian units with charges on a mixture of three Gaussians; a good and a bad start"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML 2019, Section 5.1"
    parameters = (
        Parameter(
            "start",
            "good",
            "law of the centres: uniform on (-2, 2), or a Gaussian at -2 of spread 0.1; charges N(0, 1)",
            str,
            published="both",
            choices=("good", "bad"),
        ),
        Parameter(
            "dimension", 1, "d; the components sit on the first axis", int, "1", low=1, high=10
        ),
        Parameter("variance", 0.5, "sigma^2 of a unit", published="0.5", low=0, open_low=True),
        Parameter("seed", 0, "of the i.i.d. particles", int, low=0),
        Parameter(
            "cut",
            4.0,
            "the bad start's Gaussian ends so many spreads from -2: compact support, also on a grid",
            published="none",
            low=0,
            open_low=True,
            high=30,
        ),
        Parameter(
            "c_max", 6.0, "charges start, and grids lie, in |c| <= c_max", low=0, open_low=True
        ),
        Parameter("y_max", 4.0, "grids and quadrature hold |y| <= y_max", low=GOOD_HALF_WIDTH),
        Parameter(
            "evaluator",
            "closed",
            "closed pair kernel, or features at quadrature nodes (d <= 2)",
            str,
            choices=("closed", "features"),
        ),
    )
    measures = ("particles", "grid")
    ridge_on = ("c",)
    random_particles = True
    clock = 1.0
    t_end = 100.0
    t_eval = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0, 200.0, 400.0, 800.0)
    # n and the step are the source's, which takes the exact gradient; the batch is ours.
    sgd = {"n_neurons": 200, "step_size": 1e-2, "batch_size": 100}  # noqa: RUF012

    def check(self) -> None:
        reach = abs(BAD_PLACE) + self.cut * BAD_SPREAD
        if self.start == "bad" and reach > self.y_max:
            raise InputError(
                f"the bad start reaches |y| = {reach:g} and y_max is {self.y_max:g}: raise y_max or lower cut"
            )
        if self.evaluator == "features" and self.dimension > 2:
            raise InputError(
                f"evaluator = 'features' at dimension = {self.dimension}: a quadrature serves d <= 2; "
                "take evaluator = 'closed'"
            )

    def target(self, widened: float = 0.0) -> GaussianSum:
        """f* convolved with N(0, widened I): f* itself at 0, and F at σ²."""
        centers = np.zeros((len(PLACES), self.dimension))
        centers[:, 0] = PLACES
        return GaussianSum(
            centers, np.array(CHARGES) / len(CHARGES), [v + widened for v in VARIANCES]
        )

    @property
    def constant(self) -> float:
        """R_# = ∫f*² = Σ_s (c_s/3) (f* convolved with N(0, v_s I))(z_s), the risk of the zero network."""
        total = 0.0
        for c, z, v in zip(CHARGES, PLACES, VARIANCES, strict=True):
            center = np.array([[z] + [0.0] * (self.dimension - 1)])
            total += c / len(CHARGES) * float(self.target(v).values(center)[0])
        return total

    def energy(self) -> Energy:
        if self.evaluator == "features":
            return self.on_nodes()
        return KernelEnergy(
            GaussianKernel(2 * self.variance, dimension=self.dimension),
            self.target(self.variance),
            constant=self.constant,
            nodes=self.on_nodes() if self.dimension <= 2 else None,
        )

    def on_nodes(self) -> FeatureEnergy:
        """The risk as features at the nodes of a quadrature."""
        nodes, cell = self.nodes()
        features = RbfFeatures(nodes, variance=self.variance, normalised=True)
        weights = np.full(nodes.shape[0], cell)
        return FeatureEnergy(
            features=features, targets=self.target().values(nodes), weights=weights
        )

    def network(self) -> GaussianMixtureNetwork:
        return GaussianMixtureNetwork(self)

    def nodes(self) -> tuple[np.ndarray, float]:
        r"""Nodes (Q, d) of the trapezoidal rule on a box, and the volume of their cell.

        The integrands are Gaussians of standard deviation at least s, s² = min(σ², ½)/2: spacing s/2 leaves an error
        of about :math:`2e^{-2\pi^2 s^2/h^2} = 10^{-34}`, and the box reaches 9 deviations of a unit beyond y_max.
        """
        step = 0.5 * math.sqrt(min(self.variance, *VARIANCES) / 2)
        reach = max(
            self.y_max + 9 * math.sqrt(self.variance), max(PLACES) + 9 * math.sqrt(max(VARIANCES))
        )
        half = math.ceil(reach / step)
        axis = step * np.arange(-half, half + 1)
        grid = np.meshgrid(*[axis] * self.dimension, indexing="ij")
        return np.stack(grid, axis=-1).reshape(-1, self.dimension), step**self.dimension

    def marginals(self) -> list[Marginal]:
        """The laws of c, y_1, …, y_d, which start independent."""
        charge = Marginal(-self.c_max, self.c_max, 0.0, 1.0)
        if self.start == "good":
            place = Marginal(-GOOD_HALF_WIDTH, GOOD_HALF_WIDTH)
            return [charge] + [place] * self.dimension
        reach = self.cut * BAD_SPREAD
        centers = [BAD_PLACE] + [0.0] * (self.dimension - 1)
        return [charge, *(Marginal(m - reach, m + reach, m, BAD_SPREAD) for m in centers)]

    def draw(self, n: int, seed: int) -> np.ndarray:
        """θ_i = (c, y) drawn i.i.d. from the start, shape (n, 1 + d); fewer of them are a prefix of more."""
        u = stream(seed, "start").random((n, 1 + self.dimension))
        return np.stack([m.quantile(u[:, k]) for k, m in enumerate(self.marginals())], axis=1)

    def base_law(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """As published, c = 0 and y ~ N(0, I)."""
        return np.column_stack([np.zeros(n), rng.standard_normal((n, self.dimension))])

    def coordinates(self) -> tuple[str, ...]:
        """Names of θ = (c, y): c, y or c, y1, …, yd."""
        d = self.dimension
        return ("c", "y") if d == 1 else ("c", *(f"y{i + 1}" for i in range(d)))

    def start_from(self, kind: str, n: int | None) -> Measure:
        if kind == "particles":
            return Particles(self.draw(n or 200, self.seed), names=self.coordinates())
        if self.dimension > 2:
            raise InputError(
                f"a grid in (c, y) has {1 + self.dimension} axes at dimension = {self.dimension}, "
                "and 3 are possible: start from particles"
            )
        cells = n or CELLS[self.dimension]
        box = [(-self.c_max, self.c_max)] + [(-self.y_max, self.y_max)] * self.dimension
        edges = [np.linspace(lo, hi, cells + 1) for lo, hi in box]
        # Exact cell masses: the coordinates are independent, and each mass is a difference of its cdf.
        density = np.ones(())
        for marginal, e in zip(self.marginals(), edges, strict=True):
            density = density[..., None] * (np.diff(marginal.cdf(e)) / np.diff(e))
        return GridDensity(density, edges, names=self.coordinates())


class GaussianMixtureNetwork:
    r"""N Gaussian units on inputs drawn from p = N(0, 4 I), instead of the exact gradient that the source takes.

    .. math:: \int (f_* - f)^2 dx = E_{x\sim p}\Bigl(\frac{f_*(x)}{\sqrt{p(x)}} - \frac{f(x)}{\sqrt{p(x)}}\Bigr)^2

    so targets and features are divided by √p; both stay bounded as long as σ² < 8. The mean of a batch's gradient is
    exact; its variance grows with d.
    """

    charges = True
    offset = False
    loss = "square"
    spread = 2.0

    def __init__(self, system: GaussianMixtureSystem) -> None:
        if system.variance >= 2 * self.spread**2:
            raise InputError(
                f"variance = {system.variance:g}: units as wide as sqrt(p) have no bounded ratio to it; "
                f"choose a variance below {2 * self.spread**2:g} for SGD"
            )
        self._system = system
        self.input_dimension = int(system.dimension)

    def _lift(self, x: np.ndarray) -> np.ndarray:
        """1/√p at inputs (count, d), shape (count,)."""
        v = self.spread**2
        square = np.einsum("ij,ij->i", x, x)
        return np.asarray((2 * np.pi * v) ** (self.input_dimension / 4) * np.exp(square / (4 * v)))

    def features(self, x: np.ndarray) -> WeightedFeatures:
        """Units over √p at a batch of inputs (count, d)."""
        units = RbfFeatures(x, variance=self._system.variance, normalised=True)
        return WeightedFeatures(units, self._lift(x))

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = stream(seed, "inputs", first).standard_normal((count, self.input_dimension))
        x *= self.spread
        return x, self._lift(x) * self._system.target().values(x)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        return self._system.draw(n_neurons, seed)

    def risk_energy(self) -> Energy:
        return self._system.energy()

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return neurons
