r"""Scalar functions without branches, that a loop can vectorise: exponential, logarithm, arc cosine, error function.

numba's own ``math.exp`` is a library call of some 6 ns an element that keeps a loop scalar. Here

.. math:: e^x = 2^k e^r, \quad k = \mathrm{round}(x/\log 2), \quad |r| \le \tfrac12\log 2; \qquad
          2^{-t} = 2^{-k}\,2^{r}, \quad |r| \le \tfrac12; \qquad
          \arcsin x = x + x^3 P(x^2), \quad |x| \le \tfrac12

with the Taylor polynomial of degree 13 for :math:`e^r` (remainder below :math:`5\cdot10^{-18}`), about 1 ns an element,
and polynomials at Chebyshev points, computed with 60 digits, for the others (relative errors 2e-19 and 2e-17).
Measured against long doubles: 1 unit in the last place. NaN stays NaN; overflow gives inf, underflow 0.

Callers compile with ``fastmath=FUSED`` and call these inside plain loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.kernels.jit import FUSED, jit

SUBNORMAL = 2.2250738585072014e-308
"""The smallest normal number."""
ROOT_HALF = 0.7071067811865476
PER_ROOT_2PI = 0.3989422804014327
"""1/√(2π)."""
PER_2PI = 0.5 / math.pi
LOG2_E = 1.4426950408889634
# log 2 = high + low, high with 33 bits, so that k * high is exact for every |k| < 2^11.
_LOG2_HIGH = 6.93147180369123816490e-01
_LOG2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer and leaves it, two's complement, in the low bits of the number.
_ROUNDER = 6755399441055744.0
_ROUNDER_BITS = 0x4338000000000000
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
# Beyond these the result is inf, or 0.
_HIGHEST = 710.0
_LOWEST = -746.0
_NOTHING_BELOW = -709.1
# Another number than LOG2_E, so that no compiler shares one rounded product between two sums: each is fused.
_ABOUT_LOG2_E = 1.442695041
_LOG2_E_REST = 2.0355273740931033e-17
_HALF_PI = 0.5 * math.pi


@jit(fastmath=FUSED)
def exponential(x: float) -> float:
    """exp(x)."""
    # Comparisons with NaN are false, so NaN passes both.
    x = _HIGHEST if x > _HIGHEST else x
    x = _LOWEST if x < _LOWEST else x
    rounded = x * LOG2_E + _ROUNDER
    k = np.float64(rounded).view(np.int64) - _ROUNDER_BITS
    n = rounded - _ROUNDER
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    p = 1.0 + r * (1.0 + r * _tail(r))
    # 2^k in two factors: each is a normal number although 2^k may be subnormal, or overflow.
    half = k >> 1
    return p * _power_of_two(half) * _power_of_two(k - half)


@jit(fastmath=FUSED)
def exponential_and_less_one(x: float) -> tuple[float, float]:
    """exp(x) and exp(x) - 1 for x <= 0, without cancellation near 0: 2^k (e^r - 1) + (2^k - 1)."""
    x = -708.0 if x < -708.0 else x
    rounded = x * LOG2_E + _ROUNDER
    k = np.float64(rounded).view(np.int64) - _ROUNDER_BITS
    n = rounded - _ROUNDER
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    scale = _power_of_two(k)
    part = scale * (r * (1.0 + r * _tail(r)))
    return scale + part, part + (scale - 1.0)


@jit(fastmath=FUSED)
def exponential_parts(x: float) -> tuple[float, float, float]:
    r"""(s, q, p) with e^x = s (q + p)/(q - p) for x <= 0, where a division comes anyway: s = 2^k, p/q = tanh(r/2).

    With x = (k + t) log 2 and |t| <= 1/2, p = t P(t^2) and q = Q(t^2), both of degree 2, agree with the hyperbolic
    tangent to 1.6e-18. Below e^-709 s is 0. Half the work of the exponential.
    """
    y = _NOTHING_BELOW if x < _NOTHING_BELOW else x
    # The low bits of this number are k + 1023: shifted left by 52 they are the exponent of 2^k.
    rounded = y * _ABOUT_LOG2_E + (_ROUNDER + 1023.0)
    s = np.int64(np.float64(rounded).view(np.int64) << 52).view(np.float64)
    t = y * LOG2_E - (rounded - (_ROUNDER + 1023.0)) + y * _LOG2_E_REST
    u = t * t
    p = ((0.023094399453830353 * u + 20.2016706494636) * u + 1513.860750670445) * t
    q = (u + 233.1777519752325) * u + 4368.078795177389
    return s, q, p


@jit(fastmath=FUSED)
def power_of_half(t: float) -> float:
    """2^{-t} for t >= 0; below 2^-1021 the answer stays 2^-1021, which no sum notices."""
    # The comparison is false for NaN, which thus passes.
    x = -1021.0 if t > 1021.0 else -t
    rounded = x + _ROUNDER
    r = x - (rounded - _ROUNDER)
    p = 2.5729324177362305e-11
    p = p * r + 4.4558179083360645e-10
    p = p * r + 7.0548973041554995e-09
    p = p * r + 1.0178057087733941e-07
    p = p * r + 1.3215486808705563e-06
    p = p * r + 1.5252733841556773e-05
    p = p * r + 1.5403530393370734e-04
    p = p * r + 1.333355814640647e-03
    p = p * r + 9.61812910762848e-03
    p = p * r + 5.5504108664821625e-02
    p = p * r + 2.4022650695910072e-01
    p = p * r + 6.931471805599453e-01
    p = p * r + 1.0
    # Shifted left by 52, the integer adds k to the exponent of p.
    bits = np.float64(p).view(np.int64) + (np.float64(rounded).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@jit(fastmath=FUSED)
def logarithm(x: float) -> float:
    r"""log x of a normal positive number, branch-free: 2^k (1 + t) with 1 + t in [√½, √2).

    log(1 + t) = t − t²/2 + t³P(t), P interpolating at the Chebyshev points, remainder below 4e-17; a division, as the
    faster series of artanh needs it, costs as much as sixteen products. Measured error: 1 unit in the last place.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - _ROOT_HALF_BITS) >> 52
    t = np.int64(bits - (k << 52)).view(np.float64) - 1.0
    n = np.float64(k)
    p = 0.027053075892336406
    p = p * t - 0.05959173018943104
    p = p * t + 0.06362025303018654
    p = p * t - 0.05635857394607171
    p = p * t + 0.05706613674459082
    p = p * t - 0.06213325491398715
    p = p * t + 0.06680348247882924
    p = p * t - 0.07146922611081985
    p = p * t + 0.07691741139835176
    p = p * t - 0.08333110642999564
    p = p * t + 0.09090921076038966
    p = p * t - 0.10000006590426393
    p = p * t + 0.11111111008787179
    p = p * t - 0.12499999898432576
    p = p * t + 0.14285714285634818
    p = p * t - 0.16666666667365992
    p = p * t + 0.20000000000003482
    p = p * t - 0.24999999999998596
    p = p * t + 0.3333333333333333
    q = t * t
    return n * _LOG2_HIGH + (n * _LOG2_LOW + (t + q * (t * p - 0.5)))


@jit(fastmath=FUSED)
def log_one_plus(u: float, v: float) -> float:
    """log(1 + u/v) for 0 <= u <= v, as 2 artanh(s) = 2 s (1 + s^2 P(s^2)), s = u/(2v + u) <= 1/3."""
    s = u / (2.0 * v + u)
    q = s * s
    p = 0.08082022805971766
    p = p * q + 0.04400369243072337
    p = p * q + 0.06000536404795356
    p = p * q + 0.06657072104827468
    p = p * q + 0.07692785032479312
    p = p * q + 0.09090894718066429
    p = p * q + 0.11111111358713932
    p = p * q + 0.1428571428355438
    p = p * q + 0.20000000000007292
    p = p * q + 0.3333333333333333
    return 2.0 * s * (1.0 + q * p)


@jit(fastmath=FUSED)
def arc_cosine(c: float) -> float:
    """arccos c for -1 <= c <= 1, from arcsin of c or of sqrt((1 - |c|)/2)."""
    a = abs(c)
    far = a > 0.5
    z = 0.5 * (1.0 - a) if far else a * a
    x = math.sqrt(z)
    p = 0.028757851367421566
    p = p * z - 0.014851887071247204
    p = p * z + 0.01740087944269402
    p = p * z + 0.005457506718640358
    p = p * z + 0.01032281435018578
    p = p * z + 0.011479177415184906
    p = p * z + 0.013971212973552933
    p = p * z + 0.017352392720869973
    p = p * z + 0.02237217294214989
    p = p * z + 0.030381944138531247
    p = p * z + 0.04464285714635543
    p = p * z + 0.07499999999998433
    p = p * z + 0.16666666666666669
    s = x + x * z * p
    acute = 2.0 * s if far else _HALF_PI - s
    return math.pi - acute if c < 0.0 else acute


@jit(fastmath=FUSED, inline="always")  # too long for the compiler to do it by itself
def error_function(x: float) -> tuple[float, float]:
    r"""(erf x, e^{-x^2}) for x >= 0, branch-free, erf x to 2 units in the last place.

    Up to 1 it is x A(x^2), beyond 1 - e^{-x^2} B(x)/C(x), of degrees 11 and 6 to 7: remainders below 1e-17 and 8e-19.
    """
    s, q, p = exponential_parts(-x * x)
    y = 6.0 if x > 6.0 else x
    u = y * y
    a = -7.795898827002142e-10
    a = a * u + 1.3720064546777686e-08
    a = a * u + -1.6208483801871705e-07
    a = a * u + 1.6447424703317362e-06
    a = a * u + -1.492473690741966e-05
    a = a * u + 0.00012055294904839707
    a = a * u + -0.0008548325975389692
    a = a * u + 0.0052239776071164225
    a = a * u + -0.02686617064323777
    a = a * u + 0.11283791670945006
    a = a * u + -0.37612638903183543
    a = a * u + 1.1283791670955126
    b = 0.5641899472365056
    b = b * y + 6.594897232360765
    b = b * y + 36.891128170178966
    b = b * y + 123.57210824938363
    b = b * y + 260.55437524821417
    b = b * y + 331.0881281351448
    b = b * y + 207.76776045471522
    c = y + 11.689177526979513
    c = c * y + 65.88729778713486
    c = c * y + 224.87706528997379
    c = c * y + 493.9545630378594
    c = c * y + 690.9175542657442
    c = c * y + 565.5289699749861
    c = c * y + 207.76775745622356
    e = s * (q + p)
    r = 1.0 / ((q - p) * c)
    near, far = y * a, 1.0 - e * b * r
    return near if x < 1.0 else far, e * c * r


@jit(fastmath=FUSED)
def normal_below(x: float) -> float:
    """Φ(x), the share of a standard normal law below x, by the library's function: a loop over it stays scalar."""
    return 0.5 * math.erfc(-x * ROOT_HALF)


@jit(fastmath=FUSED)
def _tail(r: float) -> float:
    """(e^r - 1 - r)/r^2 = 1/2! + r/3! + ... + r^11/13!."""
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    return p * r + 0.5


@jit(fastmath=FUSED)
def _power_of_two(k: Any) -> float:
    """2^k for -1022 <= k <= 1023, written into the exponent bits."""
    return np.int64((k + 1023) << 52).view(np.float64)
