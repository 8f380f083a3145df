r"""Ramps averaged over a rotation: the features of problems with spherical symmetry, exactly.

With :math:`\omega_1` the first coordinate of a uniform point of the sphere :math:`S^{d-1}`, whose density is
:math:`c_d(1-u^2)^{(d-3)/2}`, and a ramp with its corner at :math:`k \ge 0`,

.. math:: E(s\omega_1-k)_+ = s A(u) - k P(u), \quad u = k/s < 1, \quad
          A(u) = \frac{c_d (1-u^2)^{(d-1)/2}}{d-1}, \quad P(u) = \Pr(\omega_1 > u),

and its derivative in s is A(u). P is an incomplete beta function of half-integer parameters: the recursion
:math:`I_x(a+1,b) = I_x(a,b) - x^a(1-x)^b/(aB(a,b))` turns it into an arc cosine (even d) or a line (odd d)
less a polynomial in :math:`x=1-u^2`, whose terms are all positive, so the absolute error stays at rounding.
At d = infinity, :math:`\sqrt d\,\omega_1` is a standard Gaussian: A = phi(k/s), P = Phi(-k/s).
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import jit
from wflow.kernels.scalars import PER_ROOT_2PI, normal_below

BLOCK = 256
"""Elements handled together: small enough for the first-level cache, long enough for wide registers."""


@jit
def ramp_averages(
    s: np.ndarray,
    corners: np.ndarray,
    jumps: np.ndarray,
    dimension: int,
    peak: float,
    series: np.ndarray,
    value: np.ndarray,
    derivative: np.ndarray,
) -> None:
    """Add sum_j jumps_j E(s w - k_j)_+ and its s-derivative to ``value`` and ``derivative``.

    ``corners`` are non-negative, ``peak`` is c_d/(d-1), ``series`` the polynomial of the tail probability,
    and ``dimension`` is 0 for d = infinity.
    """
    n = s.size
    x = np.empty(BLOCK)
    u = np.empty(BLOCK)
    root = np.empty(BLOCK)
    power = np.empty(BLOCK)
    square = np.empty(BLOCK)
    poly = np.empty(BLOCK)
    tail = np.empty(BLOCK)
    half_power = (dimension - 1) // 2
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for j in range(corners.size):
            k = corners[j]
            any_inside = dimension == 0
            for i in range(m):
                si = s[start + i]
                any_inside = any_inside or si > k
            if not any_inside:
                continue
            if dimension == 0:
                for i in range(m):
                    si = s[start + i]
                    if si > 0.0:
                        q = k / si
                        a = math.exp(-0.5 * q * q) * PER_ROOT_2PI
                        p = normal_below(-q)
                        value[start + i] += jumps[j] * (si * a - k * p)
                        derivative[start + i] += jumps[j] * a
                continue
            for i in range(m):
                si = s[start + i]
                u[i] = 0.0 if k == 0.0 else (k / si if si > k else 1.0)
                x[i] = (1.0 - u[i]) * (1.0 + u[i])
                root[i] = math.sqrt(x[i])
                poly[i] = 0.0
                power[i] = 1.0
                square[i] = x[i]
            for c in range(series.size - 1, -1, -1):
                for i in range(m):
                    poly[i] = poly[i] * x[i] + series[c]
            e = half_power
            while e > 0:
                if e & 1:
                    for i in range(m):
                        power[i] *= square[i]
                for i in range(m):
                    square[i] *= square[i]
                e >>= 1
            if dimension == 1:
                for i in range(m):
                    tail[i] = 0.5 if u[i] < 1.0 else 0.0
                    power[i] = tail[i]
            elif dimension % 2 == 0:
                for i in range(m):
                    tail[i] = math.acos(u[i]) * 0.3183098861837907 - u[i] * root[i] * poly[i]
                    power[i] *= root[i]
            else:
                for i in range(m):
                    tail[i] = 0.5 * (1.0 - u[i]) - u[i] * x[i] * poly[i]
            for i in range(m):
                si = s[start + i]
                a = peak * power[i]
                value[start + i] += jumps[j] * (si * a - k * tail[i] if si > k else 0.0)
                derivative[start + i] += jumps[j] * (a if si > k or k == 0.0 else 0.0)


def tail_series(dimension: int) -> tuple[float, np.ndarray]:
    """Return c_d/(d-1) and the coefficients of the polynomial of the tail probability.

    The terms are :math:`1/(2 a B(a, 1/2))` for a = 1/2, 3/2, … (even d) or 1, 2, … (odd d) below (d-1)/2.

    >>> tail_series(3)[0]
    0.25
    """
    if dimension == 1:
        return 1.0, np.empty(0)
    log_c = math.lgamma(dimension / 2) - math.lgamma((dimension - 1) / 2) - 0.5 * math.log(math.pi)
    first = 0.5 if dimension % 2 == 0 else 1.0
    a = np.arange(first, (dimension - 1) / 2 - 0.25, 1.0)
    log_beta = np.array(
        [math.lgamma(v) + 0.5 * math.log(math.pi) - math.lgamma(v + 0.5) for v in a]
    )
    return math.exp(log_c) / (dimension - 1), np.exp(-log_beta) / (2.0 * a) if a.size else a


@jit
def hermite_lookup(
    s: np.ndarray, step: float, table: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """Quintic Hermite interpolation of a table of (h, h', h'') at multiples of ``step``.

    With x in [0, 1] inside an interval and the Hermite data at its ends, the interpolant is the quintic through
    (h, h', h'') at both; the derivative is the quintic's own, so that the field is a gradient to rounding.
    """
    inv = 1.0 / step
    for i in range(s.size):
        y = s[i] * inv
        j = int(y)
        x = y - j
        f0 = table[j, 0]
        d0 = table[j, 1] * step
        c0 = table[j, 2] * (0.5 * step * step)
        f1 = table[j + 1, 0] - f0 - d0 - c0
        d1 = table[j + 1, 1] * step - d0 - 2.0 * c0
        c1 = table[j + 1, 2] * (0.5 * step * step) - c0
        a3 = 10.0 * f1 - 4.0 * d1 + c1
        a4 = -15.0 * f1 + 7.0 * d1 - 2.0 * c1
        a5 = 6.0 * f1 - 3.0 * d1 + c1
        value[i] = f0 + x * (d0 + x * (c0 + x * (a3 + x * (a4 + x * a5))))
        derivative[i] = inv * (
            d0 + x * (2.0 * c0 + x * (3.0 * a3 + x * (4.0 * a4 + x * (5.0 * a5))))
        )
