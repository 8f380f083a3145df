"""What is done in one pass on large grids is what is done array by array on small ones."""

import numpy as np
import pytest

import wflow
from wflow.energies import Energy
from wflow.solvers import Tolerance, get_method
from wflow.solvers.grid.parts import axis_in_one_pass

EDGES = [
    np.linspace(-1, 1, 37) + 0.01 * np.sin(np.arange(37)),
    np.linspace(-1, 1.2, 42),
    np.linspace(-1.2, 1, 23),
]


class Pulled(Energy):
    """R = 2∫V dρ + (∫V dρ)²: Ψ = (1 + ∫V dρ) V changes with ρ."""

    def __init__(self, dimension, values=None, mean=0.0):
        self.dimension, self.values, self.mean = dimension, values, mean

    def prepare(self, points):
        return Pulled(self.dimension, (points**2).sum(-1) + np.cos(9 * points[:, 0]))

    def field(self, weights):
        return Pulled(self.dimension, self.values, float(self.values @ weights))

    @property
    def risk(self):
        return 2 * self.mean + self.mean**2

    def first_variation(self, points=None):
        return (1 + self.mean) * self.values

    def fingerprint(self):
        return "pulled"


def flow_of(axes):
    return wflow.GradientFlow(Pulled(axes), temperature=0.2)


@pytest.mark.parametrize("name", ["scharfetter-gummel", "backward-euler"])
@pytest.mark.parametrize("axes, periodic", [(2, (False, True)), (3, (True, False, False))])
def test_a_step_in_one_pass_is_a_step_by_arrays(monkeypatch, name, axes, periodic):
    start = wflow.GridDensity.from_function(
        lambda x: np.exp(-((x - 0.2) ** 2).sum(-1)), edges=EDGES[:axes], periodic=periodic
    )
    found = []
    for large in (1, 1 << 40):
        monkeypatch.setattr(axis_in_one_pass, "LARGE", large)
        method = get_method(name)
        problem = method.prepare(flow_of(axes), start, Tolerance(), seed=0)
        assert axis_in_one_pass.is_large(problem) == (large == 1)
        y = problem.initial
        carry = method.init(problem, 0.0, y)
        found.append(method.step(problem, 0.0, 0.01, y, carry))
    one, other = found
    assert one.y["density"] == pytest.approx(other.y["density"], rel=1e-12)
    assert one.error == pytest.approx(other.error, rel=1e-9)
    assert float(one.carry["mass"]) == pytest.approx(start.mass, rel=1e-14)
    # The rooms of a step are forgotten: what it returned stays what it was.
    kept = one.y["density"].copy()
    monkeypatch.setattr(axis_in_one_pass, "LARGE", 1)
    problem = method.prepare(flow_of(axes), start, Tolerance(), seed=0)
    first = method.step(
        problem, 0.0, 0.01, problem.initial, method.init(problem, 0.0, problem.initial)
    )
    method.step(problem, 0.01, 0.01, first.y, first.carry)
    assert np.array_equal(first.y["density"], kept)
