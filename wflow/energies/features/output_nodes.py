r"""Features of K outputs as features of one output on K times the nodes, for who knows nodes alone.

.. math:: \sigma_*(x_{(q,k)};\theta) = \sigma_{*,k}(x_q;\theta), \qquad
          \sum_q p_q \sum_k \ell(y_{qk}, f_{qk}) = \sum_{(q,k)} p_q\,\ell(y_{(q,k)}, f_{(q,k)})

where the loss is the sum of those of the outputs, as the square loss is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.base import SameSpace
from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.tools.fingerprint import digest


class OutputNodes(SameSpace, FeatureMap):
    """The outputs of features, one after another at each of their nodes."""

    def __init__(self, features: FeatureMap) -> None:
        super().__init__(features)
        self.features = features
        self.n_nodes = features.n_nodes * features.outputs
        self.per_sample = features.outputs

    @property
    def kink(self) -> float | None:
        return self.features.kink

    @property
    def work(self) -> float:  # type: ignore[override]
        return self.features.work

    def prepare(self, points: np.ndarray) -> PreparedOutputNodes:
        return PreparedOutputNodes(
            self.features.prepare(points), (self.features.n_nodes, self.features.outputs)
        )

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = self.features.jacobian(points)
        return values.reshape(len(points), -1), slopes.reshape(*points.shape, -1)

    def at(self, x: Any) -> OutputNodes:
        return OutputNodes(self.features.at(x))

    def fingerprint(self) -> str:
        return digest("output nodes", self.features.fingerprint())


class PreparedOutputNodes:
    """The outputs of fixed points as nodes."""

    def __init__(self, prepared: PreparedFeatures, shape: tuple[int, int]) -> None:
        self._prepared, self._shape = prepared, shape

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self._prepared.predict(weights).ravel()

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._prepared.potential(node_weights.reshape(self._shape))

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return self._prepared.gradient(node_weights.reshape(self._shape))
