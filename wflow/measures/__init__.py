"""Measures on parameter space, densities on grids and weighted particles, and distances between them."""

from wflow.measures.base import Measure
from wflow.measures.distances import (
    bounded_lipschitz,
    maximum_mean_discrepancy,
    sliced_wasserstein_2,
    wasserstein_2,
)
from wflow.measures.estimators import entropy
from wflow.measures.grid import GridDensity
from wflow.measures.particles import Particles
from wflow.measures.tensor_grid import TensorGrid

__all__ = [
    "GridDensity",
    "Measure",
    "Particles",
    "TensorGrid",
    "bounded_lipschitz",
    "entropy",
    "maximum_mean_discrepancy",
    "sliced_wasserstein_2",
    "wasserstein_2",
]
