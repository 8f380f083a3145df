r"""A network of layers under a loss: its outputs, its risk and the gradient of R/2 over some samples.

.. math:: R = \sum_q p_q\,\ell\bigl(y_q, \hat y(x_q)\bigr), \qquad r = \tfrac12\,\partial_{\hat y}\ell
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wflow.energies.features.activations import get_activation
from wflow.energies.features.losses import Loss
from wflow.errors import InputError
from wflow.layers.layout import Layers
from wflow.layers.standard import Inputs, Sink, Standard
from wflow.layers.units import General, Units
from wflow.tools.checks import check_kind, check_list
from wflow.tools.fingerprint import digest


class Samples(NamedTuple):
    """Inputs (d, Q), targets (Q,) or (Q, K), and weights (Q,) of a batch or a data set."""

    inputs: Inputs
    targets: np.ndarray
    weights: np.ndarray


class Network:
    """What neurons compute, whatever their number.

    Parameters
    ----------
    activations : of the hidden layers: one for all, or L − 1 of them in a list
    output : φ, of the outputs
    loss : ℓ
    outputs : K, or 0 for one output without an axis of its own
    units : φ_2, …, φ_L in place of the activations
    """

    def __init__(
        self,
        activations: object,
        output: object,
        loss: Loss,
        outputs: int,
        units: Sequence[Units] | None = None,
    ) -> None:
        self.loss, self.outputs = loss, outputs
        self.output = get_activation(output)
        self.units: tuple[Units, ...] | None = None
        if units is not None:
            found = check_list(
                "units", units, "wflow.multilayer.Units, one a layer from the second on"
            )
            for unit in found:
                check_kind("units", unit, Units, "give wflow.multilayer.Units")
            self.units = tuple(found)
        pair = isinstance(activations, Sequence) and len(activations) == 2
        pair = pair and all(map(callable, activations))  # type: ignore[call-overload]
        self._one_for_all = pair or not isinstance(activations, list | tuple)
        given = [activations] if self._one_for_all else list(activations)  # type: ignore[call-overload]
        self._activations = tuple(get_activation(a) for a in given)

    def layers(self, depth: int) -> Standard | General:
        """The layers of a network of L = ``depth``.

        Raises
        ------
        InputError
            where the activations or units are of another number of layers
        """
        if self.units is not None:
            self._refuse("units", len(self.units), depth)
            return General(self.units, self.output)
        acts = self._activations
        if self._one_for_all:
            acts = acts * (depth - 1)
        self._refuse("activation", len(acts), depth)
        return Standard(acts, self.output)

    def _refuse(self, what: str, found: int, depth: int) -> None:
        if found != depth - 1:
            raise InputError(
                f"{what} has {found} entries and the network {depth} layers: give {depth - 1}"
            )

    def predict(
        self, layers: Layers, probabilities: Sequence[np.ndarray], inputs: Inputs
    ) -> np.ndarray:
        """The outputs, (Q,) or (Q, K)."""
        with np.errstate(all="ignore"):  # what is no number is seen by who asked
            outputs, _ = self.layers(len(layers.weights)).forward(layers, probabilities, inputs)
        return self._rows(outputs)

    def descend(
        self,
        layers: Layers,
        probabilities: Sequence[np.ndarray],
        samples: Samples,
        sink: Sink,
    ) -> np.ndarray:
        """Hand out the gradients of R/2 over the samples; the outputs, (Q,) or (Q, K)."""
        way = self.layers(len(layers.weights))
        with np.errstate(all="ignore"):
            outputs, trace = way.forward(layers, probabilities, samples.inputs)
            f = self._rows(outputs)
            r = self.loss.half_slope(samples.targets, f)
            residual = np.ascontiguousarray(r.reshape(f.shape[0], -1).T)
            way.backward(layers, probabilities, trace, residual, samples.weights, sink)
        return f

    def _rows(self, outputs: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(outputs.T) if self.outputs else outputs[0]

    def fingerprint(self) -> str:
        """A digest of what neurons compute, and of the loss."""
        own: list[object] = [
            self._one_for_all,
            self.output.name,
            self.output.params,
            self.loss.name,
            self.outputs,
        ]
        for act in self._activations:
            own += [act.name, act.params]
        return digest(*own, *(unit.fingerprint() for unit in self.units or ()))
