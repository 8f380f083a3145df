"""A start whose coordinates are the energy's in another order is another start."""

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, GridDensity, InputError, Particles
from wflow.energies import FeatureEnergy

FLOW = GradientFlow(FeatureEnergy("tanh", [[1.0], [2.0]], [1.0, 0.5], charges=True))
POINTS = np.random.default_rng(0).standard_normal((5, 2))


def on_grid(names: tuple[str, str]) -> GridDensity:
    bell = lambda x: np.exp(-(x**2).sum(-1))  # noqa: E731
    return GridDensity.from_function(bell, [(-3, 3)] * 2, n=12, names=names)


@pytest.mark.parametrize("start", [Particles(POINTS, names=("w", "a")), on_grid(("w", "a"))])
def test_swapped_columns_are_refused(start: GridDensity | Particles) -> None:
    with pytest.raises(InputError, match="rho0 has the coordinates w, a and the energy a, w"):
        wflow.solve(FLOW, start, (0, 0.1))


def test_the_right_order_names_of_ones_own_and_none_are_taken() -> None:
    runs = [
        wflow.solve(FLOW, Particles(POINTS, names=names), (0, 0.1))
        for names in (("a", "w"), ("charge", "weight"), None)
    ]
    for run in runs[1:]:
        assert np.array_equal(run.risk, runs[0].risk)


def test_names_by_default_count_alike_in_measures_and_energies() -> None:
    nodes = np.ones((2, 5))
    energy = FeatureEnergy("tanh", nodes, [1.0, 0.5])
    assert energy.dimension == 5
    assert Particles(np.ones((3, 5))).names == ("x1", "x2", "x3", "x4", "x5")
