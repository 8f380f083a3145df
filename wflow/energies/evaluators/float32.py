r"""Dense features in float32 on the processor, with an error of rounding that is stated.

Points and answers are float64. Inside, products ⟨w, x⟩, activations and short sums are float32, and these sums are
added up in float64. With u = 2^-24 = 6e-8, z_qi = ⟨w_i, x_q⟩ + b_i and C = 2 TERMS

.. math:: |\delta z_{qi}| \le (D + 3)\,u\,\Bigl(|b_i| + \sum_l |w_{il} x_{ql}|\Bigr), \qquad
          |\delta f_q| \le \sum_i |e_i|\,\bigl(|\sigma'_{qi}|\,|\delta z_{qi}| + C u\,(1 + |\sigma_{qi}|)\bigr),

and so for the sums over nodes, with σ' and its change over δz for the slopes. A neuron whose pre-activation is within
δz of a kink of σ may be taken on the other side of it. Numbers beyond 3e38 are infinite, and weights below 1e-38 of the
largest one lose digits.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), sections 3.1 and 4.2.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from wflow.energies.evaluator import Evaluator, evaluators
from wflow.energies.features.activations import Activation
from wflow.energies.features.dense import DenseFeatures
from wflow.errors import InputError
from wflow.kernels.features import activations_single as maps
from wflow.kernels.features import dense_single as kernels
from wflow.kernels.features.dense_outputs import block_rows
from wflow.kernels.parallel import over_blocks
from wflow.kernels.tile_single import PANEL

TERMS = kernels.CHUNK
"""The longest sum in float32, of nodes; one of neurons has GROUP terms, or GROUP PANEL of them for K outputs."""
LARGEST = float(np.finfo(np.float32).max)


def map_of(activation: Activation) -> maps.SingleMap:
    """The map of an activation in float32; a user's own pair is computed in float64 and rounded."""
    if activation.functions is not None:
        return maps.single_map_from_scalars(*activation.functions)
    name = activation.name.replace("-", "_").partition("[")[0]
    found: maps.SingleMap = getattr(maps, name)
    return found


def scaled(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The float32 of values divided by a power of two that brings the largest near 1, and this power."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0.0 < largest < np.inf:
        return values.astype(np.float32), 1.0
    power = float(2.0 ** min(max(np.frexp(largest)[1], -1000), 1000))
    with np.errstate(under="ignore"):
        return (values / power).astype(np.float32), power


def single(values: np.ndarray) -> np.ndarray:
    """The float32 of values, C-ordered; what is too large is infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ascontiguousarray(values, np.float32)


class SingleNodes:
    """What depends on nodes and activation alone."""

    def __init__(self, features: DenseFeatures) -> None:
        x = features.nodes
        if x.size and np.abs(x).max() > LARGEST:
            raise InputError(
                f"evaluator 'float32': an input of {np.abs(x).max():.3g} is above {LARGEST:.3g}, the largest number "
                "of float32; scale the inputs, or take 'auto'"
            )
        self.extended = np.column_stack([np.ones(len(x))] * features.offset + [x])
        rows = kernels.padded_rows(len(x))
        self.nodes = np.zeros((rows, self.extended.shape[1]), np.float32)
        self.nodes[: len(x)] = single(self.extended)
        self.plain = kernels.in_panels(self.extended, rows) if features.outputs > 1 else None
        self.map = map_of(features.activation)
        self.params = single(features.activation.params)

    def pulls(self, c: np.ndarray) -> np.ndarray:
        """The nodes in panels, each times its weight c (Q, 1) where there is one output."""
        if self.plain is not None:
            return self.plain
        with np.errstate(under="ignore"):
            return kernels.in_panels(self.extended * c, len(self.nodes))


class PreparedSingle:
    """Neurons on nodes in float32; nothing is kept."""

    def __init__(self, features: DenseFeatures, known: SingleNodes, points: np.ndarray) -> None:
        self._features, self._known = features, known
        self._points = points
        k = features.outputs * int(features.charges)
        self._charges = points[:, :k] if k else np.ones((len(points), 1))
        self._layer = kernels.SingleLayer(known.nodes, features.n_nodes, single(points[:, k:]))
        d = known.nodes.shape[1]
        self._rows = kernels.block_rows(len(points), features.n_nodes, d)
        self._beside: tuple[Any, np.ndarray] = None, points
        """What a gradient was last asked for, and the sums without slopes that came with it."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f, known, layer = self._features, self._known, self._layer
        n, k = len(self._points), f.outputs
        numbers, power = scaled(weights[:, None] * self._charges)
        wide = kernels.padded_rows(k, PANEL) if k > 1 else 1
        effective = np.zeros((kernels.padded_rows(n, PANEL), wide), np.float32)
        effective[:n, :k] = numbers
        rows = block_rows(self._rows, n, f.n_nodes * k)
        total = np.zeros((max(1, -(-n // rows)), f.n_nodes, k))

        def work(start: int, stop: int) -> None:
            for first in range(start, stop, self._rows):
                part = first, min(first + self._rows, stop)
                kernels.predict_rows(
                    layer, known.map, known.params, effective, part, total[start // rows]
                )

        over_blocks(work, n, rows, n * f.n_nodes)
        out: np.ndarray = power * total.sum(axis=0)  # always in the same order
        return out if k > 1 else out.reshape(-1)

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        sums = self._sums(node_weights)
        return np.asarray((self._charges * sums).sum(axis=1))

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        sums, slopes = self._contract(node_weights, True)
        self._beside = node_weights, sums
        if not self._features.charges:
            return slopes
        if self._features.outputs == 1:
            slopes *= self._charges
        return np.concatenate([sums, slopes], axis=1)

    def _sums(self, node_weights: np.ndarray) -> np.ndarray:
        known, sums = self._beside
        return sums if known is node_weights else self._contract(node_weights, False)[0]

    def _contract(
        self, node_weights: np.ndarray, with_slopes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Σ_q c_qk σ(z_qi), (n, K), and the slopes (n, D), of charge 1 for one output."""
        f, known, layer = self._features, self._known, self._layer
        n, rows = len(self._points), len(known.nodes)
        c, power = scaled(node_weights.reshape(f.n_nodes, -1))
        columns = np.zeros((rows, f.outputs), np.float32)
        columns[: f.n_nodes] = c
        sums_of = kernels.in_panels(c, rows) if f.outputs > 1 else columns.reshape(-1)
        charges, of_charges = scaled(self._charges) if f.outputs > 1 else (columns, 1.0)
        pulls = (
            known.pulls(node_weights[:, None] / power)
            if with_slopes and f.outputs == 1
            else known.plain
        )
        pulls = sums_of if pulls is None else pulls
        sums = np.empty((n, f.outputs))
        slopes = np.empty((n, known.nodes.shape[1])) if with_slopes else np.empty((0, 0))

        def work(start: int, stop: int) -> None:
            kernels.gradient_rows(
                layer, known.map, known.params, charges, columns, sums_of, pulls,
                (start, stop), sums, slopes,
            )  # fmt: skip

        over_blocks(work, n, self._rows, n * f.n_nodes)
        sums *= power
        slopes *= power * of_charges
        return sums, slopes


_known: weakref.WeakKeyDictionary[DenseFeatures, SingleNodes] = weakref.WeakKeyDictionary()


class Float32(Evaluator):
    """Products, activations and short sums in float32, long sums in float64."""

    name = "float32"
    precision = "float32"
    serves = (DenseFeatures,)

    def prepare(self, features: Any, points: np.ndarray) -> PreparedSingle:
        known = _known.get(features)
        if known is None:
            known = _known[features] = SingleNodes(features)
        return PreparedSingle(features, known, points)


evaluators.enter(Float32())
