r"""Activations in the array operations that NumPy and CuPy share: :math:`\sigma(z)` and :math:`\sigma'(z)`.

Each is the formula of :mod:`wflow.kernels.features.activations`, which compiles it for the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wflow.energies.features.activations import Activation
from wflow.errors import InputError

Unit = Callable[[Any], Any]


def rows_within(room: int, each: int) -> int:
    """The largest power of two of rows of so many bytes that fit the room, at least 1.

    >>> rows_within(1000, 100), rows_within(1, 100)
    (8, 1)
    """
    return 1 << (max(int(room) // max(1, each), 1).bit_length() - 1)


class Arrays(NamedTuple):
    """Where arrays are worked on: the namespace, its special functions, and what of its memory is free."""

    xp: Any
    special: Any
    free: Callable[[], int]
    """Bytes."""
    fused: Callable[[Callable[..., Any]], Callable[..., Any]]
    """Makes one kernel of a function of arrays, where the namespace can."""

    def to_host(self, array: Any) -> np.ndarray:
        """The array in float64, in the memory of the host."""
        host = array.get() if hasattr(array, "get") else array
        return np.asarray(host, dtype=np.float64)


def array_units(activation: Activation, arrays: Arrays, evaluator: str) -> tuple[Unit, Unit]:
    """σ and σ' as functions of arrays.

    Raises
    ------
    InputError
        for the user's own pair of scalar functions, which are compiled for the processor alone
    """
    if activation.functions is not None:
        raise InputError(
            f"evaluator '{evaluator}' cannot run the activation {activation.name}, a pair of your own: take "
            "piecewise_linear, a name, or evaluator='auto'"
        )
    xp = arrays.xp
    if activation.name.startswith("piecewise-linear"):
        return _through_pieces(xp, np.asarray(activation.params))
    return _named(arrays)[activation.name]


def _named(arrays: Arrays) -> dict[str, tuple[Unit, Unit]]:
    xp, erf = arrays.xp, arrays.special.erf

    def nothing(z: Any) -> Any:
        return _zeros(xp, z)

    def sigmoid(z: Any) -> Any:
        # exp of no positive number: nothing overflows, and both ends keep their digits.
        e = xp.exp(-xp.abs(z))
        return xp.where(z < 0, e, 1.0) / (1.0 + e)

    def sigmoid_slope(z: Any) -> Any:
        e = xp.exp(-xp.abs(z))
        return e / ((1.0 + e) * (1.0 + e))

    def tanh_slope(z: Any) -> Any:
        # 1 − tanh² loses its digits far out.
        e = xp.exp(-2.0 * xp.abs(z))
        return 4.0 * e / ((1.0 + e) * (1.0 + e))

    return {
        "erf": (erf, lambda z: (2.0 / math.sqrt(math.pi)) * xp.exp(-z * z)),
        "gaussian-rbf": (lambda z: xp.exp(-z), lambda z: -xp.exp(-z)),
        "identity": (lambda z: z, lambda z: xp.where(z == z, 1.0, z)),
        "relu": (
            lambda z: xp.where(z <= 0, 0.0, z),
            lambda z: xp.where(z <= 0, 0.0, xp.where(z == z, 1.0, z)),
        ),
        "sigmoid": (sigmoid, sigmoid_slope),
        "softplus": (lambda z: xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z))), sigmoid),
        "tanh": (xp.tanh, tanh_slope),
        "zero": (nothing, nothing),
    }


def _zeros(xp: Any, z: Any) -> Any:
    """0 in the precision of z, at infinity too; what is no number stays none."""
    return xp.where(z == z, 0.0, z)


def _through_pieces(xp: Any, params: np.ndarray) -> tuple[Unit, Unit]:
    """v_0 + Σ_j m_j (clip(z, k_j, k_{j+1}) − k_j); at a knot the slope is the left one."""
    start, pieces = float(params[0]), params[1:].reshape(-1, 3).tolist()

    def value(z: Any) -> Any:
        total = start + _zeros(xp, z)
        for low, high, slope in pieces:
            total = total + slope * (xp.minimum(xp.maximum(z, low), high) - low)
        return total

    def derivative(z: Any) -> Any:
        found = _zeros(xp, z)
        for low, high, slope in pieces:
            # Not a sum of choices between two numbers, which would be float64.
            found = xp.where((z > low) & (z <= high), slope, found)
        return found

    return value, derivative
