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
from wflow.kernels.grid.axes import Triple
from wflow.kernels.grid.cosines import gather, multiply, scatter
from wflow.kernels.memory import recycled_empty
from wflow.kernels.parallel import over_slabs, threads

_LARGE = 1 << 16
"""Cells from which threads pay."""


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

        order = (self._rows, self._order[2])

        def turn(first: int, last: int) -> None:
            part = (first, last, 0, n1 // 2 + 1) if n0 > 1 else (0, 1, first, last)
            multiply(half, a, c, part)

        with self._lock:
            real, half = self._real.reshape(-1, n), self._complex.reshape(self._half)
            over_slabs(lambda i, k: gather(begun, order, i, k, real, sums[0]), rows, n)
            self._forward.execute()
            orbits = (n0 // 2 + 1, 2 * n1 * n) if n0 > 1 else (n1 // 2 + 1, 2 * n)
            over_slabs(turn, *orbits)
            self._backward.execute()
            over_slabs(lambda i, k: scatter(real, order, least, i, k, ended, sums[1]), rows, n)
        before, after = sums.sum(axis=1).tolist()
        return out, before, after


def even_operator(shape: tuple[int, int, int], periodic: tuple[bool, bool, bool]) -> EvenOperator:
    """The operator of a box; the last ones used are kept."""
    large = shape[0] * shape[1] * shape[2] >= _LARGE
    return _operator(shape, periodic, threads() if large else 1)


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
