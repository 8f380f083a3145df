r"""Two ramps on jointly Gaussian inputs: E U₊V₊ and what its derivatives need, in closed form.

For U = σ(h + g), V = τ(k + g′) with standard normals g, g′ of correlation ρ, s² = 1 − ρ², and the orthant
probability L = P(U > 0, V > 0),

.. math:: E\,U_+V_+ &= \sigma\tau\bigl[(hk+\rho)L + h\varphi(k)\Phi(u) + k\varphi(h)\Phi(v) + s^2\varphi_2\bigr], \\
          E\,1_{U>0}V_+ &= \tau\bigl[kL + \varphi(k)\Phi(u) + \rho\,\varphi(h)\Phi(v)\bigr], \qquad
          E\,\delta(U)V_+ = \tfrac{\tau s}{\sigma}\varphi(h)\bigl[\varphi(v) + v\Phi(v)\bigr], \\
          u &= (h-\rho k)/s, \quad v = (k-\rho h)/s, \quad \varphi_2 = \varphi(h)\varphi(v)/s,

and :math:`L = \Phi(h)\Phi(k) + \frac1{2\pi}\int_0^{\arcsin\rho}
e^{-(h^2+k^2-2hk\sin\theta)/(2\cos^2\theta)}d\theta` (Plackett) by Gauss–Legendre, on panels that halve towards π/2.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import FUSED, jit
from wflow.kernels.scalars import PER_2PI, PER_ROOT_2PI, exponential, normal_below

_FEW, _MANY = 10, 20
_RULES = [np.polynomial.legendre.leggauss(n) for n in (_FEW, _MANY)]
_X_FEW, _W_FEW = _RULES[0]
_X_MANY, _W_MANY = _RULES[1]
_GRADED = 0.4
"""Angles closer to π/2 than this are reached by panels, each ending at half the distance of the one before."""


@jit(fastmath=FUSED)
def _arc(h: float, k: float, low: float, high: float, few: bool) -> float:
    """The integral of Plackett's integrand over [low, high], angles counted down from π/2."""
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    apart, product = 0.5 * (h - k) ** 2, h * k
    nodes = _X_FEW if few else _X_MANY
    weights = _W_FEW if few else _W_MANY
    total = 0.0
    for i in range(nodes.size):
        angle = middle + half * nodes[i]
        sine = math.cos(angle)
        total += weights[i] * exponential(
            -apart / ((1.0 - sine) * (1.0 + sine)) - product / (1.0 + sine)
        )
    return half * total


@jit(fastmath=FUSED)
def orthant(h: float, k: float, below_h: float, below_k: float, rho: float, s: float) -> float:
    """P(g > −h, g′ > −k) for correlation ρ and s = √(1 − ρ²), given Φ(h) and Φ(k)."""
    if rho < 0.0:
        return below_h - orthant(h, -k, below_h, 1.0 - below_k, -rho, s)
    quarter = 1.5707963267948966
    end = math.atan2(s, rho)
    top = quarter
    total = 0.0
    if end > 1.25:
        total = _arc(h, k, end, top, True)
    else:
        low = max(end, _GRADED)
        total = _arc(h, k, low, top, False)
        while low > end:
            top = low
            low = max(end, 0.5 * low)
            if low < 1e-17:
                low = end
            total += _arc(h, k, low, top, False)
    return below_h * below_k + total * PER_2PI


@jit(fastmath=FUSED)
def ramp_pairs(
    at: np.ndarray,
    points: np.ndarray,
    covariance: np.ndarray,
    charges: np.ndarray,
    with_slopes: bool,
    sums: np.ndarray,
    orthants: np.ndarray,
) -> None:
    """Sums over j of q_j E U₊V₊, q_j E 1_{U>0}V₊ and q_j E δ(U)V₊ into ``sums`` (m, 3); q_j L_ij into ``orthants``.

    ``at`` (m, 2) and ``points`` (n, 2) hold means and standard deviations (positive), ``covariance`` is (m, n).
    Without slopes only the first column is filled, and ``orthants`` stays as it is.
    """
    n = points.shape[0]
    below = np.empty(n)
    density = np.empty(n)
    for j in range(n):
        k = points[j, 0] / points[j, 1]
        below[j] = normal_below(k)
        density[j] = exponential(-0.5 * k * k) * PER_ROOT_2PI
    for i in range(at.shape[0]):
        sigma = at[i, 1]
        h = at[i, 0] / sigma
        below_h = normal_below(h)
        density_h = exponential(-0.5 * h * h) * PER_ROOT_2PI
        for j in range(n):
            tau = points[j, 1]
            k = points[j, 0] / tau
            rho = min(1.0, max(-1.0, covariance[i, j] / (sigma * tau)))
            s = math.sqrt((1.0 - rho) * (1.0 + rho))
            if s < 1e-8:
                # Parallel to rounding: V = ±τ(g ± k), one integral in g remains.
                if rho > 0.0:
                    both = min(below_h, below[j])
                    part_k = density[j] if k <= h else 0.0
                    part_h = density_h if k > h else 0.0
                else:
                    both = max(0.0, below_h - (1.0 - below[j]))
                    part_k = density[j] if both > 0.0 else 0.0
                    part_h = density_h if both > 0.0 else 0.0
                cross = 0.0
                rest = max(0.0, k - rho * h)
            else:
                both = orthant(h, k, below_h, below[j], rho, s)
                u = (h - rho * k) / s
                v = (k - rho * h) / s
                below_v = normal_below(v)
                density_v = exponential(-0.5 * v * v) * PER_ROOT_2PI
                part_k = density[j] * normal_below(u)
                part_h = density_h * below_v
                cross = s * density_h * density_v
                rest = s * (density_v + v * below_v)
            q = charges[j]
            sums[i, 0] += q * sigma * tau * ((h * k + rho) * both + h * part_k + k * part_h + cross)
            if with_slopes:
                sums[i, 1] += q * tau * (k * both + part_k + rho * part_h)
                sums[i, 2] += q * tau / sigma * density_h * rest
                orthants[i, j] = q * both
