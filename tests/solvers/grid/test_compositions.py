"""Lie and Strang over every method for their transport, and reaction under a schedule of any speed."""

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import LocalEnergy, PairEnergy
from wflow.validation import GaussianWell
from wflow.validation.orders import distance

BOTH = GaussianWell(temperature=0.3, reaction_rate=1.0, half_width=5.0)


@pytest.mark.parametrize("method", ["lie", "strang"])
@pytest.mark.parametrize(
    "transport",
    [
        "scharfetter-gummel",
        "scharfetter-gummel-explicit",
        "forward-euler",
        "backward-euler",
        "muscl-diffusion",
        "crank-nicolson",
        "fully-implicit",
        "jko-linearised",
    ],
)
def test_every_transport_has_one_limit(method, transport):
    """Whichever the part and whether or not it keeps Ψ: near the closed form, to the cells and the tolerance."""
    start, exact = BOTH.law(0, 100), BOTH.law(0.3, 100)
    sol = solve(
        BOTH.flow(),
        start,
        (0, 0.3),
        method=method,
        method_options={"transport": transport},
        rtol=1e-3,
        t_eval=[0.3],
    )
    assert sol.success, sol.message
    assert sol.mass[-1] == pytest.approx(sol.mass[0], rel=1e-12)
    off = distance(sol.measures[0], exact, "L1")
    # An upwind mobility spreads the law by a cell.
    assert off < (5e-2 if transport == "jko-linearised" else 5e-3)


@pytest.mark.parametrize("transport", ["backward-euler", "fully-implicit"])
def test_parts_of_fixed_step_meet_the_tolerance_too(transport):
    """A part without an embedded error is halved to have one: of first order, so the error goes as √rtol."""
    start, off = BOTH.law(0, 100), []
    options = {"transport": transport}
    best = solve(BOTH.flow(), start, (0, 0.5), method="strang", rtol=1e-7, t_eval=[0.5]).measures[0]
    for rtol in (1e-2, 1e-4):
        sol = solve(
            BOTH.flow(),
            start,
            (0, 0.5),
            method="strang",
            method_options=options,
            rtol=rtol,
            t_eval=[0.5],
        )
        off.append(distance(sol.measures[0], best, "L1"))
        assert off[-1] < rtol * sol.stats["steps"]
    assert off[1] < 0.2 * off[0]


@pytest.mark.parametrize("t_end", [pytest.param(1.0, marks=pytest.mark.slow), 2.0])
def test_reaction_on_a_clock_that_speeds_up(t_end):
    """V alone, ξ = 20t⁴: exact at τ' = ∫ξ dt = 4t⁵, up to 128, to the tolerance."""
    energy = PairEnergy(lambda x: np.sin(3 * x[..., 0]))
    start = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-2, 2)], n=60)
    flow = GradientFlow(energy, temperature=0.4, reaction_rate=1.0, schedule=lambda t: 20 * t**4)
    sol = solve(flow, start, (0, t_end), method="reaction", rtol=1e-8, atol=1e-10, t_eval=[t_end])
    a = np.exp(-0.4 * 4 * t_end**5)
    exact = start.density**a * np.exp(-(1 - a) / 0.4 * np.sin(3 * start.points()[:, 0]))
    exact /= float(exact @ start.widths[0])
    assert float(np.abs(sol.measures[0].density - exact) @ start.widths[0]) < 1e-6


@pytest.mark.parametrize("method", ["quantiles", "runge-kutta"])
def test_a_first_step_over_which_most_weights_die_is_taken(method):
    """A stage of α h = 100 leaves all but the least particle with next to nothing, as it should."""
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2), reaction_rate=1000.0)
    start = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-4, 4)], n=8)
    options = {"cells": 10} if method == "quantiles" else None
    rho = start if method == "quantiles" else start.to_particles(10)
    sol = solve(flow, rho, (0, 0.1), method=method, method_options=options, first_step=0.1)
    assert sol.success, sol.message
    assert sol.mass[-1] == pytest.approx(1.0, rel=1e-12)
    if method == "runge-kutta":
        # θ = x e^−2t, so ∫θ² dt = x²(1 − e^−4t)/4
        x, w = rho.points()[:, 0], rho.weights()
        log = np.log(w) - 1000.0 * x**2 * (1 - np.exp(-0.4)) / 4
        exact = np.exp(log - np.logaddexp.reduce(log))
        assert sol.measures[-1].weights() == pytest.approx(exact, abs=1e-5)
    assert (np.diff(sol.steps["free_energy"]) <= 1e-12).all()


def test_starts_and_grids_it_refuses():
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2))
    grid = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], [(0, 1)], n=4)
    with pytest.raises(InputError, match="the start has mass 0"):
        solve(flow, grid.with_density(np.zeros(4)), (0, 1), method="muscl")
    graded = GridDensity(np.ones(3), [[0.0, 0.1, 0.5, 1.0]])
    with pytest.raises(InputError, match="LocalEnergy works on uniform grids"):
        solve(GradientFlow(LocalEnergy(lambda x: x[..., 0])), graded, (0, 1))
