"""What a Fourier transform needs to multiply cosine coefficients: see :mod:`wflow.measures.cosines`."""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.axes import Triple
from wflow.kernels.jit import FUSED, jit


@jit(apart=True)
def gather(
    values: np.ndarray,
    order: tuple[np.ndarray, np.ndarray],
    first: int,
    last: int,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Bring into the ``order`` (rows, columns) of the transform, and sum every row."""
    rows, columns = order
    for i in range(first, last):
        part = 0.0
        for k in range(columns.size):
            x = values[rows[i], columns[k]]
            out[i, k] = x
            part += x
        sums[i] = part


@jit(apart=True)
def scatter(
    values: np.ndarray,
    order: tuple[np.ndarray, np.ndarray],
    least: float,
    first: int,
    last: int,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Put back in order, nothing below ``least``, and sum every row."""
    rows, columns = order
    for i in range(first, last):
        part = 0.0
        for k in range(columns.size):
            x = max(values[i, k], least)
            out[rows[i], columns[k]] = x
            part += x
        sums[i] = part


@jit(fastmath=FUSED)
def multiply(v: np.ndarray, a: Triple, c: Triple, part: tuple[int, int, int, int]) -> None:
    """Every orbit (±k0, ±k1) of rows at once; along the last axis V_{−k} is the conjugate at −k0, −k1."""
    (a0, a1, a2), (c0, c1, c2) = a, c
    n0, n1, half = v.shape
    for i in range(part[0], part[1]):
        back = (n0 - i) % n0
        for j in range(part[2], part[3]):
            left = (n1 - j) % n1
            near, far = a0[i], c0[i]
            along, across = a1[j], c1[j]
            if i == back:
                # The row is its own mirror along this axis.
                own = near + far.real
                p, q = v[i, j], v[i, left]
                for k in range(half):
                    x, y = p[k], q[k]
                    x1 = a2[k] * x + c2[k] * np.conj(y)
                    y1 = a2[k] * y + c2[k] * np.conj(x)
                    p[k] = own * (along * x1 + across * y1)
                    q[k] = own * (along * y1 + np.conj(across) * x1)
                continue
            p, q, r, s = v[i, j], v[i, left], v[back, j], v[back, left]
            for k in range(half):
                x, y, z, w = p[k], q[k], r[k], s[k]
                x1 = a2[k] * x + c2[k] * np.conj(w)
                y1 = a2[k] * y + c2[k] * np.conj(z)
                z1 = a2[k] * z + c2[k] * np.conj(y)
                w1 = a2[k] * w + c2[k] * np.conj(x)
                x2 = along * x1 + across * y1
                y2 = along * y1 + np.conj(across) * x1
                z2 = along * z1 + across * w1
                w2 = along * w1 + np.conj(across) * z1
                p[k] = near * x2 + far * z2
                q[k] = near * y2 + far * w2
                r[k] = near * z2 + np.conj(far) * x2
                s[k] = near * w2 + np.conj(far) * y2
