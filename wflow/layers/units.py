r"""Networks whose neurons are any functions φ of bias, weight and the neuron before, and any way back ψ.

.. math:: H_i(x, c_i) = E_{C_{i-1}}\bigl[\varphi_i\bigl(b_i(c_i), w_i(C_{i-1}, c_i), H_{i-1}(x, C_{i-1})\bigr)\bigr],
          \qquad
          D_{i-1}(x, c_{i-1}) = E_{C_i}\bigl[\psi_i\bigl(D_i(x, C_i), w_i(c_{i-1}, C_i), H_{i-1}(x, c_{i-1})\bigr)\bigr]

   G_i = E_x\bigl[D_i\,\partial_w\varphi_i\bigr], \qquad g_i = E_x\,E_{C_{i-1}}\bigl[D_i\,\partial_b\varphi_i\bigr]

With :math:`\psi = D\,\partial_h\varphi` this is the gradient of R/2; other ψ make the dynamics that the theory of
neuronal embeddings allows for as well. A layer is one loop over samples, each an operation on an array (n_{i-1}, n_i):
the standard network is some ten times faster by its products of matrices.
Source: Nguyen & Pham, arXiv:2001.11443, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wflow.energies.features.activations import Activation
from wflow.errors import MISTAKES, InputError
from wflow.kernels.parallel import over_blocks
from wflow.layers.layout import Layers
from wflow.layers.standard import Inputs, Sink
from wflow.tools.checks import check_function
from wflow.tools.fingerprint import digest, of_function
from wflow.tools.portable import Portable

Function = Callable[[Any, Any, Any], Any]
DIFFERENCE = 1e-5
AGREE = 1e-6
"""How far a given derivative may be from the difference quotient, relatively."""


class Units(Portable):
    r"""The neurons of one layer, :math:`\varphi(b, w, h)`.

    Parameters
    ----------
    phi : φ of arrays b, w and h that broadcast
    d_bias, d_weight, d_hidden : its partial derivatives, of the same arguments; d_bias may be left out where networks
        have no biases
    psi : ψ of arrays D, w and h in place of D ∂_hφ

    Raises
    ------
    InputError
        for what is no function, and for derivatives that differences of φ contradict

    >>> gated = Units(
    ...     lambda b, w, h: b + np.tanh(w * h),
    ...     d_bias=lambda b, w, h: 1.0,
    ...     d_weight=lambda b, w, h: h / np.cosh(w * h) ** 2,
    ...     d_hidden=lambda b, w, h: w / np.cosh(w * h) ** 2,
    ... )
    """

    def __init__(
        self,
        phi: Function,
        *,
        d_weight: Function,
        d_hidden: Function,
        d_bias: Function | None = None,
        psi: Function | None = None,
    ) -> None:
        of = "arrays b, w and h"
        self.phi = check_function("phi", phi, of)
        self.d_weight = check_function("d_weight", d_weight, of)
        self.d_hidden = check_function("d_hidden", d_hidden, of)
        self.d_bias = None if d_bias is None else check_function("d_bias", d_bias, of)
        self.psi = None if psi is None else check_function("psi", psi, "arrays D, w and h")
        self._check()

    def _check(self) -> None:
        """Refuse derivatives that differences of φ contradict at a few places."""
        at = list(
            np.random.default_rng(0).uniform(0.3, 1.5, (3, 16)) * np.array([[1.0], [-1.0], [1.0]])
        )
        for k, (name, slope) in enumerate(
            [("d_bias", self.d_bias), ("d_weight", self.d_weight), ("d_hidden", self.d_hidden)]
        ):
            if slope is None:
                continue
            above, below = list(at), list(at)
            above[k], below[k] = at[k] + DIFFERENCE, at[k] - DIFFERENCE
            try:
                seen = (np.asarray(self.phi(*above)) - self.phi(*below)) / (2 * DIFFERENCE)
                told = np.asarray(slope(*at)) + np.zeros(16)
            except MISTAKES as e:
                raise InputError(
                    f"phi or {name} failed on arrays of shape (16,) ({e}): write them with numpy, entry by entry"
                ) from None
            off = np.abs(told - seen) > AGREE * (1.0 + np.abs(seen))
            if off.any():
                j = int(off.argmax())
                raise InputError(
                    f"{name} is {told[j]:.6g} where differences of phi give {seen[j]:.6g} (b = {at[0][j]:.3g}, "
                    f"w = {at[1][j]:.3g}, h = {at[2][j]:.3g}): correct the derivative"
                )

    def fingerprint(self) -> str:
        """A digest of the functions."""
        own = (self.phi, self.d_weight, self.d_hidden, self.d_bias, self.psi)
        return digest(*(None if f is None else of_function(f) for f in own))


class General:
    """Layers 2 … L of any neurons on a first one of H_1 = w_1 x, with outputs φ(H_L) each on its own."""

    def __init__(self, units: Sequence[Units], output: Activation) -> None:
        self.units, self.output = tuple(units), output

    def forward(
        self,
        layers: Layers,
        probabilities: Sequence[np.ndarray],
        inputs: Inputs,
        hidden: list[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Any]:
        """The outputs (K, Q), and H_1, …, H_{L−1} with φ' for the way back."""
        w = layers.weights
        fields = [np.array(w[0]) if inputs.forth is None else w[0] @ inputs.forth]
        for i, unit in enumerate(self.units):
            fields.append(_after(unit, layers, i + 2, probabilities[i], fields[-1]))
        if hidden is not None:
            hidden.extend(fields)
        outputs, slope = self.output.value_and_derivative(fields[-1])
        return outputs, (inputs, fields, slope)

    def backward(
        self,
        layers: Layers,
        probabilities: Sequence[np.ndarray],
        trace: Any,
        residual: np.ndarray,
        sample_weights: np.ndarray,
        sink: Sink,
    ) -> None:
        """Hand out the gradients for residuals r (K, Q) and sample weights q (Q,)."""
        inputs, fields, slope = trace
        d = residual * slope
        for i in range(len(self.units) - 1, -1, -1):
            unit, before, weights = self.units[i], fields[i], layers.weights[i + 1]
            last = i == len(self.units) - 1
            shares = np.ones(weights.shape[1]) if last else probabilities[i + 1]
            b = _bias(layers, i + 2)
            later, g = np.empty_like(before), np.zeros_like(weights)
            g_bias = np.zeros(b.size)
            for q, share in enumerate(sample_weights):
                h, dq = before[:, q, None], d[:, q]
                g += (share * dq) * unit.d_weight(b, weights, h)
                if layers.biases and unit.d_bias is not None:
                    slopes = _full(unit.d_bias(b, weights, h), weights)
                    g_bias += (share * dq) * (probabilities[i] @ slopes)
                psi = unit.psi(dq, weights, h) if unit.psi else dq * unit.d_hidden(b, weights, h)
                later[:, q] = _full(psi, weights) @ shares
            sink.whole(i + 1, g)
            if layers.biases:
                sink.bias(i, g_bias)
            d = later
        sink.whole(0, (d * sample_weights) @ inputs.back.T)


def _after(
    unit: Units, layers: Layers, i: int, probabilities: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """H_i from H_{i−1}, a sample after the other."""
    weights, b = layers.weights[i - 1], _bias(layers, i)
    after = np.empty((b.size, before.shape[1]))

    def sample(start: int, stop: int) -> None:
        for q in range(start, stop):
            values = unit.phi(b, weights, before[:, q, None])
            after[:, q] = probabilities @ _full(values, weights)

    over_blocks(sample, before.shape[1], 1, weights.size * before.shape[1])
    return after


def _bias(layers: Layers, i: int) -> np.ndarray:
    bias = layers.bias(i)
    return np.zeros(layers.weights[i - 1].shape[1]) if bias is None else bias


def _full(values: Any, like: np.ndarray) -> np.ndarray:
    """What a function returned, of the shape of the weights."""
    return np.broadcast_to(np.asarray(values, dtype=np.float64), like.shape)
