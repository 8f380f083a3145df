"""Moving cells: exact transport, masses kept by the remap, and a law that splits."""

import math

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, GridDensity, solve
from wflow.energies import PairEnergy
from wflow.errors import InputError
from wflow.solvers import choose_method, get_method
from wflow.solvers.grid.parts.quantile_energy import spread


def test_a_well_contracts_exactly():
    """ρ(t, x) = eᵗρ₀(eᵗx): mean and second moment to the tolerance in time, at any strength of contraction."""
    start = GridDensity.from_function(lambda x: 1 + x[..., 0], [(-1, 1)], n=50)
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x))
    sol = solve(flow, start, (0, 5), method="quantiles", t_eval=[0, 5], rtol=1e-10, atol=1e-13)
    assert sol.measures[0].mean()[0] == pytest.approx(start.mean()[0], abs=1e-3)
    assert sol.second_moment[1] / sol.second_moment[0] == pytest.approx(math.exp(-10), rel=1e-6)
    assert sol.measures[1].mass == pytest.approx(1.0, abs=1e-13)


def test_the_remap_converges_with_the_number_of_bins():
    """First order in L1: a bin's mean does not tell where its ends lie."""
    errors = []
    start = GridDensity.from_function(lambda x: np.exp(-2 * x[..., 0] ** 2), [(-3, 3)], n=30)
    for cells in (200, 400, 800):
        bins = start.to_particles(cells)
        density = spread(bins.positions[:, 0], bins.weights(), start.edges[0])
        assert density.min() >= 0
        errors.append(float(np.abs(density - start.density).sum() * 0.2))
    print("errors", errors)
    assert errors[-1] < 3e-3
    assert errors[0] > 3 * errors[-1]


def test_a_law_that_concentrates_and_splits():
    """Two isotropic Gaussians on 512 cells: within 1e-3 of the particle flow at every time, t = 5 too."""
    times = [0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0]
    system = wflow.systems.get("isotropic-gaussians")
    grid = solve(
        system.flow(), system.initial("grid", 512), (0, 10), method="quantiles", t_eval=times
    )
    particles = solve(system.flow(), system.initial("particles", 2000), (0, 10), t_eval=times)
    assert np.abs(grid.risk - particles.risk).max() <= 1e-3
    assert np.abs(grid.mass - 1).max() <= 1e-12
    assert min(float(m.density.min()) for m in grid.measures) >= 0
    for one, other in zip(grid.measures, particles.measures, strict=True):
        assert abs(one.mass - 1) < 1e-12
        assert wflow.measures.wasserstein_2(one, other) < 2e-2


@pytest.mark.parametrize(
    "constants,grid,says",
    [
        (
            {"temperature": 0.1},
            {"n": 8, "bounds": [(0, 1)]},
            "temperature = 0.1: method .quantiles. has no diffusion",
        ),
        ({}, {"n": 8, "bounds": [(0, 1)], "periodic": True}, "muscl"),
    ],
)
def test_what_it_cannot_do_it_says(constants, grid, says):
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0]), **constants)
    start = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], **grid)
    with pytest.raises(InputError, match=says):
        solve(flow, start, (0, 1), method="quantiles")


def test_mass_that_gathers_at_a_wall_is_an_atom_there():
    """V = x on [0, 1]: all of it is at 0 by t = 1, where the risk 2∫V dρ vanishes; fixed cells have h."""
    pull = PairEnergy(lambda x: x[..., 0], bounds=[(0.0, 1.0)])
    start = GridDensity.from_function(lambda x: np.ones(x.shape[:-1]), [(0, 1)], n=40)
    flow = GradientFlow(pull)
    assert choose_method(flow, "grid")[0] == "quantiles"
    assert solve(flow, start, (0, 1.5), t_eval=[1.5]).risk[0] < 1e-9
    fixed = solve(flow, start, (0, 1.5), t_eval=[1.5], method="muscl")
    assert fixed.risk[0] == pytest.approx(1 / 40, rel=1e-3)


@pytest.mark.parametrize(
    "flow, method",
    [
        (lambda: wflow.systems.get("predicted-failure").flow(), "quantiles"),
        (
            lambda: wflow.systems.get("predicted-failure").flow(temperature=0.1),
            "scharfetter-gummel",
        ),
        (lambda: wflow.systems.get("predicted-failure").flow(reaction_rate=1.0), "strang"),
        # No corner of σ at 0: Ψ is level at the wall, and nothing arrives in finite time.
        (lambda: wflow.systems.get("isotropic-gaussians").flow(), "muscl"),
        (lambda: GradientFlow(PairEnergy(lambda x: x[..., 0])), "muscl"),
        (
            lambda: GradientFlow(PairEnergy(lambda x: x[..., 0], dimension=2, bounds=[(0, 1)] * 2)),
            "muscl",
        ),
    ],
)
def test_what_gathers_at_a_wall_decides_the_default(flow, method):
    assert choose_method(flow(), "grid")[0] == method


def test_half_the_mesh_is_half_the_cells():
    assert get_method("quantiles", {"cells": 100}).coarser().cells == 50
    assert get_method("muscl").coarser() == get_method("muscl")
