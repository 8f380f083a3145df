r"""The heavy ball, by its momentum coefficient μ on SGD's clock or by a friction γ on the kinetic flow's.

.. math:: v \leftarrow \mu v + G - \sqrt{2(1-\mu)\tau/s_k}\,g, \qquad \theta \leftarrow \theta - s_k v

For fixed μ and ε → 0 this follows the gradient flow at the time kε/(1−μ), also with noise. Momentum outlives the limit
only where 1 − μ falls with √ε. So with ``friction``, a step h_k = ε ξ is one of the kinetic flow's own time t = kε,

.. math:: p \leftarrow \mu_k p - \frac{1-\mu_k}\gamma G + \sqrt{(1-\mu_k^2)\,\tau}\,g, \qquad
          \theta \leftarrow \theta + h_k p, \qquad \mu_k = e^{-\gamma h_k},

the same ball with v = −γp/(1−μ) and the step h(1−μ)/γ: h² for little friction, and for much of it h/γ, that of plain
SGD. As N → ∞ and h → 0 its law follows :mod:`wflow.solvers.particles.kinetic`.
Source: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.solvers.networks.optimizers.base import OPTIMIZERS, Arrays, Optimizer, share
from wflow.tools.checks import positive


@OPTIMIZERS.enter
@dataclass(frozen=True)
class Momentum(Optimizer):
    """Heavy ball with ``momentum`` μ, 0.9 unless ``friction`` γ is given instead."""

    momentum: float | None = None
    friction: float | None = None

    name = "momentum"

    def __post_init__(self) -> None:
        if self.friction is not None:
            if self.momentum is not None:
                raise InputError(
                    f"momentum = {self.momentum} and friction = {self.friction}: give one; momentum is "
                    "exp(-friction * step_size)"
                )
            positive("friction", self.friction)
            return
        object.__setattr__(
            self, "momentum", 0.9 if self.momentum is None else share("momentum", self.momentum)
        )

    def init(self, theta: np.ndarray) -> Arrays:
        return {"velocity": np.zeros_like(theta)}

    def move(
        self,
        theta: np.ndarray,
        gradient: np.ndarray,
        s: float,
        k: int,
        memory: Arrays,
        kick: np.ndarray | None,
    ) -> None:
        v = memory["velocity"]
        if self.friction is not None:
            lost = -math.expm1(-self.friction * s)
            v *= 1.0 - lost
            v -= lost / self.friction * gradient
            if kick is not None and s > 0:
                v += math.sqrt(lost * (2.0 - lost) / (2.0 * s)) * kick
            theta += s * v
            return
        assert self.momentum is not None
        v *= self.momentum
        v += gradient
        if kick is not None and s > 0:
            v -= math.sqrt(1.0 - self.momentum) / s * kick
        theta -= s * v
