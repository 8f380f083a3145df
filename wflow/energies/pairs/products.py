"""Kernels of neurons, functions of ⟨w, w'⟩, |w| and |w'|: what the closed forms of an average over inputs share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, numbered
from wflow.energies.pairs.kernel import Kernel
from wflow.tools.checks import check_count
from wflow.tools.fingerprint import digest


class ProductKernel(Kernel):
    """A kernel evaluated from blocks of scalar products by one map of :mod:`wflow.kernels.pairs.maps`."""

    factor = 1.0
    """What the map's values are multiplied by."""

    def __init__(self, dimension: int) -> None:
        self.dimension = check_count("dimension", dimension)
        self.coordinates = numbered("w", self.dimension)

    @abstractmethod
    def _map(self) -> Any:
        """The compiled map; imported late, since numba takes half a second."""

    @abstractmethod
    def _numbers(self, w: np.ndarray) -> np.ndarray:
        """What the map needs of each neuron, shape (p, n)."""

    def side(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return points, self._numbers(points)

    def between(
        self, left: Any, right: Any, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        from wflow.kernels.pairs.products import finish, product_sums

        out, pull = product_sums(self._map(), left, right, charges, gradients)
        finish(out, pull, left[0], self.factor)
        if gradients:
            self._at_kinks(pull, *left)
        return out[0], pull

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        left = self.side(at)
        return self.between(left, left if points is at else self.side(points), charges, gradients)

    def _at_kinks(self, slope: np.ndarray, at: np.ndarray, numbers: np.ndarray) -> None:
        """Set the gradients (m, D) of points that have none."""

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        from wflow.kernels.pairs.products import product_matrix

        x, y = as_points(at, self.dimension), as_points(points, self.dimension)
        both = (x, self._numbers(x)), (y, self._numbers(y))
        return self.factor * product_matrix(self._map(), *both)

    def fingerprint(self) -> str:
        return digest(type(self).__name__, self.dimension, self.factor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dimension={self.dimension})"


def norms_and_inverses(w: np.ndarray) -> np.ndarray:
    """|w| and 1/|w|, the latter 0 for a zero weight; shape (2, n)."""
    both = np.zeros((2, len(w)))
    norm = np.sqrt(np.einsum("ij,ij->i", w, w), out=both[0])
    np.divide(1.0, norm, out=both[1], where=norm > 0)
    return both


def one_plus_square(w: np.ndarray) -> np.ndarray:
    """1 + |w|², shape (1, n)."""
    return np.asarray(1.0 + np.einsum("ij,ij->i", w, w)[None])
