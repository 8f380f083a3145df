r"""Bump features K^δ(x − w): compactly supported units of mass one, on a grid of nodes or on scattered ones.

.. math:: K^\delta(z) = \delta^{-d} K(z/\delta), \qquad K(z) = C_d\,(1-|z|^2)_+^3, \qquad
          C_d = \frac{\Gamma(4+d/2)}{6\,\pi^{d/2}}

K is twice continuously differentiable, so ∇Ψ is continuously differentiable; ∫K = 1, ∫zK = 0 and ∫zzᵀK = I/(d + 8).
Source: Javanmard, Mondelli & Montanari, Ann. Statist. 48 (2020) 3619, whose K is any smooth bump.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from wflow.energies.arrays import as_domain, as_inputs, numbered
from wflow.energies.features.base import FeatureMap
from wflow.energies.grid.lattice import Lattice, LatticeConvolution, strides
from wflow.errors import InputError
from wflow.kernels.features.bump import gather, gather_nodes, scatter, scatter_nodes
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_counts, check_function, number, positive
from wflow.tools.fingerprint import digest


def bump_peak(dimension: int) -> float:
    """C_d = K(0), by which ∫K = 1.

    >>> bump_peak(1) == 35 / 32, bool(round(bump_peak(2) * np.pi, 12) == 4)
    (True, True)
    """
    if dimension == 1:
        return 35 / 32
    return float(math.gamma(4 + dimension / 2) / (6 * math.pi ** (dimension / 2)))


class Bump:
    """K^δ and its gradient as functions of displacements (..., d)."""

    def __init__(self, width: float, dimension: int) -> None:
        self.width, self.dimension = width, dimension
        self.peak = bump_peak(dimension) / width**dimension

    def value(self, z: np.ndarray) -> np.ndarray:
        """K^δ(z), shape (...)."""
        return np.asarray(self.peak * self._room(z) ** 3)

    def slope(self, z: np.ndarray, k: int) -> np.ndarray:
        """The derivative of K^δ(x − w) by w_k at z = x − w."""
        return np.asarray(6 * self.peak / self.width**2 * self._room(z) ** 2 * z[..., k])

    def _room(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(1.0 - (z**2).sum(axis=-1) / self.width**2, 0.0))


class BumpMap(FeatureMap):
    """What both kinds of nodes share."""

    scale, work = 1.0, 600.0
    nodes: np.ndarray

    def __init__(self, width: float, dimension: int, domain: Any) -> None:
        try:
            self.width, self.dimension = positive("width", width), dimension
        except InputError as e:
            raise InputError(f"{e}; the limit of width 0 is LocalEnergy") from None
        self.bump = Bump(self.width, dimension)
        self.coordinates = numbered("w", dimension)
        if domain is not None:
            self.bounds = as_domain(domain, dimension, "domain")

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = self.nodes - points[:, None]
        slopes = [self.scale * self.bump.slope(z, k) for k in range(self.dimension)]
        return self.scale * self.bump.value(z), np.stack(slopes, axis=1)

    def at(self, x: Any) -> BumpFeatures:
        domain = self.bounds if np.isfinite(self.bounds).any() else None
        return BumpFeatures(as_inputs(x, self.dimension, "x"), self.width, self.scale, domain)


class ConvolutionFeatures(BumpMap):
    r"""Bumps on the cell centres of a uniform grid, for any points and, by Fourier transform, for uniform grids.

    .. math:: f_q = \int K^\delta(x_q - w)\,\rho(dw), \qquad \Psi(w) = \sum_q p_q r_q K^\delta(x_q - w)

    Use it as ``FeatureEnergy(features=…, targets=…, weights=…)``: the nodes end where the domain of x ends, so its
    truncation is exact. Points on a uniform grid whose spacing is a multiple or a fraction of the nodes' are
    transformed; for all others only nodes within the width are visited.

    Parameters
    ----------
    width : δ > 0, the radius of a bump
    bounds : (lo, hi) of each axis of x, 1 to 3
    n : nodes an axis; one number serves all
    mask : function of nodes (..., d), true where x lies in the domain; everywhere by default
    domain : (lo, hi) of each coordinate of w; without bounds by default

    Raises
    ------
    InputError
        for a width that is not positive, wrong bounds, or a mask without a node

    Source: Javanmard, Mondelli & Montanari, Ann. Statist. 48 (2020) 3619.

    >>> features = ConvolutionFeatures(0.5, [(-1.0, 1.0)], 400)
    >>> mass = features.prepare(np.array([[0.1]])).predict(np.ones(1)).sum() * features.cell
    >>> bool(abs(mass - 1) < 1e-8)
    True
    """

    def __init__(
        self,
        width: float,
        bounds: Sequence[tuple[float, float]],
        n: int | Sequence[int],
        mask: Any = None,
        domain: Any = None,
    ) -> None:
        pairs = as_floats("bounds", bounds)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not 1 <= pairs.shape[0] <= 3:
            raise InputError(
                f"bounds of shape {pairs.shape}: give (lo, hi) for each of 1 to 3 axes"
            )
        if not (pairs[:, 0] < pairs[:, 1]).all():
            raise InputError(f"bounds {pairs.tolist()}: give finite pairs lo < hi")
        super().__init__(width, pairs.shape[0], domain)
        counts = check_counts("n", n, pairs.shape[0])
        steps = [(hi - lo) / m for (lo, hi), m in zip(pairs.tolist(), counts, strict=True)]
        origin = tuple(lo + h / 2 for lo, h in zip(pairs[:, 0].tolist(), steps, strict=True))
        self.lattice = Lattice(origin, tuple(steps), tuple(counts))
        inside = np.ones(self.lattice.size, dtype=bool)
        if mask is not None:
            told = check_function("mask", mask, "nodes (n, d)")(self.lattice.points)
            inside = np.asarray(told, dtype=bool).reshape(-1)
            if inside.size != self.lattice.size:
                raise InputError(
                    f"mask gives {inside.size} answers for {self.lattice.size} nodes: give one a node"
                )

            if not inside.any():
                raise InputError("mask leaves no node: refine the grid, or move its bounds")
        self.inside = inside
        self.nodes = self.lattice.points[inside]
        self.n_nodes = self.nodes.shape[0]

    @property
    def cell(self) -> float:
        """Volume of a node's cell, the weight p_q of Lebesgue measure."""
        return self.lattice.cell

    def prepare(self, points: np.ndarray) -> PreparedLattice | PreparedStencil:
        lattice = Lattice.recognise(points)
        if lattice is None or min(lattice.shape) < 2 or strides(lattice, self.lattice) is None:
            return PreparedStencil(self, points)
        return PreparedLattice(self, lattice)

    def on_lattice(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients of the nodes among zeros, shape (n_1, …)."""
        whole = np.zeros(self.lattice.size)
        whole[self.inside] = coefficients
        return whole.reshape(self.lattice.shape)

    def fingerprint(self) -> str:
        return digest("bumps on a grid", self.width, self.lattice, self.inside, self.bounds)

    def __repr__(self) -> str:
        return f"ConvolutionFeatures(width={self.width:g}, nodes={self.lattice.shape})"


class PreparedLattice:
    """Bumps between two lattices, by Fourier transform."""

    def __init__(self, features: ConvolutionFeatures, lattice: Lattice) -> None:
        self._features, self._lattice = features, lattice
        self._value = LatticeConvolution(lattice, features.lattice, features.bump.value)
        self._slopes: list[LatticeConvolution] = []

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self._value.apply(weights)[self._features.inside]

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._value.transpose(self._features.on_lattice(node_weights))

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        f = self._features
        if not self._slopes:
            for k in range(f.dimension):
                slope = partial(f.bump.slope, k=k)
                self._slopes.append(LatticeConvolution(self._lattice, f.lattice, slope))
        c = f.on_lattice(node_weights)
        return np.stack([slope.transpose(c) for slope in self._slopes], axis=1)


class PreparedStencil:
    """Bumps at any points, on the lattice nodes that they reach."""

    def __init__(self, features: ConvolutionFeatures, points: np.ndarray) -> None:
        self._features = features
        more = 3 - features.dimension
        lattice = features.lattice
        # Axes of one node at 0 in front make every case three-dimensional.
        self._points = np.concatenate([np.zeros((points.shape[0], more)), points], axis=1)
        self._origin = np.array([0.0] * more + list(lattice.origin))
        self._spacing = np.array([1.0] * more + list(lattice.spacing))
        self._shape = (1,) * more + lattice.shape

    def predict(self, weights: np.ndarray) -> np.ndarray:
        out = np.zeros(self._shape)
        bump = self._features.bump
        scatter(
            self._points,
            np.ascontiguousarray(weights, dtype=np.float64),
            self._origin,
            self._spacing,
            bump.width,
            bump.peak,
            out,
        )
        return out.ravel()[self._features.inside]

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._gather(node_weights)[0]

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        slope = self._gather(node_weights)[1]
        return np.ascontiguousarray(slope[:, 3 - self._features.dimension :])

    def _gather(self, node_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, bump = self._points.shape[0], self._features.bump
        value, slope = np.empty(n), np.empty((n, 3))
        c = self._features.on_lattice(node_weights).reshape(self._shape)
        gather(self._points, c, self._origin, self._spacing, bump.width, bump.peak, value, slope)
        return value, slope


class BumpFeatures(BumpMap):
    """Bumps on scattered nodes, as a batch of samples: ``scale`` · K^δ(x_q − w).

    Parameters
    ----------
    nodes : (Q, d) array of inputs x_q
    width : δ > 0
    scale : factor of every feature
    domain : (lo, hi) of each coordinate of w; without bounds by default

    Raises
    ------
    InputError
        for a width that is not positive

    >>> one = BumpFeatures(np.array([[0.0]]), 1.0)
    >>> one.prepare(np.array([[0.0]])).predict(np.ones(1)).tolist()
    [1.09375]
    """

    def __init__(
        self, nodes: np.ndarray, width: float, scale: float = 1.0, domain: Any = None
    ) -> None:
        x = as_inputs(nodes)
        super().__init__(width, x.shape[1], domain)
        self.nodes, self.scale = x, number("scale", scale)
        self.n_nodes = x.shape[0]

    def prepare(self, points: np.ndarray) -> PreparedNodes:
        return PreparedNodes(self, np.ascontiguousarray(points))

    def fingerprint(self) -> str:
        return digest("bumps", self.width, self.scale, self.nodes, self.bounds)

    def __repr__(self) -> str:
        return f"BumpFeatures(width={self.width:g}, Q={self.n_nodes})"


class PreparedNodes:
    """Bumps at any points on scattered nodes; nothing is kept."""

    def __init__(self, features: BumpFeatures, points: np.ndarray) -> None:
        self._features, self._points = features, points

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f = self._features
        out = np.empty(f.n_nodes)
        w = np.ascontiguousarray(weights, dtype=np.float64)
        scatter_nodes(self._points, w, f.nodes, f.width, f.scale * f.bump.peak, out)
        return out

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._gather(node_weights)[0]

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return self._gather(node_weights)[1]

    def _gather(self, node_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = self._features
        value, slope = np.empty(self._points.shape[0]), np.empty(self._points.shape)
        c = np.ascontiguousarray(node_weights, dtype=np.float64)
        gather_nodes(self._points, c, f.nodes, f.width, f.scale * f.bump.peak, value, slope)
        return value, slope
