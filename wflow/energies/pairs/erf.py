r"""Error-function neurons erf(⟨w, x⟩/√2) averaged over Gaussian inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points
from wflow.energies.pairs.products import ProductKernel, one_plus_square


class ErfKernel(ProductKernel):
    r"""E erf(⟨w, x⟩/√2) erf(⟨w', x⟩/√2) for x ~ N(0, I), with C the products of weights.

    .. math:: K = \frac2\pi\arcsin\frac{C_{ww'}}{\sqrt{(1+C_{ww})(1+C_{w'w'})}}, \qquad
              \nabla_w K = \frac2\pi\,\frac{w' - \frac{C_{ww'}}{1+C_{ww}}\,w}{\sqrt{(1+C_{ww})(1+C_{w'w'}) - C_{ww'}^2}}

    ``dimension`` d ≥ 1. An offset b enters as one more input, itself N(0, 1). Weights of size 10³ cost
    the gradient of parallel pairs six digits, through the difference under the root.

    Raises
    ------
    InputError
        for a dimension below 1

    Source: Williams (1997), eq. (11).

    >>> kernel = ErfKernel(1)
    >>> bool(np.isclose(kernel.sums([[1.0]], [[1.0]], [1.0])[0], 1 / 3))
    True
    """

    def _map(self) -> Any:
        from wflow.kernels.pairs.maps import arc_sine

        return arc_sine

    def _numbers(self, w: np.ndarray) -> np.ndarray:
        return one_plus_square(w)

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from scipy.special import erf

        return np.asarray(erf(x @ y.T / math.sqrt(2)))

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        density = math.sqrt(2 / math.pi) * np.exp(-0.5 * (y @ x.T) ** 2)
        return np.asarray(density[:, None] * x.T)

    def diagonal(self, at: Any) -> np.ndarray:
        a = one_plus_square(as_points(at, self.dimension))[0]
        return np.asarray(2 / math.pi * np.arcsin((a - 1) / a))
