r"""Features of a network of Gaussian bumps: σ*(x; θ) = [c] exp(−κ|x − y|²/2), θ = (c, y).

Bumps are handled in blocks that stay in the cache, n Q values never meet in one array. Distances are sums of squared
differences: |x|² − 2⟨x, y⟩ + |y|² would lose digits far from the origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, numbered
from wflow.energies.features.base import FeatureMap
from wflow.errors import InputError
from wflow.tools.checks import positive
from wflow.tools.fingerprint import digest

BLOCK_ENTRIES = 1 << 17
"""Values of bumps handled at a time (1 MiB an array)."""


class RbfFeatures(FeatureMap):
    r"""Gaussian bumps on nodes x_q, each with a centre y and a charge c.

    .. math:: \sigma_*(x;(c,y)) = c\,e^{-\kappa|x-y|^2/2}, \qquad
              \text{normalised: } c\,(2\pi v)^{-D/2}\,e^{-|x-y|^2/(2v)}, \quad v = 1/\kappa

    Parameters
    ----------
    nodes : (Q, D) array of inputs x_q (or (Q,) for D = 1)
    kappa : κ > 0; or, instead of it,
    variance : v = 1/κ > 0
    charges : whether θ = (c, y) has an output weight c, or is y alone
    charge_name : the name of the coordinate c
    normalised : whether a bump has integral 1 over R^D (times c)

    Raises
    ------
    InputError
        for nodes that are not finite numbers, or unless exactly one of kappa and variance is given, positive

    Source: Rotskoff & Vanden-Eijnden (2022), radial basis functions with charges c and centres y.

    >>> features = RbfFeatures([[0.0, 0.0], [1.0, 0.0]], kappa=2.0)
    >>> features.coordinates
    ('c', 'y1', 'y2')
    >>> at_one_node = features.prepare(np.array([[3.0, 1.0, 0.0]]))
    >>> at_one_node.predict(np.ones(1)).round(6)
    array([1.103638, 3.      ])
    """

    def __init__(
        self,
        nodes: Any,
        kappa: float | None = None,
        *,
        variance: float | None = None,
        charges: bool = True,
        charge_name: str = "c",
        normalised: bool = False,
    ) -> None:
        if (kappa is None) == (variance is None):
            raise InputError("bumps need one of kappa and variance = 1/kappa; give exactly one")
        name, given = ("kappa", kappa) if kappa is not None else ("variance", variance)
        width = positive(name, given)
        self.kappa = width if kappa is not None else 1.0 / width
        x = as_inputs(nodes)
        x.setflags(write=False)
        self.nodes = x
        self.n_nodes, self.input_dimension = x.shape
        self.charges = bool(charges)
        self.normalised = bool(normalised)
        d = self.input_dimension
        self.amplitude = (self.kappa / (2 * np.pi)) ** (d / 2) if self.normalised else 1.0
        self.coordinates = (charge_name,) * self.charges + numbered("y", d)
        self.dimension = len(self.coordinates)

    def split(self, points: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The parts c (n,) and y (n, D) of bumps; c is None where θ lacks it."""
        return (points[:, 0], points[:, 1:]) if self.charges else (None, points)

    def prepare(self, points: np.ndarray) -> PreparedRbf:
        return PreparedRbf(self, points)

    def at(self, x: Any) -> RbfFeatures:
        return RbfFeatures(
            as_inputs(x, self.input_dimension, "x"),
            self.kappa,
            charges=self.charges,
            charge_name=self.coordinates[0],
            normalised=self.normalised,
        )

    def fingerprint(self) -> str:
        return digest("rbf", self.kappa, self.nodes, self.coordinates, self.normalised)

    def __repr__(self) -> str:
        return (
            f"RbfFeatures(Q={self.n_nodes}, D={self.input_dimension}, kappa={self.kappa:g}, "
            f"charges={self.charges}, normalised={self.normalised})"
        )


class PreparedRbf:
    """Bumps on nodes, in blocks."""

    def __init__(self, features: RbfFeatures, points: np.ndarray) -> None:
        self._features = features
        self._points = points
        self._rows = max(1, BLOCK_ENTRIES // features.n_nodes)

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        f = self._features
        _, y = f.split(self._points)
        x = f.nodes
        for start in range(0, y.shape[0], self._rows):
            rows = slice(start, min(start + self._rows, y.shape[0]))
            square = np.zeros((rows.stop - rows.start, x.shape[0]))
            for k in range(x.shape[1]):
                square += (y[rows, k, None] - x[:, k]) ** 2
            with np.errstate(under="ignore"):
                yield rows, f.amplitude * np.exp(-0.5 * f.kappa * square)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        charge = self._features.split(self._points)[0]
        effective = weights if charge is None else weights * charge
        total = np.zeros(self._features.n_nodes)
        for rows, value in self._blocks():
            total += effective[rows] @ value
        return total

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        charge = self._features.split(self._points)[0]
        out = np.empty(self._points.shape[0])
        for rows, value in self._blocks():
            out[rows] = value @ node_weights
        return out if charge is None else charge * out

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        f = self._features
        charge, y = f.split(self._points)
        out = np.empty_like(self._points)
        into_c, into_y = f.split(out)
        origin = f.nodes[0]
        for rows, value in self._blocks():
            with np.errstate(under="ignore"):
                pull = value * node_weights
            total = pull.sum(axis=1)
            # Σ_q pull_q (x_q − y), about a node so that large coordinates do not cancel.
            into_y[rows] = pull @ (f.nodes - origin) - (y[rows] - origin) * total[:, None]
            into_y[rows] *= f.kappa
            if charge is not None:
                into_y[rows] *= charge[rows, None]
            if into_c is not None:
                into_c[rows] = total
        return out
