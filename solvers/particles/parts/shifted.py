r"""Linear systems of implicit particle methods: the identity, and a multiple of the flow's derivative.

.. math:: (I + \eta H)\,x = b, \qquad (Hx)_i = B_i x_i + \sum_j w_j C_{ij}\,x_j

H is symmetric in the inner product of the weights, hence in √w x. It is factorised where all of it, or an output
factor C = GGᵀ of low rank (by Woodbury's formula), is at hand; otherwise conjugate gradients multiply by it,
preconditioned by the blocks I + ηB_i made positive and, where one is known, a sketch C ≈ GGᵀ, by the same formula.
Where I + ηH is not positive there is a direction in which the flow runs away faster than a step of 1/η can follow: a
longer one would turn round and stay beside the saddle, so that it is an error.
Source: Nocedal & Wright, Numerical Optimization (2006), sections 7.1 and A.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from wflow.energies.curvature import Curvature

LIGHTEST = 1e-60
"""Weights below this share of the whole pull at nobody; they are counted as such, for their root to be there."""
KRYLOV = 400
"""Products at most in one system."""
LEAST = 0.1
"""Eigenvalues of preconditioning blocks are at least this."""

Linear = Callable[[np.ndarray], np.ndarray]


class Indefinite(Exception):
    """The system is not positive definite."""


class Shifted:
    """I + ηH at one state, solved for several right sides.

    Parameters
    ----------
    curvature : of the energy, at the points
    weights : (n,)
    ridge : added to the diagonal of H, (D,)
    moves : (n, D), 1 where a coordinate moves and 0 where not
    eta : η > 0
    tolerance : of the residual, relative, where the system is not factorised
    """

    def __init__(
        self,
        curvature: Curvature,
        weights: np.ndarray,
        ridge: np.ndarray,
        moves: np.ndarray,
        eta: float,
        tolerance: float,
    ) -> None:
        self.curvature, self.ridge, self.moves, self.eta = curvature, ridge, moves, eta
        self.root = np.sqrt(np.maximum(weights, LIGHTEST * weights.sum()))[:, None]
        self.blocks = _shifted(curvature.blocks, ridge, moves, eta)
        self.tolerance = tolerance
        if (coupling := curvature.coupling()) is not None:
            self._solve = self._factorised(coupling)
        elif (outputs := curvature.outputs()) is not None:
            self._solve = self._woodbury(outputs)
        else:
            self._solve = self._iterated()

    def solve(self, b: np.ndarray) -> np.ndarray:
        """x of b, both (n, D).

        Raises
        ------
        Indefinite
            where I + ηH is not positive definite
        """
        return np.asarray(self._solve(self.root * b) / self.root)

    def _factorised(self, coupling: np.ndarray) -> Any:
        from scipy.linalg import cho_factor, cho_solve

        n, d = self.moves.shape
        scale = (self.root * self.moves).ravel()
        whole = coupling
        if (scale == scale[0]).all():
            whole *= self.eta * scale[0] ** 2
        else:
            whole *= self.eta * scale
            whole *= scale[:, None]
        i = np.arange(n)
        whole.reshape(n, d, n, d)[i, :, i, :] += self.blocks
        try:
            # The lower half of rows is the upper one of columns, in which LAPACK thinks.
            factor = cho_factor(whole.T, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            raise Indefinite from None
        return lambda b: cho_solve(factor, b.ravel(), check_finite=False).reshape(b.shape)

    def _woodbury(self, outputs: np.ndarray) -> Any:
        # (P + ηAAᵀ)⁻¹ = P⁻¹ − P⁻¹A S⁻¹ AᵀP⁻¹ with S = I/η + AᵀP⁻¹A. By Sylvester's law P + ηAAᵀ has as many negative
        # eigenvalues as P has more than S.
        a = self._scaled(outputs)
        size, vectors = np.linalg.eigh(self.blocks)
        size = np.where(size == 0.0, np.finfo(float).tiny, size)
        inverse = _inverse(size, vectors)
        pa = inverse(a)
        s = a.T @ pa
        s[np.diag_indices_from(s)] += 1.0 / self.eta
        value, basis = np.linalg.eigh(s)
        if (value < 0).sum() != (size < 0).sum():
            raise Indefinite

        def solve(b: np.ndarray) -> np.ndarray:
            x = inverse(b)
            inner = basis @ ((basis.T @ (a.T @ x.ravel())) / value)
            return np.asarray(x - (pa @ inner).reshape(b.shape))

        return solve

    def _iterated(self) -> Any:
        size, vectors = np.linalg.eigh(self.blocks)
        near = _inverse(np.maximum(np.abs(size), LEAST), vectors)
        if (sketch := self.curvature.sketch()) is not None:
            near = self._corrected(near, self._scaled(sketch))

        def times(x: np.ndarray) -> np.ndarray:
            move = self.moves * x / self.root
            change = self.curvature.times(move) + self.ridge * move
            return np.asarray(x + self.eta * self.root * self.moves * change)

        return partial(conjugate_gradients, times, near, tolerance=self.tolerance)

    def _scaled(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (nD, m) of the coordinates that move, in √w x."""
        scale = (self.root * self.moves).ravel()
        return np.asarray(outputs * scale[:, None])

    def _corrected(self, inverse: Linear, a: np.ndarray) -> Linear:
        """(P + ηAAᵀ)⁻¹ by Woodbury's formula, P positive."""
        from scipy.linalg import cho_factor, cho_solve

        pa = inverse(a)
        s = a.T @ pa
        s[np.diag_indices_from(s)] += 1.0 / self.eta
        factor = cho_factor(s, overwrite_a=True, check_finite=False)

        def solve(b: np.ndarray) -> np.ndarray:
            x = inverse(b)
            inner = cho_solve(factor, a.T @ x.ravel(), check_finite=False)
            return np.asarray(x - (pa @ inner).reshape(b.shape))

        return solve


def _inverse(size: np.ndarray, vectors: np.ndarray) -> Linear:
    """The inverse of blocks with these eigenvalues (n, D) and vectors (n, D, D), for (n, D) or (nD, m)."""
    n, d = size.shape

    def solve(b: np.ndarray) -> np.ndarray:
        inner = vectors.transpose(0, 2, 1) @ b.reshape(n, d, -1) / size[:, :, None]
        return np.asarray((vectors @ inner).reshape(b.shape))

    return solve


def _shifted(blocks: np.ndarray, ridge: np.ndarray, moves: np.ndarray, eta: float) -> np.ndarray:
    """I + η(B_i + ridge) between the coordinates that move, shape (n, D, D)."""
    unit = np.eye(len(ridge))
    held = blocks + ridge * unit
    return np.asarray(unit + eta * moves[:, :, None] * held * moves[:, None, :])


def conjugate_gradients(
    times: Linear, near: Linear, b: np.ndarray, *, tolerance: float
) -> np.ndarray:
    """x with |times(x) − b| ≤ tolerance |b| in the norm of ``near``, an inverse that is about right; all are (n, D).

    Raises
    ------
    Indefinite
        on a direction of curvature that is not positive

    >>> double = lambda x: 2.0 * x
    >>> conjugate_gradients(double, lambda x: x, np.array([[3.0]]), tolerance=1e-3)
    array([[1.5]])
    """
    x, left = np.zeros_like(b), b
    direction = near(left)
    rho = first = float((left * direction).sum())
    for _ in range(KRYLOV):
        if rho <= tolerance**2 * first:
            break
        image = times(direction)
        bend = float((direction * image).sum())
        if not bend > 0.0:
            raise Indefinite
        x = x + (rho / bend) * direction
        left = left - (rho / bend) * image
        way = near(left)
        rho, before = float((left * way).sum()), rho
        direction = way + (rho / before) * direction
    return x
