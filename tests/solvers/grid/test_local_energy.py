r"""Ψ = ρ − f: transport that is a diffusion. Barenblatt's profile is exact for f = 0, and (f − c)₊ is where it rests.

.. math:: \partial_t\rho = \nabla\cdot(\rho\nabla\rho): \quad
          \rho = t^{-d/(d+2)}\,\bigl(C - \tfrac{|x|^2}{2(d+2)}t^{-2/(d+2)}\bigr)_+
"""

import numpy as np
import pytest
from flows import barenblatt

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import Energy


class LocalEnergy(Energy):
    """R = ∫ρ² − 2∫fρ on the cells of one grid, so that ½R has the first variation ρ − f."""

    def __init__(self, grid, f):
        self.dimension = grid.dimension
        self.volumes, self.f = grid.volumes.ravel(), f(grid.points())

    def prepare(self, points):
        return self

    def field(self, weights):
        return LocalField(weights, weights / self.volumes, self.f)

    def fingerprint(self):
        return "local"


class LocalField:
    def __init__(self, weights, density, f):
        self.risk = float(weights @ (density - 2 * f))
        self._psi = density - f

    def first_variation(self, points=None):
        return self._psi


MASS = {1: 0.3**1.5 * 6**0.5 * 4 / 3, 2: np.pi * 4 * 0.3**2}


@pytest.mark.parametrize(
    "method,d,cells,least",
    [
        ("muscl", 1, (80, 160, 320), 1.7),
        ("muscl", 2, (25, 50, 100), 1.7),
        ("upwind", 1, (80, 160, 320), 0.8),
    ],
)
def test_barenblatt_with_steps_at_the_stability_bound(method, d, cells, least):
    """From t = 1 to 3 in Barenblatt's clock; a density of mass 1 runs ``MASS`` times slower."""
    errors = []
    for n in cells:
        start = GridDensity.from_function(barenblatt(d, 1.0), [(-4, 4)] * d, n=n)
        exact = GridDensity.from_function(barenblatt(d, 3.0), [(-4, 4)] * d, n=n)
        flow = GradientFlow(LocalEnergy(start, lambda x: np.zeros(len(x))))
        end = 2 * MASS[d]
        sol = solve(flow, start, (0, end), method=method, t_eval=[end])
        assert sol.success, sol.message
        # The step is found, kept near the bound, and hardly ever refused.
        assert sol.stats["rejections"] <= 3 + 0.02 * sol.stats["steps"]
        w = 8 / n
        assert np.median(sol.steps["h"]) > 0.25 * w**2 / start.density.max()
        gap = np.abs(sol.measures[0].density - exact.density)
        errors.append(float((gap * start.volumes).sum()))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    print(method, d, "errors", errors, "orders", orders)
    assert orders.min() > least


def test_it_rests_where_the_sum_is_level():
    """f = 2 − |x|² on a square: ρ_∞ = (f − c)₊, with π(2 − c)²/2 = 1."""
    start = GridDensity.from_function(lambda x: np.exp(-4 * (x**2).sum(-1)), [(-1, 1)] * 2, n=32)
    flow = GradientFlow(LocalEnergy(start, lambda x: 2 - (x**2).sum(-1)))
    sol = solve(flow, start, (0, 4), method="muscl", t_eval=[4.0])
    r2 = (start.points() ** 2).sum(-1).reshape(start.shape)
    rest = np.maximum(np.sqrt(2 / np.pi) - r2, 0.0)
    # The edge of the support is spread over a cell: error O(w²) in L1.
    gap = np.abs(sol.measures[0].density - rest)
    assert float((gap * start.volumes).sum()) < 5e-3
