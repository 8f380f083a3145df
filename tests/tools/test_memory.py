"""A number of things that no memory holds is refused by its name, in one line, before anything is allocated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wflow
from wflow.energies import GaussianKernel, PairEnergy
from wflow.measures import GridDensity, Particles, TensorGrid, sliced_wasserstein_2
from wflow.solvers.statics import minimise_sparse
from wflow.validation import GaussianWell, relaxation_study, sgd_drift

GRID = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-1, 1)], n=4)
SYSTEM, WELL = wflow.systems.get("isotropic-gaussians"), GaussianWell()
CLOUD, MANY = Particles([[0.0, 1.0], [2.0, 3.0]]), 10**12
CALLS: dict[str, Callable[[], Any]] = {
    "n": lambda: GRID.sample(MANY, 0),
    "n = ": lambda: GRID.to_particles(MANY),
    "n = 1": lambda: CLOUD.sample(MANY, 0),
    "n = 10": lambda: CLOUD.resampled(MANY),
    "n = 100": lambda: Particles.from_quantile(lambda u: u, MANY),
    "n = 1000": lambda: wflow.systems.get("isotropic-gaussians", d=3).sampled(MANY),
    "n_projections": lambda: sliced_wasserstein_2(CLOUD, CLOUD, MANY),
    "a grid of 1000000 x 1000000 cells": lambda: TensorGrid.from_bounds([(0, 1)] * 2, 10**6),
    "a grid of 1000000000000 cells": lambda: GridDensity.from_function(
        lambda x: 1.0, [(0, 1)], MANY
    ),
    "dimension": lambda: GaussianKernel(1.0, MANY),
    "dimension = 1": lambda: PairEnergy(lambda x: x[..., 0], dimension=MANY),
    "seeds": lambda: wflow.validate("isotropic-gaussians", seeds=MANY),
    "a run on particles": lambda: wflow.networks.sgd("isotropic-gaussians", n_neurons=MANY),
    "a run on particles of": lambda: sgd_drift("isotropic-gaussians", [0, 1], n_neurons=MANY),
    "order": lambda: GridDensity.from_function(lambda x: 1.0, [(0, 1)], 4, order=MANY),
    "order = 1": lambda: Particles.from_quantile(lambda u: u, 4, order=MANY),
    "search": lambda: minimise_sparse(SYSTEM.energy(), [(0.0, 6.5)], search=MANY),
    "paths": lambda: sgd_drift(SYSTEM, [0, 1], n_neurons=5, paths=MANY),
    "pool": lambda: relaxation_study(SYSTEM, values=(2, 4, 8), temperature=0.1, pool=MANY),
    "cells": lambda: WELL.law(1.0, MANY),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_no_memory_holds(name: str) -> None:
    with pytest.raises(wflow.InputError, match=f"^{name}.* needs about .* are free: [a-z ]+"):
        CALLS[name]()
