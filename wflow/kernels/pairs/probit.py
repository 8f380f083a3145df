r"""The bivariate normal distribution at pairs of neurons, by Owen's T function.

.. math:: \Phi_2(h,k;\rho) = \tfrac12[\Phi(h)+\Phi(k)] - T(h,\tfrac{m}{h}) - T(k,\tfrac{l}{k}) - \tfrac12[hk<0], \quad
          T(h,a) = \frac1{2\pi}\int_0^a \frac{e^{-h^2(1+x^2)/2}}{1+x^2}\,dx, \quad
          m = \frac{k-\rho h}{\sqrt{1-\rho^2}},\ l = \frac{h-\rho k}{\sqrt{1-\rho^2}}

For a ≤ 1 the positive half of the Gauss–Legendre rule with 24 nodes leaves 1e-16 (the poles ±i lie outside an
ellipse of radius 2.4: 2.4^-48); T(h, a) + T(ah, 1/a) = ½[Φ(h) + Φ(ah)] − Φ(h)Φ(ah) for h, a > 0 brings every a there.
Source: Owen (1956), eqs. (2.1), (2.3) and (3.1).
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.scalars import LOG2_E, PER_2PI, normal_below, power_of_half

_NODES, _WEIGHTS = (half[12:].copy() for half in np.polynomial.legendre.leggauss(24))
_SQUARES = _NODES**2
_HALF_LOG2_E = 0.5 * LOG2_E


@jit(fastmath=FUSED)
def _fill(
    h: np.ndarray, m: np.ndarray, tail_h: np.ndarray, tail_m: np.ndarray, t: np.ndarray
) -> None:
    """T(|h|, |m|/|h|) from the upper tails of |h| and |m|; at h = m = 0 as for h = m."""
    widest()
    for j in range(h.size):
        t[j] = 0.0
    for node in range(_SQUARES.size):
        square, weight = _SQUARES[node], _WEIGHTS[node]
        for j in range(h.size):
            x, y = abs(h[j]), abs(m[j])
            large = x if x > y else y
            small = y if x > y else x
            a = small / large if large > 0.0 else 1.0
            u = 1.0 + a * a * square
            t[j] += weight * a * power_of_half(_HALF_LOG2_E * large * large * u) / u
    for j in range(h.size):
        # ½[Φ(x) + Φ(y)] − Φ(x)Φ(y) in the tails p = 1 − Φ(x), r = 1 − Φ(y).
        p, r = tail_h[j], tail_m[j]
        direct = PER_2PI * t[j]
        t[j] = direct if abs(m[j]) <= abs(h[j]) else 0.5 * (p + r) - p * r - direct


@jit(fastmath=FUSED)
def normal_pairs(
    g: np.ndarray, row: np.ndarray, col: np.ndarray, q: np.ndarray, out: np.ndarray, mode: int
) -> None:
    """k = Φ₂(h, k; ρ); numbers: a = 1+|w|², h = b/√a, Φ(h), b. Also the derivative in the row's offset b.

    A = q e^{−(h²+m²)/2}/(2π√Δ), Δ = ab − C²; B = −Σ [q φ(h)Φ(m) h/a + A C/a].
    """
    n = q.size
    h, k, m, low = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    rest = np.empty(n)
    tail_h, tail_k, tail_m, tail_l = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    t_h, t_k = np.empty(n), np.empty(n)
    for j in range(n):
        k[j] = col[1, j]
        tail_k[j] = normal_below(-abs(k[j]))
    for i in range(g.shape[0]):
        a, own_h, below, offset = row[0, i], row[1, i], row[2, i], row[3, i]
        own_tail = normal_below(-abs(own_h))
        density = math.exp(-0.5 * own_h * own_h) / math.sqrt(2.0 * math.pi)
        for j in range(n):
            other = col[0, j]
            least = a + other - 1.0
            delta = a * other - g[i, j] * g[i, j]
            rest[j] = math.sqrt(least if delta < least else delta)
            h[j] = own_h
            tail_h[j] = own_tail
            m[j] = (a * col[3, j] - g[i, j] * offset) / (math.sqrt(a) * rest[j])
            low[j] = (other * offset - g[i, j] * col[3, j]) / (math.sqrt(other) * rest[j])
            if own_h == 0.0 and k[j] == 0.0:
                # Both offsets vanish: the limit h = k -> 0, where m/h = l/k = √(1−ρ)/√(1+ρ).
                root = math.sqrt(a * other)
                h[j] = 1e-100
                m[j] = 1e-100 * (root - g[i, j]) / rest[j]
                low[j] = m[j]
        for j in range(n):
            tail_m[j] = normal_below(-abs(m[j]))
            tail_l[j] = normal_below(-abs(low[j]))
        _fill(h, m, tail_h, tail_m, t_h)
        for j in range(n):
            h[j] = 1e-100 if (own_h == 0.0 and k[j] == 0.0) else k[j]
        _fill(h, low, tail_k, tail_l, t_k)
        s, b, e = 0.0, 0.0, 0.0
        for j in range(n):
            sign_h = -1.0 if own_h < 0.0 else 1.0
            sign_k = -1.0 if k[j] < 0.0 else 1.0
            sign_m = -1.0 if m[j] < 0.0 else 1.0
            sign_l = -1.0 if low[j] < 0.0 else 1.0
            value = 0.5 * (below + col[2, j])
            value -= sign_h * sign_m * t_h[j] + sign_k * sign_l * t_k[j]
            value -= 0.5 if sign_h != sign_k else 0.0
            slope = q[j] * PER_2PI * math.exp(-0.5 * (own_h * own_h + m[j] * m[j])) / rest[j]
            pull = q[j] * density * (tail_m[j] if m[j] < 0.0 else 1.0 - tail_m[j])
            s += q[j] * value
            e += pull
            b -= (pull * own_h + slope * g[i, j]) / a
            g[i, j] = q[j] * value if mode == 2 else slope
        out[0, i] += s
        out[1, i] += b
        out[2, i] += e / math.sqrt(a)
