r"""What a family of features σ*(x_q; θ) on nodes x_q answers, and its defaults.

.. math:: f_q = \int \sigma_*(x_q;\theta)\,\rho(d\theta), \qquad
          g(\theta) = \sum_q \langle c_q, \sigma_*(x_q;\theta)\rangle

A node is an input x_q of the network that the risk is a mean over: a sample, or a point of a quadrature. Features have
one output, or K of them: then f and c are (Q, K) in place of (Q,).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import numpy as np

from wflow.energies.base import ParameterSpace
from wflow.errors import InputError


class PreparedFeatures(Protocol):
    """Features σ*(x_q; θ_i) of fixed points θ, contracted either way."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """Σ_i w_i σ*(x_q; θ_i), shape (Q,) or (Q, K)."""

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q ⟨c_q, σ*(x_q; θ_i)⟩, shape (n,)."""

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q ∇_θ⟨c_q, σ*(x_q; θ_i)⟩, shape (n, D)."""


class FeatureMap(ParameterSpace):
    """A family of features σ*(x_q; θ) on Q nodes.

    A map states ``n_nodes`` and ``dimension``, ``outputs`` where σ* is a vector of K numbers, and ``coordinates`` and
    ``bounds`` where they are not those of R^D.
    """

    n_nodes: int
    outputs: int = 1
    per_sample: int = 1
    """Nodes in a row that are one sample of the data: its outputs, where each is a node."""
    profile: Any = None
    """h of features h(r|x|) of a radius, averages over directions (:class:`RadialProfile`); None for others."""
    radii: Any = None
    """|x| of the nodes, where there is a profile."""
    work: float = 1e4
    """What a value and its slopes cost at a node and a coordinate, in products of a matrix product: counted once, not
    timed. Less, where ``jacobian`` does not ask for one node after another."""

    @property
    def kink(self) -> float | None:
        """Where the slope of the units on single nodes jumps; None where they are smooth."""
        return None

    @abstractmethod
    def prepare(self, points: np.ndarray) -> PreparedFeatures:
        """The features of fixed points (n, D)."""

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """σ*(x_q; θ_i) of all pairs, (n, Q), and ∇_θ σ*(x_q; θ_i), (n, D, Q); K outputs are a last axis of both."""
        shape = (self.n_nodes, self.outputs)[: 1 + (self.outputs > 1)]
        prepared, size = self.prepare(points), self.n_nodes * self.outputs
        values, slopes = np.empty((len(points), size)), np.empty((*points.shape, size))
        for k, unit in enumerate(np.eye(size).reshape(size, *shape)):
            values[:, k], slopes[:, :, k] = prepared.potential(unit), prepared.gradient(unit)
        return values.reshape(-1, *shape), slopes.reshape(*points.shape, *shape)

    def at(self, x: Any) -> FeatureMap:
        """The same features on other inputs (m, d), or (m,) for d = 1.

        Raises
        ------
        InputError
            where nodes are no inputs of a network, and for inputs of another dimension
        """
        raise InputError(
            f"{type(self).__name__} has no other inputs: what it calls nodes are not points x of the data"
        )
