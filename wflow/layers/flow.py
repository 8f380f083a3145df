r"""The equation of a multilayer network's ensemble, and of every network of finite width.

.. math:: \partial_t w_i(c_{i-1}, c_i) = -\xi(t)\,E_x\bigl[D_i(x, c_i)\,\sigma_{i-1}(H_{i-1}(x, c_{i-1}))\bigr], \quad
          \partial_t w_1(c_1) = -\xi(t)\,E_x\bigl[D_1(x, c_1)\,x\bigr], \quad
          \partial_t b_i(c_i) = -\xi(t)\,E_x\bigl[D_i(x, c_i)\bigr]

with D of R/2 as everywhere here: Nguyen & Pham take the full derivative of the loss, so that the square loss on their
clock runs twice as fast. Along it

.. math:: \tfrac{d}{dt}\tfrac12 R = -\xi\,\textstyle\sum_i\bigl(E|G_i|^2 + E|g_i|^2\bigr).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, node_weights
from wflow.energies.features.losses import Loss, get_loss, right
from wflow.energies.features.targets import as_targets, refuse_misfit
from wflow.equation import Equation, Schedule, check_observations
from wflow.errors import InputError
from wflow.layers.ensemble import Ensemble
from wflow.layers.layout import Layers, Layout
from wflow.layers.network import Network, Samples
from wflow.layers.standard import Inputs, Written
from wflow.layers.units import Units
from wflow.tools.checks import check_flag, check_kind
from wflow.tools.fingerprint import of_function

BLOCK = 1 << 24
"""Neurons times samples that are worked on at a time (some 400 MB)."""


class Flow(Equation):
    r"""The gradient flow of a network of L layers in mean-field scaling, on weighted samples.

    .. math:: R = \sum_q p_q\,\ell\bigl(y_q, \varphi(H_L(x_q))\bigr), \qquad
              \dot w = -\xi\,G, \quad G_i = N_{i-1}N_i\,\partial_{w_i}\tfrac12 R

    Parameters
    ----------
    nodes : (Q, d) inputs x_q, or (Q,) for d = 1
    targets : (Q,) y_q; (Q, K) for K outputs; labels 0 … K−1 for the softmax loss
    weights : (Q,) p_q ≥ 0, by default 1/Q
    activation : σ of the hidden layers, one for all or a list of L − 1: a name, an Activation, or a pair (value,
        derivative) of scalar functions
    loss : "square", "logistic", "huber" or "softmax"
    schedule : ξ > 0, a number or a function of time
    output : the map φ of the outputs
    units : L − 1 :class:`Units` for layers 2 … L, in place of activations
    accuracy : whether targets are classes, whose share told right is reported; by default those of the logistic and
        softmax losses are
    observations : further flows by the name of a series, which ends in ``_risk``: their risk is reported with every
        frame and moves nothing

    Raises
    ------
    InputError
        for NaN, shapes that do not fit, negative weights and unknown names

    Source: Nguyen & Pham, arXiv:2001.11443, section 2.3, on half their clock for the square loss.

    >>> flow = Flow([[-1.0], [1.0]], [-1.0, 1.0])
    >>> net = Ensemble([[[1.0]], [[2.0]], [0.5]])
    >>> bool(abs(flow.risk(net) - (1 - 0.5 * np.tanh(2 * np.tanh(1.0))) ** 2) < 1e-12)
    True
    """

    run = "ensemble"

    def __init__(
        self,
        nodes: Any,
        targets: Any,
        weights: Any = None,
        activation: Any = "tanh",
        loss: str | Loss = "square",
        schedule: Schedule = 1.0,
        *,
        output: Any = "identity",
        units: Sequence[Units] | None = None,
        accuracy: bool | None = None,
        observations: Mapping[str, Flow] | None = None,
    ) -> None:
        super().__init__(schedule)
        x = as_inputs(nodes)
        self.inputs = x.shape[1]
        self._prepare(Inputs.of(x), targets, weights, activation, loss, output, units, accuracy)
        self._observe(observations)

    def _prepare(
        self,
        inputs: Inputs,
        targets: Any,
        weights: Any,
        activation: Any,
        loss: str | Loss,
        output: Any,
        units: Sequence[Units] | None,
        accuracy: bool | None,
    ) -> None:
        of, count = get_loss(loss), inputs.back.shape[1]
        y = as_targets(targets, of)
        refuse_misfit(y, count, y[:1].size)
        outputs = y.shape[1] if y.ndim == 2 else 0
        self.network = Network(activation, output, of, outputs, units)
        self.samples = Samples(inputs, y, node_weights(weights, count))
        told = of.classifies if accuracy is None else check_flag("accuracy", accuracy)
        self.scores = ("accuracy",) if told else ()

    def _observe(self, observations: Mapping[str, Flow] | None) -> None:
        self.observations: dict[str, Flow] = check_observations(
            observations,
            lambda other: isinstance(other, Flow) and other.inputs == self.inputs,
            f"a wflow.multilayer.Flow of {self.inputs} inputs",
        )

    def towards(self, targets: Any) -> Flow:
        """The same flow on the same samples towards other targets, of the same shape; it observes nothing.

        Raises
        ------
        InputError
            for another shape
        """
        y = as_targets(targets, self.network.loss)
        if y.shape != self.samples.targets.shape:
            raise InputError(
                f"targets of shape {y.shape}: give the shape {self.samples.targets.shape} of those that there are"
            )
        other = copy(self)
        other.samples, other.origin, other.observations = self.samples._replace(targets=y), {}, {}
        return other

    @property
    def predictor(self) -> Flow:
        """The flow itself."""
        return self

    def refuse_start(self, what: str, start: Any) -> None:
        """Refuse what is no ensemble, or one of other inputs, outputs or depth."""
        check_kind(what, start, Ensemble, "pass a wflow.multilayer.Ensemble")
        layout, outputs = start.layout, self.network.outputs
        if layout.inputs != self.inputs:
            raise InputError(
                f"{what} has first weights of {layout.inputs} inputs and the nodes have {self.inputs}: make them equal"
            )
        if layout.outputs != outputs:
            wanted = f"(n, {outputs})" if outputs else "(n,)"
            raise InputError(
                f"{what} has last weights of shape {start.weights[-1].shape} and the targets are "
                f"{self.samples.targets.shape}: give last weights {wanted}"
            )
        self.network.layers(start.depth)

    def check(self, start: Ensemble) -> None:
        """Refuse an ensemble whose risk is not finite."""
        if not np.isfinite(self.risk(start)):
            raise InputError("the risk is not finite at the start: check the weights and the data")

    def constants(self) -> dict[str, Any]:
        """Nothing but what the fingerprint says."""
        return {}

    def risk(self, ensemble: Ensemble) -> float:
        """R of an ensemble."""
        return self.risk_of(self.outputs(ensemble))

    def free_energy(self, ensemble: Ensemble) -> float:
        """R/2."""
        return 0.5 * self.risk(ensemble)

    def risk_of(self, outputs: np.ndarray) -> float:
        """R of outputs at the nodes, (Q,) or (Q, K)."""
        with np.errstate(all="ignore"):
            losses = self.network.loss.value(self.samples.targets, outputs)
        return float(self.samples.weights @ losses)

    def outputs(self, ensemble: Ensemble) -> np.ndarray:
        """ŷ at the nodes, (Q,) or (Q, K)."""
        self.refuse_start("ensemble", ensemble)
        layers = ensemble.layout.split(ensemble.flat())
        return self.network.predict(layers, ensemble.probabilities, self.samples.inputs)

    def scored(self, outputs: np.ndarray) -> dict[str, float]:
        """The share of the nodes, by weight, whose class outputs tell right, if targets are classes."""
        q = self.samples.weights
        return {
            score: float(q @ right(self.samples.targets, outputs) / q.sum())
            for score in self.scores
        }

    def predict(self, measure: Ensemble, x: Any) -> np.ndarray:
        """ŷ(x) at inputs x (m, d), shape (m,) or (m, K).

        Raises
        ------
        InputError
            for an ensemble or inputs of another dimension
        """
        self.refuse_start("ensemble", measure)
        at = Inputs.of(as_inputs(x, self.inputs, "x"))
        layers = measure.layout.split(measure.flat())
        return self.network.predict(layers, measure.probabilities, at)

    def hidden(self, ensemble: Ensemble, x: Any = None) -> list[np.ndarray]:
        """H_1 (n_1, Q), …, H_L (K, Q) at the nodes, or at inputs x (Q, d)."""
        self.refuse_start("ensemble", ensemble)
        at = self.samples.inputs if x is None else Inputs.of(as_inputs(x, self.inputs, "x"))
        layers, found = ensemble.layout.split(ensemble.flat()), list[np.ndarray]()
        self.network.layers(ensemble.depth).forward(layers, ensemble.probabilities, at, found)
        return found

    def gradient(self, ensemble: Ensemble) -> Layers:
        """G_1, …, G_L and g_2, …, g_L, of the shapes of the ensemble's weights and biases."""
        self.refuse_start("ensemble", ensemble)
        flat, _ = self.gradient_of(ensemble.flat(), ensemble.layout, ensemble.probabilities)
        arrays = dict(ensemble.layout.views(flat))
        return Layers(
            tuple(a for k, a in arrays.items() if k.startswith("w")),
            tuple(a for k, a in arrays.items() if k.startswith("b")),
        )

    def gradient_of(
        self, flat: np.ndarray, layout: Layout, probabilities: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """G as one vector at weights and biases in one, and the outputs at the nodes."""
        layers, gradient = layout.split(flat), np.empty(layout.size)
        (forth, back), y, q = self.samples
        rows = max(1, BLOCK // sum(layout.widths))
        if q.size <= rows or forth is None:
            into = Written(layout.split(gradient))
            return gradient, self.network.descend(layers, probabilities, self.samples, into)
        part, outputs = np.empty(layout.size), np.empty_like(y)
        into, gradient[:] = Written(layout.split(part)), 0.0
        for a in range(0, q.size, rows):
            b = slice(a, a + rows)
            some = Samples(Inputs.of(back[:, b].T), y[b], q[b])
            outputs[b] = self.network.descend(layers, probabilities, some, into)
            gradient += part
        return gradient, outputs

    def observe(self, layers: Layers, probabilities: Sequence[np.ndarray]) -> dict[str, float]:
        """The risk of every observation, and the shares told right."""
        found: dict[str, float] = {}
        for name, other in self.observations.items():
            f = other.network.predict(layers, probabilities, other.samples.inputs)
            found[name] = other.risk_of(f)
            for score, value in other.scored(f).items():
                found[name.removesuffix("risk") + score] = value
        return found

    def fingerprint(self) -> str:
        """A digest of the whole equation and of what is observed."""
        h = hashlib.sha256(self.network.fingerprint().encode())
        inputs, y, q = self.samples
        for array in (inputs.back, y, q):
            h.update(repr(array.shape).encode() + array.tobytes())
        h.update(f"{inputs.forth is None} {self.scores}".encode())
        s = self._schedule
        h.update((of_function(s) if callable(s) else repr(s)).encode())
        for name, other in sorted(self.observations.items()):
            h.update(f"{name} {other.fingerprint()}".encode())
        return h.hexdigest()[:24]

    def __repr__(self) -> str:
        count, loss = self.samples.weights.size, self.network.loss.name
        return f"Flow({count} samples of {self.inputs} inputs, loss={loss!r})"
