r"""Energies given by their potentials: a confining V and, if there is one, an interaction U.

.. math:: R(\rho) = R_\# + 2\int V\,d\rho + \iint U\,d\rho\,d\rho, \qquad
          \Psi(\theta;\rho) = V(\theta) + \int U(\theta,\theta')\,\rho(d\theta').

Pairs are visited in blocks; no n×n array is formed. Source: Mei, Montanari & Nguyen (2018), eq. (3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from wflow.energies.arrays import as_points
from wflow.energies.base import Energy
from wflow.errors import InputError
from wflow.tools.fingerprint import of_function

PAIR_ENTRIES = 1 << 20
"""Pairs visited at a time (8 MiB an array)."""

Potential = Callable[[np.ndarray], np.ndarray]
Interaction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _drawn(u: Interaction, points: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """∫U(θ, θ')dρ at the points ``at``."""
    return np.asarray(u(at[:, None], points[None]) @ weights)


class PairField:
    """Risk, first variation and gradient at one measure; Ψ at own points is computed when first asked for."""

    def __init__(self, energy: PairEnergy, points: np.ndarray, weights: np.ndarray) -> None:
        self._energy, self._points, self._weights = energy, points, weights
        self._own: np.ndarray | None = None

    @property
    def risk(self) -> float:
        e = self._energy
        mean_v = float(self._weights @ e.potential(self._points))
        return e.constant + mean_v + float(self._weights @ self.first_variation())

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        if points is None:
            if self._own is None:
                self._own = self._energy.variation(self._points, self._points, self._weights)
            return self._own
        at = as_points(points, self._energy.dimension)
        return self._energy.variation(at, self._points, self._weights)

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        at = self._points if points is None else as_points(points, self._energy.dimension)
        return self._energy.slope(at, self._points, self._weights)


class PreparedPair:
    """A pair energy at fixed points."""

    def __init__(self, energy: PairEnergy, points: np.ndarray) -> None:
        self._energy, self._points = energy, points

    def field(self, weights: np.ndarray) -> PairField:
        return PairField(self._energy, self._points, weights)


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

    Raises
    ------
    InputError
        when V or U return a wrong shape

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
        self.dimension = int(dimension)
        self.constant = float(constant)
        self.interacts = U is not None
        if coordinates:
            self.coordinates = tuple(coordinates)
        if bounds is not None:
            self.bounds = np.array(bounds, dtype=np.float64)
        self.refuse_without_names()
        probe = np.zeros((2, self.dimension)) + 0.5
        if np.shape(V(probe)) != (2,):
            raise InputError(
                f"V returned shape {np.shape(V(probe))} for points (2, {dimension}): return (2,)"
            )
        if U is not None and np.shape(U(probe[:, None], probe[None])) != (2, 2):
            raise InputError("U must broadcast: points (n, 1, D) and (1, m, D) give (n, m)")

    def prepare(self, points: np.ndarray) -> PreparedPair:
        return PreparedPair(self, as_points(points, self.dimension))

    def potential(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self._v(points), dtype=np.float64)

    def variation(self, at: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        out = self.potential(at).copy()
        if self._u is not None:
            rows = max(1, PAIR_ENTRIES // points.shape[0])
            for i in range(0, at.shape[0], rows):
                out[i : i + rows] += _drawn(self._u, points, weights, at[i : i + rows])
        return out

    def slope(self, at: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self._grad_v is not None:
            out = np.array(self._grad_v(at), dtype=np.float64)
        else:
            out = self._differences(self.potential, at)
        if self._u is None:
            return out
        rows = max(1, PAIR_ENTRIES // (points.shape[0] * self.dimension))
        for i in range(0, at.shape[0], rows):
            block = at[i : i + rows]
            if self._grad_u is not None:
                pull = np.asarray(self._grad_u(block[:, None], points[None]))
                out[i : i + rows] += np.einsum("ijk,j->ik", pull, weights)
            else:
                out[i : i + rows] += self._differences(
                    partial(_drawn, self._u, points, weights), block
                )
        return out

    def _differences(self, f: Potential, at: np.ndarray) -> np.ndarray:
        """Central differences; the step balances h² truncation against rounding."""
        out = np.empty_like(at)
        for k in range(self.dimension):
            step = 6e-6 * np.maximum(1.0, np.abs(at[:, k]))
            up, down = at.copy(), at.copy()
            up[:, k] += step
            down[:, k] -= step
            out[:, k] = (f(up) - f(down)) / (up[:, k] - down[:, k])
        return out

    def fingerprint(self) -> str:
        parts = [self._v, self._u, self._grad_v, self._grad_u]
        shape = (self.dimension, self.constant, self.coordinates, self.bounds.tolist())
        return "pair:" + ":".join(of_function(p) for p in parts) + f":{shape!r}"

    def __repr__(self) -> str:
        return f"PairEnergy(dimension={self.dimension}, interaction={self._u is not None})"
