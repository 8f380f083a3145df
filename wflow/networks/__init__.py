"""Finite networks: trained by SGD, and carried over from the arrays and modules of other libraries.

Runs are Solutions whose measures are the neurons.
"""

from wflow.networks.arrays import from_arrays, layer_rates, to_arrays
from wflow.networks.pytorch import from_torch, to_torch, torch_groups
from wflow.networks.train import sgd

__all__ = [
    "from_arrays",
    "from_torch",
    "layer_rates",
    "sgd",
    "to_arrays",
    "to_torch",
    "torch_groups",
]
