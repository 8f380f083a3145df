r"""Neural feature flow: what the first layer says of the samples is the state; of inputs only products count.

.. math:: \partial_t H_1(c_1) = -\xi\,D_1(c_1)\,\mathrm{diag}(q)\,X X^\top, \qquad
          \partial_t w_i = -\xi\,G_i \quad (i \ge 2)

With :math:`H_1 = w_1X^\top` this is the flow of :class:`wflow.multilayer.Flow` seen from the samples: a network of any
number d of inputs costs what one of Q inputs does.
Source: Fang, Lee, Yang & Zhang, arXiv:2007.01452, section 2, whose state holds the features of all layers; those of
layers after the first follow from the weights here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.energies.features.losses import Loss
from wflow.equation import Equation, Schedule
from wflow.errors import InputError
from wflow.layers import Ensemble, Flow, Units
from wflow.layers.standard import Inputs
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_kind

SYMMETRIC = 1e-10
NEGATIVE = 1e-8
"""How far, relatively, products of inputs may be from symmetric and from having no negative eigenvalue."""


class FeatureFlow(Flow):
    r"""The flow of a multilayer network by the products of its inputs, :math:`(XX^\top)_{qr} = x_q\cdot x_r`.

    Its ensembles have :math:`H_1` at the samples, (n_1, Q), in the place of w_1: see :func:`with_features`. New inputs
    cannot be predicted, since their products with the samples are not known.

    Parameters
    ----------
    gram : (Q, Q) products of the inputs
    targets, weights, activation, loss, schedule, output, units, accuracy : as of :class:`wflow.multilayer.Flow`

    Raises
    ------
    InputError
        for products that are not symmetric or have negative eigenvalues, and as of Flow

    Source: Fang, Lee, Yang & Zhang, arXiv:2007.01452, eq. (2.6), for H_1.

    >>> x = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 1.0]])
    >>> net = Ensemble([[[0.1, 0.2, 0.3]], [1.0]])
    >>> by_inputs, by_products = Flow(x, [1.0, 0.0]), FeatureFlow(x @ x.T, [1.0, 0.0])
    >>> bool(by_products.risk(with_features(net, x)) == by_inputs.risk(net))
    True
    """

    def __init__(
        self,
        gram: Any,
        targets: Any,
        weights: Any = None,
        activation: Any = "tanh",
        loss: str | Loss = "square",
        schedule: Schedule = 1.0,
        *,
        output: Any = "identity",
        units: Sequence[Units] | None = None,
        accuracy: bool | None = None,
    ) -> None:
        Equation.__init__(self, schedule)
        k = as_floats("gram", gram)
        if k.ndim != 2 or k.shape[0] != k.shape[1] or k.size == 0:
            raise InputError(f"gram has shape {k.shape}: give the products of all inputs, (Q, Q)")
        largest = float(np.abs(k).max())
        if np.abs(k - k.T).max() > SYMMETRIC * largest:
            raise InputError("gram is not symmetric: give x @ x.T")
        low = float(np.linalg.eigvalsh(k)[0])
        if low < -NEGATIVE * largest * len(k):
            raise InputError(
                f"gram has the eigenvalue {low:.3g}: products of inputs have none below 0"
            )
        self.inputs = k.shape[0]
        self._prepare(Inputs(None, k), targets, weights, activation, loss, output, units, accuracy)
        self._observe(None)

    def predict(self, measure: Ensemble, x: Any) -> np.ndarray:
        raise InputError(
            "a feature flow knows its samples alone: predict with the Flow on the inputs themselves"
        )

    def hidden(self, ensemble: Ensemble, x: Any = None) -> list[np.ndarray]:
        if x is not None:
            self.predict(ensemble, x)
        return super().hidden(ensemble)


def with_features(ensemble: Ensemble, x: Any) -> Ensemble:
    """The ensemble with H_1 = w_1 Xᵀ, (n_1, Q), at inputs x (Q, d) in the place of w_1: a state of a FeatureFlow.

    Raises
    ------
    InputError
        for inputs of another dimension

    >>> net = Ensemble([[[0.1, 0.2, 0.3]], [1.0]])
    >>> with_features(net, [[1.0, 2.0, -1.0], [0.5, 0.0, 1.0]]).weights[0].round(6).tolist()
    [[0.2, 0.35]]
    """
    check_kind("ensemble", ensemble, Ensemble, "give a wflow.multilayer.Ensemble")
    at = as_inputs(x, ensemble.layout.inputs, "x")
    w = ensemble.weights
    return Ensemble([w[0] @ at.T, *w[1:]], ensemble.biases, ensemble.probabilities)
