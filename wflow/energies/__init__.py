"""Risks as functionals of a measure: features at nodes, pair potentials, activations and losses."""

from wflow.energies.activations import Activation, get_activation, piecewise_linear
from wflow.energies.base import Energy, Field, PreparedEnergy
from wflow.energies.dense import DenseFeatures
from wflow.energies.features import FeatureEnergy, FeatureMap
from wflow.energies.losses import Loss, get_loss
from wflow.energies.pair import PairEnergy
from wflow.energies.radial import RadialFeatures, RadialProfile, radial_nodes

__all__ = [
    "Activation",
    "DenseFeatures",
    "Energy",
    "FeatureEnergy",
    "FeatureMap",
    "Field",
    "Loss",
    "PairEnergy",
    "PreparedEnergy",
    "RadialFeatures",
    "RadialProfile",
    "get_activation",
    "get_loss",
    "piecewise_linear",
    "radial_nodes",
]
