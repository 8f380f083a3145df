r"""Features of an ordinary two-layer network: σ*(x; θ) = [a] σ(⟨w, x⟩ [+ b]), θ = (a, b, w).

Points are handled in blocks through matrix products, so that 1e5 neurons on 1e4 nodes never meet in one array;
a problem whose pre-activations fit in memory keeps them between the prediction and the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wflow.energies.activations import get_activation
from wflow.energies.features import digest
from wflow.errors import InputError

BLOCK_ENTRIES = 1 << 18
"""Pre-activations handled at a time (2 MiB an array, so that a block stays in the second-level cache)."""
KEEP_ENTRIES = 1 << 22
"""Up to this many activations and slopes are kept between prediction and gradient (64 MiB)."""


class DenseFeatures:
    """Neurons on the nodes of a data set; see :class:`wflow.energies.FeatureEnergy`."""

    def __init__(
        self, activation: Any, nodes: Any, *, charges: bool = False, offset: bool = False
    ) -> None:
        self.activation = get_activation(activation)
        try:
            x = np.array(nodes, dtype=np.float64, order="C")
        except (TypeError, ValueError) as e:
            raise InputError(f"nodes must be numbers: {e}") from None
        if x.ndim == 1:
            x = x[:, None]
        if x.ndim != 2 or x.size == 0:
            raise InputError(f"nodes of shape {x.shape}: expected (Q, d) with Q, d >= 1")
        if not np.isfinite(x).all():
            bad = np.argwhere(~np.isfinite(x))[0]
            raise InputError(
                f"nodes[{bad[0]}, {bad[1]}] is {x[tuple(bad)]}: entries must be finite; clean the data"
            )
        x.setflags(write=False)
        self.nodes = x
        self.n_nodes, self.input_dimension = x.shape
        self.charges, self.offset = bool(charges), bool(offset)
        d = self.input_dimension
        head = ("a",) * self.charges + ("b",) * self.offset
        self.coordinates = head + (("w",) if d == 1 else tuple(f"w{i + 1}" for i in range(d)))
        self.dimension = len(self.coordinates)
        self.bounds = np.tile([-np.inf, np.inf], (self.dimension, 1))

    def split(self, points: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
        """The parts a (n,), b (n,) and w (n, d) of neurons; a part that θ lacks is None."""
        i = int(self.charges)
        j = i + int(self.offset)
        return (
            points[:, 0] if self.charges else None,
            points[:, i] if self.offset else None,
            points[:, j:],
        )

    def prepare(self, points: np.ndarray) -> PreparedDense:
        return PreparedDense(self, points)

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        return np.zeros(points.shape[0])

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        return np.zeros_like(points)

    def refuse_temperature(self) -> str | None:
        return None

    def fingerprint(self) -> str:
        a = self.activation
        return digest("dense", a.name, a.params, self.nodes, self.charges, self.offset)

    def __repr__(self) -> str:
        return (
            f"DenseFeatures({self.activation.name!r}, Q={self.n_nodes}, d={self.input_dimension})"
        )


class PreparedDense:
    """Neurons on nodes, activations kept where they fit."""

    def __init__(self, features: DenseFeatures, points: np.ndarray) -> None:
        self._features = features
        self._points = points
        self._rows = max(1, BLOCK_ENTRIES // features.n_nodes)
        self._keep = points.shape[0] * features.n_nodes <= KEEP_ENTRIES
        self._kept: list[tuple[slice, np.ndarray, np.ndarray]] = []

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        if self._kept:
            yield from self._kept
            return
        f = self._features
        _, offset, w = f.split(self._points)
        for start in range(0, self._points.shape[0], self._rows):
            rows = slice(start, min(start + self._rows, self._points.shape[0]))
            z = w[rows] @ f.nodes.T
            if offset is not None:
                z += offset[rows, None]
            value, slope = f.activation.value_and_derivative(z)
            if self._keep:
                self._kept.append((rows, value, slope))
            yield rows, value, slope

    def predict(self, weights: np.ndarray) -> np.ndarray:
        charge = self._features.split(self._points)[0]
        effective = weights if charge is None else weights * charge
        total = np.zeros(self._features.n_nodes)
        for rows, value, _ in list(self._blocks()) if self._keep else self._blocks():
            total += effective[rows] @ value
        return total

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        charge = self._features.split(self._points)[0]
        out = np.empty(self._points.shape[0])
        for rows, value, _ in list(self._blocks()) if self._keep else self._blocks():
            out[rows] = value @ node_weights
        return out if charge is None else charge * out

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        f = self._features
        charge = f.split(self._points)[0]
        out = np.empty_like(self._points)
        into_a, into_b, into_w = f.split(out)
        for rows, value, slope in list(self._blocks()) if self._keep else self._blocks():
            pull = slope * node_weights
            if charge is not None:
                pull *= charge[rows, None]
            into_w[rows] = pull @ f.nodes
            if into_b is not None:
                into_b[rows] = pull.sum(axis=1)
            if into_a is not None:
                into_a[rows] = value @ node_weights
        return out
