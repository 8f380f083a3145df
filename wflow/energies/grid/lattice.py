r"""Sums over uniform grids by the fast Fourier transform: one kernel, two lattices.

.. math:: g_q = \sum_i k(x_q - w_i)\, c_i \qquad\text{and}\qquad h_i = \sum_q k(x_q - w_i)\, c_q

with x_q and w_i on lattices whose spacings divide each other, in 1 to 3 dimensions. It costs O(N log N) for N lattice
points. An axis is zero-padded, by no more than the kernel reaches, so that nothing wraps around; a periodic axis is
not padded. Plans are made once a shape and reused.

FFTW plans by estimate and without wisdom: a measured plan depends on the clock, and its last bits differ from run to
run; to keep it on disk would bind the bits to a file, and to measure one for two threads takes seconds, 3 to 10 for a
million points. Sums over lattices are made in one thread: the plan, and the bits, depend on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

_PLANNING = threading.Lock()
"""FFTW's planner is one for the whole process, and so is its wisdom."""
PLANS_KEPT = 16

Displacements = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Lattice:
    """The points origin + index·spacing of a box of indices, in C order.

    >>> Lattice.recognise(np.array([[0.0, 1.0], [0.0, 3.0], [0.5, 1.0], [0.5, 3.0]])).spacing
    (0.5, 2.0)
    """

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, ...]

    @classmethod
    def recognise(cls, points: np.ndarray) -> Lattice | None:
        """The lattice that these points (n, D) are, in this order and to rounding, or None.

        The spacing of an axis with one point is reported as 1.
        """
        n, d = points.shape
        # A cloud of particles is told at once: neighbours on a tensor grid share all coordinates but one.
        if d > 1 and n > 1 and int((points[0] != points[1]).sum()) != 1:
            return None
        origin, spacing, shape = [], [], []
        below = n
        for k in range(d):
            # In C order an axis changes every `run` points, and `below` points make its whole cycle.
            column = points[:below, k]
            changes = np.flatnonzero(column != column[0])
            run = int(changes[0]) if changes.size else below
            if below % run:
                return None
            axis = column[::run]
            h = uniform_spacing(axis)
            if h is None:
                return None
            # Size 1 and then a changing axis is fine; every block must repeat the first exactly.
            if not np.array_equal(points[:, k], np.tile(np.repeat(axis, run), n // below)):
                return None
            origin.append(float(axis[0]))
            spacing.append(h)
            shape.append(axis.size)
            below = run
        if below != 1:
            return None
        return cls(tuple(origin), tuple(spacing), tuple(shape))

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape))

    @property
    def cell(self) -> float:
        """Volume of a cell, the product of the spacings."""
        return float(np.prod(self.spacing))

    @cached_property
    def points(self) -> np.ndarray:
        """The points (n, D), in C order."""
        axes = [
            o + h * np.arange(m)
            for o, h, m in zip(self.origin, self.spacing, self.shape, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.dimension)


def uniform_spacing(axis: np.ndarray) -> float | None:
    """The step of equally spaced increasing numbers (to rounding), 1 for a single one, None otherwise.

    >>> uniform_spacing(np.array([0.0, 0.1, 0.2])), uniform_spacing(np.array([0.0, 0.1, 0.3]))
    (0.1, None)
    """
    if axis.size == 1:
        return 1.0
    h = float(axis[-1] - axis[0]) / (axis.size - 1)
    rounding = 32 * np.finfo(float).eps * float(np.abs(axis).max())
    if not (np.isfinite(h) and h > rounding):
        return None
    wrong = np.abs(axis - (axis[0] + h * np.arange(axis.size))).max()
    return h if wrong <= rounding else None


class Transform:
    """Real-to-complex transforms of one shape, both ways, in buffers of their own; safe in threads."""

    def __init__(self, shape: tuple[int, ...], threads: int = 1) -> None:
        import pyfftw  # type: ignore[import-untyped]

        self._lock = threading.Lock()
        self._real = pyfftw.empty_aligned(shape, dtype="float64")
        half = (*shape[:-1], shape[-1] // 2 + 1)
        self._complex = pyfftw.empty_aligned(half, dtype="complex128")
        settings: dict[str, Any] = {
            "axes": tuple(range(len(shape))),
            "flags": ("FFTW_ESTIMATE", "FFTW_DESTROY_INPUT"),
            "threads": threads,
        }
        with _PLANNING:
            # Wisdom that the user's own transforms left would be used by an estimate, too.
            wisdom = pyfftw.export_wisdom()
            pyfftw.forget_wisdom()
            try:
                self._forward = pyfftw.FFTW(
                    self._real, self._complex, direction="FFTW_FORWARD", **settings
                )
                self._backward = pyfftw.FFTW(
                    self._complex, self._real, direction="FFTW_BACKWARD", **settings
                )
            finally:
                pyfftw.forget_wisdom()
                pyfftw.import_wisdom(wisdom)

    def spectrum(self, values: np.ndarray) -> np.ndarray:
        """The transform of real values, divided by their number (FFTW's way back multiplies by it)."""
        with self._lock:
            self._real[...] = values
            self._forward.execute()
            return np.array(self._complex) / values.size

    def multiply(
        self,
        values: np.ndarray,
        spectrum: np.ndarray,
        place: tuple[slice, ...],
        take: tuple[slice, ...],
    ) -> np.ndarray:
        """Values put at ``place`` among zeros, times a spectrum, read at ``take``."""
        with self._lock:
            self._real[...] = 0.0
            self._real[place] = values
            self._forward.execute()
            self._complex *= spectrum
            self._backward.execute()
            return np.array(self._real[take])


@lru_cache(maxsize=PLANS_KEPT)
def transform(shape: tuple[int, ...]) -> Transform:
    """The transform of a shape; the last ones used are kept."""
    return Transform(shape)


def strides(source: Lattice, target: Lattice) -> list[tuple[float, int, int]] | None:
    """The common spacing and both lattices' strides on each axis, or None where no spacing divides the other."""
    found = []
    for h, n, g, m in zip(source.spacing, source.shape, target.spacing, target.shape, strict=True):
        if n == 1 or m == 1:
            step = g if n == 1 else h
            found.append((step, 1, 1))
            continue
        fine, coarse = min(h, g), max(h, g)
        ratio = round(coarse / fine)
        # The far corner may be off by rounding only.
        if abs(ratio * fine - coarse) * max(n, m) > 1e-9 * fine:
            return None
        found.append((fine, ratio if h > g else 1, ratio if g > h else 1))
    return found


class LatticeConvolution:
    """A kernel of displacements between two lattices, transformed once.

    Parameters
    ----------
    source, target : lattices of the points w_i and x_q
    kernel : function of displacements x − w (…, D), gives (…)
    periods : length of each periodic axis, or None; there displacements lie in [−period/2, period/2)

    Raises
    ------
    ValueError
        for spacings that do not divide each other, or a period that its lattice does not fill; see :func:`strides`

    >>> line = Lattice((0.0,), (1.0,), (3,))
    >>> blur = LatticeConvolution(line, line, lambda z: np.exp(-z[..., 0] ** 2))
    >>> blur.apply(np.array([0.0, 1.0, 0.0])).round(4).tolist()
    [0.3679, 1.0, 0.3679]
    """

    def __init__(
        self,
        source: Lattice,
        target: Lattice,
        kernel: Displacements,
        periods: Sequence[float | None] | None = None,
    ) -> None:
        common = strides(source, target)
        if common is None:
            raise ValueError(f"spacings {source.spacing} and {target.spacing} have no common one")
        periods = periods or [None] * source.dimension
        self._source, self._target = source, target
        axes, index, padded = [], [], []
        first = [b - a for a, b in zip(source.origin, target.origin, strict=True)]
        reach = []
        for k, (h, s, t) in enumerate(common):
            last = (source.shape[k] - 1) * s, (target.shape[k] - 1) * t
            period = periods[k]
            if period is None:
                steps = np.arange(-last[0], last[1] + 1)
                axes.append(first[k] + h * steps)
                padded.append(0)
            else:
                n = round(period / h)
                if abs(n * h - period) > 1e-9 * period or max(last) >= n:
                    raise ValueError(f"axis {k} with spacing {h:g} does not fill {period:g}")
                steps = np.arange(n)
                axes.append(wrapped(first[k] + h * steps, period))
                padded.append(n)
            index.append(steps)
            reach.append(last)
        values = np.asarray(
            kernel(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)), dtype=np.float64
        )
        for k, n in enumerate(padded):
            if n == 0:
                # Only where the kernel is not zero can anything wrap around.
                others = tuple(j for j in range(values.ndim) if j != k)
                held = np.flatnonzero(np.any(values != 0.0, axis=others))
                low, high = (int(held[0]), int(held[-1])) if held.size else (0, 0)
                index[k] = index[k][low : high + 1]
                values = np.take(values, np.arange(low, high + 1), axis=k)
                needed = max(reach[k][1] - int(index[k][0]), int(index[k][-1]) + reach[k][0]) + 1
                padded[k] = good_size(max(needed, max(reach[k]) + 1))
        whole = np.zeros(padded)
        whole[np.ix_(*[i % n for i, n in zip(index, padded, strict=True)])] = values
        self._transform = transform(tuple(padded))
        self._spectrum = self._transform.spectrum(whole)
        self._at_source = tuple(
            slice(0, (n - 1) * s + 1, s) for n, (_, s, _) in zip(source.shape, common, strict=True)
        )
        self._at_target = tuple(
            slice(0, (n - 1) * t + 1, t) for n, (_, _, t) in zip(target.shape, common, strict=True)
        )

    def apply(self, coefficients: np.ndarray) -> np.ndarray:
        """Σ_i k(x_q − w_i) c_i on the target, shape (n_target,)."""
        c = coefficients.reshape(self._source.shape)
        out = self._transform.multiply(c, self._spectrum, self._at_source, self._at_target)
        return out.ravel()

    def transpose(self, coefficients: np.ndarray) -> np.ndarray:
        """Σ_q k(x_q − w_i) c_q on the source, shape (n_source,)."""
        c = coefficients.reshape(self._target.shape)
        mirrored = np.conjugate(self._spectrum)
        out = self._transform.multiply(c, mirrored, self._at_target, self._at_source)
        return out.ravel()


def wrapped(displacement: np.ndarray, period: float) -> np.ndarray:
    """Displacements on a circle, in [−period/2, period/2)."""
    return displacement - period * np.floor(displacement / period + 0.5)


@lru_cache(maxsize=256)
def good_size(n: int) -> int:
    """The next length whose transform is fast.

    >>> good_size(97)
    98
    """
    import pyfftw

    return int(pyfftw.next_fast_len(n))
