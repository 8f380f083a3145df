"""Why a run ends: rest that is rest beside any constant, and remedies that the run has."""

import numpy as np
import pytest
from flows import gauss

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.energies import PairEnergy
from wflow.trackers import SteadyState

START = gauss(100, bounds=(-4, 4))


def at_rest(constant, tau=0.5, rate=1e-8, start=START, **options):
    energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x, constant=constant)
    flow = GradientFlow(energy, temperature=tau, **options)
    return wflow.solve(flow, start, (0, 40), trackers=[SteadyState(rate)])


@pytest.mark.parametrize("tau", [0.5, 0.0])
def test_rest_is_told_beside_a_large_constant(tau):
    start = START if tau else Particles([1.0, 2.0])
    plain, large = at_rest(0.0, tau, start=start), at_rest(1e12, tau, start=start)
    assert plain.message.startswith("steady state")
    assert large.message.startswith("steady state")
    assert large.t[-1] == pytest.approx(plain.t[-1], rel=0.15)
    assert large.measures[-1].mean()[0] == pytest.approx(0.0, abs=1e-3)


def test_the_dissipation_is_by_the_clock_of_the_schedule():
    slow = at_rest(1e12, schedule=lambda t: 0.25)
    plain = at_rest(0.0, schedule=lambda t: 0.25)
    assert slow.t[-1] == pytest.approx(plain.t[-1], rel=0.15)


def test_without_a_dissipation_a_longer_time_tells():
    """A fall of 1e-3 a unit of time is below the rounding of 1e13: it is looked for over 18 units."""
    watch = SteadyState(1e-3)
    falls = [1e13 - 0.01 * min(t, 500) for t in range(1000)]
    stops = [t for t, risk in enumerate(falls) if watch.handle(float(t), {"risk": risk})]
    assert 500 < stops[0] < 540


def test_plain_values_are_judged_as_ever():
    watch = SteadyState(1e-3)
    assert watch.handle(0.0, {"risk": 1.0}) is None
    assert watch.handle(1.0, {"risk": 0.9}) is None
    assert watch.handle(1.0, {"risk": 0.9}) is None
    assert watch.handle(2.0, {"risk": 0.8995}).reason.endswith("at t = 2")


# ---- remedies --------------------------------------------------------------------------------------------------------


class Breaks(PairEnergy):
    """Not a number right of 2."""

    def __init__(self):
        super().__init__(
            lambda x: np.where(x[..., 0] < 2, -x[..., 0], np.nan),
            grad_V=lambda x: np.where(x < 2, -1.0, np.nan),
        )


def test_particles_are_not_told_to_refine_a_grid():
    sol = wflow.solve(GradientFlow(Breaks()), Particles([1.0]), (0, 3))
    assert not sol.success
    assert sol.message.endswith("loosen rtol, or check the energy")
    assert "grid" not in sol.message


class Rises(PairEnergy):
    """Its free energy rises in any step: V stands on its head in what it says of the risk."""

    def prepare(self, points):
        prepared = super().prepare(points)
        field = prepared.field

        class Upside:
            risk = property(lambda self: -self._field.risk)

            def __init__(self, weights):
                self._field = field(weights)

            def first_variation(self, at=None):
                return self._field.first_variation()

        prepared.field = Upside
        return prepared


def test_a_grid_without_a_tolerance_is_not_told_to_loosen_it():
    energy = Rises(lambda x: x[..., 0])
    rho = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-3, 3)], n=30)
    sol = wflow.solve(GradientFlow(energy), rho, (0, 1), method="muscl")
    assert not sol.success
    assert sol.message.endswith("refine the grid, or check the energy")


def test_the_step_size_in_a_refusal_is_the_one_given():
    with np.errstate(all="ignore"):
        sol = wflow.networks.sgd("teacher-student", step_size=1e6, n_steps=2000)
    assert not sol.success
    assert sol.message.endswith("take a smaller step_size than 1e+06")


# ---- what t and frames hold ------------------------------------------------------------------------------------------


def test_a_run_that_ends_where_a_frame_was_saved_has_it_once():
    """At the first time, and at a saved time on which a step ends: no time stands twice."""
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x))
    start = Particles([1.0, 2.0])
    first = wflow.solve(flow, start, (0, 4), t_eval=[0, 1, 4], trackers=[lambda t, rho: True])
    assert first.t.tolist() == [0.0]
    assert len(first.measures) == 1
    stepped = wflow.solve(
        GradientFlow(flow.energy, temperature=0.1),
        start,
        (0, 4),
        t_eval=[0, 1, 2, 4],
        method="langevin",
        method_options={"step_size": 0.25},
        trackers=[lambda t, rho: t >= 2],
    )
    assert stepped.t.tolist() == [0.0, 1.0, 2.0]
    between = wflow.solve(flow, start, (0, 4), t_eval=[1, 4], trackers=[lambda t, rho: True])
    assert between.t.tolist() == [0.0]
