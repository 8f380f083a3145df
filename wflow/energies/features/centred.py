r"""The population risk of a finite network on rotation-invariant inputs: exact means, and deviations on frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.base import SameSpace
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.dense import DenseFeatures
from wflow.energies.features.radial import RadialFeatures
from wflow.tools.fingerprint import digest


class CentredFeatures(SameSpace, FeatureMap):
    r"""Features whose square loss is the population risk of a finite network, for inputs t_q u on frames of ±u.

    .. math:: R = \sum_q p_q\bigl[(y_q - \bar f_q)^2 + E_u (f(t_q u) - \bar f_q)^2\bigr], \qquad
              \bar f_q = \frac1N\sum_i h(|w_i| t_q)

    First come the means h(|w| t_q), then the deviations σ(⟨w, t_q u⟩) − h(|w| t_q) with target 0. The means are exact;
    only the variance over u, of order 1/N, is sampled, on orthonormal frames (exact for all that is linear in u).
    """

    def __init__(self, radial: RadialFeatures, dense: DenseFeatures) -> None:
        super().__init__(dense)
        self.radial, self.dense = radial, dense
        self.n_nodes = radial.n_nodes + dense.n_nodes

    @property
    def kink(self) -> float | None:
        return self.dense.kink

    def prepare(self, points: np.ndarray) -> PreparedCentred:
        return PreparedCentred(self, points)

    def at(self, x: Any) -> DenseFeatures:
        return self.dense.at(x)

    def fingerprint(self) -> str:
        return digest("centred", self.radial.fingerprint(), self.dense.fingerprint())


class PreparedCentred:
    """Centred features of fixed weights w, computed once."""

    def __init__(self, features: CentredFeatures, points: np.ndarray) -> None:
        radii = np.linalg.norm(points, axis=1)[:, None]
        self._directions = points / np.where(radii > 0, radii, 1.0)
        self._mean = features.radial.prepare(radii)
        self._dense = features.dense.prepare(points)
        self._n = features.radial.n_nodes

    def predict(self, weights: np.ndarray) -> np.ndarray:
        mean = self._mean.predict(weights)
        sample = self._dense.predict(weights).reshape(self._n, -1)
        return np.concatenate([mean, (sample - mean[:, None]).ravel()])

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        on_mean, on_sample = self._split(node_weights)
        return np.asarray(self._mean.potential(on_mean) + self._dense.potential(on_sample))

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        on_mean, on_sample = self._split(node_weights)
        radial = self._mean.gradient(on_mean) * self._directions
        return np.asarray(radial + self._dense.gradient(on_sample))

    def _split(self, node_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        deviations = node_weights[self._n :]
        return node_weights[: self._n] - deviations.reshape(self._n, -1).sum(axis=1), deviations
