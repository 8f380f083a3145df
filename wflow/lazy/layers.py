r"""The tangent kernel of a network of many layers at an ensemble.

.. math:: K(x, x') = E[D_1D_1']\,\langle x, x'\rangle
          + \sum_{i=2}^L E[D_iD_i']\,\bigl(E[\sigma_{i-1}\sigma_{i-1}'] + [b]\bigr)

with D of the outputs themselves, and E over the atoms of a layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.layers.standard import Inputs
from wflow.tools.checks import check_kind


def ensemble_tangent_kernel(
    flow: Flow, ensemble: Ensemble, x: Any = None, x2: Any = None
) -> np.ndarray:
    r"""The tangent kernel of a network of L layers in mean-field scaling: a network of finite width is an ensemble too.

    .. math:: K_{kl}(x, x') = E[D_1^kD_1'^l]\,\langle x, x'\rangle
              + \sum_{i=2}^L E[D_i^kD_i'^l]\,\bigl(E[\sigma_{i-1}\sigma_{i-1}'] + [b]\bigr), \qquad
              D_i^k = \partial\hat y_k/\partial H_i

    Parameters
    ----------
    flow : says what neurons compute
    ensemble : the weights
    x, x2 : inputs (m, d) and (m2, d); the flow's nodes, and x, by default

    Returns
    -------
    numpy.ndarray
        (m, m2), or (m, K, m2, K) of K outputs

    Raises
    ------
    InputError
        for an ensemble or inputs that do not fit, and for neurons of other ``units``

    Source: Nguyen & Pham, arXiv:2001.11443, section 2.2, for D; Jacot, Gabriel & Hongler, arXiv:1806.07572.

    >>> flow, net = Flow([[1.0], [2.0]], [0.0, 0.0], activation="identity"), Ensemble([[[1.0]], [3.0]])
    >>> ensemble_tangent_kernel(flow, net).tolist()  # f = w₂ w₁ x
    [[10.0, 20.0], [20.0, 40.0]]
    """
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("ensemble", ensemble)
    if flow.network.units is not None:
        raise InputError("the tangent kernel is that of activations: give a flow without units")
    one = _Side(flow, ensemble, x)
    two = one if x2 is None else _Side(flow, ensemble, x2)
    weights, biased = ensemble.probabilities, float(bool(ensemble.biases))
    (k, _, m), m2 = one.d[0].shape, two.d[0].shape[2]
    found = np.zeros((k, m, k, m2))
    for i, (left, right) in enumerate(zip(one.d, two.d, strict=True)):
        if i == 0:
            below = one.x.T @ two.x
        else:
            below = (weights[i - 1] * one.s[i - 1].T) @ two.s[i - 1] + biased
        shares = weights[i] if i < len(weights) else np.ones(left.shape[1])
        found += (
            np.einsum("knq,n,lnr->kqlr", left, shares, right, optimize=True) * below[:, None, :]
        )
    found = found.transpose(1, 0, 3, 2)
    return found if flow.network.outputs else found[:, 0, :, 0]


class _Side:
    """Inputs x (d, m), σ_i (n_i, m) and D_i (K, n_i, m) of an ensemble at some inputs."""

    def __init__(self, flow: Flow, ensemble: Ensemble, x: Any) -> None:
        if x is None:
            inputs = flow.samples.inputs
            if inputs.forth is None:
                raise InputError(
                    "a feature flow knows products of its inputs alone: take the Flow on the inputs"
                )
        else:
            inputs = Inputs.of(as_inputs(x, flow.inputs, "x"))
        layers = ensemble.layout.split(ensemble.flat())
        _, trace = flow.network.layers(ensemble.depth).forward(
            layers, ensemble.probabilities, inputs
        )
        self.x, self.s = inputs.back, trace.values
        outputs = trace.output_slope.shape[0]
        # φ of one output asks for no other.
        d = np.eye(outputs)[:, :, None] * trace.output_slope
        self.d = [d]
        for i in range(len(layers.weights) - 1, 0, -1):
            shares = 1.0 if i == len(layers.weights) - 1 else ensemble.probabilities[i][:, None]
            d = trace.slopes[i - 1] * (layers.weights[i] @ (shares * d))
            self.d.insert(0, d)
