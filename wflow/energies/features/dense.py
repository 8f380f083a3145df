r"""Features of an ordinary two-layer network: σ*(x; θ) = [a] σ(⟨w, x⟩ [+ b]), θ = (a, b, w).

The kernels of :mod:`wflow.kernels.features.dense` take neurons and nodes in pieces that fit the cache, so that 1e5
neurons on 1e4 nodes never meet in one array. Where the same points are asked again and again (a grid) and their
activations fit in memory, these are kept; points that move leave notes from prediction to gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, numbered
from wflow.energies.features.activations import get_activation
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.notes import NOTED, NOTHING, notes_of
from wflow.kernels.features import dense as kernels
from wflow.kernels.features.activations import ActivationMap
from wflow.kernels.features.dense_outputs import block_rows
from wflow.kernels.memory import kernel_floats
from wflow.kernels.parallel import over_blocks
from wflow.kernels.tile import PANEL
from wflow.tools.checks import check_flag
from wflow.tools.fingerprint import digest

KEEP_ENTRIES = 1 << 22
"""Up to this many activations and slopes are kept where points are used again (64 MiB)."""
SMALL = 1 << 15
"""Up to this many are kept from the first pass on (512 KiB): that costs less than to compute them twice."""
WIDE = 96
"""So it does from this number of inputs on."""


class DenseFeatures(FeatureMap):
    """Neurons on the nodes of a data set; see :class:`wflow.energies.FeatureEnergy`.

    Parameters
    ----------
    activation : a name, or a pair of functions: σ and its derivative
    nodes : inputs x_q (Q, d)
    charges : whether a neuron has an output weight a as well
    offset : and an offset b

    Raises
    ------
    InputError
        for an unknown activation and nodes that are not numbers

    >>> DenseFeatures("tanh", [[0.5, 1.0]], charges=True, offset=True).coordinates
    ('a', 'b', 'w1', 'w2')
    """

    work = 60.0

    def __init__(
        self, activation: Any, nodes: Any, *, charges: bool = False, offset: bool = False
    ) -> None:
        self.activation = get_activation(activation)
        x = as_inputs(nodes)
        self.n_nodes, self.input_dimension = x.shape
        self.padded = kernels.padded(x)
        self.charges = check_flag("charges", charges)
        self.offset = check_flag("offset", offset)
        d = self.input_dimension
        self.coordinates = ("a",) * self.charges + ("b",) * self.offset + numbered("w", d)
        self.dimension = len(self.coordinates)
        self.relu_units = self.charges and self.activation.name == "relu"

    @property
    def kink(self) -> float | None:
        return self.activation.kink

    @property
    def nodes(self) -> np.ndarray:
        """x_q, shape (Q, d)."""
        view = self.padded[: self.n_nodes, : self.input_dimension]
        view.setflags(write=False)
        return view

    @property
    def node_inputs(self) -> np.ndarray:
        return self.nodes

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

    def activations(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """σ and σ' of ⟨w_i, x_q⟩ [+ b_i], shapes (n, Q)."""
        _, b, w = self.split(points)
        z = w @ self.nodes.T + (0.0 if b is None else b[:, None])
        return self.activation.value_and_derivative(z)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, i = self.split(points)[0], int(self.charges)
        value, slope = self.activations(points)
        slopes = np.empty((*points.shape, self.n_nodes))
        if a is not None:
            slopes[:, 0] = value
            value, slope = a[:, None] * value, a[:, None] * slope
        if self.offset:
            slopes[:, i] = slope
        np.multiply(slope[:, None], self.nodes.T, out=slopes[:, i + int(self.offset) :])
        return value, slopes

    def at(self, x: Any) -> DenseFeatures:
        x = as_inputs(x, self.input_dimension, "x")
        return DenseFeatures(self.activation, x, charges=self.charges, offset=self.offset)

    def fingerprint(self) -> str:
        a = self.activation
        return digest("dense", a.name, a.params, self.nodes, self.charges, self.offset)

    def __repr__(self) -> str:
        return (
            f"DenseFeatures({self.activation.name!r}, Q={self.n_nodes}, d={self.input_dimension})"
        )


class PreparedDense:
    """Neurons on nodes; activations are kept where they fit and are asked for again."""

    def __init__(self, features: DenseFeatures, points: np.ndarray) -> None:
        self._features = features
        self._points = kernel_floats(points)
        n, d = points.shape[0], features.input_dimension
        self._rows = kernels.block_rows(n, features.n_nodes, d)
        self._pairs = n * features.n_nodes
        charges = features.outputs * int(features.charges)
        self._layer = kernels.Layer(
            features.padded, features.n_nodes, self._points, charges, features.offset
        )
        self._kept = kernels.Kept(NOTHING, NOTHING, False, NOTHING, False)
        self._notes = notes_of(features)
        self._worth_keeping = self._pairs <= SMALL or d >= WIDE
        self._beside: tuple[np.ndarray, np.ndarray] = NOTHING, NOTHING
        """What a gradient was last asked for, and the sums without slopes that came with it."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f = self._features
        n = self._points.shape[0]
        charge = self._points[:, 0] if f.charges else None
        effective = kernel_floats(weights) if charge is None else weights * charge
        self._make_room(f.n_nodes)
        rows = block_rows(self._rows, n, f.n_nodes)
        total = np.zeros((max(1, -(-n // rows)), f.n_nodes))
        params, layer = f.activation.params, self._layer

        with self._to_predict() as (sigma, kept):

            def work(start: int, stop: int) -> None:
                out = total[start // rows]
                for first in range(start, stop, self._rows):
                    last = min(first + self._rows, stop)
                    if kept.filled:
                        kernels.predict_kept(f.n_nodes, kept.value, effective, first, last, out)
                        continue
                    part = first, last
                    kernels.predict_rows(layer, sigma, params, effective, kept, part, out)

            over_blocks(work, n, rows, self._pairs >> 3 * kept.filled)
        out: np.ndarray = total.sum(axis=0)  # always in the same order
        return out

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        out = self._sums(node_weights)
        return self._points[:, 0] * out if self._features.charges else out

    def _sums(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q c_q σ(z_qi), which comes with a gradient for the same c."""
        known, sums = self._beside
        return sums if known is node_weights else self._contract(node_weights, np.empty((0, 0)))[0]

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        sums, gradient = self._contract(node_weights, np.empty_like(self._points))
        self._beside = node_weights, sums
        return gradient

    def _contract(
        self, node_weights: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Σ_q c_q σ(z_qi) and, unless ``gradient`` is empty, Σ_q c_q ∇_θ σ*(x_q; θ_i)."""
        f = self._features
        n = self._points.shape[0]
        c = kernel_floats(node_weights)
        potential = np.empty(n)
        pulls = kernels.weighted_nodes(f.padded, c) if gradient.size else NOTHING
        params, layer = f.activation.params, self._layer

        with self._to_contract() as (sigma, kept):

            def work(start: int, stop: int) -> None:
                if kept.filled and not gradient.size:
                    kernels.potential_kept(f.n_nodes, kept.value, c, start, stop, potential)
                    return
                part = (start, stop)
                kernels.gradient_rows(
                    layer, sigma, params, c, pulls, kept, part, potential, gradient
                )

            over_blocks(work, n, self._rows, self._pairs >> 3 * kept.filled)
        return potential, gradient

    def _to_predict(self) -> AbstractContextManager[tuple[ActivationMap, kernels.Kept]]:
        """The map and the memory for a prediction, with notes where nothing is kept."""
        rows = self._features.padded.shape[0]
        noted = SMALL < self._pairs <= NOTED and not self._kept.value.size
        size = -(-self._points.shape[0] // PANEL) * PANEL * rows if noted else 0
        return self._with_notes(self._notes.written(self, size), 0)

    def _to_contract(self) -> AbstractContextManager[tuple[ActivationMap, kernels.Kept]]:
        """The map and the memory for a gradient: what is kept, or the notes of the prediction."""
        kept = self._kept.value.size > 0
        return self._with_notes(self._notes.read(None if kept else self), 1)

    @contextmanager
    def _with_notes(
        self, notes: AbstractContextManager[np.ndarray], direction: int
    ) -> Iterator[tuple[ActivationMap, kernels.Kept]]:
        sigma = self._features.activation.map
        with notes as numbers:
            coded = numbers.size > 0 and sigma.noting is not None
            chosen = sigma.noting[direction] if sigma.noting and coded else sigma
            yield chosen, self._kept._replace(notes=numbers, coded=coded)
        self._kept = self._kept._replace(filled=self._kept.value.size > 0)

    def _make_room(self, rows: int) -> None:
        """Make room for activations to be kept in this pass, if they are worth it and not there yet.

        There are so many ``rows`` of each panel.
        """
        # The next prediction says that these points are used more than once.
        wanted, self._worth_keeping = self._worth_keeping, True
        if not wanted or self._pairs > KEEP_ENTRIES or self._kept.value.size > 0:
            return
        panels = -(-self._points.shape[0] // PANEL)
        size = panels * PANEL * rows
        self._kept = self._kept._replace(value=np.zeros(size), slope=np.zeros(size))
