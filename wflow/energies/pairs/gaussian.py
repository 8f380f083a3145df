r"""Positive kernels K(y, z) on R^D in closed form: sums over pairs with their gradients, no n×m array.

.. math:: S(y) = \sum_j q_j K(y, y_j), \qquad \nabla S(y) = \sum_j q_j \nabla_1 K(y, y_j)

K(y, z) = ⟨φ_y, φ_z⟩ is the inner product of two units. Sums run in blocks over two or more threads, whose number
changes no bit. Source of the use: Rotskoff & Vanden-Eijnden (2022), eqs. (2.7)–(2.9).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.features.energy import as_points, as_vector, digest
from wflow.errors import InputError
from wflow.tools.checks import check_count, positive

_LOG2_E = 1.4426950408889634


class Kernel(ABC):
    """A positive semidefinite, symmetric kernel on R^D.

    ``at`` (m, D) and ``points`` (n, D) are arrays of points, ``charges`` (n,) the numbers q.
    """

    dimension: int
    coordinates: tuple[str, ...]

    def sums(self, at: Any, points: Any, charges: Any) -> np.ndarray:
        """Σ_j q_j K(at_i, y_j), shape (m,)."""
        return self._evaluate(*self._checked(at, points, charges), False)[0]

    def sums_and_gradients(
        self, at: Any, points: Any, charges: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Σ_j q_j K(at_i, y_j) and its gradient in at_i, shapes (m,) and (m, D)."""
        return self._evaluate(*self._checked(at, points, charges), True)

    @abstractmethod
    def _evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums and, if asked for, gradients (otherwise an array to be ignored)."""

    @abstractmethod
    def diagonal(self, at: Any) -> np.ndarray:
        """K(y, y), shape (m,)."""

    @abstractmethod
    def matrix(self, at: Any, points: Any) -> np.ndarray:
        """K(at_i, y_j) as an (m, n) array, for small problems."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the kernel and its constants."""

    def _checked(
        self, at: Any, points: Any, charges: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = as_points(points, self.dimension)
        return as_points(at, self.dimension), points, as_vector("charges", charges, len(points))


def numbered(letter: str, count: int) -> tuple[str, ...]:
    """Names of coordinates: y, or y1, y2, …"""
    return (letter,) if count == 1 else tuple(f"{letter}{i + 1}" for i in range(count))


class GaussianKernel(Kernel):
    r"""A Gaussian (radial basis) kernel.

    .. math:: K(y,z) = A\,e^{-|y-z|^2/(2v)}, \qquad A = (2\pi v)^{-D/2} \text{ unless given}

    Parameters
    ----------
    variance : v > 0. Units N(x; y, σ² I) on Lebesgue measure have v = 2σ²
    dimension : D ≥ 1. From D = 4 on, squares of distances come from products of centred coordinates, with an error
        of 1e-16 |y|²/v relative to K
    amplitude : A > 0; None for the density of N(z, v I)

    Raises
    ------
    InputError
        for a variance or amplitude that is not positive and finite

    Source: Rotskoff, Jelassi, Bruna & Vanden-Eijnden (2019), Section 5.

    >>> kernel = GaussianKernel(0.5, amplitude=1.0)
    >>> bool(np.isclose(kernel.sums([[1.0]], [[0.0]], [2.0])[0], 2 * np.exp(-1.0)))
    True
    """

    def __init__(self, variance: float, dimension: int = 1, amplitude: float | None = None) -> None:
        self.variance = positive("variance", variance)
        self.dimension = check_count("dimension", dimension)
        self.coordinates = numbered("y", self.dimension)
        if amplitude is None:
            amplitude = (2 * math.pi * self.variance) ** (-self.dimension / 2)
        self.amplitude = positive("amplitude", amplitude)
        self._scale = math.sqrt(_LOG2_E / (2 * self.variance))

    def _evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        factor = self.amplitude / (self.variance * self._scale)
        if self.dimension <= 3:
            from wflow.kernels.pairs.gaussian import gaussian_sums

            total, moment = gaussian_sums(
                self._scale * at, self._scale * points, charges, gradients
            )
            return self.amplitude * total, -factor * moment
        from wflow.kernels.pairs.maps import gaussian
        from wflow.kernels.pairs.products import product_sums

        x, y = self._centred(at, points)
        out, pull = product_sums(gaussian, _squared(x), _squared(y), charges, gradients)
        if gradients:
            pull += out[1][:, None] * x
        return self.amplitude * out[0], factor * pull

    def _centred(self, at: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centre = points.mean(axis=0) if len(points) else 0.0
        return self._scale * (at - centre), self._scale * (points - centre)

    def diagonal(self, at: Any) -> np.ndarray:
        return np.full(as_points(at, self.dimension).shape[0], self.amplitude)

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        from scipy.spatial.distance import cdist

        x, y = as_points(at, self.dimension), as_points(points, self.dimension)
        return self.amplitude * np.exp(-0.5 * cdist(x, y, "sqeuclidean") / self.variance)

    def fingerprint(self) -> str:
        return digest("gaussian-kernel", self.variance, self.dimension, self.amplitude)

    def __repr__(self) -> str:
        return f"GaussianKernel(variance={self.variance:g}, dimension={self.dimension})"


def _squared(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points with the row of their squared norms."""
    return x, np.einsum("ij,ij->i", x, x)[None]


class KernelSum:
    r"""A function that is a finite sum of a kernel's translates: a teacher network, seen from its students.

    .. math:: F(y) = \sum_k c_k K(y, z_k)

    ``kernel`` is a :class:`Kernel`, ``points`` (k, D) the z and ``charges`` (k,) the c.

    >>> f = KernelSum(GaussianKernel(1.0, amplitude=1.0), [[0.0], [2.0]], [1.0, -1.0])
    >>> float(f.values([[1.0]])[0])
    0.0
    """

    def __init__(self, kernel: Kernel, points: Any, charges: Any) -> None:
        self.kernel = kernel
        self.points = np.array(as_points(points, kernel.dimension))
        if not np.isfinite(self.points).all():
            raise InputError("a point of the kernel sum is not finite: give finite coordinates")
        self.charges = as_vector("charges", charges, self.points.shape[0])
        self.dimension = kernel.dimension

    def values(self, at: Any) -> np.ndarray:
        """F, shape (m,)."""
        return self.kernel.sums(at, self.points, self.charges)

    def values_and_gradients(self, at: Any) -> tuple[np.ndarray, np.ndarray]:
        """F and ∇F, shapes (m,) and (m, D)."""
        return self.kernel.sums_and_gradients(at, self.points, self.charges)

    def square(self) -> float:
        """Σ c_k c_l K(z_k, z_l) = ‖f*‖², the ``constant`` of a KernelEnergy with this target."""
        return float(self.charges @ self.values(self.points))

    def fingerprint(self) -> str:
        return digest("kernel-sum", self.kernel.fingerprint(), self.points, self.charges)


class GaussianSum:
    r"""A sum of normalised Gaussians, each with its own variance.

    .. math:: F(y) = \sum_k c_k\,N(y;\,z_k,\,v_k I)

    Parameters
    ----------
    points : (k, D) array of z; charges : (k,) array of c; variances : (k,) array of v > 0, or one number

    Raises
    ------
    InputError
        for arrays that do not fit together, or a variance that is not positive

    >>> f = GaussianSum([[0.0]], [1.0], [2.0])
    >>> bool(np.isclose(f.values([[0.0]])[0], (4 * np.pi) ** -0.5))
    True
    """

    def __init__(self, points: Any, charges: Any, variances: float | Sequence[float]) -> None:
        try:
            z = np.array(points, dtype=np.float64)
        except (TypeError, ValueError) as e:
            raise InputError(f"points must be numbers: {e}") from None
        z = z[:, None] if z.ndim == 1 else z
        if z.ndim != 2 or z.size == 0:
            raise InputError(f"points of shape {z.shape}: expected (k, D), one row a Gaussian")
        self.dimension = z.shape[1]
        c = as_vector("charges", charges, len(z))
        one_for_all = isinstance(variances, int | float)
        v = as_vector("variances", [variances] * len(z) if one_for_all else variances, len(z))
        self.parts = [
            KernelSum(GaussianKernel(float(one), self.dimension), z[v == one], c[v == one])
            for one in np.unique(v)
        ]

    def values(self, at: Any) -> np.ndarray:
        """F, shape (m,)."""
        return np.asarray(sum(part.values(at) for part in self.parts))

    def values_and_gradients(self, at: Any) -> tuple[np.ndarray, np.ndarray]:
        """F and ∇F, shapes (m,) and (m, D)."""
        both = [part.values_and_gradients(at) for part in self.parts]
        return np.asarray(sum(b[0] for b in both)), np.asarray(sum(b[1] for b in both))

    def fingerprint(self) -> str:
        return digest("gaussian-sum", *(part.fingerprint() for part in self.parts))
