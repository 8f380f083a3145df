r"""Probit neurons Φ(b + ⟨w, x⟩) averaged over Gaussian inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, numbered
from wflow.energies.pairs.kernel import Kernel
from wflow.energies.pairs.products import one_plus_square
from wflow.tools.checks import check_count, check_flag
from wflow.tools.fingerprint import digest


class ProbitKernel(Kernel):
    r"""E Φ(b + ⟨w, x⟩) Φ(b' + ⟨w', x⟩) for x ~ N(0, I): an orthant probability of two normal variables.

    .. math:: K = \Phi_2(h, k; \rho), \quad h = \frac b{\sqrt{1+|w|^2}}, \quad k = \frac{b'}{\sqrt{1+|w'|^2}}, \quad
              \rho = \frac{\langle w,w'\rangle}{\sqrt{(1+|w|^2)(1+|w'|^2)}}

    Parameters
    ----------
    dimension : d ≥ 1, the number of inputs
    offset : whether a point is (b, w), or w alone with b = 0

    Raises
    ------
    InputError
        for a dimension below 1

    Source: Owen (1956), eq. (2.1), for Φ₂; its derivatives are ∂_hΦ₂ = φ(h)Φ(m) and ∂_ρΦ₂ = φ₂(h, k; ρ).

    >>> kernel = ProbitKernel(1)
    >>> bool(np.isclose(kernel.sums([[0.0, 1.0]], [[0.0, 1.0]], [1.0])[0], 1 / 3))
    True
    """

    def __init__(self, dimension: int, offset: bool = True) -> None:
        self.inputs = self.inputs_dimension = check_count("dimension", dimension)
        self.offset = check_flag("offset", offset)
        self.coordinates = ("b",) * self.offset + numbered("w", self.inputs)
        self.dimension = len(self.coordinates)

    def _split(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (n, d) and 1+|w|², h, Φ(h), b as (4, n)."""
        from scipy.special import ndtr

        w = np.ascontiguousarray(points[:, 1:]) if self.offset else points
        b = points[:, 0] if self.offset else np.zeros(len(points))
        a = one_plus_square(w)[0]
        h = b / np.sqrt(a)
        return w, np.stack([a, h, ndtr(h), b])

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        from wflow.kernels.pairs.probit import normal_pairs
        from wflow.kernels.pairs.products import product_sums

        left, right = self._split(at), self._split(points)
        out, pull = product_sums(normal_pairs, left, right, charges, gradients)
        if gradients:
            pull += out[1][:, None] * left[0]
            if self.offset:
                pull = np.column_stack([out[2], pull])
        return out[0], pull

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        from wflow.kernels.pairs.probit import normal_pairs
        from wflow.kernels.pairs.products import product_matrix

        x, y = as_points(at, self.dimension), as_points(points, self.dimension)
        return product_matrix(normal_pairs, self._split(x), self._split(y))

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr

        w, (_, _, _, b) = self._split(y)
        return np.asarray(ndtr(b + x @ w.T))

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        w, (_, _, _, b) = self._split(y)
        rows = np.concatenate([np.ones((int(self.offset), len(x))), x.T])
        density = np.exp(-0.5 * (b[:, None] + w @ x.T) ** 2) / math.sqrt(2 * math.pi)
        return np.asarray(density[:, None] * rows)

    def diagonal(self, at: Any) -> np.ndarray:
        r"""K(y, y) = Φ(h) − 2T(h, 1/√(1+2|w|²)), shape (m,)."""
        from scipy.special import owens_t

        _, (a, h, below, _) = self._split(as_points(at, self.dimension))
        return np.asarray(below - 2.0 * owens_t(h, 1.0 / np.sqrt(2.0 * a - 1.0)))

    def fingerprint(self) -> str:
        return digest("probit", self.inputs, self.offset)

    def __repr__(self) -> str:
        return f"ProbitKernel(dimension={self.inputs}, offset={self.offset})"
