"""Risks as functionals of a measure: features at nodes, pair potentials, activations and losses."""

from wflow.energies.base import Energy, Field, PreparedEnergy
from wflow.energies.features.activations import Activation, get_activation, piecewise_linear
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.bump import BumpFeatures, ConvolutionFeatures
from wflow.energies.features.dense import DenseFeatures
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.features.losses import Loss, get_loss
from wflow.energies.features.radial import RadialFeatures, RadialProfile, radial_nodes
from wflow.energies.features.rbf import RbfFeatures
from wflow.energies.features.two_radii import TwoRadiiFeatures
from wflow.energies.grid.convolution import ConvolutionEnergy
from wflow.energies.grid.local import LocalEnergy
from wflow.energies.pairs.arc_cosine import ArcCosineKernel, StepKernel
from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.dirichlet import DirichletKernel, PenalisedSpikes
from wflow.energies.pairs.erf import ErfKernel
from wflow.energies.pairs.functions import PairEnergy
from wflow.energies.pairs.gaussian import GaussianKernel, GaussianSum
from wflow.energies.pairs.kernel import Kernel, KernelSum
from wflow.energies.pairs.probit import ProbitKernel
from wflow.energies.pairs.ramps import RampsOnGaussians
from wflow.energies.pairs.sphere import CubicForm, SphereRbfKernel, SphereRbfTarget

__all__ = [
    "Activation",
    "ArcCosineKernel",
    "BumpFeatures",
    "ConvolutionEnergy",
    "ConvolutionFeatures",
    "CubicForm",
    "DenseFeatures",
    "DirichletKernel",
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
    "PenalisedSpikes",
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
