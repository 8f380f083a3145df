"""What every measure answers: points with weights, mass, moments, samples, and quantiles in one dimension.

Energies, distances and plots read a measure through these alone, so that a grid and a cloud of particles are
interchangeable. The mass is a property: nothing here rescales weights in silence.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wflow.errors import InputError
from wflow.tools.arrays import position
from wflow.tools.checks import names_of
from wflow.tools.memory import NAME, check_held

if TYPE_CHECKING:
    from wflow.measures.quantiles import QuantileTable

FloatArray: TypeAlias = NDArray[np.float64]


class Measure(ABC):
    """A finite positive measure on R^D, D named coordinates; its arrays are read-only."""

    kind: ClassVar[str]
    """Which methods act on it, and which view shows it."""
    density: FloatArray | None = None
    """Its values at the points, where it has one: point masses have none."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Number of coordinates D."""

    @abstractmethod
    def points(self) -> FloatArray:
        """Positions (n, D): particles, or the centres of cells in C order."""

    @abstractmethod
    def weights(self) -> FloatArray:
        """Masses (n,) at the points."""

    @property
    def rings(self) -> Mapping[int, tuple[float, float]]:
        """Axes that close on themselves, with their two ends, which are one place."""
        return {}

    @abstractmethod
    def sample(self, n: int, seed: int) -> FloatArray:
        """Positions (n, D) drawn independently from the measure over its mass."""

    @cached_property
    def mass(self) -> float:
        """Total mass, summed exactly."""
        return math.fsum(self.weights())

    def mean(self) -> FloatArray:
        """∫θ dρ / mass, shape (D,)."""
        return np.asarray(self.weights() @ self.points() / self._positive_mass(), dtype=np.float64)

    def covariance(self) -> FloatArray:
        """∫(θ − mean)(θ − mean)ᵀ dρ / mass, shape (D, D); a cell counts as a point mass at its centre."""
        away = self.points() - self.mean()
        spread = (away * self.weights()[:, None]).T @ away / self._positive_mass()
        return np.asarray(spread, dtype=np.float64)

    def second_moment(self) -> float:
        """∫|θ|² dρ; a cell counts as a point mass at its centre, as it does to the solvers."""
        return float(self.weights() @ (self.points() ** 2).sum(axis=1))

    def cdf(self, x: Any) -> FloatArray:
        """ρ((−∞, x]) / mass at each x, in one dimension.

        Raises
        ------
        InputError
            in more than one dimension, for mass 0, or for NaN
        """
        return self._quantiles.cdf(x)

    def quantile(self, u: Any) -> FloatArray:
        """inf{x : cdf(x) ≥ u} at each u in [0, 1], in one dimension; at 0 the start of the support.

        Raises
        ------
        InputError
            in more than one dimension, for mass 0, or for u outside [0, 1]
        """
        return self._quantiles(u)

    @cached_property
    def _quantiles(self) -> QuantileTable:
        if self.dimension != 1:
            raise InputError(
                f"quantiles and cdf need 1 coordinate and this measure has {self.dimension}: "
                "take a marginal, or use sample or sliced_wasserstein_2"
            )
        self._positive_mass()
        return self._quantile_table()

    @abstractmethod
    def _quantile_table(self) -> QuantileTable:
        """The quantile function of a 1-D measure with positive mass."""

    def _positive_mass(self) -> float:
        if not self.mass > 0:
            raise InputError(
                "the measure has mass 0: give it a positive density or weight somewhere"
            )
        return self.mass

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} is read-only: build a new one instead of setting '{name}'"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only: '{name}' cannot be deleted")


def common_mass(mu: Measure, nu: Measure) -> float:
    """The mass that two measures of one space share; a distance between others is refused."""
    for measure in (mu, nu):
        if not isinstance(measure, Measure):
            raise InputError(
                f"a distance got a {type(measure).__name__}: pass wflow.GridDensity or wflow.Particles"
            )
    if mu.dimension != nu.dimension:
        raise InputError(
            f"the measures have {mu.dimension} and {nu.dimension} coordinates: compare measures of the same space"
        )
    if not abs(mu.mass - nu.mass) <= 1e-9:
        raise InputError(
            f"the masses are {mu.mass:.12g} and {nu.mass:.12g}: they must agree to 1e-9; normalise one of them first"
        )
    return 0.5 * (mu._positive_mass() + nu._positive_mass())


def read_only(array: FloatArray) -> FloatArray:
    """The same array, closed to writing."""
    array.setflags(write=False)
    return array


def check_not_negative(what: str, array: FloatArray, remedy: str) -> None:
    """Refuse negative entries by place and value."""
    if array.size and array.min() < 0:
        where, at = position(array < 0)
        raise InputError(f"{what}{where} is {array[at]:g}: nothing negative is allowed; {remedy}")


def check_names(names: Sequence[str] | None, dimension: int) -> tuple[str, ...]:
    """Names of D coordinates: x, y, z by default, x1, x2 … beyond three."""
    if names is None:
        if dimension <= 3:
            return ("x", "y", "z")[:dimension]
        check_held("dimension", dimension, NAME)
        return tuple(f"x{i + 1}" for i in range(dimension))
    given = names_of("names", names)
    if len(given) != dimension:
        raise InputError(
            f"names has {len(given)} entries for {dimension} coordinates: give each one a name"
        )
    if len(set(given)) != dimension or "" in given:
        raise InputError(
            f"names are {', '.join(map(repr, given))}: they must be different and not empty"
        )
    return given


def refuse_another_order(what: str, names: tuple[str, ...], coordinates: tuple[str, ...]) -> None:
    """Refuse columns that say of themselves that they are other ones of an energy's coordinates."""
    if names == check_names(None, len(names)):
        return  # nobody has named them
    for i, name in enumerate(names):
        if name in coordinates and coordinates.index(name) != i:
            raise InputError(
                f"{what} has the coordinates {', '.join(names)} and the energy {', '.join(coordinates)}: bring those "
                f"of {what} into the energy's order"
            )
