r"""Adagrad: each coordinate's step shrinks with the gradients it has seen.

.. math:: v \leftarrow v + G^2, \qquad
          \theta \leftarrow \theta - s_k\frac{G}{\sqrt v + \epsilon}

Source: Duchi, Hazan & Singer, JMLR 12 (2011) 2121, in the diagonal form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.solvers.networks.optimizers.base import OPTIMIZERS, Arrays, Optimizer
from wflow.tools.checks import non_negative, positive


@OPTIMIZERS.enter
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """The diagonal rule with ε, and ``initial`` for v at the start."""

    epsilon: float = 1e-10
    initial: float = 0.0

    name = "adagrad"
    noisy = False

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)
        non_negative("initial", self.initial)

    def init(self, theta: np.ndarray) -> Arrays:
        return {"square": np.full_like(theta, self.initial)}

    def move(
        self,
        theta: np.ndarray,
        gradient: np.ndarray,
        s: float,
        k: int,
        memory: Arrays,
        kick: np.ndarray | None,
    ) -> None:
        v = memory["square"]
        v += gradient**2
        theta -= s * gradient / (np.sqrt(v) + self.epsilon)
