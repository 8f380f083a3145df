r"""Plain stochastic gradient descent, which follows the gradient flow on the clock t = kε.

.. math:: \theta \leftarrow \theta - s_k G + \sqrt{2 s_k\tau}\,g
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.solvers.networks.optimizers.base import OPTIMIZERS, Arrays, Optimizer


@OPTIMIZERS.enter
@dataclass(frozen=True)
class Plain(Optimizer):
    """Against the gradient."""

    name = "sgd"

    def move(
        self,
        theta: np.ndarray,
        gradient: np.ndarray,
        s: float,
        k: int,
        memory: Arrays,
        kick: np.ndarray | None,
    ) -> None:
        theta -= s * gradient
        if kick is not None:
            theta += kick
