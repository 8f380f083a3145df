"""Measures on parameter space, densities on grids and weighted particles, and distances between them."""

from wflow.measures.base import Measure
from wflow.measures.distances import (
    maximum_mean_discrepancy,
    sliced_wasserstein_2,
    wasserstein_2,
)
from wflow.measures.estimators import entropy
from wflow.measures.grid import GridDensity
from wflow.measures.lipschitz import bounded_lipschitz, bounded_lipschitz_interval
from wflow.measures.particles import Particles
from wflow.measures.tensor_grid import TensorGrid

__all__ = [
    "GridDensity",
    "Measure",
    "Particles",
    "TensorGrid",
    "bounded_lipschitz",
    "bounded_lipschitz_interval",
    "entropy",
    "maximum_mean_discrepancy",
    "sliced_wasserstein_2",
    "wasserstein_2",
]
