r"""Branch-free scalar functions for loops over pairs: a cheaper exponential, the arc cosine.

.. math:: 2^{-t} = 2^{-k}\,2^{r}, \quad |r| \le \tfrac12; \qquad
          \arcsin x = x + x^3 P(x^2), \quad |x| \le \tfrac12

The polynomials interpolate at Chebyshev points (computed with 60 digits); their relative errors, 2e-19 and 2e-17,
vanish in the rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from wflow.kernels.jit import FUSED, jit

_ROUNDER = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, left in the low bits
_HALF_PI = 0.5 * math.pi


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


def _wide(typingctx: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows a fixed list of attributes; LLVM takes any quoted pair.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


wide_vectors: Any = intrinsic(_wide)
"""Called in a kernel: its loops may use 512-bit registers where there are any (compilers prefer 256)."""
