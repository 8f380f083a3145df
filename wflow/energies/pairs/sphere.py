r"""Gaussian bumps on a sphere in closed form: their kernel, and their overlap with a cubic polynomial.

Inputs x are uniform on the sphere of radius √d. With :math:`g_b(u) = {}_0F_1(;b;u/4)` (a Bessel function,
:mod:`wflow.kernels.pairs.sphere`) the mean of :math:`e^{\langle v, x\rangle}` is :math:`g_{d/2}(d|v|^2)`, and against
a spherical harmonic of degree k it is the harmonic at v times :math:`g_{d/2+k}` (Funk–Hecke).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, numbered
from wflow.energies.pairs.kernel import Kernel
from wflow.errors import InputError
from wflow.tools.arrays import as_floats, check_size
from wflow.tools.checks import check_count, check_kind, positive
from wflow.tools.fingerprint import digest

BLOCK_ENTRIES = 1 << 15
"""Pairs at a time, 256 KiB an array; the blocks do not depend on the number of threads."""


class SphereRbfKernel(Kernel):
    r"""K of Gaussian bumps whose inputs are uniform on the sphere of radius √d.

    .. math:: K(y,z) = E_x\,e^{-\kappa|x-y|^2/2}\,e^{-\kappa|x-z|^2/2}
              = e^{-\kappa(2d+|y|^2+|z|^2)/2}\,g_{d/2}\bigl(\kappa^2 d\,|y+z|^2\bigr)

    Sums run in blocks over threads, whose number changes no bit. Pairs with K < 1e-100 and κ√d|y+z| > 40 count as 0.

    Parameters
    ----------
    d : dimension of the space the sphere S^{d−1}(√d) lies in, ≥ 2
    kappa : κ > 0

    Raises
    ------
    InputError
        for d < 2 or κ that is not positive

    Source: Rotskoff & Vanden-Eijnden (2018), Section 5 (their K); the integral is Funk and Hecke's.

    >>> kernel = SphereRbfKernel(d=3, kappa=1.0)
    >>> y = np.array([[0.0, 0.0, 0.0]])
    >>> bool(np.isclose(kernel.diagonal(y)[0], np.exp(-3.0)))
    True
    """

    def __init__(self, d: int, kappa: float) -> None:
        self.dimension = check_count("d", d, 2)
        self.kappa = positive("kappa", kappa)
        self.coordinates = numbered("y", self.dimension)

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        values, slope = np.empty(at.shape[0]), np.zeros(at.shape)

        def take(rows: slice, part: np.ndarray, terms: np.ndarray) -> None:
            values[rows] = part
            if gradients:
                own = (terms.sum(axis=1) - self.kappa * part)[:, None]
                slope[rows] = own * at[rows] + terms @ points

        self._visit(at, points, charges, gradients, take)
        return values, slope

    def partials(self, at: np.ndarray, points: np.ndarray) -> np.ndarray:
        from wflow.kernels.pairs.sphere import bends, debye_table, series

        b = self.dimension / 2
        (first, lengths), (second, _) = series(b + 1), series(b + 2)
        out = np.empty((7, at.shape[0], points.shape[0]))
        bends(
            at @ np.ascontiguousarray(points.T),
            (at**2).sum(axis=1),
            (points**2).sum(axis=1),
            np.array([b, self.kappa, self.dimension]),
            first,
            second,
            lengths,
            debye_table(),
            out,
        )
        return out

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from scipy.spatial.distance import cdist

        with np.errstate(under="ignore"):
            return np.asarray(np.exp(-0.5 * self.kappa * cdist(x, y, "sqeuclidean")))

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(self.kappa * self.unit(x, y).T[:, None] * (x.T - y[:, :, None]))

    def diagonal(self, at: Any) -> np.ndarray:
        """K(y, y), shape (m,)."""
        y = as_points(at, self.dimension)
        square = (y**2).sum(axis=1)
        log_g = log_bessel(self.dimension / 2, 4 * self.kappa**2 * self.dimension * square)
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(log_g - self.kappa * (self.dimension + square)))

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        """K(at_i, y_j), shape (m, n), for problems small enough to hold it."""
        at, points = as_points(at, self.dimension), as_points(points, self.dimension)
        ones = np.ones(points.shape[0])
        out = np.empty((at.shape[0], points.shape[0]))

        def take(rows: slice, part: np.ndarray, terms: np.ndarray) -> None:
            out[rows] = terms

        self._visit(at, points, ones, False, take)
        return out

    def fingerprint(self) -> str:
        return digest("sphere-rbf", self.dimension, self.kappa)

    def _visit(
        self,
        at: np.ndarray,
        points: np.ndarray,
        charges: np.ndarray,
        slopes: bool,
        take: Callable[[slice, np.ndarray, np.ndarray], None],
    ) -> None:
        """Hand rows, Σ_j q_j K and the terms of :func:`~wflow.kernels.pairs.sphere.pair_terms` to ``take``."""
        from wflow.kernels.pairs.sphere import debye_table, pair_terms, series
        from wflow.kernels.parallel import over_blocks

        b = self.dimension / 2
        at_square, square = (at**2).sum(axis=1), (points**2).sum(axis=1)
        (value_terms, lengths), (slope_terms, _) = series(b), series(b + 1)
        constants = np.array([b, self.kappa, self.dimension])
        transposed = np.ascontiguousarray(points.T)

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            terms = at[rows] @ transposed
            part = np.empty(stop - start)
            pair_terms(
                terms,
                at_square[rows],
                square,
                charges,
                constants,
                value_terms,
                slope_terms,
                lengths,
                debye_table(),
                slopes,
                part,
            )
            take(rows, part, terms)

        size = max(1, BLOCK_ENTRIES // max(1, points.shape[0]))
        over_blocks(work, at.shape[0], size, at.shape[0] * points.shape[0], products=True)

    def __repr__(self) -> str:
        return f"SphereRbfKernel(d={self.dimension}, kappa={self.kappa:g})"


class CubicForm:
    r"""The cubic polynomial d⁻¹ Σ a_ijk x_i x_j x_k, contracted through its symmetric part S.

    .. math:: p(x) = S[x,x,x] = \sum_{ijk} S_{ijk} x_i x_j x_k, \qquad \nabla p = 3\,S[x,x,\cdot]

    Products x_i x_j over i ≤ j times one (d(d+1)/2, d) matrix give S[x, x, ·], hence value and gradient at once.

    Parameters
    ----------
    couplings : (d, d, d) array a, symmetric or not

    Raises
    ------
    InputError
        for a shape other than (d, d, d), or entries that are not finite

    >>> form = CubicForm(np.ones((2, 2, 2)))      # (x₁ + x₂)³/2
    >>> form.values(np.array([[1.0, 2.0]]))
    array([13.5])
    """

    def __init__(self, couplings: Any) -> None:
        a = as_floats("couplings", couplings, finite=False)
        if a.ndim != 3 or len(set(a.shape)) != 1 or a.size == 0:
            raise InputError(f"couplings of shape {a.shape}: expected (d, d, d)")
        if not np.isfinite(a).all():
            raise InputError("couplings hold NaN or infinity: entries must be finite")
        check_size("couplings", a)
        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        self.d = a.shape[0]
        self.tensor: np.ndarray = np.mean([a.transpose(o) for o in orders], axis=0)
        self.trace = np.einsum("ijj->i", self.tensor)
        self._i, self._j = np.triu_indices(self.d)
        twice = np.where(self._i == self._j, 1.0, 2.0)
        self._folded = np.ascontiguousarray(self.tensor[self._i, self._j] * twice[:, None])

    def contract(self, x: np.ndarray) -> np.ndarray:
        """S[x, x, ·], shape (n, d)."""
        x = as_points(x, self.d)
        out = np.empty(x.shape)
        size = max(1, BLOCK_ENTRIES // self._i.size)
        products = np.empty((self._i.size, size))
        ends = np.cumsum(np.arange(self.d, 0, -1))
        for start in range(0, x.shape[0], size):
            part = np.ascontiguousarray(x[start : start + size].T)
            found = products[:, : part.shape[1]]
            for i, end in enumerate(ends):
                np.multiply(part[i], part[i:], out=found[end - (self.d - i) : end])
            np.matmul(found.T, self._folded, out=out[start : start + size])
        return out

    def values(self, x: Any) -> np.ndarray:
        """d⁻¹ S[x, x, x], shape (n,)."""
        x = as_points(x, self.d)
        return np.asarray((self.contract(x) * x).sum(axis=1) / self.d)

    def square_norm(self) -> float:
        r"""E p(x)² on the sphere of radius √d: :math:`(6|S|^2 + 9|t|^2)/((d+2)(d+4))`, t_i = Σ_j S_ijj."""
        square = 6 * (self.tensor**2).sum() + 9 * (self.trace**2).sum()
        return float(square / ((self.d + 2) * (self.d + 4)))


class SphereRbfTarget:
    r"""F of a cubic target and Gaussian bumps, for inputs uniform on the sphere of radius √d.

    .. math:: F(y) = E_x\,p(x)\,e^{-\kappa|x-y|^2/2} = \frac{e^{-\kappa(d+|y|^2)/2}}{d}
              \Bigl[\frac{(\kappa d/2)^3}{(d/2)_3}\,g_{d/2+3}(u)\,h(y)
              + \frac{3\kappa d}{d+2}\,g_{d/2+1}(u)\,\langle t, y\rangle\Bigr]

    with u = κ²d|y|², and the harmonic part h(y) = S[y,y,y] − (3/(d+2))|y|²⟨t, y⟩ of the form S, t_i = Σ_j S_ijj.

    Raises
    ------
    InputError
        for a scale κ that is not positive

    Source: Rotskoff & Vanden-Eijnden (2018), Section 5 (their F).

    >>> target = SphereRbfTarget(CubicForm(np.ones((2, 2, 2))), kappa=1.0)
    >>> target.values(np.zeros((1, 2)))
    array([0.])
    """

    def __init__(self, form: CubicForm, kappa: float) -> None:
        check_kind("form", form, CubicForm, "give a CubicForm")
        self.form = form
        self.kappa, d = positive("kappa", kappa), self.form.d
        if self.kappa * d > 1e100:
            raise InputError(f"kappa = {kappa:g}: its cube is too large for a float")
        self._cubic = (kappa * d / 2) ** 3 / ((d / 2) * (d / 2 + 1) * (d / 2 + 2)) / d
        self._linear = 3 * kappa / (d + 2)

    def values(self, at: Any) -> np.ndarray:
        """F at points (n, d), shape (n,)."""
        return self.values_and_gradients(at)[0]

    def values_and_gradients(self, at: Any) -> tuple[np.ndarray, np.ndarray]:
        """F, shape (n,), and ∇F, shape (n, d)."""
        form, kappa = self.form, self.kappa
        d = form.d
        y = as_points(at, d)
        square = (y**2).sum(axis=1)
        u = kappa**2 * d * square
        along = y @ form.trace
        pull = form.contract(y)
        harmonic = (pull * y).sum(axis=1) - 3 / (d + 2) * square * along
        below = -0.5 * kappa * (d + square)
        slope = 2 * kappa**2 * d  # ∇u = slope y
        with np.errstate(under="ignore"):
            cubic = self._cubic * np.exp(below + log_bessel(d / 2 + 3, u))
            cubic_slope = self._cubic * np.exp(below + log_bessel(d / 2 + 4, u)) / (2 * d + 12)
            linear = self._linear * np.exp(below + log_bessel(d / 2 + 1, u))
            linear_slope = self._linear * np.exp(below + log_bessel(d / 2 + 2, u)) / (2 * d + 4)
            values = cubic * harmonic + linear * along
            radial = slope * (cubic_slope * harmonic + linear_slope * along) - kappa * values
            radial -= 6 / (d + 2) * cubic * along
            toward = linear - 3 / (d + 2) * cubic * square
            gradients = radial[:, None] * y + 3 * cubic[:, None] * pull
            gradients += toward[:, None] * form.trace
        return values, gradients

    def bends(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""∇F, shape (n, d), and ∇²F, shape (n, d, d).

        With F = A(s) h + L(s) ⟨t, y⟩, s = |y|²:

        .. math:: \nabla F = A\nabla h + Lt + 2(A'h + L'\langle t,y\rangle)\,y, \qquad \nabla^2 F = A\nabla^2 h
                  + 2A'(\nabla h\,y^T + y\,\nabla h^T) + 2L'(ty^T + yt^T) + (A'h + L'\langle t,y\rangle)\,2I
                  + (A''h + L''\langle t,y\rangle)\,4yy^T.
        """
        form, d, y, t = self.form, self.form.d, at, self.form.trace
        square, along, unit = (y**2).sum(axis=1), y @ t, np.eye(d)
        share, pull = 3 / (d + 2), form.contract(y)
        slope = 3 * pull - share * (2 * along[:, None] * y + square[:, None] * t)
        h = (pull * y).sum(axis=1) - share * square * along
        cubic, linear = self._scales(3, self._cubic, square), self._scales(1, self._linear, square)
        radial = [a * h + b * along for a, b in zip(cubic, linear, strict=True)]
        gradient = cubic[0][:, None] * slope + linear[0][:, None] * t + 2 * radial[1][:, None] * y
        half = (2 * cubic[1])[:, None] * slope + (2 * radial[2])[:, None] * y
        half += (2 * linear[1] - 2 * share * cubic[0])[:, None] * t
        bend = half[:, :, None] * y[:, None, :]
        bend += bend.transpose(0, 2, 1).copy()
        bend += (2 * radial[1] - 2 * share * cubic[0] * along)[:, None, None] * unit
        bend += (6 * cubic[0])[:, None, None] * (y @ form.tensor.reshape(d, -1)).reshape(-1, d, d)
        return gradient, bend

    def _scales(self, k: int, factor: float, square: np.ndarray) -> list[np.ndarray]:
        """factor e^{−κ(d+s)/2} g_{d/2+k}(κ²ds) and its first two derivatives in s."""
        d, kappa, b = self.form.d, self.kappa, self.form.d / 2 + k
        u, below = kappa**2 * d * square, -0.5 * kappa * (d + square)
        with np.errstate(under="ignore"):
            g, g1, g2 = (factor * np.exp(below + log_bessel(b + i, u)) for i in range(3))
            g1 *= kappa**2 * d / (4 * b)
            g2 *= (kappa**2 * d) ** 2 / (16 * b * (b + 1))
            return [g, g1 - 0.5 * kappa * g, g2 - kappa * g1 + 0.25 * kappa**2 * g]

    def fingerprint(self) -> str:
        return digest("sphere-rbf-cubic", self.kappa, self.form.tensor)


def log_bessel(b: float, u: np.ndarray) -> np.ndarray:
    """log g_b(u) = log ₀F₁(; b; u/4) for u ≥ 0, elementwise.

    >>> bool(np.isclose(np.exp(log_bessel(1.5, np.array([4.0])))[0], np.sinh(2.0) / 2.0))
    True
    """
    from wflow.kernels.pairs.sphere import debye_table, log_bessels, series

    out = np.empty(u.shape[0])
    log_bessels(b, u, series(b)[0], debye_table(), out)
    return out
