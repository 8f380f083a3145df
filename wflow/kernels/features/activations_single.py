r"""The maps of :mod:`wflow.kernels.features.activations` in float32.

.. math:: |\tilde\sigma(z) - \sigma(z)| \le 4u\,\bigl(1 + |\sigma(z)|\bigr), \qquad
          |\tilde\sigma'(z) - \sigma'(z)| \le 4u\,\bigl(1 + |\sigma'(z)|\bigr), \qquad u = 2^{-24}

for every z in float32; :math:`e^{-z}` is taken within :math:`8u` of itself. Exponentials stop at e^-87, where float32
has no smaller normal number. Polynomials interpolate at Chebyshev points; their remainders are below u/4.

A user's own pair is computed in float64 and rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from wflow.kernels.features.activations import ActivationMap, compiled
from wflow.kernels.jit import FUSED, jit, widest

VECTOR = types.Array(types.float32, 1, "C")
SINGLE_SIGNATURE = types.void(VECTOR, VECTOR, VECTOR, VECTOR)
F = np.float32
# Literals are float64 to numba, and would draw everything with them.
_ZERO, _ONE, _TWO, _FOUR = F(0.0), F(1.0), F(2.0), F(4.0)
_LOWEST, _HIGHEST = F(-87.0), F(88.8)
_LOG2_E, _LOG2_HIGH, _LOG2_LOW = F(1.4426950408889634), F(0.693359375), F(-2.12194440e-4)
# Adding 1.5 * 2^23 + 127 rounds to an integer k and leaves k + 127 in the low bits: shifted, the exponent of 2^k.
_ROUNDER = F(12582912.0 + 127.0)
_EXPM1 = tuple(
    map(F, (0.0013934541926887319, 0.008369869753991505, 0.041666456809698764, 0.1666649869853376))
)
_ERF = tuple(
    map(
        F,
        (
            7.875875111754535e-05, -0.0008016864301591144, 0.005189087425017241, -0.026854212011422674,
            0.11283594715178236, -0.3761262666672187, 1.128379165848351,
        ),
    )
)  # fmt: skip
_ERFCX = tuple(
    map(
        F,
        (
            -3.5778214301657285, -1.6024513801100821, 6.314066980372324, 0.8594669445325205,
            1.3141740722454636, 0.5481394131210593, 0.0005698347034978068,
        ),
    )
)  # fmt: skip
_LOG = tuple(
    map(F, (0.11612164199047825, 0.10853288016094924, 0.14296178985846794, 0.19999853166400605))
)
_THIRD, _HALF, _ERF_SLOPE = F(0.3333333366025891), F(0.5), F(1.1283791670955126)


class SingleMap(ActivationMap):
    """A compiled map of float32 vectors."""

    _numba_type_ = types.FunctionType(SINGLE_SIGNATURE)

    def signature(self) -> Any:
        return SINGLE_SIGNATURE


def single_map(kernel: Callable[..., None]) -> SingleMap:
    """Decorator: make a loop over (z, params, value, derivative) a map."""
    return SingleMap(jit(kernel, fastmath=FUSED))


@cache
def single_map_from_scalars(value: Any, derivative: Any) -> SingleMap:
    """A map from two scalar functions, which are given z in float64; compiled once a process."""
    sigma, slope = compiled(value), compiled(derivative)

    def both(z: np.ndarray, params: np.ndarray, out: np.ndarray, out_slope: np.ndarray) -> None:
        for i in range(z.size):
            x = np.float64(z[i])
            out[i] = sigma(x)
            out_slope[i] = slope(x)

    return SingleMap(jit(both, cache=False))


@jit(fastmath=FUSED, inline="always")
def _scale_and_rest(x: Any) -> tuple[Any, Any]:
    """(s, p) with e^x = s (1 + p), s a power of two, for -87 <= x <= 88; a smaller x is taken for -87."""
    x = _LOWEST if x < _LOWEST else x
    rounded = x * _LOG2_E + _ROUNDER
    s = np.int32(np.float32(rounded).view(np.int32) << 23).view(np.float32)
    n = rounded - _ROUNDER
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    p = _EXPM1[0]
    p = p * r + _EXPM1[1]
    p = p * r + _EXPM1[2]
    p = p * r + _EXPM1[3]
    p = p * r + _HALF
    return s, r + r * r * p


@single_map
def identity(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = z."""
    for i in range(z.size):
        value[i] = z[i]
        derivative[i] = _ONE


@single_map
def zero(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = 0."""
    for i in range(z.size):
        value[i] = _ZERO
        derivative[i] = _ZERO


@single_map
def relu(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = max(z, 0); the slope at 0 is the left one, 0."""
    widest()
    for i in range(z.size):
        off = z[i] <= _ZERO
        value[i] = _ZERO if off else z[i]
        derivative[i] = _ZERO if off else _ONE


@single_map
def sigmoid(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = 1/(1 + e^{−z}), from m = σ(−|z|); σ' = m (1 − m)."""
    widest()
    for i in range(z.size):
        s, p = _scale_and_rest(-abs(z[i]))
        e = s + s * p
        r = _ONE / (_ONE + e)
        m = e * r
        value[i] = m if z[i] < _ZERO else r
        derivative[i] = m * r


@single_map
def tanh(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = tanh z = (1 − e)/(1 + e) for z ≥ 0, with e = e^{−2z}; σ' = 4 e/(1 + e)²."""
    widest()
    for i in range(z.size):
        s, p = _scale_and_rest(-_TWO * abs(z[i]))
        q = s * p
        r = _ONE / ((_ONE + s) + q)
        # Not 1 - (s + q), which cancels near 0.
        t = ((_ONE - s) - q) * r
        value[i] = -t if z[i] < _ZERO else t
        derivative[i] = _FOUR * (s + q) * r * r


@single_map
def softplus(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = max(z, 0) + log(1 + e), e = e^{−|z|}, with log(1 + e) = 2 artanh(e/(2 + e))."""
    widest()
    for i in range(z.size):
        s, p = _scale_and_rest(-abs(z[i]))
        e = s + s * p
        r = _ONE / (_ONE + e)
        t = e / (_TWO + e)
        q = t * t
        c = _LOG[0]
        c = c * q + _LOG[1]
        c = c * q + _LOG[2]
        c = c * q + _LOG[3]
        c = c * q + _THIRD
        value[i] = (_ZERO if z[i] < _ZERO else z[i]) + _TWO * (t + t * (q * c))
        derivative[i] = e * r if z[i] < _ZERO else r


@single_map
def gaussian_rbf(
    z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """σ(z) = e^{−z}; what overflows is infinite."""
    widest()
    for i in range(z.size):
        x = -z[i]
        x = _HIGHEST if x > _HIGHEST else x
        # As a square: s alone overflows before e does.
        s, p = _scale_and_rest(_HALF * x)
        root = s + s * p
        e = root * root
        value[i] = e
        derivative[i] = -e


@single_map
def erf(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = erf z: z A(z²) up to 1, beyond it 1 − e^{−z²} B(1/(2 + z))."""
    widest()
    for i in range(z.size):
        x = abs(z[i])
        u = x * x
        s, p = _scale_and_rest(-u)
        e = s + s * p
        a = _ERF[0]
        a = a * u + _ERF[1]
        a = a * u + _ERF[2]
        a = a * u + _ERF[3]
        a = a * u + _ERF[4]
        a = a * u + _ERF[5]
        a = a * u + _ERF[6]
        t = _ONE / (_TWO + x)
        b = _ERFCX[0]
        b = b * t + _ERFCX[1]
        b = b * t + _ERFCX[2]
        b = b * t + _ERFCX[3]
        b = b * t + _ERFCX[4]
        b = b * t + _ERFCX[5]
        b = b * t + _ERFCX[6]
        v = x * a if x < _ONE else _ONE - e * b
        value[i] = -v if z[i] < _ZERO else v
        derivative[i] = _ERF_SLOPE * e


@single_map
def piecewise_linear(
    z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """σ through the knots, as in float64."""
    n = z.size
    pieces = (params.size - 1) // 3
    for i in range(n):
        value[i] = params[0]
        derivative[i] = _ZERO
    for j in range(pieces):
        low, high, slope = params[3 * j + 1], params[3 * j + 2], params[3 * j + 3]
        for i in range(n):
            t = low if z[i] < low else z[i]
            t = high if z[i] > high else t
            value[i] += slope * (t - low)
            derivative[i] += slope if (z[i] > low) & (z[i] <= high) else _ZERO
