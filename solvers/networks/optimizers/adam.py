r"""Adam: steps of the size of ε, whatever that of the gradient.

.. math:: m \leftarrow \beta_1 m + (1-\beta_1)G, \quad v \leftarrow \beta_2 v + (1-\beta_2)G^2, \quad
          \theta \leftarrow \theta - s_k\frac{m/(1-\beta_1^{k+1})}{\sqrt{v/(1-\beta_2^{k+1})} + \epsilon}

G is scaled by N, so that ε in the denominator means the same at every width. The ridge is part of G.
Source: Kingma & Ba, ICLR 2015, algorithm 1, whose constants are the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.solvers.networks.optimizers.base import OPTIMIZERS, Arrays, Optimizer, share
from wflow.tools.checks import positive


@OPTIMIZERS.enter
@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma & Ba's rule with β₁, β₂ and ε."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    name = "adam"
    noisy = False

    def __post_init__(self) -> None:
        share("beta1", self.beta1)
        share("beta2", self.beta2)
        positive("epsilon", self.epsilon)

    def init(self, theta: np.ndarray) -> Arrays:
        return {"mean": np.zeros_like(theta), "square": np.zeros_like(theta)}

    def move(
        self,
        theta: np.ndarray,
        gradient: np.ndarray,
        s: float,
        k: int,
        memory: Arrays,
        kick: np.ndarray | None,
    ) -> None:
        m, v = memory["mean"], memory["square"]
        m *= self.beta1
        m += (1.0 - self.beta1) * gradient
        # From here on the gradient's place is what is computed in.
        work = np.multiply(gradient, gradient, out=gradient)
        work *= 1.0 - self.beta2
        v *= self.beta2
        v += work
        np.sqrt(np.divide(v, 1.0 - self.beta2 ** (k + 1), out=work), out=work)
        work += self.epsilon
        np.divide(m, work, out=work)
        work *= s / (1.0 - self.beta1 ** (k + 1))
        theta -= work
