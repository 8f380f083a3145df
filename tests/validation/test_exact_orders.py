"""Exact solutions against direct integration, and every grid method's observed order against them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from wflow import solve
from wflow.errors import InputError
from wflow.validation import Barenblatt, GaussianWell, observed_orders


@pytest.mark.parametrize("transport", [True, False])
@pytest.mark.parametrize("tau, alpha", [(0.3, 1.5), (0.0, 1.5), (0.3, 0.0), (0.0, 0.0)])
def test_riccati_closure(tau, alpha, transport):
    well = GaussianWell(
        temperature=tau,
        reaction_rate=alpha,
        stiffness=1.3,
        mean=0.8,
        variance=0.4,
        center=0.2,
        transport=transport,
    )

    def rates(t, z):
        m, s = z
        return [
            -(m - 0.2) * 1.3 * (transport + alpha * s),
            -(2 * transport + alpha * s) * (1.3 * s - tau),
        ]

    end = solve_ivp(rates, (0, 1), [0.8, 0.4], rtol=1e-12, atol=1e-14).y[:, -1]
    np.testing.assert_allclose(np.ravel(well.moments(1.0)), end, rtol=1e-11)


def test_closure_of_the_full_equation_in_two_dimensions():
    """Transport, diffusion and birth–death at once: mean and variance of each axis to the order of the grid."""
    well = GaussianWell(
        temperature=0.4,
        reaction_rate=1.5,
        mean=(1.0, -0.5),
        variance=(0.3, 0.6),
        dimension=2,
        half_width=5.0,
    )
    off = []
    for n in (32, 64):
        rho = solve(well.flow(), well.law(0, n), (0, 1), t_eval=[1.0], rtol=1e-4).measures[0]
        mean, variance = well.moments(1.0)
        second = rho.weights() @ rho.points() ** 2
        off.append([rho.mean() - mean, second - mean**2 - variance])
    off = np.abs(off).max(axis=(1, 2))
    assert off[0] < 5e-2
    assert np.log2(off[0] / off[1]) > 1.8


DIFFUSION = GaussianWell(temperature=0.3, half_width=5.0)
BOTH = GaussianWell(temperature=0.3, reaction_rate=1.5, half_width=5.0)
NO_NOISE = GaussianWell(reaction_rate=1.5, half_width=4.0)
TRANSPORT = GaussianWell(half_width=4.0)
REACTION = GaussianWell(temperature=0.3, reaction_rate=1.5, transport=False, half_width=5.0)
FINE, SQUARE = (25, 50, 100), (25, 100, 400)


@pytest.mark.parametrize(
    "method, options, exact, steps, order",
    [
        ("scharfetter-gummel", {}, DIFFUSION, FINE, 1.9),
        ("scharfetter-gummel-explicit", {}, DIFFUSION, (100, 400, 1600), 1.9),
        ("forward-euler", {}, DIFFUSION, (100, 400, 1600), 1.9),
        ("muscl-diffusion", {}, DIFFUSION, (100, 400, 1600), 1.85),
        ("crank-nicolson", {}, DIFFUSION, FINE, 1.9),
        ("backward-euler", {}, DIFFUSION, SQUARE, 1.9),
        ("fully-implicit", {}, DIFFUSION, SQUARE, 1.9),
        ("strang", {}, BOTH, FINE, 1.9),
        ("strang", {"transport": "crank-nicolson"}, BOTH, FINE, 1.9),
        ("lie", {}, BOTH, SQUARE, 1.9),
        ("lie", {"first": "reaction"}, BOTH, SQUARE, 1.9),
        ("strang", {}, NO_NOISE, (50, 100, 200), 1.7),
        ("muscl", {}, TRANSPORT, (50, 100, 200), 1.6),
        ("upwind", {}, TRANSPORT, (50, 100, 200), 0.8),
        ("reaction", {}, REACTION, (1, 1, 1), 1.9),
    ],
)
def test_gaussians(method, options, exact, steps, order):
    """The mesh halved from 50 cells; first-order steps are quartered with it."""
    table = observed_orders(
        method, exact, 0.5, cells=(50, 100, 200), steps=steps, method_options=options
    )
    print(table)
    assert table.orders[-1] > order


@pytest.mark.parametrize(
    "method, options, order",
    [
        ("scharfetter-gummel", {}, 2),
        ("crank-nicolson", {}, 2),
        ("backward-euler", {}, 1),
        ("forward-euler", {}, 1),
        ("fully-implicit", {}, 1),
    ],
)
def test_in_time_alone_drift_and_diffusion(method, options, order):
    in_time(method, options, DIFFUSION, order)


@pytest.mark.parametrize(
    "method, options, order",
    [
        ("strang", {}, 2),
        ("strang", {"transport": "fully-implicit"}, 1),
        ("lie", {"first": "transport"}, 1),
        ("lie", {"first": "reaction"}, 1),
    ],
)
def test_in_time_alone_with_birth_and_death(method, options, order):
    in_time(method, options, BOTH, order)


def in_time(method, options, exact, order):
    table = observed_orders(
        method,
        exact,
        0.5,
        cells=80,
        steps=(40, 80, 160),
        against="finest",
        method_options=options,
    )
    print(table)
    # The reference is 8 times finer than the finest run: at order 1 it biases the last ratio up.
    assert table.orders == pytest.approx([order, order], abs=0.12 if order == 2 else 0.2)


@pytest.mark.parametrize(
    "method, dimension, cells, steps, order",
    [
        ("muscl", 1, (50, 100, 200), (60, 240, 960), 1.55),
        ("muscl", 2, (20, 40, 80), (20, 80, 320), 1.6),
        ("upwind", 2, (20, 40, 80), (20, 80, 320), 0.7),
    ],
)
def test_porous_medium(method, dimension, cells, steps, order):
    table = observed_orders(method, Barenblatt(dimension=dimension), 1.0, cells=cells, steps=steps)
    print(table)
    # A front moves through the cells: orders scatter from halving to halving.
    assert table.orders.mean() > order


@pytest.mark.parametrize("method", ["strang", "lie"])
def test_adaptive_compositions_meet_their_tolerance(method):
    """Fixed Ψ: the parts alone are nearly exact in time, so that an error is that of splitting them.

    The embedded error is of lower order than the step's own, hence the sum of local errors exceeds the true one.
    """
    exact = GaussianWell(temperature=0.3, reaction_rate=20.0, half_width=5.0)
    start = exact.law(0, 100)
    ends = {
        rtol: solve(exact.flow(), start, (0, 0.5), method=method, rtol=rtol, t_eval=[0.5])
        for rtol in (1e-2, 1e-3, 1e-4, 1e-6)
    }
    best = ends.pop(1e-6).measures[0]
    off = [float(np.abs(s.measures[0].density - best.density).sum() * 0.1) for s in ends.values()]
    steps = [s.stats["steps"] for s in ends.values()]
    print(method, off, steps)
    assert off[0] > off[1] > off[2]
    for rtol, error, n in zip(ends, off, steps, strict=True):
        assert error < rtol * n
    assert steps[2] > 4 * steps[0]


def test_moving_cells():
    """W1, because the view on the grid is first order in L1; ten bins a cell."""
    errors = []
    for n in (100, 200, 400):
        table = observed_orders(
            "quantiles",
            TRANSPORT,
            0.5,
            cells=n,
            steps=(25, 50),
            norm="W1",
            method_options={"cells": 10 * n},
        )
        # Exact in time: as good with half the steps.
        assert table.errors[0] == pytest.approx(table.errors[1], rel=1e-3)
        errors.append(table.errors[1])
    assert np.log2(np.array(errors[:-1]) / errors[1:]).min() > 1.3


def test_text_of_a_table():
    lines = str(observed_orders("upwind", TRANSPORT, 0.1, cells=20, steps=(10, 20))).splitlines()
    assert lines[0] == "upwind, L1 error against the exact solution"
    assert len(lines) == 4


@pytest.mark.parametrize(
    "call, words",
    [
        ({"method": "langevin"}, "acts on particles"),
        ({"against": "me"}, "against = 'me'"),
        ({"cells": (10, 20), "steps": (1, 2, 3)}, "2 numbers of cells and 3 of steps"),
        ({"t_end": -1.0}, "t_end = -1"),
        ({"norm": "L2"}, "must be 'L1'"),
        ({"cells": 10, "steps": 5}, "two or more"),
        ({"cells": (10, 20), "steps": 0}, "at least 1"),
        ({"cells": "a"}, "cells = 'a'"),
        ({"cells": (10, 20), "against": "finest"}, "one mesh"),
        ({"cells": (200, 400), "steps": 2}, "take more steps"),
        ({"method": "reaction"}, "another equation"),
        ({"steps": (100, 50)}, "finer than the one before"),
        ({"cells": (50, 50), "steps": (50, 50)}, "finer than the one before"),
        ({"cells": (100, 50)}, "finer than the one before"),
    ],
)
def test_refusals(call, words):
    given = {"method": "muscl", "cells": 50, "steps": (50, 100)} | call
    with pytest.raises(InputError, match=words):
        observed_orders(given.pop("method"), TRANSPORT, given.pop("t_end", 0.5), **given)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: GaussianWell(dimension=4), "1, 2 or 3"),
        (lambda: GaussianWell(variance=0.0), "variance = 0"),
        (lambda: GaussianWell(temperature=-1.0), "temperature"),
        (lambda: GaussianWell(mean=(1, 2, 3), dimension=2), "one for each of 2 axes"),
        (lambda: GaussianWell(mean=float("nan")), "finite values only"),
        (lambda: GaussianWell(half_width=0), "half_width = 0"),
        (lambda: Barenblatt(dimension=True), "1, 2 or 3"),
        (lambda: GaussianWell(mean=9.0).law(0, 10), "holds 0% of the law"),
        (lambda: GaussianWell().law(-1, 10), "t = -1"),
        (lambda: Barenblatt(begin=0), "begin = 0"),
        (lambda: Barenblatt(half_width="a"), "half_width = 'a'"),
        (lambda: Barenblatt(half_width=1.0).law(0, 10), "take a wider one"),
        (lambda: Barenblatt().radius(-5), "t = -5"),
    ],
)
def test_constants_out_of_range(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_methods_without_birth_and_death_say_so():
    flow, start = BOTH.flow(), BOTH.law(0, 20)
    with pytest.raises(InputError, match="another equation than this flow's, reaction_rate = 1"):
        observed_orders("muscl", BOTH, 0.5, cells=50, steps=(10, 20))
    with pytest.raises(InputError, match="no birth-death and reaction_rate = 1"):
        solve(flow, start, (0, 1), method="crank-nicolson")
    with pytest.raises(InputError, match="first = 'death'"):
        solve(flow, start, (0, 1), method="lie", method_options={"first": "death"})
    with pytest.raises(InputError, match="name a method for drift and diffusion"):
        solve(flow, start, (0, 1), method="lie", method_options={"transport": "strang"})
