"""Every grid method from data with empty cells: it runs, keeps what it declares, or says in one line why it cannot."""

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import FeatureEnergy, LocalEnergy, PairEnergy
from wflow.solvers import get_method, methods

ENERGIES = {
    "local": LocalEnergy(lambda x: 1 - x[..., 0] ** 2),
    "features": FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0]),
    "V only": PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x),
}
STARTS = {"a step": slice(0, 24), "one cell": slice(16, 17), "a cell at the wall": slice(0, 1)}
ON_GRIDS = [name for name, method in methods().items() if method.acts_on == "grid"]


def refused(method, energy, temperature):
    """Whether the method solves another equation; empty cells are no reason to refuse."""
    if temperature > 0:
        return method in ("muscl", "upwind", "quantiles")
    if method in ("jko-linearised", "jko-wfr"):
        return energy != "local"
    return method in ("muscl-diffusion", "jko-entropic") or (method, energy) == (
        "quantiles",
        "local",
    )


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("temperature", [0.0, 0.1])
@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("method", ON_GRIDS)
def test_it_runs_and_keeps_what_it_declares(method, energy, temperature, start):
    density = np.zeros(48)
    density[STARTS[start]] = 1.0
    rho = GridDensity(density, [np.linspace(-2, 2, 49)])
    rho = rho.with_density(density / rho.mass)
    kind = methods()[method]
    flow = GradientFlow(
        ENERGIES[energy], temperature=temperature, reaction_rate=1.0 if kind.reacts else 0.0
    )
    options = {"step_size": 0.1} if "step_size" in get_method(method).options() else {}
    given = {"method": method, "method_options": options, "rtol": 1e-3}
    if refused(method, energy, temperature):
        with pytest.raises(InputError):
            solve(flow, rho, (0, 0.3), **given)
        return
    sol = solve(flow, rho, (0, 0.3), **given)
    assert sol.success, sol.message
    assert "mass" not in kind.preserves or np.abs(sol.mass - 1).max() < 1e-12
    assert "positive" not in kind.preserves or sol.steps["minimum"].min() >= 0
    if "energy" in kind.preserves:
        free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
        assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
