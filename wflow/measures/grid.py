"""Densities by their cell averages on a tensor grid, the state of the finite-volume methods."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.errors import InputError
from wflow.measures.base import FloatArray, Measure, check_not_negative, read_only
from wflow.measures.quantiles import QuantileTable
from wflow.measures.tensor_grid import TensorGrid, refuse_two_grids
from wflow.tools.arrays import as_floats, position
from wflow.tools.checks import check_count, check_function, check_seed, non_negative
from wflow.tools.memory import check_held
from wflow.tools.streams import stream

if TYPE_CHECKING:
    from wflow.measures.particles import Particles


class GridDensity(Measure):
    """Cell averages of a density on a tensor grid of 1 to 3 axes, uniform or graded.

    Parameters
    ----------
    density : (n_1, …, n_D), not negative; its mass is what it is and is never rescaled
    edges : one increasing array (n_k + 1,) an axis
    names : of the axes; x, y, z by default
    periodic : for all axes, or one an axis; otherwise the ends are walls

    Raises
    ------
    InputError
        for NaN, negative values, edges that do not increase, shapes that disagree, or more than 3 axes

    >>> rho = GridDensity([1.0, 3.0], [[0.0, 0.25, 0.5]])
    >>> rho.mass, float(rho.mean()[0]), float(rho.quantile(0.25))
    (1.0, 0.3125, 0.25)
    """

    kind = "grid"

    grid: TensorGrid
    density: FloatArray

    def __init__(
        self,
        density: Any,
        edges: Any,
        *,
        names: Sequence[str] | None = None,
        periodic: bool | Sequence[bool] = False,
    ) -> None:
        grid = TensorGrid(edges, names, periodic)
        self.__dict__.update(grid=grid, density=_check_density(density, grid))

    @classmethod
    def from_function(
        cls,
        f: Callable[[FloatArray], Any],
        bounds: Any = None,
        n: int | Sequence[int] | None = None,
        *,
        edges: Any = None,
        names: Sequence[str] | None = None,
        periodic: bool | Sequence[bool] = False,
        order: int = 4,
    ) -> GridDensity:
        """Cell averages of f by Gauss–Legendre points in each cell, divided by their sum so that the mass is 1.

        Parameters
        ----------
        f : takes points (…, D), gives values (…); need not be normalised
        bounds, n : pairs (lo, hi) and the numbers of equal cells; or ``edges`` for graded axes
        order : Gauss points an axis and cell, exact for polynomials of degree 2·order − 1

        Raises
        ------
        InputError
            where f is NaN, infinite or negative, has the wrong shape, or vanishes everywhere

        >>> rho = GridDensity.from_function(lambda x: x[..., 0], [(0, 2)], n=4)
        >>> bool(abs(rho.mass - 1) < 1e-15), float(rho.cdf(1.0))
        (True, 0.25)
        """
        refuse_two_grids(bounds, n, edges)
        if edges is None:
            grid = TensorGrid.from_bounds(bounds, n, names, periodic)
        else:
            grid = TensorGrid(edges, names, periodic)
        check_function("f", f, "points (..., D)")
        order = check_held("order", check_count("order", order), order)
        nodes, weights = np.polynomial.legendre.leggauss(order)
        density = np.zeros(grid.shape)
        for index in itertools.product(range(nodes.size), repeat=grid.dimension):
            points = grid.at(nodes[list(index)].tolist())
            density += _values(f, points) * float(np.prod(0.5 * weights[list(index)]))
        total = float((density * grid.volumes).sum())
        if not total > 0:
            raise InputError(
                f"f vanishes on the whole grid ({grid}): move the bounds to where it is positive"
            )
        return cls._of(grid, density / total)

    @classmethod
    def from_cdf(
        cls,
        cdf: Callable[[FloatArray], Any],
        bounds: Any,
        n: int,
        *,
        names: Sequence[str] | None = None,
        tail: float = 1e-8,
    ) -> GridDensity:
        """The law with this cdf on one axis; cell masses are exact differences and add to 1.

        Mass outside the bounds goes to the end cells if it is at most ``tail``, and is refused otherwise.

        Raises
        ------
        InputError
            where the cdf is NaN, falls, or leaves [0, 1], or for too much mass outside the bounds
        """
        grid = TensorGrid.from_bounds(bounds, n, names)
        if grid.dimension != 1:
            raise InputError(
                f"from_cdf works on 1 axis and got {grid.dimension}: use from_function"
            )
        edges = grid.edges[0]
        answer = check_function("cdf", cdf, "points (n,)")(edges)
        values = as_floats("cdf(edges)", answer, truth=True)
        if values.shape != edges.shape:
            raise InputError(
                f"cdf gives shape {values.shape} for {edges.shape} points: give one value a point"
            )
        if values.min() < -1e-12 or values.max() > 1 + 1e-12:
            raise InputError(
                f"cdf takes values from {values.min():g} to {values.max():g}: a cdf lies in [0, 1]"
            )
        steps = np.diff(values)
        if steps.min() < -1e-12:
            i = int(np.argmin(steps))
            raise InputError(
                f"cdf falls from {edges[i]:g} to {edges[i + 1]:g} by {-steps[i]:g}: a cdf never falls"
            )
        outside = float(values[0] + (1 - values[-1]))
        if outside > non_negative("tail", tail):
            raise InputError(
                f"the bounds [{edges[0]:g}, {edges[-1]:g}] leave mass {outside:.3g} outside, "
                f"more than {tail:g}: widen the bounds"
            )
        values[0], values[-1] = 0.0, 1.0
        masses = np.diff(np.maximum.accumulate(np.clip(values, 0.0, 1.0)))
        return cls._of(grid, masses / grid.widths[0])

    def with_density(self, density: Any) -> GridDensity:
        """Other values on the same grid, checked.

        Raises
        ------
        InputError
            for NaN, negative values, or another shape
        """
        return self._replace(_check_density(density, self.grid))

    def _replace(self, density: FloatArray) -> GridDensity:
        """Other values on the same grid, unchecked and not copied: the caller hands the array over."""
        return self._of(self.grid, density)

    @classmethod
    def _of(cls, grid: TensorGrid, density: FloatArray) -> GridDensity:
        made = cls.__new__(cls)
        made.__dict__.update(grid=grid, density=read_only(density))
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self.grid.names

    @property
    def edges(self) -> tuple[FloatArray, ...]:
        """Edges of the cells, one array an axis."""
        return self.grid.edges

    @property
    def centers(self) -> tuple[FloatArray, ...]:
        """Centres of the cells, one array an axis."""
        return self.grid.centers

    @property
    def widths(self) -> tuple[FloatArray, ...]:
        """Widths of the cells, one array an axis."""
        return self.grid.widths

    @property
    def volumes(self) -> FloatArray:
        """Volumes of the cells, of the grid's shape."""
        return self.grid.volumes

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of cells."""
        return self.grid.shape

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return self.grid.dimension

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis is periodic; otherwise its ends are walls."""
        return self.grid.periodic

    @property
    def rings(self) -> dict[int, tuple[float, float]]:
        ends = enumerate(zip(self.periodic, self.edges, strict=True))
        return {k: (float(e[0]), float(e[-1])) for k, (ring, e) in ends if ring}

    @property
    def uniform(self) -> bool:
        """Whether the cells of every axis are equally wide."""
        return self.grid.uniform

    def points(self) -> FloatArray:
        """Centres of the cells (n, D), in C order."""
        return self.grid.points

    def weights(self) -> FloatArray:
        """Masses of the cells (n,), in C order."""
        return self._masses

    @cached_property
    def _masses(self) -> FloatArray:
        return read_only((self.density * self.grid.volumes).ravel())

    def entropy(self) -> float:
        """∫ρ log ρ of the cell averages, with 0 log 0 = 0."""
        held = self.density > 0
        return float(self._masses[held.ravel()] @ np.log(self.density[held]))

    def diffused(self, amount: float | Sequence[float]) -> GridDensity:
        """The density after diffusion for Dt = ``amount``, exact in time: see :func:`wflow.measures.heat.diffuse`.

        It fills the holes of a start or of an empirical law:

        >>> rho = GridDensity([0.0, 4.0, 0.0, 0.0], [[0.0, 0.25, 0.5, 0.75, 1.0]])
        >>> rho.diffused(0.05).density.round(2).tolist()
        [1.19, 1.5, 0.91, 0.4]
        """
        from wflow.measures.heat import diffuse

        return diffuse(self, amount)

    def sample(self, n: int, seed: int) -> FloatArray:
        """Positions (n, D) drawn independently, uniformly inside the drawn cell; the same for the same seed.

        Raises
        ------
        InputError
            for n < 1, a seed that is no whole number, or mass 0
        """
        n, rng = check_count("n", n), stream(check_seed(seed), "start", 1)
        check_held("n", n, self.dimension)
        cells = np.unravel_index(
            draw(self._masses, self._positive_mass(), rng.random(n)), self.shape
        )
        inside = rng.random((n, self.dimension))
        axes = zip(self.edges, self.widths, cells, inside.T, strict=True)
        return np.stack([e[i] + u * w[i] for e, w, i, u in axes], axis=1)

    def to_particles(self, n: int, seed: int | None = None) -> Particles:
        """n particles of equal mass.

        Without a seed, on one axis: at the conditional means of n quantile bins, exact for these cell averages,
        which keeps the mean. With a seed: drawn at random, on any number of axes.

        Raises
        ------
        InputError
            for n < 1, mass 0, or several axes without a seed
        """
        from wflow.measures.particles import Particles

        n = check_held("n", check_count("n", n), self.dimension)
        if seed is not None:
            positions = self.sample(n, seed)
        elif self.dimension == 1:
            positions = self._quantiles.bin_means(n)
        else:
            raise InputError(
                f"to_particles on {self.dimension} axes draws at random: give a seed, as seed=0"
            )
        return Particles(positions, np.full(n, self._positive_mass() / n), names=self.names)

    def _quantile_table(self) -> QuantileTable:
        edges = self.edges[0]
        return QuantileTable(self._masses, edges[:-1], edges[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        return GridDensity._of, (self.grid, self.density)  # read-only on the other side, too

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GridDensity):
            return NotImplemented
        return self.grid == other.grid and np.array_equal(self.density, other.density)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"GridDensity({self.grid}, mass {self.mass:.6g})"


def draw(masses: FloatArray, mass: float, u: FloatArray) -> Any:
    """Indices drawn by mass from uniform numbers in [0, 1); an empty cell is never drawn."""
    running = np.cumsum(masses)
    last = int(np.flatnonzero(masses)[-1])
    # u * mass can round up to the end of the last cell that holds any.
    return np.minimum(np.searchsorted(running, u * mass, side="right"), last)


def _check_density(density: Any, grid: TensorGrid) -> FloatArray:
    array = as_floats("density", density)
    if array.shape != grid.shape:
        raise InputError(
            f"density has shape {array.shape} and the edges make cells of shape {grid.shape}: "
            "an axis of n cells has n + 1 edges"
        )
    check_not_negative("density", array, "clip it, or check the sign")
    return read_only(array)


def _values(f: Callable[[FloatArray], Any], points: FloatArray) -> FloatArray:
    """f at points (…, D), of shape (…), finite and not negative."""
    values = as_floats("f", f(points), finite=False, truth=True)
    shape = points.shape[:-1]
    if values.ndim == 0:
        values = np.full(shape, values)
    if values.shape != shape:
        raise InputError(
            f"f gives shape {values.shape} for points of shape {points.shape}: "
            f"give {shape}, one value a point (x[..., 0] is the first coordinate)"
        )
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        at = position(bad)[1]
        where = ", ".join(f"{x:.6g}" for x in points[at])
        raise InputError(f"f({where}) is {values[at]:g}: a density is finite and not negative")
    return values
