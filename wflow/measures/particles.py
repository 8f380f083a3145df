"""Weighted particles: the state of the particle methods, and the neurons of a network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.measures.base import FloatArray, Measure, check_names, check_not_negative, read_only
from wflow.measures.deposit import deposit
from wflow.measures.grid import GridDensity, draw
from wflow.measures.quantiles import QuantileTable
from wflow.measures.resampling import drawn
from wflow.measures.tensor_grid import TensorGrid, axes_of, check_bounds, refuse_two_grids
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_function, check_seed
from wflow.tools.memory import check_held
from wflow.tools.streams import stream


class Particles(Measure):
    """Point masses Σ w_i δ(θ − θ_i), any number of coordinates.

    Parameters
    ----------
    positions : (n, D), or (n,) for one coordinate
    weights : (n,), not negative; 1/n each by default. Their sum is the mass and is never rescaled
    names : of the coordinates; x, y, z by default, x0, x1 … beyond three

    Raises
    ------
    InputError
        for no particles, NaN, negative weights, no mass at all, or shapes that disagree

    >>> rho = Particles([0.0, 1.0, 4.0], [0.5, 0.25, 0.25])
    >>> float(rho.mean()[0]), float(rho.quantile(0.6)), float(rho.cdf(1.0))
    (1.25, 1.0, 0.75)
    """

    kind = "particles"

    positions: FloatArray

    def __init__(
        self, positions: Any, weights: Any = None, *, names: Sequence[str] | None = None
    ) -> None:
        x = as_floats("positions", positions)
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2:
            raise InputError(
                f"positions have shape {x.shape}: give (n, D), or (n,) for one coordinate"
            )
        n, dimension = x.shape
        if n == 0 or dimension == 0:
            raise InputError(
                f"positions have shape {x.shape}: give at least 1 particle of 1 coordinate"
            )
        if weights is None:
            w = np.full(n, 1.0 / n)
        else:
            w = as_floats("weights", weights)
            if w.shape != (n,):
                raise InputError(
                    f"weights have shape {w.shape} for {n} particles: give shape ({n},)"
                )
            check_not_negative("weights", w, "a particle cannot weigh less than nothing")
            if not w.any():
                raise InputError("weights are all 0: at least one must be positive")
        self.__dict__.update(
            positions=read_only(x), _weights=read_only(w), _names=check_names(names, dimension)
        )

    @classmethod
    def from_quantile(
        cls,
        ppf: Callable[[FloatArray], Any],
        n: int,
        *,
        names: Sequence[str] | None = None,
        order: int = 12,
    ) -> Particles:
        """n equal masses at the conditional means n∫Q(u)du of n equal bins of a quantile function Q.

        Inner bins by Gauss–Legendre in u. The two end bins by Gauss–Laguerre in −log of the distance to the end,
        where the quantiles of Gaussian and exponential tails are smooth: about 1e-10 for a Gaussian and n ≥ 3.

        Parameters
        ----------
        ppf : takes u (…) in (0, 1), gives positions (…)
        order : Gauss–Legendre points a bin

        Raises
        ------
        InputError
            where ppf is not finite inside (0, 1) or has the wrong shape

        >>> normal = Particles.from_quantile(lambda u: np.log(u / (1 - u)), 4)
        >>> bool(abs(normal.mean()[0]) < 1e-12)
        True
        """
        n = check_held("n", check_count("n", n))
        if n == 1:
            halves = cls.from_quantile(ppf, 2, names=names, order=order)
            return cls([float(halves.mean()[0])], names=names)
        order = check_held("order", check_count("order", order), order)
        nodes, weights = np.polynomial.legendre.leggauss(order)
        u = (np.arange(1, n - 1)[:, None] + 0.5 * (1 + nodes)) / n
        depth, tail = np.polynomial.laguerre.laggauss(32)
        share = np.exp(-depth) / n
        means = np.empty(n)
        means[1:-1] = _quantiles_at(ppf, u) @ (0.5 * weights)
        means[0] = _quantiles_at(ppf, share) @ tail
        # 1 − u below rounding: the nodes there carry less than 1e-15 of the bin.
        means[-1] = _quantiles_at(ppf, np.minimum(1 - share, np.nextafter(1.0, 0.0))) @ tail
        return cls(means, names=names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.__dict__["_names"]  # type: ignore[no-any-return]

    @property
    def n(self) -> int:
        """Number of particles."""
        return int(self.positions.shape[0])

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return int(self.positions.shape[1])

    def points(self) -> FloatArray:
        """Positions (n, D)."""
        return self.positions

    def weights(self) -> FloatArray:
        """Masses (n,)."""
        return self.__dict__["_weights"]  # type: ignore[no-any-return]

    def sample(self, n: int, seed: int) -> FloatArray:
        """Positions (n, D) of particles drawn independently by weight; the same for the same seed.

        Raises
        ------
        InputError
            for n < 1, or a seed that is no whole number
        """
        n, rng = check_count("n", n), stream(check_seed(seed), "start", 1)
        check_held("n", n, self.dimension)
        chosen: FloatArray = self.positions[draw(self.weights(), self.mass, rng.random(n))]
        return chosen

    def resampled(self, n: int | None = None, seed: int = 0) -> Particles:
        """n particles of equal weight that stand for these, copies by systematic rounding; the mass stays.

        Each has n w_i/mass copies in the mean, and one of the two whole numbers beside that.

        Raises
        ------
        InputError
            for n < 1, or a seed that is no whole number

        >>> Particles([0.0, 1.0], [0.25, 0.75]).resampled(4).points()[:, 0].tolist()
        [0.0, 1.0, 1.0, 1.0]
        """
        n, rng = self.n if n is None else check_count("n", n), stream(check_seed(seed), "births")
        check_held("n", n, self.dimension)
        x = drawn(self.positions, self.weights(), n, rng.random())
        return Particles(x, np.full(n, self.mass / n), names=self.names)

    def directions(self) -> Particles:
        r"""What 2-homogeneous units see of this measure: θ/|θ| of mass w|θ|²; a particle at 0 is left out.

        .. math:: \int\varphi\,d\nu = \int|\theta|^2\varphi(\theta/|\theta|)\,d\rho

        Raises
        ------
        InputError
            where all are at 0

        >>> Particles([[3.0, 4.0], [0.0, 0.0]]).directions()
        Particles(n = 1 in (x, y), mass 12.5)
        """
        length = np.linalg.norm(self.positions, axis=1)
        away = length > 0
        if not away.any():
            raise InputError("all particles are at 0, where there is no direction: give others")
        x, w = self.positions[away] / length[away, None], (self.weights() * length**2)[away]
        return Particles(x, w, names=self.names)

    def to_grid(
        self,
        bounds: Any = None,
        n: int | Sequence[int] | None = None,
        *,
        edges: Any = None,
        method: str = "histogram",
        periodic: bool | Sequence[bool] = False,
    ) -> GridDensity:
        """The particles' mass on a grid of 1 to 3 axes, given by bounds and n or by edges.

        Parameters
        ----------
        method : ``"histogram"`` (all into the cell) or ``"linear"`` (shared between the neighbouring centres: keeps
            the mean too, but for the half cell at a wall)
        periodic : for all axes, or one an axis; a particle beyond a periodic end is wrapped

        Raises
        ------
        InputError
            for a particle outside the bounds, a grid of other coordinates, or an unknown method

        >>> rho = Particles([0.1, 0.2, 0.9]).to_grid([(0, 1)], n=2)
        >>> [round(float(m), 3) for m in rho.weights()]
        [0.667, 0.333]
        """
        if self.dimension > 3:
            raise InputError(
                f"the particles have {self.dimension} coordinates: a grid has at most 3; deposit a projection"
            )
        refuse_two_grids(bounds, n, edges)
        given = check_bounds(bounds, None) if edges is None else axes_of("edges", edges)
        axes = len(given)
        if axes != self.dimension:
            raise InputError(
                f"the grid has {axes} axes for {self.dimension} coordinates: give one a coordinate"
            )
        if edges is None:
            grid = TensorGrid.from_bounds(bounds, n, self.names, periodic)
        else:
            grid = TensorGrid(edges, self.names, periodic)
        density = deposit(self.positions, self.weights(), grid, method)
        return GridDensity._of(grid, density)

    def _quantile_table(self) -> QuantileTable:
        x = self.positions[:, 0]
        order = np.argsort(x, kind="stable")
        return QuantileTable(self.weights()[order], x[order], x[order])

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew: read-only on the other side, too.
        return partial(Particles, names=self.names), (self.positions, self.weights())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Particles):
            return NotImplemented
        return (
            self.names == other.names
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.weights(), other.weights())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(itertools.islice(self.names, 6)) + (", …" if self.dimension > 6 else "")
        return f"Particles(n = {self.n} in ({shown}), mass {self.mass:.6g})"


def _quantiles_at(ppf: Callable[[FloatArray], Any], u: FloatArray) -> FloatArray:
    """Q(u), finite and of the shape of u."""
    if u.size == 0:
        return np.zeros(u.shape)
    values = as_floats("ppf", check_function("ppf", ppf, "u in (0, 1)")(u), finite=False)
    if values.shape != u.shape:
        raise InputError(
            f"ppf gives shape {values.shape} for u of shape {u.shape}: give one value a point"
        )
    bad = ~np.isfinite(values)
    if bad.any():
        raise InputError(
            f"ppf({u[bad][0]:g}) is {values[bad][0]:g}: a quantile inside (0, 1) is finite"
        )
    return values
