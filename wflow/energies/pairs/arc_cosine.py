r"""Arc-cosine kernels: ReLU and step neurons averaged over Gaussian or spherical inputs.

.. math:: J_0 = \frac{\pi-\theta}{2\pi}, \quad
          J_1 = \frac{|w||w'|}{2\pi}\bigl[\sin\theta + (\pi-\theta)\cos\theta\bigr], \quad
          \cos\theta = \frac{\langle w,w'\rangle}{|w||w'|}

Source: Cho & Saul (2009), eqs. (3)–(6), half of theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_points
from wflow.energies.pairs.products import ProductKernel, norms_and_inverses
from wflow.errors import InputError
from wflow.tools.checks import check_word
from wflow.tools.fingerprint import digest

INPUTS = ("gaussian", "sphere", "unit-sphere")
NEARLY_PARALLEL = 1e-6
"""The least sine of an angle in second derivatives."""


class ArcCosineKernel(ProductKernel):
    r"""ReLU neurons without offset: E relu(⟨w, x⟩) relu(⟨w', x⟩).

    .. math:: K = \frac{s}{2\pi}|w||w'|\bigl[\sin\theta + (\pi-\theta)\cos\theta\bigr], \qquad
              \nabla_w K = \frac{s}{2\pi}\bigl[|w'|\sin\theta\,\hat w + (\pi-\theta)\,w'\bigr]

    Parameters
    ----------
    dimension : d ≥ 1, the number of inputs
    inputs : "gaussian" N(0, I), "sphere" uniform on S^{d−1}(√d) (both s = 1), "unit-sphere" on S^{d−1}(1) (s = 1/d)

    At w = 0 the kernel has a kink; its gradient is set to 0, as relu'(0) = 0 makes it. At w' = 0 it is 0; for
    parallel weights it is s w'/2, for opposite ones 0.

    Raises
    ------
    InputError
        for a dimension below 1 and unknown inputs

    >>> kernel = ArcCosineKernel(2)
    >>> kernel.sums([[1.0, 0.0]], [[3.0, 0.0], [-1.0, 0.0]], [1.0, 1.0])
    array([1.5])
    """

    relu_units = True

    def __init__(self, dimension: int, inputs: str = "gaussian") -> None:
        super().__init__(dimension)
        self.inputs = check_word("inputs", inputs, INPUTS)
        self.factor = 1.0 / self.dimension if inputs == "unit-sphere" else 1.0

    def _map(self) -> Any:
        from wflow.kernels.pairs.maps import arc_cosine_one

        return arc_cosine_one

    def _at_kinks(self, slope: np.ndarray, at: np.ndarray, numbers: np.ndarray) -> None:
        if not numbers[0].all():  # |w| is also 0 where |w|² underflows
            slope[~at.any(axis=1)] = 0.0

    def _numbers(self, w: np.ndarray) -> np.ndarray:
        return norms_and_inverses(w)

    def partials(self, at: np.ndarray, points: np.ndarray) -> np.ndarray:
        # K = f/2π [r + (π − θ)p] with r = √(st − p²): k_s = f r/4πs, k_p = f(π − θ)/2π. Where weights are parallel
        # their second derivatives are infinite one by one and bounded together: r is held above rounding.
        (a, own), (b, other) = norms_and_inverses(at), norms_and_inverses(points)
        p, whole = at @ points.T, np.multiply.outer(a, b)
        cosine = np.clip(p * np.multiply.outer(own, other), -1.0, 1.0)
        sine = np.maximum(np.sqrt((1.0 - cosine) * (1.0 + cosine)), NEARLY_PARALLEL)
        r, angle = whole * sine, np.pi - np.arccos(cosine)
        back = np.multiply.outer(own, other) / sine  # 1/r
        s = (own**2)[:, None]
        square = (b**2)[None]
        parts = [
            *(r + angle * p, 0.5 * r * s, angle),
            *(0.25 * s * (square * back - 2.0 * r * s), -0.5 * p * s * back, 0.25 * back, back),
        ]
        return self.factor / (2.0 * np.pi) * np.stack(parts)

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(x @ y.T, 0.0))

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((y @ x.T > 0)[:, None] * x.T)

    def diagonal(self, at: Any) -> np.ndarray:
        w = as_points(at, self.dimension)
        return np.asarray(0.5 * self.factor * np.einsum("ij,ij->i", w, w))

    def fingerprint(self) -> str:
        return digest("arc-cosine", self.dimension, self.factor)

    def __repr__(self) -> str:
        return f"ArcCosineKernel(dimension={self.dimension}, inputs={self.inputs!r})"


class StepKernel(ProductKernel):
    r"""Step neurons 1{⟨w, x⟩ > 0} on inputs x of ``dimension`` coordinates with any rotation-invariant law.

    .. math:: K = \frac{\pi-\theta}{2\pi}, \qquad \nabla_w K = \frac{\hat w' - \cos\theta\,\hat w}{2\pi|w|\sin\theta}

    K is 0 for a zero weight. It has a kink where w and w' are parallel or opposite: there (sin²θ < 1e-14) and at
    zero weights the gradient is set to 0; near it the gradient has a relative error of 1e-16/θ².

    Raises
    ------
    InputError
        for a dimension below 1

    >>> StepKernel(2).sums([[1.0, 0.0]], [[0.0, 1.0]], [1.0])
    array([0.25])
    """

    def _map(self) -> Any:
        from wflow.kernels.pairs.maps import arc_cosine_zero

        return arc_cosine_zero

    def _numbers(self, w: np.ndarray) -> np.ndarray:
        return norms_and_inverses(w)

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(x @ y.T > 0, dtype=np.float64)

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise InputError(
            "a step has no slope: the tangent kernel of step neurons is that of their charges; give relu or erf"
        )

    def diagonal(self, at: Any) -> np.ndarray:
        return np.asarray(0.5 * as_points(at, self.dimension).any(axis=1))
