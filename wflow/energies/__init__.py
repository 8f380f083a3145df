"""Risks as functionals of a measure: features at nodes, pair potentials, activations and losses."""

from wflow.energies.activations import Activation, get_activation, piecewise_linear
from wflow.energies.arc_cosine import ArcCosineKernel, StepKernel
from wflow.energies.base import Energy, Field, PreparedEnergy
from wflow.energies.bump import BumpFeatures, ConvolutionFeatures
from wflow.energies.convolution import ConvolutionEnergy
from wflow.energies.dense import DenseFeatures
from wflow.energies.erf_kernel import ErfKernel
from wflow.energies.features import FeatureEnergy, FeatureMap
from wflow.energies.kernel_energy import KernelEnergy
from wflow.energies.kernels import GaussianKernel, GaussianSum, Kernel, KernelSum
from wflow.energies.local import LocalEnergy
from wflow.energies.losses import Loss, get_loss
from wflow.energies.pair import PairEnergy
from wflow.energies.probit_kernel import ProbitKernel
from wflow.energies.radial import RadialFeatures, RadialProfile, radial_nodes
from wflow.energies.rbf import RbfFeatures
from wflow.energies.sphere import CubicForm, SphereRbfKernel, SphereRbfTarget
from wflow.energies.two_radii import TwoRadiiFeatures
from wflow.energies.two_radii_pairs import RampsOnGaussians

__all__ = [
    "Activation",
    "ArcCosineKernel",
    "BumpFeatures",
    "ConvolutionEnergy",
    "ConvolutionFeatures",
    "CubicForm",
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
    "LocalEnergy",
    "Loss",
    "PairEnergy",
    "PreparedEnergy",
    "ProbitKernel",
    "RadialFeatures",
    "RadialProfile",
    "RampsOnGaussians",
    "RbfFeatures",
    "SphereRbfKernel",
    "SphereRbfTarget",
    "StepKernel",
    "TwoRadiiFeatures",
    "get_activation",
    "get_loss",
    "piecewise_linear",
    "radial_nodes",
]
