"""How a step of SGD uses a batch's gradient: one file an optimiser, found by itself."""

from wflow.solvers.networks.optimizers.base import OPTIMIZERS, Optimizer, get_optimizer

__all__ = ["OPTIMIZERS", "Optimizer", "get_optimizer"]
