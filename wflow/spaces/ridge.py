r"""Fits in F₂, the space of a kernel: exact, and by features of random directions.

.. math:: F_2 = \Bigl\{f = \int a(\theta)\langle\theta, z\rangle_+\,\pi(d\theta)\Bigr\}, \qquad
          \|f\|_2^2 = \inf\int a^2\,d\pi, \\
          K(z, z') = \int\langle\theta,z\rangle_+\langle\theta,z'\rangle_+\,\pi(d\theta)

with z = (x, 1), or x. Under the uniform law π of the sphere the norm in F₁ is no larger:
:math:`\|f\|_1 \le \int|a|\,d\pi \le \|f\|_2`. Of Gaussian directions in D dimensions, longer by √D, K is D times that
of the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import InputError, shown
from wflow.lazy.closed import arc_cosine
from wflow.spaces.inputs import values_at, with_bias
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_flag, check_seed, check_word, non_negative
from wflow.tools.memory import check_held
from wflow.tools.streams import stream

LAWS = ("sphere", "gaussian")
KernelFunction = Callable[[np.ndarray, np.ndarray], Any]
ROUNDING = 1e-8
"""A kernel's asymmetry and negative eigenvalues that are taken for rounding, relative to its largest value."""


@dataclass(frozen=True, eq=False)
class RidgeFit:
    r"""The function of least R + λ‖f‖² in a space of a kernel, or of finitely many features.

    Attributes
    ----------
    ridge : λ
    norm : ‖f‖ in F₂, or (mean a²)^{1/2} of finitely many features
    risk : R, the mean of (y − f)² at the samples
    objective : R + λ‖f‖²
    fitted : f at the samples (Q,)
    centres, charges : of a kernel the samples z (Q, D) and α of f = Σ_i α_i K(·, z_i); of features θ (m, D) and a/m of
        f = (1/m) Σ_j a_j ⟨θ_j, z⟩₊
    bias : whether units see (x, 1)
    """

    ridge: float
    norm: float
    risk: float
    objective: float
    fitted: np.ndarray
    centres: np.ndarray
    charges: np.ndarray
    bias: bool
    _units: KernelFunction = field(repr=False)

    def predict(self, x: Any) -> np.ndarray:
        """f at inputs x (m, d), (m,).

        Raises
        ------
        InputError
            for inputs of another dimension
        """
        z = with_bias(as_inputs(x, self.centres.shape[1] - int(self.bias), "x"), self.bias)
        return np.asarray(self._units(z, self.centres) @ self.charges)


def ridge_fit(
    x: Any, y: Any, ridge: float, *, kernel: str | KernelFunction = "sphere", bias: bool = True
) -> RidgeFit:
    r"""Kernel ridge: the exact minimiser in F₂.

    .. math:: \min_f \frac1Q\sum_i(y_i - f(x_i))^2 + \lambda\|f\|_2^2, \qquad
              f = \sum_i\alpha_iK(\cdot, z_i), \quad (K + \lambda Q)\,\alpha = y, \quad \|f\|_2^2 = \alpha^TK\alpha

    Parameters
    ----------
    x, y : inputs (Q, d), numbers (Q,)
    ridge : λ ≥ 0; 0 is the function of least norm of those that fit best
    kernel : "sphere" or "gaussian" for directions of ReLU units by that law, or a function K(z, z') of two arrays
        (m, D) and (m2, D), a tangent kernel say, that gives (m, m2)
    bias : whether units see (x, 1)

    Raises
    ------
    InputError
        for numbers of another shape, a negative λ, an unknown word, and a kernel that is not symmetric and positive
        semidefinite

    Source: Bach, JMLR 18 (2017), section 2; Cho & Saul, NIPS 2009, for K.

    >>> fit = ridge_fit([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], 0.0)
    >>> fit.fitted.round(9).tolist(), round(fit.norm, 4), fit.predict([0.5]).round(4).tolist()
    ([1.0, 0.0, 1.0], 4.7535, [0.347])
    """
    z, values = values_at(x, y, check_flag("bias", bias))
    lam, units = non_negative("ridge", ridge), _kernel(kernel, z.shape[1])
    check_held("x", len(z), len(z))
    matrix = as_floats("K", units(z, z))
    if matrix.shape != (len(z), len(z)):
        raise InputError(f"K of shape {matrix.shape} for {len(z)} inputs: give (m, m2)")
    largest = float(np.abs(matrix).max())
    eigen, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    if (
        np.abs(matrix - matrix.T).max() > ROUNDING * largest
        or eigen[0] < -ROUNDING * len(z) * largest
    ):
        raise InputError(
            f"K has the eigenvalue {eigen[0]:.3g} beside {eigen[-1]:.3g}: it must be symmetric and positive "
            "semidefinite"
        )
    parts = _shrunk(eigen, vectors.T @ values, lam * len(z))
    charges, fitted = vectors @ parts, vectors @ (np.maximum(eigen, 0.0) * parts)
    norm = float(np.sqrt(np.maximum(eigen, 0.0) @ parts**2))
    return _told(lam, norm, values, fitted, z, charges, bias, units)


def random_features(
    x: Any,
    y: Any,
    ridge: float,
    n: int,
    *,
    law: str = "sphere",
    bias: bool = True,
    seed: int = 0,
) -> RidgeFit:
    r"""Ridge in the charges of n units whose directions are drawn and stay: F₂ with n features.

    .. math:: \min_a \frac1Q\sum_i(y_i - f(x_i))^2 + \frac\lambda n\sum_ja_j^2, \qquad
              f = \frac1n\sum_ja_j\langle\theta_j, z\rangle_+, \quad \theta_j\sim\pi

    It is :func:`ridge_fit` with the kernel's mean over n directions in place of the integral: f comes to that of F₂
    like n^{−1/2}.

    Parameters
    ----------
    x, y, ridge, bias : those of :func:`ridge_fit`
    n : features
    law : of θ, "sphere" or "gaussian"
    seed : of the directions

    Raises
    ------
    InputError
        for numbers of another shape, a negative λ, n < 1 and an unknown word

    Source: Rahimi & Recht, NIPS 2007; Bach, JMLR 18 (2017), on equivalence with quadrature.

    >>> fit = random_features([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], 0.01, 1000)
    >>> exact = ridge_fit([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], 0.01)
    >>> bool(abs(fit.norm / exact.norm - 1) < 0.1)
    True
    """
    z, values = values_at(x, y, check_flag("bias", bias))
    lam, count = non_negative("ridge", ridge), check_count("n", n)
    check_word("law", law, LAWS)
    check_held("n", count, len(z) + z.shape[1])
    theta = stream(check_seed(seed), "directions").standard_normal((count, z.shape[1]))
    if law == "sphere":
        theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    # In a/√n the penalty is λ times the square of the length, and the singular values say all.
    left, sizes, right = np.linalg.svd(_relu(z, theta) / np.sqrt(count), full_matrices=False)
    parts = _shrunk(sizes**2, left.T @ values, lam * len(z))
    fitted, short = left @ (sizes**2 * parts), right.T @ (sizes * parts)
    norm, charges = float(np.linalg.norm(short)), np.sqrt(count) * short
    return _told(lam, norm, values, fitted, theta, charges / count, bias, _relu)


def _told(
    lam: float,
    norm: float,
    values: np.ndarray,
    fitted: np.ndarray,
    centres: np.ndarray,
    charges: np.ndarray,
    bias: bool,
    units: KernelFunction,
) -> RidgeFit:
    risk = float(((values - fitted) ** 2).mean())
    return RidgeFit(lam, norm, risk, risk + lam * norm**2, fitted, centres, charges, bias, units)


def _shrunk(eigen: np.ndarray, parts: np.ndarray, ridge: float) -> np.ndarray:
    """parts/(eigen + ridge); without a ridge those of eigenvalues that are rounding are left out."""
    floor = len(eigen) * np.finfo(float).eps * max(float(eigen.max()), 0.0)
    kept = (eigen > floor) | (ridge > floor)
    return np.asarray(
        np.where(kept, parts / np.where(kept, np.maximum(eigen, 0.0) + ridge, 1.0), 0.0)
    )


def _relu(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(z @ theta.T, 0.0))


def _kernel(kernel: str | KernelFunction, dimension: int) -> KernelFunction:
    if callable(kernel):
        return kernel
    if not isinstance(kernel, str):
        raise InputError(
            f"kernel = {shown(kernel)}: give {' or '.join(LAWS)}, or a function K(z, z')"
        )
    if check_word("kernel", kernel, LAWS) == "gaussian":
        return arc_cosine
    return lambda z, z2: np.asarray(arc_cosine(z, z2) / dimension)
