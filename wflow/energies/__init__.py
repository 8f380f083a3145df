"""Risks as functionals of a measure: features at nodes, pair potentials, activations and losses."""

from wflow.energies.activations import Activation, get_activation, piecewise_linear
from wflow.energies.arc_cosine import ArcCosineKernel, StepKernel
from wflow.energies.base import Energy, Field, PreparedEnergy
from wflow.energies.dense import DenseFeatures
from wflow.energies.erf_kernel import ErfKernel
from wflow.energies.features import FeatureEnergy, FeatureMap
from wflow.energies.kernel_energy import KernelEnergy
from wflow.energies.kernels import GaussianKernel, GaussianSum, Kernel, KernelSum
from wflow.energies.losses import Loss, get_loss
from wflow.energies.pair import PairEnergy
from wflow.energies.probit_kernel import ProbitKernel
from wflow.energies.radial import RadialFeatures, RadialProfile, radial_nodes

__all__ = [
    "Activation",
    "ArcCosineKernel",
    "DenseFeatures",
    "Energy",
    "ErfKernel",
    "FeatureEnergy",
    "FeatureMap",
    "Field",
    "GaussianKernel",
    "GaussianSum",
    "Kernel",
    "KernelEnergy",
    "KernelSum",
    "Loss",
    "PairEnergy",
    "PreparedEnergy",
    "ProbitKernel",
    "RadialFeatures",
    "RadialProfile",
    "StepKernel",
    "get_activation",
    "get_loss",
    "piecewise_linear",
    "radial_nodes",
]
