"""Products of matrices that numpy has no word for: added to an array where it stands."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np


def add_product(c: np.ndarray, alpha: float, a: np.ndarray, b: np.ndarray) -> None:
    """C += α A Bᵀ of shapes (m, n), (m, k) and (n, k), float64; the interpreter is released.

    numpy would write the product first, and then read it again twice. Numbers of a row of C lie side by side.

    >>> c = np.ones((2, 3))
    >>> add_product(c, 2.0, np.array([[1.0], [2.0]]), np.array([[1.0], [0.0], [-1.0]]))
    >>> c.tolist()
    [[3.0, 1.0, -1.0], [5.0, 1.0, -3.0]]
    """
    (m, n), k = c.shape, a.shape[1]
    if m * n * k == 0:
        return
    if a.shape != (m, k) or b.shape != (n, k) or not all(x.dtype == np.float64 for x in (a, b, c)):
        raise ValueError(
            f"shapes {c.shape}, {a.shape}, {b.shape} of {c.dtype}, {a.dtype}, {b.dtype}"
        )
    if not (
        c.flags.writeable and (n == 1 or c.strides[1] == 8) and (m == 1 or c.strides[0] >= 8 * n)
    ):
        raise ValueError(f"C has strides {c.strides}: its rows must lie one after the other")
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    # BLAS thinks in columns: of rows it sees the transpose, Cᵀ += α B Aᵀ.
    numbers = (n, m, k, k, k, max(n, c.strides[0] // c.itemsize))
    at_n, at_m, at_k, of_b, of_a, of_c = (ctypes.byref(ctypes.c_int(each)) for each in numbers)
    scale, one = (ctypes.byref(ctypes.c_double(each)) for each in (alpha, 1.0))
    matrices = (b.ctypes.data, of_b, a.ctypes.data, of_a, one, c.ctypes.data, of_c)
    _gemm()(b"T", b"N", at_n, at_m, at_k, scale, *matrices)


@cache
def _gemm() -> Callable[..., None]:
    """The dgemm that scipy was built with."""
    import scipy.linalg.cython_blas  # noqa: F401
    from numba.extending import get_cython_function_address

    address = get_cython_function_address("scipy.linalg.cython_blas", "dgemm")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
