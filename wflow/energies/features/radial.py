r"""The radial reduction: a rotation-invariant law of weights in R^d becomes a law of r = |w|.

For inputs :math:`x = t u` with u uniform on the sphere and a piecewise linear σ with slope jumps μ_j at k_j,

.. math:: \sigma_*(t; r) = h(rt), \qquad h(s) = E\,\sigma(s\omega_1) = \sigma_0 + \sum_j \mu_j E(s\omega_1-k_j)_+,

so a classification of two isotropic Gaussians has nodes on t = |x| and one coordinate. At d = infinity inputs
are measured in units of √d and h(s) = E σ(sG). Source: Mei, Montanari & Nguyen (2018), section "isotropic
Gaussians"; the ramp averages are in :mod:`wflow.kernels.features.radial`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, as_knots
from wflow.energies.features.base import FeatureMap
from wflow.errors import InputError, shown
from wflow.tools.checks import check_count
from wflow.tools.fingerprint import digest

LARGEST = 5000
"""Largest finite dimension; the closed form has d/2 terms, and d = inf differs by 1/d."""
TABLE_FROM = 14
"""From this dimension on h has seven continuous derivatives and is tabulated; below, few terms are exact."""
TABLE_STEP = 0.01
"""Spacing of the table: quintic Hermite error |h⁽⁶⁾| step⁶/46080, below 1e-13 of the range of σ (tested)."""


class RadialProfile:
    """h(s) = E σ(s ω₁) and h′(s) for a piecewise linear σ, constant outside its knots.

    Parameters
    ----------
    knots : pairs (position, value), positions increasing
    d : input dimension, an integer ≥ 1 or infinity

    Raises
    ------
    InputError
        for knots that do not increase

    >>> h, slope = RadialProfile([(0.5, -2.5), (1.5, 7.5)], math.inf)(np.array([0.0, 1e9]))
    >>> h.round(6)
    array([-2.5,  2.5])
    """

    def __init__(self, knots: Sequence[tuple[float, float]], d: float) -> None:
        from wflow.kernels.features.radial import tail_series

        position, height = np.ascontiguousarray(as_knots(knots).T)
        self.dimension = check_dimension(d)
        slopes = np.diff(height) / np.diff(position)
        self.knots = (position, height)
        self.jumps = np.diff(np.concatenate([[0.0], slopes, [0.0]]))
        # E(sω − k)₊ = −k + E(sω − |k|)₊ for k < 0, by the symmetry of ω.
        self.level = float(height[0] - np.sum(np.where(position < 0, position * self.jumps, 0.0)))
        self.corners = np.abs(position)
        self.peak, self.series = (0.0, np.empty(0))
        if self.dimension:
            self.peak, self.series = tail_series(self.dimension)
        self._table = np.empty((0, 3))

    def exact(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """h and h′ from the closed form, for s ≥ 0 of any shape."""
        from wflow.kernels.features.radial import ramp_averages

        flat = np.ascontiguousarray(s, dtype=np.float64).ravel()
        value = np.full(flat.size, self.level)
        slope = np.zeros(flat.size)
        ramp_averages(
            flat, self.corners, self.jumps, self.dimension, self.peak, self.series, value, slope
        )
        return value.reshape(np.shape(s)), slope.reshape(np.shape(s))

    def curvature(self, s: np.ndarray) -> np.ndarray:
        """h″(s) = Σ μ_j c_d u(1−u²)^{(d−3)/2} k_j/s², u = k_j/s, for finite d ≥ 4."""
        total = np.zeros_like(s)
        for k, jump in zip(self.corners, self.jumps, strict=True):
            inside = s > k
            u = k / s[inside]
            total[inside] += (
                jump
                * self.peak
                * (self.dimension - 1)
                * u**2
                * ((1 - u) * (1 + u)) ** ((self.dimension - 3) / 2)
                / s[inside]
            )
        return total

    def __call__(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.dimension < TABLE_FROM:
            return self.exact(s)
        from wflow.kernels.features.radial import hermite_lookup

        flat = np.ascontiguousarray(s, dtype=np.float64).ravel()
        self._extend(float(flat.max(initial=0.0)))
        value, slope = np.empty(flat.size), np.empty(flat.size)
        hermite_lookup(flat, TABLE_STEP, self._table, value, slope)
        return value.reshape(np.shape(s)), slope.reshape(np.shape(s))

    def _extend(self, s_max: float) -> None:
        """Grow the table beyond s_max; old entries keep their bits."""
        if not math.isfinite(s_max) or s_max > 1e6:
            raise FloatingPointError(f"the argument {s_max:g} of a radial feature is out of range")
        needed = int(s_max / TABLE_STEP) + 3
        if needed <= self._table.shape[0]:
            return
        s = TABLE_STEP * np.arange(max(needed, 2 * self._table.shape[0], 1024))
        value, slope = self.exact(s)
        self._table = np.stack([value, slope, self.curvature(s)], axis=1)


class RadialFeatures(FeatureMap):
    """Features h(r t_q) of a radius r ≥ 0 on nodes t_q = |x|.

    Parameters
    ----------
    knots : pairs (u, σ(u)) of the piecewise linear activation, constant outside
    radii : the nodes t_q (Q,), as :func:`radial_nodes` gives them
    d : input dimension, an integer or infinity

    Raises
    ------
    InputError
        for knots that do not increase

    >>> import numpy as np
    >>> ramp = RadialFeatures([(0.0, 0.0), (1.0, 1.0)], np.array([1.0]), np.inf)
    >>> ramp.n_nodes, ramp.dimension
    (1, 1)
    """

    profile: RadialProfile
    radii: np.ndarray
    work = 500.0

    def __init__(self, knots: Sequence[tuple[float, float]], radii: np.ndarray, d: float) -> None:
        self.profile = RadialProfile(knots, d)
        self.radii = as_inputs(radii, 1, "radii")[:, 0]
        self.n_nodes = self.radii.size
        self.dimension = 1
        self.coordinates = ("r",)
        self.bounds = np.array([[0.0, np.inf]])
        # h'(0) = ½μE|ω₁|, μ the jump of σ' at 0: without a corner there Ψ is level at the wall.
        self.gathers_at_walls = bool(self.profile.jumps[self.profile.corners == 0].any())

    def prepare(self, points: np.ndarray) -> PreparedRadial:
        return PreparedRadial(self, points)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = self.profile(points[:, :1] * self.radii)
        return value, (slope * self.radii)[:, None]

    def at(self, x: Any) -> RadialFeatures:
        """The features at inputs (m, d), of which |x| counts."""
        d = self.profile.dimension
        if d == 0:
            raise InputError("predict at d = inf: inputs x have coordinates at finite d only")
        other = copy.copy(self)
        other.radii = np.linalg.norm(as_inputs(x, d, "x"), axis=1)
        other.n_nodes = other.radii.size
        return other

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        d = self.profile.dimension
        return (d - 1) * np.log(points[:, 0]) if d > 1 else np.zeros(points.shape[0])

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        d = self.profile.dimension
        return (d - 1) / points if d > 1 else np.zeros_like(points)

    def refuse_temperature(self) -> str | None:
        if self.profile.dimension == 0:
            return (
                "temperature > 0 at d = inf: noise in infinitely many directions has no radial law"
            )
        return None

    def fingerprint(self) -> str:
        return digest("radial", *self.profile.knots, self.profile.dimension, self.radii)

    def __repr__(self) -> str:
        d = self.profile.dimension or math.inf
        return f"RadialFeatures(d={d}, Q={self.n_nodes})"


class PreparedRadial:
    """Radial features of fixed radii, computed once."""

    def __init__(self, features: RadialFeatures, points: np.ndarray) -> None:
        self._radii = features.radii
        self._value, self._slope = features.profile(points[:, :1] * features.radii)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ self._value)

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return np.asarray(self._value @ node_weights)

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return np.asarray((self._slope @ (node_weights * self._radii))[:, None])


def check_dimension(d: float) -> int:
    """Return an integer dimension, 0 for infinity."""
    if isinstance(d, bool) or not isinstance(d, (int, float, np.integer, np.floating)):
        raise InputError(f"d = {shown(d)}: expected an integer >= 1 or inf")
    if d == math.inf:
        return 0
    if not 1 <= d < math.inf or d != int(d):
        raise InputError(f"d = {shown(d)}: expected an integer >= 1 or inf")
    if d > LARGEST:
        raise InputError(
            f"d = {shown(d)}: the exact features go up to {LARGEST}; beyond, take d = inf"
        )
    return int(d)


def radial_nodes(d: float, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights for |x|, x ~ N(0, I_d): generalised Laguerre in |x|²/2.

    At d = infinity, in units of √d, one node at 1. Below d = 16 the features have few derivatives and a composite
    Gauss–Legendre rule takes the place of Laguerre's. The default numbers of nodes integrate the features to 1e-12
    from d = 16 on, and their smooth averages to 1e-9 below (tested). ``n`` overrules them.

    Raises
    ------
    InputError
        for a dimension that is no whole number of at least 1 nor infinity, and for no nodes

    >>> t, p = radial_nodes(40)
    >>> round(float(p @ t**2), 12)
    40.0
    """
    dim = check_dimension(d)
    if dim == 0:
        return np.ones(1), np.ones(1)
    if dim < 16 and n is None:
        from scipy.special import gammaincinv

        top = math.sqrt(2 * gammaincinv(dim / 2, 1 - 1e-16)) + 0.5
        u, w = np.polynomial.legendre.leggauss(12)
        panels = np.linspace(0.0, top, 25)
        half = np.diff(panels)[:, None] / 2
        t = (panels[:-1, None] + half * (1 + u)).ravel()
        log_c = math.log(2.0) - dim / 2 * math.log(2.0) - math.lgamma(dim / 2)
        p = (half * w).ravel() * np.exp(log_c + (dim - 1) * np.log(t) - t**2 / 2)
        return t, p / p.sum()
    n = (32 if dim >= 32 else 80) if n is None else check_count("n", n)
    i = np.arange(n)
    a = dim / 2 - 1
    jacobi = np.diag(2 * i + 1 + a) + np.diag(np.sqrt(i[1:] * (i[1:] + a)), 1)
    x, v = np.linalg.eigh(jacobi, UPLO="U")
    return np.sqrt(2 * x), v[0] ** 2
