"""A kernel and a target as what a convolution is made of: U and V as functions, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.pairs.closed import as_target
from wflow.energies.pairs.kernel import Kernel
from wflow.errors import InputError


class KernelShape:
    """K(y, z) of a translation-invariant kernel as a function of y − z, with its gradient."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def value(self, z: np.ndarray) -> np.ndarray:
        """K(z, 0), (...) for displacements (..., d)."""
        flat, origin = self._flat(z)
        return np.asarray(self._kernel.sums(flat, origin, np.ones(1))).reshape(z.shape[:-1])

    def slope(self, z: np.ndarray) -> np.ndarray:
        """∇K, (..., d)."""
        flat, origin = self._flat(z)
        _, gradients = self._kernel.sums_and_gradients(flat, origin, np.ones(1))
        return np.asarray(gradients).reshape(z.shape)

    def check(self) -> None:
        """Refuse a kernel that is no function of y − z."""
        d = int(self._kernel.dimension)
        y = 0.3 + 0.1 * np.arange(3.0 * d).reshape(3, d)
        shifted = np.asarray(self._kernel.sums(y + 0.7, np.full((1, d), 0.7), np.ones(1)))
        if np.abs(shifted - self.value(y)).max() > 1e-10 * np.abs(shifted).max():
            raise InputError(
                f"kernel {self._kernel!r} is no function of y - z: use KernelEnergy, which sums pairs"
            )

    def _flat(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = int(self._kernel.dimension)
        return np.ascontiguousarray(z.reshape(-1, d)), np.zeros((1, d))


class Confinement:
    """V = −F of a target given by values and gradients, or by a pair of functions."""

    def __init__(self, target: Any, dimension: int) -> None:
        self._target, self._dimension = as_target(target), dimension

    def value(self, y: np.ndarray) -> np.ndarray:
        """V, (...) for points (..., d)."""
        f = self._target.values(y.reshape(-1, self._dimension))
        return -np.asarray(f).reshape(y.shape[:-1])

    def slope(self, y: np.ndarray) -> np.ndarray:
        """∇V, (..., d)."""
        both = self._target.values_and_gradients(y.reshape(-1, self._dimension))
        return -np.asarray(both[1]).reshape(y.shape)
