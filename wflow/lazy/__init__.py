"""Lazy training: tangent kernels, the linearised network, and the way from mean field to both."""

from wflow.lazy.closed import gaussian_tangent_kernel
from wflow.lazy.ensembles import ensemble_kernel_flow, ensemble_laziness, scaled_ensemble
from wflow.lazy.flow import KernelFlow, kernel_flow
from wflow.lazy.kernel import tangent_kernel
from wflow.lazy.layers import ensemble_tangent_kernel
from wflow.lazy.linearised import linearised
from wflow.lazy.scale import Laziness, doubled, laziness, scaled

__all__ = [
    "KernelFlow",
    "Laziness",
    "doubled",
    "ensemble_kernel_flow",
    "ensemble_laziness",
    "ensemble_tangent_kernel",
    "gaussian_tangent_kernel",
    "kernel_flow",
    "laziness",
    "linearised",
    "scaled",
    "scaled_ensemble",
    "tangent_kernel",
]
