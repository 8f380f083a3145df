"""F = K G: what least squares leaves over, how λ is chosen, and the network that the charges make."""

import numpy as np
import pytest

from wflow.errors import InputError
from wflow.measures import TensorGrid
from wflow.solvers.statics import minimise_on_grid, solve_euler_lagrange

GRID = TensorGrid.from_bounds([(-6, 6)], 241)


class Kernel:
    def __init__(self, function):
        self.function = function

    def matrix(self, at, points):
        return self.function(at[:, None], points[None])


class Target:
    def __init__(self, function):
        self.values = function


def test_mixture_is_solved_to_rounding(mixture):
    found = solve_euler_lagrange(mixture.kernel, mixture.target, GRID, constant=mixture.constant)
    assert found.rule == "L-curve"
    assert found.residual < 1e-6
    assert abs(found.risk) < 1e-7
    # f needs charges of total variation 4/3.
    assert found.total_variation > 4 / 3
    assert found.charges.sum() == pytest.approx(0.0, abs=1e-3)


def test_residual_norm_and_risk_are_what_they_are_called(mixture):
    found = solve_euler_lagrange(
        Kernel(mixture.kernel), Target(mixture.target), GRID, ridge=1e-4, constant=mixture.constant
    )
    at, cell = GRID.points, 12 / 241
    smoothed = mixture.kernel(at[:, None], at[None]) @ found.charges
    left = smoothed - mixture.target(at)
    assert found.residual == pytest.approx(np.sqrt(cell * left @ left), rel=1e-10)
    assert found.norm == pytest.approx(np.sqrt(cell * found.density @ found.density), rel=1e-10)
    # f − f* on a line of x.
    x = np.linspace(-12, 12, 2001)
    f = Unit(0.5)(x, at[:, 0]) @ found.charges
    terms = zip((1 / 3, -2 / 3, 1 / 3), (-2.0, 0.0, 2.0), (0.5, 1.0, 0.5), strict=True)
    target = sum(c * Unit(v)(x, np.array([y]))[:, 0] for c, y, v in terms)
    assert found.risk == pytest.approx(np.sum((f - target) ** 2) * (x[1] - x[0]), rel=1e-9)


class Unit:
    def __init__(self, variance):
        self.variance = variance

    def __call__(self, x, y):
        away = (x[:, None] - y) ** 2
        return np.exp(-away / (2 * self.variance)) / np.sqrt(2 * np.pi * self.variance)


def test_solution_minimises_risk_and_penalty(mixture):
    ridge = 1e-3
    found = solve_euler_lagrange(mixture.kernel, mixture.target, GRID, ridge=ridge, constant=1.0)
    at = GRID.points
    k, f, cells = mixture.kernel(at[:, None], at[None]), mixture.target(at), found.cells

    def penalised(g):
        return 1.0 - 2 * g @ f + g @ k @ g + ridge * np.sum(g**2 / cells)

    least = penalised(found.charges)
    assert least == pytest.approx(found.risk + ridge * found.norm**2, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = 1e-3 * cells * rng.standard_normal(cells.size)
        more = step @ k @ step + ridge * np.sum(step**2 / cells)
        assert penalised(found.charges + step) - least == pytest.approx(more, rel=1e-6)


def test_discrepancy_is_met(mixture):
    found = solve_euler_lagrange(mixture.kernel, mixture.target, GRID, noise=1e-4)
    assert found.rule == "discrepancy"
    assert found.residual == pytest.approx(1e-4, rel=1e-8)
    assert np.isnan(found.risk)


def test_corner_filters_noise(mixture):
    noise = 1e-3 * np.random.default_rng(1).standard_normal(241)
    noisy = lambda at: mixture.target(at) + noise  # noqa: E731

    k = mixture.kernel(GRID.points[:, None], GRID.points[None])
    clean = mixture.target(GRID.points)

    def error(found):
        """The true risk of charges found from noisy data."""
        g = found.charges
        return mixture.constant - 2 * g @ clean + g @ k @ g

    corner = solve_euler_lagrange(mixture.kernel, noisy, GRID)
    errors = [
        error(solve_euler_lagrange(mixture.kernel, noisy, GRID, ridge=r))
        for r in np.geomspace(1e-12, 1, 13)
    ]
    # Seen: 1.2e-4 at the corner, 2.5e-5 at the best decade, 1.4e4 without a ridge.
    print("at the corner", error(corner), "least", min(errors), "without ridge", errors[0])
    assert error(corner) < 10 * min(errors)
    assert errors[0] > 100 * error(corner)


def test_charges_as_a_network(mixture):
    found = solve_euler_lagrange(
        mixture.kernel, mixture.target, GRID, ridge=1e-6, constant=mixture.constant
    )
    rho = found.to_particles()
    assert rho.mass == pytest.approx(1.0, abs=1e-12)
    assert rho.names == ("c", "y")
    energy = mixture.energy()
    assert energy.prepare(rho.points()).field(rho.weights()).risk == pytest.approx(
        found.risk, abs=1e-14
    )
    # Convex training with the same box of charges does at least as well.
    best = minimise_on_grid(energy, mixture.points(found.total_variation, 241))
    assert best.risk <= found.risk + best.gap
    assert "total variation" in repr(found)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"ridge": 1.0, "noise": 1.0}, "leave one out"),
        ({"ridge": -1.0}, "ridge"),
        ({"noise": 1e3}, "no charges"),
        ({"cells": np.ones(241)}, "the grid has its own"),
    ],
)
def test_refused_options(mixture, options, words):
    with pytest.raises(InputError, match=words):
        solve_euler_lagrange(mixture.kernel, mixture.target, GRID, **options)


def test_refused_problems(mixture):
    skew = lambda y, z: y[..., 0] + 2 * z[..., 0]  # noqa: E731
    with pytest.raises(InputError, match="symmetric"):
        solve_euler_lagrange(skew, mixture.target, GRID)
    negative = lambda y, z: -np.exp(-((y - z)[..., 0] ** 2))  # noqa: E731
    with pytest.raises(InputError, match="positive semidefinite"):
        solve_euler_lagrange(negative, mixture.target, GRID)
    with pytest.raises(InputError, match="cells"):
        solve_euler_lagrange(mixture.kernel, mixture.target, [0.0, 1.0], cells=[1.0])
    with pytest.raises(InputError, match="F has shape"):
        solve_euler_lagrange(mixture.kernel, lambda at: 1.0, [0.0, 1.0])
