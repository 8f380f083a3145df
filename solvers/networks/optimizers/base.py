r"""What an optimiser is, and the register of all.

An optimiser is given the gradient of N times the free energy, with R/2 in it as everywhere here,

.. math:: G_i = N\,\nabla_{\theta_i}\Bigl[\tfrac1{2P}\sum_p \ell(y_p, f(x_p))
                + \tfrac\lambda{2N}\sum_j|\theta_j|^2\Bigr]
              = -\frac1P\sum_p r_p\nabla\sigma_*(x_p;\theta_i) + \lambda\theta_i,

which is of the order of one however wide the network is: no constant of an optimiser has to be tuned to N. Adding one
is a file in this folder: subclass :class:`Optimizer`, whose options are the fields of a dataclass, and enter it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from wflow.errors import InputError
from wflow.tools.checks import number
from wflow.tools.register import Register

Arrays = dict[str, np.ndarray]


class Optimizer(ABC):
    """A rule that moves neurons by the gradients of their batches; it keeps nothing itself."""

    name: ClassVar[str]
    noisy: ClassVar[bool] = True
    """Whether it takes noise, which is at temperature τ only where the drift it is added to is the gradient itself."""

    def init(self, theta: np.ndarray) -> Arrays:
        """What the rule remembers from step to step, by names of its own, at the start: arrays like θ (N, D)."""
        return {}

    @abstractmethod
    def move(
        self,
        theta: np.ndarray,
        gradient: np.ndarray,
        s: float,
        k: int,
        memory: Arrays,
        kick: np.ndarray | None,
    ) -> None:
        """Step number k of length s = ε ξ(kε), in place: θ (N, D) and what is remembered.

        ``gradient`` is G (N, D), 0 on frozen coordinates, and may be overwritten. ``kick`` is √(2sτ) times standard
        normals, or None without noise, as always for who is not ``noisy``.
        """

    def options(self) -> dict[str, Any]:
        """The options in force."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


OPTIMIZERS: Register[type[Optimizer]] = Register("optimizer", "wflow.solvers.networks.optimizers")


def get_optimizer(name: str, options: Mapping[str, Any] | None = None) -> Optimizer:
    """An optimiser by name with its options.

    Raises
    ------
    InputError
        for an unknown name or option, or a value out of range

    >>> get_optimizer("adam", {"beta1": 0.5}).options()
    {'beta1': 0.5, 'beta2': 0.999, 'epsilon': 1e-08}
    """
    optimizer: Optimizer = OPTIMIZERS.make(name, options)
    return optimizer


def share(name: str, value: Any) -> float:
    """A number in [0, 1), the weight of what came before.

    >>> share("beta1", 0.9)
    0.9
    """
    x = number(name, value)
    if not 0.0 <= x < 1.0:
        raise InputError(f"{name} = {x:g}: must be at least 0 and below 1")
    return x
