r"""Symmetric circulant and wall-reflecting operators on boxes, applied through one real Fourier transform.

A finite-difference operator that is even about its walls has the cosines :math:`\cos\pi k(i+\frac12)/n` as its
eigenvectors. Their coefficients need no cosine transform of their own: with the even points first and the odd ones
backwards behind them, v = (u_0, u_2, …, u_3, u_1), the Fourier transform V of v holds them as real and imaginary parts,

.. math:: e^{-i\pi k/2n} V_k = \tfrac12 (C_k - i\,C_{n-k}),

and multiplying C by a spectrum μ is

.. math:: V_k \leftarrow a_k V_k + c_k V_{-k}, \qquad a_k = \tfrac12(\mu_k + \mu_{n-k}), \quad
          c_k = \tfrac12(\mu_k - \mu_{n-k})\,e^{i\pi k/n},

complex-linear in V, so that it can be done one axis at a time. On a ring a = μ, c = 0 and nothing is reordered. One
transform serves every mixture of walls and rings. Large boxes are done in as many threads as kernels may use; with
another number of threads FFTW plans otherwise, and the last bits differ.
Source: Makhoul, IEEE Trans. Acoust. Speech Signal Process. 28 (1980) 27.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from wflow.energies.grid.lattice import PLANS_KEPT, Transform
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.threads import threads as count_threads
from wflow.kernels.transport_slabs import over_slabs, recycled_empty

_LARGE = 1 << 16
"""Cells from which threads pay."""
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


class EvenOperator(Transform):
    """Products μ_0(k_0) μ_1(k_1) μ_2(k_2) of spectra on a box (n_0, n_1, n_2); plans and buffers are kept.

    Parameters
    ----------
    shape : of the box; an axis that is missing has one cell
    periodic : one truth value an axis; a wall otherwise
    threads : of the transforms
    """

    def __init__(
        self, shape: tuple[int, int, int], periodic: tuple[bool, bool, bool], threads: int = 1
    ) -> None:
        # FFTW plans a box of one plane faster without the axes of one cell.
        used = tuple(n for n in shape[:-1] if n > 1)
        super().__init__((*used, shape[-1]), threads)
        self._shape = shape
        self._half = (*shape[:-1], shape[-1] // 2 + 1)
        self._order = cast(
            Triple,
            tuple(_ring(n) if p else _walls(n) for n, p in zip(shape, periodic, strict=True)),
        )
        n1 = shape[1]
        self._rows = (self._order[0][:, None] * n1 + self._order[1]).ravel()
        self._turns = [
            None if p else np.exp(1j * np.pi / n * np.arange(n))
            for n, p in zip(shape, periodic, strict=True)
        ]

    def apply(
        self, values: np.ndarray, spectra: Sequence[np.ndarray], least: float = -np.inf
    ) -> tuple[np.ndarray, float, float]:
        """Values of the box's shape with every coefficient multiplied; ``spectra`` (n_k,), one an axis.

        What comes out below ``least`` is raised to it. Beside the values, their sums before and after.

        On a wall the spectrum's entry k belongs to cos πk(i+½)/n, on a ring to e^{2πik i/n}, even in k.
        """
        tables = [_tables(mu, turn) for mu, turn in zip(spectra, self._turns, strict=True)]
        scale = 1.0 / values.size
        a, c = zip(*tables, strict=True)
        a = (a[0] * scale, a[1], a[2])
        c = (c[0] * scale, c[1], c[2])
        n0, n1, n = self._shape
        out = recycled_empty(self._shape)
        rows, begun, ended = n0 * n1, values.reshape(-1, n), out.reshape(-1, n)
        sums = np.empty((2, rows))

        def gather(first: int, last: int) -> float:
            _gather(begun, self._rows, self._order[2], first, last, real, sums[0])
            return 0.0

        def multiply(first: int, last: int) -> float:
            part = (first, last, 0, n1 // 2 + 1) if n0 > 1 else (0, 1, first, last)
            _multiply(half, a[0], a[1], a[2], c[0], c[1], c[2], part)
            return 0.0

        def scatter(first: int, last: int) -> float:
            _scatter(real, self._rows, self._order[2], least, first, last, ended, sums[1])
            return 0.0

        with self._lock:
            real, half = self._real.reshape(-1, n), self._complex.reshape(self._half)
            over_slabs(gather, rows, n)
            self._forward.execute()
            orbits = (n0 // 2 + 1, 2 * n1 * n) if n0 > 1 else (n1 // 2 + 1, 2 * n)
            over_slabs(multiply, *orbits)
            self._backward.execute()
            over_slabs(scatter, rows, n)
        before, after = sums.sum(axis=1).tolist()
        return out, before, after


def even_operator(shape: tuple[int, int, int], periodic: tuple[bool, bool, bool]) -> EvenOperator:
    """The operator of a box; the last ones used are kept."""
    large = shape[0] * shape[1] * shape[2] >= _LARGE
    return _operator(shape, periodic, count_threads() if large else 1)


@lru_cache(maxsize=PLANS_KEPT)
def _operator(
    shape: tuple[int, int, int], periodic: tuple[bool, bool, bool], threads: int
) -> EvenOperator:
    return EvenOperator(shape, periodic, threads)


def _ring(n: int) -> np.ndarray:
    return np.arange(n)


def _walls(n: int) -> np.ndarray:
    """Even points first, the odd ones backwards behind them."""
    return np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)[::-1]])


def _tables(mu: np.ndarray, turn: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """a and c of one axis, real and complex (n,); ``turn`` is e^{iπk/n}, None on a ring."""
    if turn is None:
        return mu, np.zeros(mu.size, dtype=np.complex128)
    mirrored = np.concatenate([mu[:1], mu[:0:-1]])
    return 0.5 * (mu + mirrored), 0.5 * (mu - mirrored) * turn


@jit(apart=True)
def _gather(
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    first: int,
    last: int,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Reorder into ``out``, and sum every row."""
    for i in range(first, last):
        part = 0.0
        for k in range(columns.size):
            x = values[rows[i], columns[k]]
            out[i, k] = x
            part += x
        sums[i] = part


@jit(apart=True)
def _scatter(
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    least: float,
    first: int,
    last: int,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Put back in order, nothing below ``least``, and sum every row."""
    for i in range(first, last):
        part = 0.0
        for k in range(columns.size):
            x = max(values[i, k], least)
            out[rows[i], columns[k]] = x
            part += x
        sums[i] = part


@jit(fastmath=FUSED)
def _multiply(
    v: np.ndarray,
    a0: np.ndarray,
    a1: np.ndarray,
    a2: np.ndarray,
    c0: np.ndarray,
    c1: np.ndarray,
    c2: np.ndarray,
    part: tuple[int, int, int, int],
) -> None:
    """Every orbit (±k0, ±k1) of rows at once; along the last axis V_{−k} is the conjugate at −k0, −k1."""
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
