"""The formulas of features in plain numpy: to read, to hold other evaluators against, and where nothing compiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from wflow.energies.evaluator import Evaluator, evaluators
from wflow.energies.features.bump import BumpMap
from wflow.energies.features.dense import DenseFeatures
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.energies.features.radial import RadialFeatures
from wflow.energies.features.rbf import RbfFeatures

BLOCK_ENTRIES = 1 << 18
"""Values of features, or of their gradients, that are formed at a time."""


class ReferenceFeatures(ABC):
    """Features of fixed points as an array a block of points; nothing is kept."""

    def __init__(self, features: Any, points: np.ndarray) -> None:
        self.features, self.points = features, points

    @abstractmethod
    def values(self, theta: np.ndarray) -> np.ndarray:
        """σ*(x_q; θ_i), shape (n, Q)."""

    @abstractmethod
    def slopes(self, theta: np.ndarray) -> np.ndarray:
        """∇σ*(x_q; θ_i), shape (n, Q, D)."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        total = np.zeros(self.features.n_nodes)
        for rows in self._blocks(1):
            total += weights[rows] @ self.values(self.points[rows])
        return total

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        parts = [self.values(self.points[rows]) @ node_weights for rows in self._blocks(1)]
        return np.concatenate(parts)

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        blocks = self._blocks(self.features.dimension)
        parts = [np.einsum("iqk,q->ik", self.slopes(self.points[r]), node_weights) for r in blocks]
        return np.concatenate(parts)

    def _blocks(self, parts: int) -> Iterator[slice]:
        size = max(1, BLOCK_ENTRIES // (self.features.n_nodes * parts))
        return (slice(i, i + size) for i in range(0, self.points.shape[0], size))


class ReferenceDense(ReferenceFeatures):
    """[a] σ(⟨w, x⟩ [+ b])."""

    def _parts(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f: DenseFeatures = self.features
        a = f.split(theta)[0]
        return np.ones(len(theta)) if a is None else a, *f.activations(theta)

    def values(self, theta: np.ndarray) -> np.ndarray:
        a, sigma, _ = self._parts(theta)
        return np.asarray(a[:, None] * sigma)

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        f: DenseFeatures = self.features
        a, sigma, slope = self._parts(theta)
        pull = a[:, None] * slope
        head = [sigma[..., None]] * f.charges + [pull[..., None]] * f.offset
        return np.concatenate([*head, pull[..., None] * f.nodes], axis=2)


class ReferenceOutputs(ReferenceFeatures):
    """a σ(⟨w, x⟩ [+ b]) with a ∈ R^K: values and slopes are those of the part that K outputs share."""

    def values(self, theta: np.ndarray) -> np.ndarray:
        f: DenseOutputs = self.features
        return f.activations(theta)[0]

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        f: DenseOutputs = self.features
        slope = f.activations(theta)[1][..., None]
        return np.concatenate([slope] * f.offset + [slope * f.nodes], axis=2)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f: DenseOutputs = self.features
        total = np.zeros((f.n_nodes, f.outputs))
        for r in self._blocks(1):
            charges = f.split(self.points[r])[0]
            total += self.values(self.points[r]).T @ (weights[r, None] * charges)
        return total

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return np.asarray(
            (self.points[:, : self.features.outputs] * self._sums(node_weights)).sum(1)
        )

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        f: DenseOutputs = self.features
        rest = [
            np.einsum(
                "iqj,iq->ij",
                self.slopes(self.points[r]),
                f.split(self.points[r])[0] @ node_weights.T,
            )
            for r in self._blocks(f.dimension)
        ]
        return np.concatenate([self._sums(node_weights), np.concatenate(rest)], axis=1)

    def _sums(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q c_qk σ(z_qi), shape (n, K)."""
        return np.concatenate([self.values(self.points[r]) @ node_weights for r in self._blocks(1)])


class ReferenceRbf(ReferenceFeatures):
    """[c] A exp(−κ|x − y|²/2)."""

    def values(self, theta: np.ndarray) -> np.ndarray:
        c, _, bumps = self._parts(theta)
        return bumps if c is None else c[:, None] * bumps

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        f: RbfFeatures = self.features
        c, y, bumps = self._parts(theta)
        pull = f.kappa * bumps[..., None] * (f.nodes - y[:, None])
        return pull if c is None else np.concatenate([bumps[..., None], c[:, None, None] * pull], 2)

    def _parts(self, theta: np.ndarray) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """c, y and the bumps of charge 1."""
        f: RbfFeatures = self.features
        c, y = f.split(theta)
        square = ((f.nodes - y[:, None]) ** 2).sum(axis=2)
        with np.errstate(under="ignore"):
            return c, y, f.amplitude * np.exp(-0.5 * f.kappa * square)


class ReferenceBumps(ReferenceFeatures):
    """s K^δ(x − w)."""

    def values(self, theta: np.ndarray) -> np.ndarray:
        f: Any = self.features
        return np.asarray(f.scale * f.bump.value(f.nodes - theta[:, None]))

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        f: Any = self.features
        away = f.nodes - theta[:, None]
        slopes = [f.scale * f.bump.slope(away, k) for k in range(f.dimension)]
        return np.stack(slopes, axis=2)


class ReferenceRadial(ReferenceFeatures):
    """h(r|x|) from the closed form, not from its table."""

    def values(self, theta: np.ndarray) -> np.ndarray:
        f: RadialFeatures = self.features
        return f.profile.exact(theta * f.radii)[0]

    def slopes(self, theta: np.ndarray) -> np.ndarray:
        f: RadialFeatures = self.features
        return np.asarray((f.profile.exact(theta * f.radii)[1] * f.radii)[..., None])


FORMULAS: dict[type, type[ReferenceFeatures]] = {
    DenseFeatures: ReferenceDense,
    DenseOutputs: ReferenceOutputs,
    RbfFeatures: ReferenceRbf,
    BumpMap: ReferenceBumps,
    RadialFeatures: ReferenceRadial,
}


class Reference(Evaluator):
    """Arrays of all features of a block of points."""

    name = "numpy"
    serves = tuple(FORMULAS)

    def prepare(self, features: Any, points: np.ndarray) -> ReferenceFeatures:
        formula = next(FORMULAS[kind] for kind in type(features).__mro__ if kind in FORMULAS)
        return formula(features, points)


evaluators.enter(Reference())
