"""Features with a factor at each node: a change of the law of the inputs (importance sampling), say."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.base import SameSpace
from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.tools.fingerprint import digest


class WeightedFeatures(SameSpace, FeatureMap):
    """Features multiplied by a factor at each node, shape (Q,)."""

    def __init__(self, features: FeatureMap, factors: np.ndarray) -> None:
        super().__init__(features)
        self.features, self.factors = features, factors
        self.n_nodes = features.n_nodes

    @property
    def kink(self) -> float | None:
        return self.features.kink

    @property
    def work(self) -> float:  # type: ignore[override]
        return self.features.work

    def prepare(self, points: np.ndarray) -> PreparedWeighted:
        return PreparedWeighted(self.features.prepare(points), self.factors)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = self.features.jacobian(points)
        return values * self.factors, slopes * self.factors

    def at(self, x: Any) -> FeatureMap:
        """The features themselves at other inputs: the factors belong to the nodes."""
        return self.features.at(x)

    def fingerprint(self) -> str:
        return digest("weighted", self.features.fingerprint(), self.factors)


class PreparedWeighted:
    """Weighted features of fixed points."""

    def __init__(self, prepared: PreparedFeatures, factors: np.ndarray) -> None:
        self._prepared, self._factors = prepared, factors

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self._factors * self._prepared.predict(weights))

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._prepared.potential(self._factors * node_weights)

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return self._prepared.gradient(self._factors * node_weights)
