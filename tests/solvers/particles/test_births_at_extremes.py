"""Births, deaths and free masses where numbers run out: the run goes on rightly, or ends and says why."""

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import PairEnergy

LINE = Particles(np.linspace(0.5, 1.5, 20))
ROUND = Particles(np.random.default_rng(0).standard_normal((20, 2)))
BOWL = PairEnergy(lambda x: 0.5 * (x**2).sum(axis=-1), dimension=2)


def solved(flow, start, t_end=1.0, method="birth-death", **options):
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return wflow.solve(
            flow, start, (0, t_end), t_eval=[0, t_end], method=method, method_options=options
        )


def test_a_midpoint_goes_on_where_weights_die_out():
    """Who dies in the first half of a step weighs 0 in its middle: without noise nothing takes a logarithm of that."""
    flow = GradientFlow(PairEnergy(lambda x: 1e4 * x[..., 0]), frozen=["x"], reaction_rate=1.0)
    sol = solved(flow, LINE, midpoint=True, step_size=1.0)
    assert sol.success, sol.message
    assert sol.measures[-1].points() == pytest.approx(
        np.full((20, 1), 0.5)
    )  # the least V has it all


@pytest.mark.parametrize("options", [{}, {"rule": "kill"}, {"reinject": LINE}])
def test_an_energy_that_is_no_number_in_the_middle_of_a_step(options):
    def potential(x):
        return np.where(x[..., 0] < 0.2, np.nan, x[..., 0])

    energy = PairEnergy(potential, grad_V=np.ones_like)
    sol = solved(
        GradientFlow(energy, reaction_rate=1.0), LINE, 2.0, midpoint=True, step_size=0.1, **options
    )
    assert not sol.success
    assert "the energy is not a number at t = 0.3" in sol.message
    assert "take a smaller step_size than 0.1" in sol.message


@pytest.mark.parametrize("midpoint", [False, True])
def test_particles_that_run_away_with_noise(midpoint):
    energy = PairEnergy(lambda x: -(x[..., 0] ** 4), grad_V=lambda x: -4 * x**3)
    flow = GradientFlow(energy, temperature=0.1, reaction_rate=1.0)
    sol = solved(flow, LINE, 2.0, midpoint=midpoint, rule="kill-clone", step_size=0.1)
    assert not sol.success
    assert np.isfinite(sol.risk).all()


def test_clones_that_noise_does_not_part():
    flow = GradientFlow(BOWL, temperature=1e-60, reaction_rate=300.0)
    sol = solved(flow, ROUND, step_size=0.1)
    assert not sol.success
    assert "clones share a place, where log rho is infinite" in sol.message


def test_distances_that_are_no_floats_have_no_neighbours():
    far = Particles(np.array([[-1.0], [0.0], [1.0]]))
    logs = wflow.measures.estimators.log_density(
        1e200 * far.points(), far.weights(), "nearest-neighbour"
    )
    assert np.isneginf(logs).all()


def refused(match, flow, start, **options):
    with pytest.raises(wflow.InputError, match=match) as caught:
        solved(flow, start, **options)
    assert "\n" not in str(caught.value)


def test_what_is_refused():
    two = Particles([[0.0, 1.0], [1.0, 0.0]])
    noisy = GradientFlow(BOWL, temperature=0.1, reaction_rate=1.0)
    refused("2 particles of 2 coordinates, whose covariance", noisy, two, entropy="kernel")
    swapped = Particles([[0.0, 1.0]], names=("y", "x"))
    refused(
        "reinject has the coordinates y, x",
        GradientFlow(BOWL, reaction_rate=1.0),
        ROUND,
        reinject=swapped,
    )
    refused("nobody dies", GradientFlow(BOWL), ROUND, reinject=ROUND)


@pytest.mark.parametrize("name", ["teacher-student", "gaussian-mixture", "spherical-3-spin"])
@pytest.mark.parametrize("method", ["birth-death", "conic"])
def test_a_step_far_too_long_ends_a_run_of_kernels(name, method):
    """Charges beyond 1e150 are no wrong input: the run ends, with its start as the last good frame."""
    system = wflow.systems.get(name)
    flow, start = system.flow(), system.initial("particles", 10)
    sol = solved(flow, start, 4e200, method, step_size=1e200)
    assert not sol.success
    assert "take a smaller step_size than 1e+200" in sol.message
    assert sol.t.tolist() == [0.0]


@pytest.mark.parametrize("method", ["conic", "conic-runge-kutta"])
def test_a_mass_that_goes_to_nothing_is_still_a_measure(method):
    flow = GradientFlow(BOWL, reaction_rate=1e3)
    sol = solved(flow, ROUND, 1.0, method, penalty=2.0)
    assert sol.success, sol.message
    assert 0 < sol.measures[-1].mass < 1e-140
    assert sol.mass[-1] == pytest.approx(sol.measures[-1].mass)
