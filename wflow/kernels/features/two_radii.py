r"""Ramps with an offset under two independent rotations, in the polynomials that make their average diagonal.

A neuron relu(⟨w, x⟩ + b) with |w₁| = r₁, |w₂| = r₂ on inputs x = (s z₁, z₂), z Gaussian, averaged over the
rotations of both blocks, depends on |z₁|², |z₂|² alone. Its coefficient on the normalised Laguerre polynomials
of degrees j and k in |z₁|²/2, |z₂|²/2 is, with n = j + k and Hermite polynomials He,

.. math:: c_{jk} = N_{jk}\,\sigma\,A^jB^k\,\mathrm{He}_{2n-2}(z)\varphi(z),\quad n\ge1, \qquad
          c_{00} = \sigma\varphi(z) + b\,\Phi(z), \\
          \sigma^2 = s^2r_1^2 + r_2^2,\quad z = b/\sigma,\quad A = s^2r_1^2/\sigma^2,\quad B = r_2^2/\sigma^2.

He_m φ/√m! comes from its three-term recurrence, which neither overflows nor cancels here. Classes (values of s) and
modes (j, k) are contracted on the way: nothing of the size neurons × modes is stored.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import jit
from wflow.kernels.scalars import PER_ROOT_2PI, normal_below


@jit
def _prepare(
    b: float,
    p: float,
    r2: float,
    degree: int,
    hermite: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> tuple[float, float]:
    """He_m(z)φ(z)/√m! up to m = 2 degree, the powers of A and B; returns σ and Φ(z)."""
    sigma = math.sqrt(p * p + r2 * r2)
    if sigma == 0.0:
        hermite[:] = 0.0
        first[:] = 0.0
        second[:] = 0.0
        return 0.0, 1.0 if b > 0.0 else 0.0
    z = b / sigma
    hermite[0] = math.exp(-0.5 * z * z) * PER_ROOT_2PI
    hermite[1] = z * hermite[0]
    for m in range(1, 2 * degree):
        hermite[m + 1] = (z * hermite[m] - math.sqrt(m) * hermite[m - 1]) / math.sqrt(m + 1.0)
    a_square = (p / sigma) ** 2
    b_square = (r2 / sigma) ** 2
    first[0] = 1.0
    second[0] = 1.0
    for m in range(degree):
        first[m + 1] = first[m] * a_square
        second[m + 1] = second[m] * b_square
    return sigma, normal_below(z)


@jit
def mode_sums(
    points: np.ndarray,
    weights: np.ndarray,
    scales: np.ndarray,
    modes: np.ndarray,
    norms: np.ndarray,
    degree: int,
    sums: np.ndarray,
) -> None:
    """Add Σ_i w_i a_i c_m(θ_i; s_c) to ``sums`` (classes, modes); rows of ``points`` are (a, b, r1, r2).

    ``modes`` holds (j, k), the first (0, 0), and ``norms`` N_jk √(2n−2)!.
    """
    hermite = np.empty(2 * degree + 2)
    first = np.empty(degree + 1)
    second = np.empty(degree + 1)
    for c in range(scales.size):
        for i in range(points.shape[0]):
            b = points[i, 1]
            sigma, tail = _prepare(
                b, scales[c] * points[i, 2], points[i, 3], degree, hermite, first, second
            )
            q = weights[i] * points[i, 0]
            sums[c, 0] += q * (sigma * hermite[0] + b * tail)
            q *= sigma
            for m in range(1, norms.size):
                j, k = modes[m, 0], modes[m, 1]
                sums[c, m] += q * norms[m] * first[j] * second[k] * hermite[2 * (j + k) - 2]


@jit
def mode_values_and_gradients(
    points: np.ndarray,
    node_weights: np.ndarray,
    scales: np.ndarray,
    modes: np.ndarray,
    norms: np.ndarray,
    degree: int,
    values: np.ndarray,
    gradients: np.ndarray,
) -> None:
    r"""Add Σ_cm q_cm a c_m(θ_i; s_c) to ``values`` (n,) and its gradient in (a, b, r1, r2) to ``gradients`` (n, 4).

    With :math:`\partial_b^2 = 2\,\partial_{\sigma^2}` on Gaussian averages of a function of b + σG,

    .. math:: \partial_b c_{jk} = -N A^jB^k \mathrm{He}_{2n-1}\varphi, \quad
              \partial_{r_2} c_{jk} = N\sqrt{B}\,(2k A^jB^{k-1}\mathrm{He}_{2n-2} + A^jB^k\mathrm{He}_{2n})\varphi.
    """
    hermite = np.empty(2 * degree + 2)
    first = np.empty(degree + 1)
    second = np.empty(degree + 1)
    for i in range(points.shape[0]):
        a, b, r2 = points[i, 0], points[i, 1], points[i, 3]
        value, by_b, by_r1, by_r2 = 0.0, 0.0, 0.0, 0.0
        for c in range(scales.size):
            p = scales[c] * points[i, 2]
            sigma, tail = _prepare(b, p, r2, degree, hermite, first, second)
            q = node_weights[c, 0]
            value += q * (sigma * hermite[0] + b * tail)
            by_b += q * tail
            # Sums of 2j A^(j-1) B^k He_(2n-2), 2k A^j B^(k-1) He_(2n-2), and A^j B^k He_(2n).
            along, across, spread = 0.0, 0.0, q * hermite[0]
            other, slope = 0.0, 0.0
            for m in range(1, norms.size):
                j, k = modes[m, 0], modes[m, 1]
                even = 2 * (j + k)
                weight = node_weights[c, m] * norms[m]
                low = weight * hermite[even - 2]
                both = first[j] * second[k]
                other += low * both
                slope += weight * math.sqrt(even - 1.0) * hermite[even - 1] * both
                spread += weight * math.sqrt(even * (even - 1.0)) * hermite[even] * both
                if j > 0:
                    along += 2.0 * j * low * first[j - 1] * second[k]
                if k > 0:
                    across += 2.0 * k * low * first[j] * second[k - 1]
            value += sigma * other
            by_b -= slope
            if sigma > 0.0:
                by_r1 += scales[c] * (p / sigma) * (along + spread)
                by_r2 += (r2 / sigma) * (across + spread)
        values[i] += a * value
        gradients[i, 0] += value
        gradients[i, 1] += a * by_b
        gradients[i, 2] += a * by_r1
        gradients[i, 3] += a * by_r2
