r"""Activations as maps over a vector, all with one compiled signature.

.. math:: (z, p) \mapsto \bigl(\sigma(z_i; p),\ \sigma'(z_i; p)\bigr)_i

A kernel that took a compiled function as such would be compiled anew in every process, cache or not. A map
is handed over as a first-class function instead, an address and a signature: the kernel is compiled once
for all activations, and stays in the cache on disk, also when the activation is the user's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba.experimental.function_type  # noqa: F401  teaches numba.typeof what a map is
import numpy as np
from numba import types

from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.scalars import (
    error_function,
    exponential,
    exponential_parts,
    log_one_plus,
)

VECTOR = types.Array(types.float64, 1, "C")
MAP_SIGNATURE = types.void(VECTOR, VECTOR, VECTOR, VECTOR)
MAP_TYPE = types.FunctionType(MAP_SIGNATURE)
"""The numba type of a map, for kernels that spell out their signature."""


class ActivationMap(types.WrapperAddressProtocol):
    """A compiled map: called from Python, or passed to a kernel as an argument.

    ``map(z, params, value, derivative)`` fills ``value`` and ``derivative``; all four are contiguous,
    writeable float64 vectors that do not overlap. Compiled (or read from disk) at the first use.
    """

    # Spares numba the search for it, which takes 10 microseconds at every call of a kernel.
    _numba_type_ = MAP_TYPE

    def __init__(self, kernel: Callable[..., None]) -> None:
        self.kernel = kernel
        self._address = 0
        self.noting: tuple[ActivationMap, ActivationMap] | None = None
        """Maps of z to (σ, a number) and of this number to (σ, σ'), where the latter is faster than from z."""

    def __call__(
        self, z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
    ) -> None:
        self.kernel(z, params, value, derivative)

    def __wrapper_address__(self) -> int:
        if not self._address:
            kernel: Any = self.kernel
            code: Any = types.CompileResultWAP(kernel.get_compile_result(self.signature()))
            self._address = code.address
        return self._address

    def signature(self) -> Any:
        return MAP_SIGNATURE


def activation_map(kernel: Callable[..., None]) -> ActivationMap:
    """Decorator: make a loop over (z, params, value, derivative) a map."""
    return ActivationMap(jit(kernel, fastmath=FUSED))


def compiled(scalar: Callable[[float], float]) -> Callable[[float], float]:
    """A scalar function as kernels call it."""
    if isinstance(scalar, np.ufunc):
        # numba calls ufuncs, and compiles only what is written in Python.
        ufunc = scalar

        def called(z: float) -> float:
            return float(ufunc(z))

        scalar = called
    return scalar if hasattr(scalar, "py_func") else jit(scalar, cache=False)


def map_from_scalars(
    value: Callable[[float], float], derivative: Callable[[float], float]
) -> ActivationMap:
    """A map from two scalar functions, plain or compiled; compiled once a process, never cached on disk."""
    sigma, slope = compiled(value), compiled(derivative)

    def both(z: np.ndarray, params: np.ndarray, out: np.ndarray, out_slope: np.ndarray) -> None:
        for i in range(z.size):
            out[i] = sigma(z[i])
            out_slope[i] = slope(z[i])

    return ActivationMap(jit(both, cache=False))


@activation_map
def identity(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = z."""
    for i in range(z.size):
        value[i] = z[i]
        derivative[i] = 1.0


@activation_map
def zero(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = 0."""
    for i in range(z.size):
        value[i] = 0.0
        derivative[i] = 0.0


@activation_map
def relu(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = max(z, 0); the slope at 0 is the left one, 0."""
    for i in range(z.size):
        off = z[i] <= 0.0
        value[i] = 0.0 if off else z[i]
        derivative[i] = 0.0 if off else 1.0


@activation_map
def sigmoid(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = 1/(1 + e^{−z}), from the smaller m of σ(z) and 1 − σ(z), which is σ(−|z|); σ' = m (1 − m)."""
    widest()
    for i in range(z.size):
        m = _lower_half(z[i])
        value[i] = m if z[i] < 0.0 else 1.0 - m
        derivative[i] = m * (1.0 - m)


@jit(fastmath=FUSED)
def _lower_half(z: float) -> float:
    """σ(−|z|) of the sigmoid."""
    s, q, p = exponential_parts(-abs(z))
    e = s * (q + p)
    return e / ((q - p) + e)


@activation_map
def _sigmoid_and_half(
    z: np.ndarray, params: np.ndarray, value: np.ndarray, half: np.ndarray
) -> None:
    """σ(z) and m with the sign of z."""
    widest()
    for i in range(z.size):
        m = _lower_half(z[i])
        value[i] = m if z[i] < 0.0 else 1.0 - m
        half[i] = -m if z[i] < 0.0 else m


@activation_map
def _sigmoid_of_half(
    half: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """The bits of sigmoid, from m and its sign, which a zero has too."""
    widest()
    for i in range(half.size):
        m = abs(half[i])
        value[i] = m if np.float64(half[i]).view(np.int64) < 0 else 1.0 - m
        derivative[i] = m * (1.0 - m)


sigmoid.noting = _sigmoid_and_half, _sigmoid_of_half


@activation_map
def tanh(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = tanh z = (1 − e)/(1 + e) for z ≥ 0, with e = e^{−2z}; σ' = 4 m (1 − m), m = e/(1 + e)."""
    widest()
    for i in range(z.size):
        s, q, p = exponential_parts(-2.0 * abs(z[i]))
        e = s * (q + p)
        r = 1.0 / ((q - p) + e)
        m = e * r
        # Not (q - p) - e, which cancels near 0.
        t = ((1.0 - s) * q - (1.0 + s) * p) * r
        value[i] = -t if z[i] < 0.0 else t
        derivative[i] = 4.0 * m * (1.0 - m)


@activation_map
def softplus(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = log(1 + e^z) = max(z, 0) + log(1 + e^{−|z|})."""
    widest()
    for i in range(z.size):
        s, q, p = exponential_parts(-abs(z[i]))
        e = s * (q + p)
        m = e / ((q - p) + e)
        value[i] = (0.0 if z[i] < 0.0 else z[i]) + log_one_plus(e, q - p)
        derivative[i] = m if z[i] < 0.0 else 1.0 - m


@activation_map
def gaussian_rbf(
    z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """σ(z) = e^{−z}, of z = |x − y|²/(2v)."""
    widest()
    for i in range(z.size):
        e = exponential(-z[i])
        value[i] = e
        derivative[i] = -e


@activation_map
def erf(z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray) -> None:
    """σ(z) = erf z = 2π^{−1/2} ∫₀^z e^{−t²} dt."""
    widest()
    for i in range(z.size):
        x, e = error_function(abs(z[i]))
        value[i] = -x if z[i] < 0.0 else x
        derivative[i] = 1.1283791670955126 * e


@activation_map
def piecewise_linear(
    z: np.ndarray, params: np.ndarray, value: np.ndarray, derivative: np.ndarray
) -> None:
    """σ through the knots (k_j, v_j), constant outside, as v_0 + Σ_j m_j (clip(z, k_j, k_{j+1}) − k_j).

    ``params`` holds v_0, then k_j, k_{j+1}, m_j for each piece. At a knot the slope is the left one.
    """
    n = z.size
    pieces = (params.size - 1) // 3
    low, high, slope = params[1], params[2], params[3]
    for i in range(n):
        t = low if z[i] < low else z[i]
        t = high if z[i] > high else t
        value[i] = params[0] + slope * (t - low)
        derivative[i] = slope if (z[i] > low) & (z[i] <= high) else 0.0
    for j in range(1, pieces):
        low, high, slope = params[3 * j + 1], params[3 * j + 2], params[3 * j + 3]
        for i in range(n):
            t = low if z[i] < low else z[i]
            t = high if z[i] > high else t
            value[i] += slope * (t - low)
            derivative[i] += slope if (z[i] > low) & (z[i] <= high) else 0.0
