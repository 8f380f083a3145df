r"""Features of a network of Gaussian bumps: σ*(x; θ) = [c] exp(−κ|x − y|²/2), θ = (c, y).

Bumps are handled in blocks that stay in the cache, and many never meet in one array; those of one block, as a batch of
SGD has them, are formed once for the outputs and the gradient. Distances are sums of squared differences:
|x|² − 2⟨x, y⟩ + |y|² would lose digits far from the origin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, distinct, gathered, numbered, spread
from wflow.energies.features.base import FeatureMap
from wflow.energies.kept import KeptPairs
from wflow.errors import InputError
from wflow.tools.checks import check_flag, positive
from wflow.tools.fingerprint import digest

BLOCK_ENTRIES = 1 << 19
"""Values of bumps handled at a time (4 MiB an array)."""


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

    work = 100.0

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
        self.nodes, self._columns = x, np.ascontiguousarray(x.T)
        self.n_nodes, self.input_dimension = x.shape
        self.charges = check_flag("charges", charges)
        self.normalised = check_flag("normalised", normalised)
        d = self.input_dimension
        self.amplitude = (self.kappa / (2 * np.pi)) ** (d / 2) if self.normalised else 1.0
        self.coordinates = (charge_name,) * self.charges + numbered("y", d)
        self.dimension = len(self.coordinates)

    def split(self, points: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The parts c (n,) and y (n, D) of bumps; c is None where θ lacks it."""
        return (points[:, 0], points[:, 1:]) if self.charges else (None, points)

    def bumps(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Bumps of charge 1 with centres y (m, D) at x (n, D), shape (m, n)."""
        from wflow.kernels.features.rbf import bump_values

        columns = self._columns if x is self.nodes else np.ascontiguousarray(x.T)
        out = np.empty((y.shape[0], x.shape[0]))
        bump_values(np.ascontiguousarray(y), columns, self.kappa, self.amplitude, out)
        return out

    def prepare(self, points: np.ndarray) -> PreparedRbf:
        return PreparedRbf(self, points)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c, y = self.split(points)
        bump = self.bumps(y, self.nodes)
        value = bump if c is None else c[:, None] * bump
        into_y = self.kappa * value[:, None] * (self.nodes.T - y[:, :, None])
        return value, into_y if c is None else np.concatenate([bump[:, None], into_y], axis=1)

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
    """Bumps on nodes: at each distinct centre once, in blocks, kept where they are asked for again."""

    def __init__(self, features: RbfFeatures, points: np.ndarray) -> None:
        self._features = features
        self._charge, y = features.split(points)
        self._y, self._owner = distinct(np.ascontiguousarray(y))
        self._bumps = KeptPairs(features.bumps, self._y, features.nodes, block=BLOCK_ENTRIES)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        effective = weights if self._charge is None else weights * self._charge
        return self._bumps.transposed(gathered(effective, self._owner, len(self._y)))

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        out = spread(self._bumps.sums(node_weights), self._owner)
        return out if self._charge is None else self._charge * out

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        # κ Σ_q c_q K_q (x_q − y), about a node so that large coordinates do not cancel.
        x, origin = self._features.nodes, self._features.nodes[0]
        total, *moments = self._bumps.sums(np.vstack([node_weights, node_weights * (x - origin).T]))
        into_y = np.stack(moments, axis=1) - (self._y - origin) * total[:, None]
        into_y = spread(self._features.kappa * into_y, self._owner)
        if self._charge is None:
            return into_y
        return np.column_stack([spread(total, self._owner), self._charge[:, None] * into_y])
