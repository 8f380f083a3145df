r"""Gaussian kernels K(y, z) on R^D, and sums of Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, as_vector, numbered
from wflow.energies.pairs.kernel import Kernel, KernelSum
from wflow.errors import InputError
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, positive
from wflow.tools.fingerprint import digest

_LOG2_E = 1.4426950408889634


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

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.scaled(at, points)
        if self.dimension <= 3:
            from wflow.kernels.pairs.gaussian import gaussian_sums

            total, moment = gaussian_sums(x, y, charges, gradients)
            return self.amplitude * total, -self.pull * moment
        from wflow.kernels.pairs.maps import gaussian
        from wflow.kernels.pairs.products import product_sums

        out, pull = product_sums(gaussian, _squared(x), _squared(y), charges, gradients)
        if gradients:
            pull += out[1][:, None] * x
        return self.amplitude * out[0], self.pull * pull

    @property
    def pull(self) -> float:
        """The factor of −Σ_j q_j 2^{−|x − y_j|²}(x − y_j) in ∇S, x and y scaled."""
        return self.amplitude / (self.variance * self._scale)

    def scaled(self, at: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in which K = A 2^{−|x − y|²}; from D = 4 on, centred as well."""
        centre = points.mean(axis=0) if self.dimension > 3 and len(points) else 0.0
        return self._scale * (at - centre), self._scale * (points - centre)

    def diagonal(self, at: Any) -> np.ndarray:
        return np.full(as_points(at, self.dimension).shape[0], self.amplitude)

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        from scipy.spatial.distance import cdist

        x, y = as_points(at, self.dimension), as_points(points, self.dimension)
        return self.amplitude * np.exp(-0.5 * cdist(x, y, "sqeuclidean") / self.variance)

    def partials(self, at: np.ndarray, points: np.ndarray) -> np.ndarray:
        # k = A e^{−(s + t − 2p)/2v}
        shares = np.array([1.0, -0.5, 1.0, 0.25, -0.5, 0.25, 1.0])
        shares[1:3] /= self.variance
        shares[3:] /= self.variance**2
        return np.asarray(shares[:, None, None] * self.matrix(at, points))

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """φ(x; y) ∝ N(x; y, (v/2) I), such that ∫φ_y φ_z dx = K(y, z) over R^D."""
        from scipy.spatial.distance import cdist

        # ∫ N(x; y, v/2) N(x; z, v/2) dx = N(y − z; 0, v).
        scale = math.sqrt(self.amplitude) * (2 / (math.pi * self.variance)) ** (self.dimension / 4)
        return np.asarray(scale * np.exp(-cdist(x, y, "sqeuclidean") / self.variance))

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(2.0 / self.variance * self.unit(x, y).T[:, None] * (x.T - y[:, :, None]))

    def fingerprint(self) -> str:
        return digest("gaussian-kernel", self.variance, self.dimension, self.amplitude)

    def __repr__(self) -> str:
        return f"GaussianKernel(variance={self.variance:g}, dimension={self.dimension})"


def _squared(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points with the row of their squared norms."""
    return x, np.einsum("ij,ij->i", x, x)[None]


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
        z = as_floats("points", points)
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
