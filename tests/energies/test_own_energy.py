r"""Someone's own energy by subclass, with a Ψ that is not affine in ρ: what it does not declare is not assumed.

.. math:: \tfrac12 R(\rho) = 3 m^4, \quad m = \int(\theta - 2)\,d\rho, \qquad \Psi = 12 m^3(\theta - 2)

With λ = 1 the Gibbs state is N(3/2, τ), because 12m³ + m + 2 = 0 at m = −½; the least of ½R + ½∫θ² dρ is 21/16.
"""

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import Energy, FeatureEnergy, PairEnergy
from wflow.errors import InputError
from wflow.measures import Particles, TensorGrid
from wflow.solvers.statics import (
    continue_in_temperature,
    duality_gap,
    excess_bound,
    expected_excess,
    minimise_on_grid,
    minimise_sparse,
    solve_gibbs,
)

TAU = 0.1


class Quartic(Energy):
    dimension = 1

    def prepare(self, points):
        return QuarticAt(points)

    def fingerprint(self):
        return "quartic"


class QuarticAt:
    def __init__(self, points):
        self.points = points

    def field(self, weights):
        return QuarticField(self.points, float(weights @ (self.points[:, 0] - 2.0)))


class QuarticField:
    def __init__(self, points, m):
        self.points, self.m, self.risk = points, m, 6 * m**4

    def first_variation(self, points=None):
        at = self.points if points is None else points
        return 12 * self.m**3 * (at[:, 0] - 2.0)

    def gradient(self, points=None):
        return np.full_like(self.points if points is None else points, 12 * self.m**3)


@pytest.fixture
def flow():
    return GradientFlow(Quartic(), temperature=TAU, ridge=1.0)


def grid(n=400):
    return TensorGrid.from_bounds([(-3.0, 6.0)], n)


def test_the_defaults_are_those_of_full_space_and_promise_nothing():
    energy, points = Quartic(), np.array([[0.5], [1.0]])
    assert energy.coordinates == ("x",)
    assert energy.bounds.tolist() == [[-np.inf, np.inf]]
    assert not energy.reference_log_volume(points).any()
    assert not energy.reference_drift(points).any()
    assert energy.refuse_temperature() is None
    assert (energy.affine, energy.interacts, energy.needs_density) == (False, True, False)
    assert energy.local_stiffness == 0.0


@pytest.mark.parametrize("method", ["newton", "anderson", "picard"])
def test_its_gibbs_state_is_found(flow, method):
    state = solve_gibbs(flow, grid(), method=method)
    assert state.success, state.message
    assert state.measure.mean()[0] == pytest.approx(1.5, abs=1e-9)
    assert state.iterations < 40


def test_jko_linearised_takes_it_as_it_is(flow):
    """Movements as long as the flow's own time still go downhill, to the Gibbs state."""
    start = GridDensity.from_function(lambda x: np.exp(-2 * x[..., 0] ** 2), [(-4.0, 6.0)], n=200)
    sol = solve(flow, start, (0, 5), method="jko-linearised", method_options={"step_size": 1.0})
    assert sol.success, sol.message
    assert sol.measures[-1].mean()[0] == pytest.approx(1.5, abs=1e-3)
    assert (np.diff(sol.steps["free_energy"]) < 1e-12).all()


def test_the_static_problems_refuse_it(flow):
    energy, rho = Quartic(), Particles([[0.0], [1.0]])
    for call in (
        lambda: minimise_on_grid(energy, grid(50), ridge=1.0),
        lambda: minimise_sparse(energy, [(-2.0, 4.0)], ridge=1.0),
        lambda: duality_gap(energy, rho, grid(50)),
        lambda: expected_excess(energy, rho),
        lambda: excess_bound(energy, rho),
    ):
        with pytest.raises(InputError, match=r"does not declare affine.*quadratic in the measure"):
            call()
    with pytest.raises(InputError, match="give least_energy, as nan"):
        continue_in_temperature(flow, grid(), [0.2, 0.1])
    path = continue_in_temperature(flow, grid(), [0.2, 0.1], least_energy=21 / 16)
    assert path.success
    assert path.energy_excess == pytest.approx([0.1, 0.05], abs=1e-6)  # τ/2


def test_pairs_of_an_affine_energy_by_its_own_first_variation():
    class Affine(FeatureEnergy):
        """Features without their own answers for U."""

        diagonal, columns = Energy.diagonal, Energy.columns

    nodes, targets = np.linspace(-1, 1, 7)[:, None], np.linspace(0, 1, 7)
    points = np.array([[0.3], [-1.2], [2.0]])
    own, plain = Affine("tanh", nodes, targets), FeatureEnergy("tanh", nodes, targets)
    u = np.tanh(points @ nodes.T) @ np.tanh(nodes @ points.T) / 7
    for energy in (own, plain):
        assert energy.diagonal(points) == pytest.approx(u.diagonal(), rel=1e-12)
        assert energy.columns(points)(1) == pytest.approx(u[:, 1], rel=1e-12)
    with pytest.raises(InputError, match="loss 'logistic': there is no U"):
        FeatureEnergy("tanh", nodes, np.ones(7), loss="logistic").diagonal(points)


def test_something_that_is_no_energy_is_refused():
    with pytest.raises(
        InputError, match=r"energy is a function: .* subclass of wflow.energies.Energy"
    ):
        GradientFlow(lambda x: x)


def test_predictions_need_inputs():
    with pytest.raises(InputError, match="PairEnergy has no predict"):
        PairEnergy(lambda x: x[..., 0]).predict(Particles([0.0]), [0.0])
