r"""Features of a two-layer network of K outputs: σ*(x; θ) = a σ(⟨w, x⟩ [+ b]) ∈ R^K, θ = (a1, …, aK, b, w).

.. math:: f_{qk} = \int a_k\,\sigma(\langle w, x_q\rangle + b)\,d\rho, \qquad
          \Psi(\theta) = \sum_{k} a_k \sum_q c_{qk}\,\sigma(\langle w, x_q\rangle + b)

The kernels are those of :mod:`wflow.kernels.features.dense_outputs`; what is kept is as in
:mod:`wflow.energies.features.dense`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, numbered
from wflow.energies.features.dense import DenseFeatures, PreparedDense
from wflow.energies.features.notes import NOTHING
from wflow.kernels.features import dense, dense_outputs
from wflow.kernels.parallel import over_blocks
from wflow.kernels.tile import PANEL, QUARTER
from wflow.tools.checks import check_count
from wflow.tools.fingerprint import digest


class DenseOutputs(DenseFeatures):
    """Neurons with K output weights on the nodes of a data set; see :class:`wflow.energies.FeatureEnergy`.

    >>> DenseOutputs("tanh", [[0.5, 1.0]], 3, offset=True).coordinates
    ('a1', 'a2', 'a3', 'b', 'w1', 'w2')
    """

    def __init__(self, activation: Any, nodes: Any, outputs: int, *, offset: bool = False) -> None:
        super().__init__(activation, nodes, charges=True, offset=offset)
        self.outputs = check_count("outputs", outputs, least=2)
        self.coordinates = numbered("a", self.outputs) + self.coordinates[1:]
        self.dimension = len(self.coordinates)

    def split(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """The parts a (n, K), b (n,), None without an offset, and w (n, d) of neurons."""
        k = self.outputs
        b = points[:, k] if self.offset else None
        return points[:, :k], b, points[:, k + int(self.offset) :]

    def prepare(self, points: np.ndarray) -> PreparedOutputs:
        return PreparedOutputs(self, points)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, k = self.split(points)[0][:, None], self.outputs
        value, slope = self.activations(points)
        slopes = np.zeros((*points.shape, self.n_nodes, k))
        for o in range(k):
            slopes[:, o, :, o] = value
        pull = slope[..., None] * a  # a_k σ', (n, Q, K)
        if self.offset:
            slopes[:, k] = pull
        on_weights = slopes[:, k + int(self.offset) :]
        np.multiply(pull[:, None], self.nodes.T[..., None], out=on_weights)
        return value[..., None] * a, slopes

    def at(self, x: Any) -> DenseOutputs:
        x = as_inputs(x, self.input_dimension, "x")
        return DenseOutputs(self.activation, x, self.outputs, offset=self.offset)

    def fingerprint(self) -> str:
        return digest("outputs", self.outputs, super().fingerprint())

    def __repr__(self) -> str:
        size = f"Q={self.n_nodes}, d={self.input_dimension}, K={self.outputs}"
        return f"DenseOutputs({self.activation.name!r}, {size})"


class PreparedOutputs(PreparedDense):
    """Neurons of K outputs on nodes; activations are kept where they fit and are asked for again."""

    _features: DenseOutputs

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f, layer, params = self._features, self._layer, self._features.activation.params
        n, k = self._points.shape[0], f.outputs
        charges = weights[:, None] * self._points[:, :k]
        effective = dense_outputs.by_rows(charges, -(-n // PANEL) * PANEL, QUARTER)
        self._make_room(f.padded.shape[0])
        shape = (f.padded.shape[0], effective.shape[1])
        rows = dense_outputs.block_rows(self._rows, n, shape[0] * shape[1])
        total = np.zeros((max(1, -(-n // rows)), *shape))

        with self._to_predict() as (sigma, kept):

            def work(start: int, stop: int) -> None:
                out, part = total[start // rows], (start, stop)
                dense_outputs.predict_rows(
                    layer, sigma, params, effective, kept, self._rows, part, out
                )

            over_blocks(work, n, rows, self._pairs)
        # Always in the same order.
        return np.ascontiguousarray(total.sum(axis=0)[: f.n_nodes, :k])

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._sums(node_weights)

    def _contract(
        self, node_weights: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        f, layer, params = self._features, self._layer, self._features.activation.params
        n = self._points.shape[0]
        c = dense_outputs.by_rows(node_weights, f.padded.shape[0], 1)
        pulls = dense.weighted_nodes(f.padded, np.ones(f.n_nodes)) if gradient.size else NOTHING
        potential = np.empty(n)

        with self._to_contract() as (sigma, kept):

            def work(start: int, stop: int) -> None:
                part = (start, stop)
                dense_outputs.gradient_rows(
                    layer, sigma, params, c, pulls, kept, part, potential, gradient
                )

            over_blocks(work, n, self._rows, self._pairs)
        return potential, gradient
