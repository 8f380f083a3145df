r"""The second derivatives of a feature energy: Gauss and Newton's part has no more rank than there are nodes.

.. math:: \nabla_1\nabla_2 U(\theta,\theta')
          = \sum_q p_q r'_q\,\nabla\sigma_*(x_q;\theta)\,\nabla\sigma_*(x_q;\theta')^T,
          \qquad r' = \tfrac12\partial_f^2\ell \ge 0

The rest, Σ_q p_q r_q ∇²σ*, acts on each point alone and is differenced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wflow.energies.curvature import STEP, Curvature

if TYPE_CHECKING:
    from wflow.energies.features.energy import FeatureEnergy

HELD = 1 << 24
"""Slopes of features that are held at most (128 MB)."""
MOST = 1500
"""Up to this many equations are solved directly."""


class FeatureCurvature(Curvature):
    """Of a FeatureEnergy, by whichever is smaller of GGᵀ and GᵀG."""

    energy: FeatureEnergy

    def coupling(self) -> np.ndarray | None:
        unknowns = self.points.size
        if self.energy.features.n_nodes < unknowns or unknowns > MOST:
            return None
        slopes = self._slopes()
        return None if slopes is None else np.asarray(slopes @ slopes.T)

    def outputs(self) -> np.ndarray | None:
        nodes = self.energy.features.n_nodes
        return self._slopes() if nodes < self.points.size and nodes <= MOST else None

    def _slopes(self) -> np.ndarray | None:
        """G, (nD, Q), unless it is too large or there are several outputs a node."""
        energy, (n, d) = self.energy, self.points.shape
        q = energy.features.n_nodes
        if energy.features.outputs > 1 or n * d * q > HELD:
            return None
        slopes = energy.features.jacobian(self.points)[1].reshape(n * d, q)
        f = energy.prepare(self.points).field(self.weights).prediction
        bend = energy.loss.half_curvature(energy.targets, f, STEP)
        return np.asarray(slopes * np.sqrt(energy.weights * np.maximum(bend, 0.0)))
