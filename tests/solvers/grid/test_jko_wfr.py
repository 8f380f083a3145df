"""Minimising movements with birth–death: order one to the WFR flow, and F falls at any dt."""

import numpy as np
import pytest
from flows import interacting
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import LocalEnergy


def test_order_one_to_the_wfr_flow():
    """Against Strang's splitting far finer in time, dt and width halved together."""
    flow, end, errors = interacting(temperature=0.3, reaction_rate=1.5), 0.8, []
    for n in (64, 128, 256):
        start = GridDensity.from_function(
            lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [(-4, 4)], n=n
        )
        far = solve(flow, start, (0, end), t_eval=[end], rtol=1e-6).measures[-1].density
        options = {"step_size": 8 / n}
        sol = solve(flow, start, (0, end), method="jko-wfr", method_options=options)
        assert sol.success, sol.message
        errors.append(float(np.abs(sol.measures[-1].density - far) @ start.widths[0]))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert found.min() > 0.85


@given(st.integers(0, 10**6), st.floats(-2, 2), st.sampled_from([0.0, 0.1, 3.0]), st.booleans())
@settings(max_examples=25)
def test_energy_falls_at_any_step(seed, log_size, rate, local):
    rng = np.random.default_rng(seed)
    flow = interacting(temperature=0.1, reaction_rate=rate)
    if local:
        at = rng.random(2)
        energy = LocalEnergy(lambda x: 2 * np.cos(3 * x[..., 0] + at[0]))
        flow = GradientFlow(energy, reaction_rate=rate)
    density = rng.random(30) * (rng.random(30) < 0.6)
    density[rng.integers(30)] += 0.5
    start = GridDensity(density, [np.linspace(-1, 1.5, 31)])
    start, h = start.with_density(density / start.mass), 10.0**log_size
    sol = solve(flow, start, (0, 4 * h), method="jko-wfr", method_options={"step_size": h})
    assert sol.success, sol.message
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert sol.steps["minimum"].min() >= 0


def test_huge_steps_end_in_the_gibbs_state():
    start = GridDensity.from_function(lambda x: np.exp(-4 * (x[..., 0] - 1) ** 2), [(-3, 3)], n=60)
    flow = interacting(temperature=0.2, reaction_rate=1.0)
    sol = solve(flow, start, (0, 40), method="jko-wfr", method_options={"step_size": 2.0})
    end = sol.measures[-1]
    psi = flow.energy.prepare(end.points()).field(end.weights()).first_variation()
    phi = psi + flow.ridge_potential(end.points()) + 0.2 * np.log(end.density)
    assert np.ptp(phi[end.density > 1e-4]) == pytest.approx(0.0, abs=1e-3)
