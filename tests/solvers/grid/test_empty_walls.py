"""Cells that hold next to nothing set no step: a wall where Ψ is steep and ρ is 0."""

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import PairEnergy

QUARTIC = PairEnergy(lambda x: 0.25 * (x**4).sum(axis=-1), grad_V=lambda x: x**3)


def start(n, bounds=(-5, 5)):
    return GridDensity.from_function(lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [bounds], n=n)


@pytest.mark.parametrize("method", ["strang", "lie"])
@pytest.mark.parametrize("transport", ["auto", "muscl", "upwind"])
def test_a_steep_wall_costs_no_steps(method, transport):
    """At ±5 the velocity is 125 and a cell holds e^−72 of the mass: its CFL bound took 2,700 steps."""
    flow, rho = GradientFlow(QUARTIC, reaction_rate=1.0), start(100)
    options = {"method_options": {"transport": transport}, "rtol": 1e-4}
    sol = solve(flow, rho, (0, 1), t_eval=[1], method=method, **options)
    assert sol.success, sol.message
    assert sol.stats["steps"] < 400


def test_the_answer_is_that_of_every_cell_s_bound():
    flow, rho = GradientFlow(QUARTIC, reaction_rate=1.0), start(100)
    free, held = (
        solve(flow, rho, (0, 1), t_eval=[1], rtol=1e-6, max_step=longest)
        for longest in (np.inf, 3.5e-4)
    )
    assert held.stats["steps"] > 2 * free.stats["steps"]
    # On 200 cells instead of 100 it moves by 4e-2.
    assert np.abs(free.measures[0].density - held.measures[0].density) @ rho.widths[0] < 5e-4


def test_what_lies_beside_the_mass_does_not_matter():
    """A box twice as wide in cells as wide: the same steps, the same answer."""
    flow = GradientFlow(QUARTIC, reaction_rate=1.0)
    near = solve(flow, start(120, (-3, 3)), (0, 1), t_eval=[1])
    far = solve(flow, start(480, (-12, 12)), (0, 1), t_eval=[1])
    assert far.stats["steps"] < 1.5 * near.stats["steps"]
    assert far.measures[0].density[180:300] == pytest.approx(near.measures[0].density, abs=1e-4)


def test_all_is_kept_that_a_method_declares():
    x, rho = QUARTIC, start(200)
    sol = solve(GradientFlow(x, reaction_rate=1.0), rho, (0, 2))
    assert np.abs(sol.steps["mass"] - 1).max() < 1e-13
    assert sol.steps["minimum"].min() >= 0.0
    assert (np.diff(sol.steps["free_energy"]) <= 1e-15).all()


def test_pure_transport_may_leave_empty_cells_alone():
    flow, rho = GradientFlow(QUARTIC), start(200)
    all_cells = solve(flow, rho, (0, 0.2), t_eval=[0.2], method="muscl")
    some = solve(flow, rho, (0, 0.2), t_eval=[0.2], method="muscl", method_options={"empty": 1e-9})
    assert some.stats["steps"] < 0.3 * all_cells.stats["steps"]
    apart = np.abs(some.measures[0].density - all_cells.measures[0].density) @ rho.widths[0]
    assert apart < 3e-3
    with pytest.raises(InputError, match=r"empty = 1\.5: must be in \[0, 1\)"):
        solve(flow, rho, (0, 1), method="muscl", method_options={"empty": 1.5})
