r"""Sums of Gaussians over pairs in one, two and three dimensions, no n×m array.

.. math:: S_i = \sum_j q_j 2^{-|x_i - y_j|^2}, \qquad
          T_i = \sum_j q_j 2^{-|x_i - y_j|^2}\,(x_i - y_j)

Coordinates lie in separate vectors, scaled so that powers of two serve, and the loop over j is a vector loop: a
difference and a square a coordinate, one polynomial, one sum a coordinate. Columns come in blocks that stay in
the first-level cache. Differences are taken before squares: nothing cancels far from the origin.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import REORDERED, jit, widest
from wflow.kernels.parallel import over_blocks
from wflow.kernels.scalars import power_of_half

ROWS = 256
COLUMNS = 1024


def gaussian_sums(
    at: np.ndarray,
    points: np.ndarray,
    charges: np.ndarray,
    gradients: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """S (m,) and T (m, D), the latter empty unless asked for, from scaled coordinates (m, D), (n, D), D <= 3."""
    m, d = at.shape
    x, y = np.ascontiguousarray(at.T), np.ascontiguousarray(points.T)
    out = np.zeros((1 + d if gradients else 1, m))
    kernel = (_MOMENTS if gradients else _VALUES)[d - 1]

    def work(start: int, stop: int) -> None:
        kernel(x, y, charges, out, start, stop)

    over_blocks(work, m, ROWS, m * points.shape[0])
    return out[0], np.ascontiguousarray(out[1:].T)


@jit(fastmath=REORDERED)
def _values_1(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        y0, c = y[0, begin : begin + COLUMNS], q[begin : begin + COLUMNS]
        for i in range(start, stop):
            x0, s = x[0, i], 0.0
            for j in range(c.size):
                a = x0 - y0[j]
                s += c[j] * power_of_half(a * a)
            out[0, i] += s


@jit(fastmath=REORDERED)
def _moments_1(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        y0, c = y[0, begin : begin + COLUMNS], q[begin : begin + COLUMNS]
        for i in range(start, stop):
            x0, s, t0 = x[0, i], 0.0, 0.0
            for j in range(c.size):
                a = x0 - y0[j]
                k = c[j] * power_of_half(a * a)
                s += k
                t0 += k * a
            out[0, i] += s
            out[1, i] += t0


@jit(fastmath=REORDERED)
def _values_2(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        end = begin + COLUMNS
        y0, y1, c = y[0, begin:end], y[1, begin:end], q[begin:end]
        for i in range(start, stop):
            x0, x1, s = x[0, i], x[1, i], 0.0
            for j in range(c.size):
                a, b = x0 - y0[j], x1 - y1[j]
                s += c[j] * power_of_half(a * a + b * b)
            out[0, i] += s


@jit(fastmath=REORDERED)
def _moments_2(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        end = begin + COLUMNS
        y0, y1, c = y[0, begin:end], y[1, begin:end], q[begin:end]
        for i in range(start, stop):
            x0, x1 = x[0, i], x[1, i]
            s, t0, t1 = 0.0, 0.0, 0.0
            for j in range(c.size):
                a, b = x0 - y0[j], x1 - y1[j]
                k = c[j] * power_of_half(a * a + b * b)
                s += k
                t0 += k * a
                t1 += k * b
            out[0, i] += s
            out[1, i] += t0
            out[2, i] += t1


@jit(fastmath=REORDERED)
def _values_3(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        end = begin + COLUMNS
        y0, y1, y2, c = y[0, begin:end], y[1, begin:end], y[2, begin:end], q[begin:end]
        for i in range(start, stop):
            x0, x1, x2, s = x[0, i], x[1, i], x[2, i], 0.0
            for j in range(c.size):
                a, b, d = x0 - y0[j], x1 - y1[j], x2 - y2[j]
                s += c[j] * power_of_half(a * a + b * b + d * d)
            out[0, i] += s


@jit(fastmath=REORDERED)
def _moments_3(
    x: np.ndarray, y: np.ndarray, q: np.ndarray, out: np.ndarray, start: int, stop: int
) -> None:
    widest()
    for begin in range(0, q.size, COLUMNS):
        end = begin + COLUMNS
        y0, y1, y2, c = y[0, begin:end], y[1, begin:end], y[2, begin:end], q[begin:end]
        for i in range(start, stop):
            x0, x1, x2 = x[0, i], x[1, i], x[2, i]
            s, t0, t1, t2 = 0.0, 0.0, 0.0, 0.0
            for j in range(c.size):
                a, b, d = x0 - y0[j], x1 - y1[j], x2 - y2[j]
                k = c[j] * power_of_half(a * a + b * b + d * d)
                s += k
                t0 += k * a
                t1 += k * b
                t2 += k * d
            out[0, i] += s
            out[1, i] += t0
            out[2, i] += t1
            out[3, i] += t2


_VALUES = (_values_1, _values_2, _values_3)
_MOMENTS = (_moments_1, _moments_2, _moments_3)
