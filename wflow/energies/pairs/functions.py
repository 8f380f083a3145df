r"""Energies given by their potentials: a confining V and, if there is one, an interaction U.

.. math:: R(\rho) = R_\# + 2\int V\,d\rho + \iint U\,d\rho\,d\rho, \qquad
          \Psi(\theta;\rho) = V(\theta) + \int U(\theta,\theta')\,\rho(d\theta').

V is evaluated once for points that stay, and so is U where its pairs fit the memory of
:mod:`wflow.energies.kept`, up to 5792 points; more are visited in blocks, anew at every evaluation. Source: Mei,
Montanari & Nguyen (2018), eq. (3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wflow.energies.arrays import answered, as_domain, as_masses, as_points
from wflow.energies.base import Energy
from wflow.energies.contracts import (
    POINTS,
    refuse_asymmetric,
    refuse_neighbours,
    refuse_open,
    refuse_wrong_gradient,
    support,
    two_lots,
)
from wflow.energies.kept import KeptPairs
from wflow.tools.checks import check_count, check_function, names_of, number
from wflow.tools.fingerprint import of_function

if TYPE_CHECKING:
    from wflow.measures import Measure

Potential = Callable[[np.ndarray], np.ndarray]
Interaction = Callable[[np.ndarray, np.ndarray], np.ndarray]


class PairField:
    """Risk, first variation and gradient at one measure; Ψ at own points is computed when first asked for."""

    def __init__(self, prepared: PreparedPair, weights: np.ndarray) -> None:
        self._prepared, self._weights = prepared, weights
        self._own: np.ndarray | None = None

    @property
    def risk(self) -> float:
        # einsum: BLAS shares the product of two long vectors out to threads, which spin longer than that takes.
        means = (
            np.einsum("i,i", self._weights, f) for f in (self._prepared.v, self.first_variation())
        )
        return self._prepared.energy.constant + float(sum(means))

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        if points is not None:
            return self._prepared.elsewhere(points).variation(self._weights)
        if self._own is None:
            self._own = self._prepared.variation(self._weights)
        return self._own

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        here = self._prepared if points is None else self._prepared.elsewhere(points)
        return here.slope(self._weights)


class PreparedPair:
    """A pair energy at the points ``at`` for weights of ``points``: V once, U and the gradients once asked for."""

    def __init__(
        self, energy: PairEnergy, at: np.ndarray, points: np.ndarray | None = None
    ) -> None:
        self.energy, self.at = energy, at
        self.points = at if points is None else points
        own, d = points is None, energy.dimension
        self._u = KeptPairs(energy.pairs, at, self.points, keep=own)
        self._slopes = KeptPairs(energy.pair_slopes, at, self.points, parts=d, keep=own)

    @cached_property
    def v(self) -> np.ndarray:
        """V, shape (n,)."""
        return self.energy.potential(self.at)

    @cached_property
    def v_slope(self) -> np.ndarray:
        """∇V, shape (n, D)."""
        return self.energy.potential_slope(self.at)

    def field(self, weights: np.ndarray) -> PairField:
        return PairField(self, as_masses(weights, len(self.points)))

    def elsewhere(self, at: np.ndarray) -> PreparedPair:
        """The same law seen from other points."""
        return PreparedPair(self.energy, as_points(at, self.energy.dimension), self.points)

    def variation(self, weights: np.ndarray) -> np.ndarray:
        """Ψ, shape (n,), an array of its own."""
        return self.v + (self._u.sums(weights) if self.energy.interacts else 0.0)

    def slope(self, weights: np.ndarray) -> np.ndarray:
        """∇Ψ, shape (n, D), an array of its own."""
        return self.v_slope + (self._slopes.sums(weights).T if self.energy.interacts else 0.0)


class PairEnergy(Energy):
    """The square-loss risk from functions of point arrays.

    Parameters
    ----------
    V : function of (..., D) points, returns (...) values
    U : symmetric function of two broadcastable point arrays (..., D), or None for no interaction
    grad_V, grad_U : their gradients (…, D) (of U in its first argument); differenced (central, step 6e-6 of the
        coordinate's size, error about 1e-10) where not given
    dimension : D
    constant : R_#, the risk of the zero network
    coordinates : names of the axes
    bounds : (lo, hi) of each coordinate, where the domain ends; V may have a slope there

    Raises
    ------
    InputError
        when V or U return a wrong shape; and when a run starts, for gradients that differences contradict, a U that is
        not symmetric, values that jump where an axis of the grid closes on itself, or that change with the points
        beside them

    >>> e = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)
    >>> field = e.prepare(np.array([[1.0], [3.0]])).field(np.array([0.5, 0.5]))
    >>> field.risk, field.gradient().round(6).ravel().tolist()
    (5.0, [1.0, 3.0])
    """

    affine = True

    def __init__(
        self,
        V: Potential,
        U: Interaction | None = None,
        *,
        grad_V: Potential | None = None,
        grad_U: Interaction | None = None,
        dimension: int = 1,
        constant: float = 0.0,
        coordinates: Sequence[str] | None = None,
        bounds: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self._v, self._u, self._grad_v, self._grad_u = V, U, grad_V, grad_U
        check_function("V", V, "points (n, D)")
        for name, f in (("U", U), ("grad_V", grad_V), ("grad_U", grad_U)):
            if f is not None:
                check_function(name, f, "points (…, D)")
        self.dimension = check_count("dimension", dimension)
        self.constant = number("constant", constant)
        self.interacts = U is not None
        if coordinates is not None:
            self.coordinates = names_of("coordinates", coordinates)
        if bounds is not None:
            self.bounds = as_domain(bounds, self.dimension)
            self.gathers_at_walls = True
        self.refuse_without_names()
        # Not as many points as coordinates, which x[0] in place of x[..., 0] would fit.
        probe = np.full((2 if self.dimension != 2 else 3, self.dimension), 0.5)
        self.potential(probe)
        self.pairs(probe, probe)

    def check(self, start: Measure) -> None:
        names, bounds = self.coordinates, self.bounds
        at, other = two_lots(support(start, self.dimension), bounds)
        shares = np.arange(1.0, POINTS + 1)

        def drawn(x: np.ndarray) -> np.ndarray:
            return np.asarray(self.pairs(x, other) @ shares)

        if self.interacts:
            refuse_asymmetric("U", self.pairs, at, other, names)
        for name, f in (("V", self.potential), ("U", drawn))[: 1 + self.interacts]:
            refuse_neighbours(name, f, at, names)
            refuse_open(name, f, at, start.rings, names)
        if self._grad_v is not None:
            refuse_wrong_gradient("V", self.potential, self.potential_slope, at, bounds, names)
        if self._grad_u is not None and self.interacts:

            def pull(x: np.ndarray) -> np.ndarray:
                return np.asarray((self.pair_slopes(x, other) @ shares).T)

            refuse_wrong_gradient("U", drawn, pull, at, bounds, names)

    def prepare(self, points: np.ndarray) -> PreparedPair:
        return PreparedPair(self, as_points(points, self.dimension))

    def diagonal(self, points: np.ndarray) -> np.ndarray:
        at = as_points(points, self.dimension)
        if self._u is None:
            return np.zeros(at.shape[0])
        return answered("U", self._u(np.array(at), np.array(at)), at.shape[:1])

    def columns(self, points: np.ndarray) -> Callable[[int], np.ndarray]:
        at = as_points(points, self.dimension)
        return lambda j: self.pairs(at, at[j : j + 1])[:, 0]

    def potential(self, points: np.ndarray) -> np.ndarray:
        """V, shape (n,)."""
        # Copies: a function may work in place on what it is given, and fill the same array at every call.
        return np.array(answered("V", self._v(np.array(points)), points.shape[:1]))

    def potential_slope(self, points: np.ndarray) -> np.ndarray:
        """∇V, shape (n, D)."""
        if self._grad_v is not None:
            return np.array(answered("grad_V", self._grad_v(np.array(points)), points.shape))
        return np.stack(list(self._differences(self.potential, points)), axis=1)

    def pairs(self, at: np.ndarray, points: np.ndarray) -> np.ndarray:
        """U between points, shape (m, n)."""
        if self._u is None:
            return np.zeros((at.shape[0], points.shape[0]))
        shape = (at.shape[0], points.shape[0])
        return answered("U", self._u(np.array(at)[:, None], np.array(points)[None]), shape)

    def pair_slopes(self, at: np.ndarray, points: np.ndarray) -> np.ndarray:
        """∇₁U between points, shape (D, m, n)."""
        if self._grad_u is not None:
            shape = (at.shape[0], *points.shape)
            found = self._grad_u(np.array(at)[:, None], np.array(points)[None])
            return np.moveaxis(answered("grad_U", found, shape), -1, 0)
        return np.stack(list(self._differences(lambda x: self.pairs(x, points), at)))

    def _differences(self, f: Potential, at: np.ndarray) -> Iterator[np.ndarray]:
        """Central differences along each axis; the step balances h² truncation against rounding."""
        for k in range(self.dimension):
            step = 6e-6 * np.maximum(1.0, np.abs(at[:, k]))
            up, down = at.copy(), at.copy()
            up[:, k] += step
            down[:, k] -= step
            rise = np.array(f(up))  # before f is asked again
            rise -= f(down)
            yield rise / (up[:, k] - down[:, k]).reshape(-1, *(1,) * (rise.ndim - 1))

    def fingerprint(self) -> str:
        parts = [self._v, self._u, self._grad_v, self._grad_u]
        shape = (self.dimension, self.constant, self.coordinates, self.bounds.tolist())
        return "pair:" + ":".join(of_function(p) for p in parts) + f":{shape!r}"

    def __repr__(self) -> str:
        return f"PairEnergy(dimension={self.dimension}, interaction={self._u is not None})"
