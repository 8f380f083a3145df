r"""The linearised network: every neuron seen by its tangent plane at the start.

.. math:: \bar\sigma_*(x;\theta_i) = \sigma_*(x;\theta_i^0)
          + \nabla_\theta\sigma_*(x;\theta_i^0)\cdot(\theta_i - \theta_i^0)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.base import SameSpace
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.energy import FeatureEnergy
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.lazy.kernel import with_energy
from wflow.measures import Particles
from wflow.tools.checks import check_kind
from wflow.tools.fingerprint import digest
from wflow.tools.memory import check_held


def linearised(flow: GradientFlow, start: Particles) -> GradientFlow:
    r"""The flow of the linearised network, for any solver of particles, any loss and ridge.

    .. math:: \dot\theta_i = -\xi\Bigl[\sum_q p_q r_q\nabla\sigma_*(x_q;\theta_i^0) + \lambda\theta_i\Bigr], \quad
              r_q = \tfrac12\partial_f\ell\bigl(y_q, \textstyle\sum_j w_j\bar\sigma_*(x_q;\theta_j)\bigr)

    Its measures are particles in the order of ``start``, which is where it starts from; its outputs under the square
    loss are those of :func:`kernel_flow`.

    Parameters
    ----------
    flow : of an energy with nodes, without noise and reaction
    start : θ⁰ and the weights

    Raises
    ------
    InputError
        for noise or reaction, an energy without nodes, and more slopes than memory holds

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, section 1.1.

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [1.0, 2.0], [1.0, 1.0])
    >>> start = wflow.Particles([0.0, 1.0])
    >>> flow = linearised(wflow.GradientFlow(energy), start)
    >>> sol = wflow.solve(flow, start, (0.0, 1.0))
    >>> found = wflow.lazy.kernel_flow(wflow.GradientFlow(energy), start, [1.0])
    >>> bool(abs(sol.risk[-1] - found.risk[-1]) < 1e-6)
    True
    """
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    check_kind("start", start, Particles, "give wflow.Particles, the neurons at the start")
    for name in ("temperature", "reaction_rate"):
        if (value := getattr(flow, name)) > 0:
            raise InputError(
                f"{name} = {value:g}: neurons keep their tangent planes in a plain flow; give a flow with {name} = 0"
            )
    nodes, (points, _) = flow.energy.on_nodes(), flow.energy.law(start)
    check_held("n", len(points), points.shape[1] * nodes.features.n_nodes)
    return with_energy(
        flow,
        FeatureEnergy(
            features=Tangents(nodes.features, points),
            targets=nodes.targets,
            weights=nodes.weights,
            loss=nodes.loss,
            accuracy=bool(nodes.scores),
        ),
    )


class Tangents(SameSpace, FeatureMap):
    """Features on the tangent planes of n neurons, which come in the order of ``base`` (n, D)."""

    work = 1.0

    def __init__(self, features: FeatureMap, base: np.ndarray) -> None:
        super().__init__(features)
        self.features, self.base = features, base
        self.n_nodes, self.per_sample = features.n_nodes, features.per_sample
        self.values, self.slopes = features.jacobian(base)

    def prepare(self, points: np.ndarray) -> PreparedTangents:
        return PreparedTangents(self, points)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = self.moved(points)
        return self.values + np.einsum("nd,ndq->nq", moved, self.slopes), self.slopes

    def moved(self, points: np.ndarray) -> np.ndarray:
        """θ − θ⁰, (n, D).

        Raises
        ------
        InputError
            for another number of neurons
        """
        if points.shape != self.base.shape:
            raise InputError(
                f"{len(points)} points where {len(self.base)} neurons were linearised: give the particles of a run "
                "from that start, in its order"
            )
        return np.asarray(points - self.base)

    def at(self, x: Any) -> Tangents:
        return Tangents(self.features.at(x), self.base)

    def fingerprint(self) -> str:
        return digest("tangents", self.features.fingerprint(), self.base)


class PreparedTangents:
    """Tangent planes at fixed points."""

    def __init__(self, features: Tangents, points: np.ndarray) -> None:
        self._features, self._moved = features, features.moved(points)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f = self._features
        n, d, q = f.slopes.shape
        weighted = (weights[:, None] * self._moved).reshape(n * d)
        return np.asarray(weights @ f.values + weighted @ f.slopes.reshape(n * d, q))

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        slope = self.gradient(node_weights)
        return np.asarray(self._features.values @ node_weights + (slope * self._moved).sum(axis=1))

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return np.asarray(self._features.slopes @ node_weights)
