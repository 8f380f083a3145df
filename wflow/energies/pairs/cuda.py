r"""Sums of Gaussians over pairs on a graphics card, as one kernel of CUDA in one, two and three dimensions.

.. math:: S_i = \sum_j q_j 2^{-|x_i - y_j|^2}, \qquad T_i = \sum_j q_j 2^{-|x_i - y_j|^2}\,(x_i - y_j)

These are the sums of :mod:`wflow.kernels.pairs.gaussian`, with its polynomial for :math:`2^{-t}`, |r| ≤ 1/2: some 25
instructions a pair, where the library's ``exp`` alone takes as many. A thread holds ROWS rows in registers, a block
reads TILE columns into shared memory; columns are split over blocks besides, so that few rows fill a card too, and
each part has its own place: no atomic sums, one order, the same bits. Sums of a tile are added in double precision.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

THREADS, ROWS, TILE = 128, 2, 128
SPAN = 4096
"""Columns of a block; a multiple of TILE."""

SOURCE = r"""
#if SINGLE
typedef float T;
__device__ __forceinline__ T power_of_half(T t) { return exp2f(-t); }
#else
typedef double T;
__device__ __forceinline__ T power_of_half(T t) {
  const double x = t > 1021.0 ? -1021.0 : -t;
  const double rounded = x + 6755399441055744.0;
  const double r = x - (rounded - 6755399441055744.0);
  double p = 2.5729324177362305e-11;
  p = fma(p, r, 4.4558179083360645e-10);
  p = fma(p, r, 7.0548973041554995e-09);
  p = fma(p, r, 1.0178057087733941e-07);
  p = fma(p, r, 1.3215486808705563e-06);
  p = fma(p, r, 1.5252733841556773e-05);
  p = fma(p, r, 1.5403530393370734e-04);
  p = fma(p, r, 1.333355814640647e-03);
  p = fma(p, r, 9.61812910762848e-03);
  p = fma(p, r, 5.5504108664821625e-02);
  p = fma(p, r, 2.4022650695910072e-01);
  p = fma(p, r, 6.931471805599453e-01);
  p = fma(p, r, 1.0);
  return __longlong_as_double(
      __double_as_longlong(p) + (long long)((unsigned long long)__double_as_longlong(rounded) << 52));
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS) gaussian_sums(
    const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ q, double* __restrict__ out,
    const long long m, const long long n) {
  __shared__ T column[TILE][D + 1];
  const long long first = (long long)blockIdx.x * (THREADS * ROWS) + threadIdx.x;
  const long long begin = (long long)blockIdx.y * SPAN;
  const long long end = begin + SPAN < n ? begin + SPAN : n;
  T row[ROWS][D];
  double total[ROWS][PARTS];
  for (int r = 0; r < ROWS; r++) {
    const long long i = first + r * THREADS;
    for (int k = 0; k < D; k++) row[r][k] = i < m ? x[i * D + k] : (T)0;
    for (int p = 0; p < PARTS; p++) total[r][p] = 0.0;
  }
  for (long long from = begin; from < end; from += TILE) {
    __syncthreads();
    for (int t = threadIdx.x; t < TILE; t += THREADS) {
      const long long j = from + t;
      for (int k = 0; k < D; k++) column[t][k] = j < end ? y[j * D + k] : (T)0;
      column[t][D] = j < end ? q[j] : (T)0;
    }
    __syncthreads();
    T part[ROWS][PARTS];
    for (int r = 0; r < ROWS; r++)
      for (int p = 0; p < PARTS; p++) part[r][p] = (T)0;
#pragma unroll 4
    for (int t = 0; t < TILE; t++) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        T away[D], square = (T)0;
#pragma unroll
        for (int k = 0; k < D; k++) {
          away[k] = row[r][k] - column[t][k];
          square += away[k] * away[k];
        }
        const T pull = column[t][D] * power_of_half(square);
        part[r][0] += pull;
#pragma unroll
        for (int k = 1; k < PARTS; k++) part[r][k] += pull * away[k - 1];
      }
    }
    for (int r = 0; r < ROWS; r++)
      for (int p = 0; p < PARTS; p++) total[r][p] += (double)part[r][p];
  }
  for (int r = 0; r < ROWS; r++) {
    const long long i = first + r * THREADS;
    if (i < m)
      for (int p = 0; p < PARTS; p++) out[((long long)blockIdx.y * PARTS + p) * m + i] = total[r][p];
  }
}
"""


def options(dimension: int, parts: int, single: bool) -> tuple[str, ...]:
    """What the source leaves open."""
    sizes = {"D": dimension, "PARTS": parts, "SINGLE": int(single)}
    fixed = {"THREADS": THREADS, "ROWS": ROWS, "TILE": TILE, "SPAN": SPAN}
    return tuple(f"-D{name}={size}" for name, size in {**sizes, **fixed}.items())


@cache
def compiled(xp: Any, dimension: int, parts: int, single: bool) -> Any:
    """The kernel of CuPy, compiled at its first call."""
    return xp.RawKernel(SOURCE, "gaussian_sums", options=options(dimension, parts, single))


def spans(n: int) -> int:
    """Parts of n columns."""
    return max(1, -(-n // SPAN))


def bytes_a_row(n: int, parts: int) -> int:
    """What the sums of all parts of n columns take for one row."""
    return 8 * parts * spans(n)


def gaussian_sums(xp: Any, at: Any, points: Any, charges: Any, gradients: bool) -> Any:
    """S and, if asked for, T, (1 [+ D], m) in double precision, from scaled coordinates (m, D), (n, D) on the card."""
    (m, d), n = at.shape, points.shape[0]
    parts = 1 + d * gradients
    out = xp.empty((spans(n), parts, m), dtype=np.float64)
    if m:
        kernel = compiled(xp, d, parts, at.dtype == np.float32)
        blocks = (-(-m // (THREADS * ROWS)), spans(n))
        kernel(blocks, (THREADS,), (at, points, charges, out, np.int64(m), np.int64(n)))
    return out.sum(axis=0)
