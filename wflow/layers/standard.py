r"""The standard network, forwards and backwards, by products of matrices.

With neurons in rows and samples in columns, :math:`S_i = \sigma_i(H_i)`,

.. math:: H_i = w_i^\top(p_{i-1} S_{i-1}) + b_i, \quad
          D_L = r\,\varphi'(H_L), \quad D_{i-1} = \sigma_{i-1}'(H_{i-1})\,\bigl[w_i (p_i D_i)\bigr], \quad
          G_1 = D_1 q X, \quad G_i = S_{i-1}\,(q D_i)^\top, \quad g_i = D_i\,q

for sample weights q, an output map φ and :math:`p_L = 1`. G is the derivative of R/2 by a weight over the probabilities
of the two atoms that it joins: :math:`N_{i-1}N_i` times the derivative in a network of N_i neurons a layer.
Source: Nguyen & Pham, arXiv:2001.11443, section 2.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wflow.energies.features.activations import Activation
from wflow.kernels.parallel import over_blocks
from wflow.kernels.products import add_product
from wflow.layers.layout import Layers

ROWS = 200
"""Neurons a block, about."""


def block_of(n: int) -> int:
    """Neurons a block of n, so that their number is even: it depends on n alone, so that threads change no bit.

    >>> block_of(400), block_of(1000), block_of(5)
    (200, 250, 3)
    """
    return -(-n // (2 * max(1, round(n / (2 * ROWS)))))


class Sink(ABC):
    """Takes gradients as they are found, from the last layer to the first."""

    @abstractmethod
    def product(self, i: int, a: int, b: int, left: np.ndarray, right: np.ndarray) -> None:
        """Of rows a … b of ``weights[i]``: the factors (rows, Q) and (columns, Q) of their G."""

    @abstractmethod
    def whole(self, i: int, g: np.ndarray) -> None:
        """Of all of ``weights[i]``."""

    @abstractmethod
    def bias(self, i: int, g: np.ndarray) -> None:
        """Of ``biases[i]``."""


class Written(Sink):
    """To arrays of the network's shapes."""

    def __init__(self, gradient: Layers) -> None:
        self._to = gradient

    def product(self, i: int, a: int, b: int, left: np.ndarray, right: np.ndarray) -> None:
        np.matmul(left, right.T, out=self._to.weights[i][a:b])

    def whole(self, i: int, g: np.ndarray) -> None:
        self._to.weights[i][...] = g

    def bias(self, i: int, g: np.ndarray) -> None:
        self._to.biases[i][...] = g


class Descent(Sink):
    """``step`` times the gradient is taken from the network itself, whose rows are needed no more by then."""

    def __init__(self, layers: Layers, step: float) -> None:
        self._from, self._step = layers, step

    def product(self, i: int, a: int, b: int, left: np.ndarray, right: np.ndarray) -> None:
        add_product(self._from.weights[i][a:b], -self._step, left, right)

    def whole(self, i: int, g: np.ndarray) -> None:
        self._from.weights[i][...] -= self._step * g

    def bias(self, i: int, g: np.ndarray) -> None:
        self._from.biases[i][...] -= self._step * g


class Inputs(NamedTuple):
    """What the first layer is multiplied with on the way forth, and what its gradient is on the way back: (…, Q).

    Both are the inputs, a column each. Where w_1 holds H_1 at the samples itself there is nothing to multiply with on
    the way forth, and on the way back the products of the inputs with each other (:mod:`wflow.multilayer`).
    """

    forth: np.ndarray | None
    back: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Inputs:
        """Of inputs (Q, d)."""
        columns = np.ascontiguousarray(x.T)
        return cls(columns, columns)


class Trace:
    """What the way back needs of the way forth: S_i and σ'_i(H_i) of the hidden layers (n_i, Q), φ' (K, Q)."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.values: list[np.ndarray] = []
        self.slopes: list[np.ndarray] = []
        self.output_slope = np.empty(0)


class Standard:
    """Layers of neurons σ_i(H_i), and outputs φ(H_L) each on its own."""

    def __init__(self, activations: Sequence[Activation], output: Activation) -> None:
        self.activations, self.output = tuple(activations), output

    def forward(
        self,
        layers: Layers,
        probabilities: Sequence[np.ndarray],
        inputs: Inputs,
        hidden: list[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Trace]:
        """The outputs (K, Q), and what the way back needs; H_1, …, H_L are appended to ``hidden`` if it is given."""
        trace, before = Trace(inputs), inputs.forth
        for i in range(len(self.activations)):
            before = self._hidden(i, layers, probabilities[i], before, trace, hidden)
        assert before is not None
        top = layers.weights[-1].T @ before
        if (bias := layers.bias(len(layers.weights))) is not None:
            top += bias[:, None]
        if hidden is not None:
            hidden.append(top)
        outputs, trace.output_slope = self.output.value_and_derivative(top)
        return outputs, trace

    def _hidden(
        self,
        i: int,
        layers: Layers,
        probabilities: np.ndarray,
        before: np.ndarray | None,
        trace: Trace,
        hidden: list[np.ndarray] | None,
    ) -> np.ndarray:
        """S_{i+1} times the probabilities, from that of the layer before; ``trace`` takes what the way back needs."""
        act, samples = self.activations[i], trace.inputs.back.shape[1]
        rows = layers.weights[0] if i == 0 else layers.weights[i].T
        bias = layers.bias(i + 1) if i else None
        n, shares = rows.shape[0], probabilities[:, None]
        value, slope, weighted = (np.empty((n, samples)) for _ in range(3))
        fields = None if hidden is None else np.empty((n, samples))

        def block(a: int, b: int) -> None:
            # H is formed where S times its probability comes to stand.
            h = weighted[a:b]
            if before is None:
                h[...] = rows[a:b]
            else:
                np.matmul(rows[a:b], before, out=h)
            if bias is not None:
                h += bias[a:b, None]
            if fields is not None:
                fields[a:b] = h
            act.map(h.reshape(-1), act.params, value[a:b].reshape(-1), slope[a:b].reshape(-1))
            np.multiply(value[a:b], shares[a:b], out=h)

        over_blocks(block, n, block_of(n), rows.size * samples, products=True)
        trace.values.append(value)
        trace.slopes.append(slope)
        if hidden is not None and fields is not None:
            hidden.append(fields)
        return weighted

    def backward(
        self,
        layers: Layers,
        probabilities: Sequence[np.ndarray],
        trace: Trace,
        residual: np.ndarray,
        sample_weights: np.ndarray,
        sink: Sink,
    ) -> None:
        """Hand out the gradients for residuals r (K, Q) and sample weights q (Q,)."""
        w = layers.weights
        d = residual * trace.output_slope * sample_weights
        for i in range(len(w) - 1, 0, -1):
            shared = d if i == len(w) - 1 else d * probabilities[i][:, None]
            if layers.biases:
                sink.bias(i - 1, d.sum(axis=1))
            d = _before(i, w[i], d, shared, trace, sink)
        back = trace.inputs.back
        over_blocks(
            lambda a, b: sink.product(0, a, b, d[a:b], back),
            w[0].shape[0],
            block_of(w[0].shape[0]),
            w[0].size * d.shape[1],
            products=True,
        )


def _before(
    i: int, rows: np.ndarray, d: np.ndarray, shared: np.ndarray, trace: Trace, sink: Sink
) -> np.ndarray:
    """D_i from D_{i+1} and its product with the probabilities, ``shared``; hands out the gradient between them."""
    value, slope = trace.values[i - 1], trace.slopes[i - 1]
    later = np.empty_like(value)

    def block(a: int, b: int) -> None:
        np.matmul(rows[a:b], shared, out=later[a:b])
        later[a:b] *= slope[a:b]
        sink.product(i, a, b, value[a:b], d)

    over_blocks(
        block, rows.shape[0], block_of(rows.shape[0]), rows.size * d.shape[1], products=True
    )
    return later
