"""Second moments of noiseless flows: a bound that no run breaks, on every clock, and their rate where it is known."""

import numpy as np
import pytest
from flows import LOOSE

import wflow
from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.solvers.method import get_method
from wflow.spaces import barron_norm, moment_bound

RUNS = {
    "isotropic-gaussians": ({"d": 40}, {}, 8.0),
    "anisotropic-gaussians": ({"d": 20, "s0": 6}, {}, 2.0),
    "predicted-failure": ({"d": 40}, {}, 0.5),
    "gaussian-mixture": ({}, {}, 5.0),
    "teacher-student": ({"d": 5, "teachers": 3}, {"ridge": 0.1}, 20.0),
    "homogeneous-teacher": ({}, {}, 20.0),
    "spherical-3-spin": ({"d": 5}, {}, 100.0),
    "digits": ({}, {"decay": 0.5}, 5.0),
    "bump": ({}, {}, 0.2),
}
LONGER = ("anisotropic-gaussians", "bump", "digits")
SLACK = 1e-6
"""What steps of rtol 1e-4 may add, relatively."""


def refuse_moments_beyond(sol, flow):
    """√M₂(t) ≤ √M₂(0) + √(s (F(0) − F(t))) ≤ √M₂(0) + √(s F(0)) at every frame of a noiseless run."""
    first, measured = sol.measures[0], sol.series["second_moment"]
    bound = moment_bound(flow, first, sol.t)
    start, fallen = np.sqrt(measured[0]), sol.free_energy[0] - sol.free_energy
    sharp = start + (np.sqrt(bound) - start) * np.sqrt(np.maximum(fallen, 0.0) / sol.free_energy[0])
    assert (np.sqrt(measured) <= sharp * (1 + SLACK)).all()
    assert (measured <= bound * (1 + SLACK)).all()


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LONGER else []) for n in sorted(RUNS)],
)
def test_no_noiseless_run_goes_beyond(name):
    parameters, constants, end = RUNS[name]
    system = wflow.systems.get(name, **parameters)
    flow = system.flow(**constants)
    t = np.linspace(0.0, end, 6)
    kinds = [kind for kind in system.measures if kind == "particles" or name == "bump"]
    for kind in kinds:
        start = system.initial(kind, 30)
        sol = wflow.solve(flow, start, (0, end), t_eval=t, rtol=1e-4)
        assert sol.success, sol.message
        refuse_moments_beyond(sol, flow)


def test_the_bound_is_met_where_all_mass_moves_alike():
    """One neuron w to the target β with its whole force: ẇ = β − w, F = ½(β − w)², within √t for t → 0."""
    flow = wflow.GradientFlow(FeatureEnergy("identity", [1.0], [2.0]))
    for t, least in ((1e-2, 0.99), (1e-4, 0.9999)):
        w = 2 * (1 - np.exp(-t))
        ratio = w / np.sqrt(t) / np.sqrt(2 - 0.5 * (2 - w) ** 2)
        bound = moment_bound(flow, wflow.Particles([[0.0]]), [t])[0]
        assert w**2 < bound
        assert least < ratio <= 1.0  # with what was lost in place of F(0)


def test_clocks_are_counted():
    """MMN's clock 2 and a schedule that falls: s = ∫ξ."""
    energy, start = FeatureEnergy("identity", [1.0], [2.0]), wflow.Particles([[1.0]])
    for schedule, s in ((2.0, 6.0), (lambda t: 1.0 / (1.0 + t), np.log(4.0))):
        flow = wflow.GradientFlow(energy, schedule=schedule)
        assert moment_bound(flow, start, [3.0])[0] == pytest.approx((1 + np.sqrt(s * 0.5)) ** 2)


def test_a_short_pulse_of_the_clock_is_counted_at_times_in_any_order():
    """Of 1/500 of the time: ∫ξ = 10√π, and half of it in the middle of the pulse."""
    energy, start = FeatureEnergy("identity", [1.0], [2.0]), wflow.Particles([[0.0]])
    flow = wflow.GradientFlow(energy, schedule=lambda t: 2e3 * np.exp(-(((t - 3.3) / 5e-3) ** 2)))
    s = 10 * np.sqrt(np.pi)
    found = moment_bound(flow, start, [10.0, 0.0, 3.3, 10.0])
    assert found == pytest.approx([2 * s, 0.0, s, 2 * s], rel=1e-7)
    assert moment_bound(flow, start, []).shape == (0,)


@pytest.mark.parametrize("clock", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("unit, offset", [("relu", False), ("relu", True), ("identity", False)])
def test_moments_of_homogeneous_units_grow_by_four_times_the_residual(unit, offset, clock):
    """d/dt ∫|θ|²dρ = 4ξ E[(y − f)f] of 2-homogeneous units, along the flow; −2λ∫|θ|²dρ more with a ridge."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    energy = FeatureEnergy(unit, x, y, charges=True, offset=offset)
    start = wflow.Particles(rng.normal(size=(25, 3 + offset)))
    for ridge in (0.0, 0.2) if clock == 1.0 else (0.2,):
        flow = wflow.GradientFlow(energy, schedule=clock, ridge=ridge)
        errors = [off(flow, start, 1 / count, clock, x, y) for count in (30, 60, 120)]
        print("errors", errors)
        # Simpson's rule is of order 4; where neurons turn samples on or off each of them leaves a part of h².
        assert max(errors) < 3e-4
        if unit == "identity":
            assert np.log2(errors[0] / errors[-1]) / 2 == pytest.approx(4.0, abs=0.2)


def off(flow, start, h, clock, x, y):
    """What M₂ has grown by at t = 1, less Simpson's rule over its rate, with equal steps of order 5."""
    chosen = get_method("runge-kutta")
    problem = chosen.prepare(flow, start, LOOSE, 0)
    state, carry = problem.initial, chosen.init(problem, 0.0, problem.initial)
    moments, rates = [], []
    for k in range(round(1 / h) + 1):
        theta, w = state["positions"], state["weights"]
        f = flow.energy.predict(wflow.Particles(theta, w), x)
        moments.append(w @ (theta**2).sum(axis=1))
        rates.append(clock * (4 * ((y - f) * f).mean() - 2 * flow.ridge * moments[-1]))
        done = chosen.step(problem, k * h, h, state, carry)
        state, carry = done.y, done.carry
    r = np.array(rates)
    summed = (r[:-2:2] + 4 * r[1::2] + r[2::2]).sum() * h / 3
    return abs(summed - (moments[-1] - moments[0]))


def test_norms_stay_below_half_the_moment():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(15, 1))
    energy = FeatureEnergy("relu", x, np.sin(2 * x[:, 0]), charges=True, offset=True)
    flow = wflow.GradientFlow(energy)
    sol = wflow.solve(flow, wflow.Particles(rng.normal(size=(30, 3))), (0, 20), rtol=1e-3)
    for measure, moment in zip(sol.measures, sol.series["second_moment"], strict=True):
        norm = barron_norm(energy, measure)
        assert norm.lower <= norm.upper <= norm.written <= 0.5 * moment * (1 + 1e-12)


def test_wrong_requests():
    energy, start = FeatureEnergy("identity", [1.0], [2.0]), wflow.Particles([[1.0]])
    for name in ("temperature", "reaction_rate"):
        flow = wflow.GradientFlow(energy, **{name: 0.5})
        with pytest.raises(InputError, match=f"{name} = 0.5: the bound is of flows that move"):
            moment_bound(flow, start, [1.0])
    flow = wflow.GradientFlow(energy)
    with pytest.raises(InputError, match="give times from 0 on"):
        moment_bound(flow, start, [-1.0])
    low = wflow.energies.PairEnergy(lambda x: -3.0 + 0.5 * x[..., 0] ** 2)
    with pytest.raises(InputError, match="needs a loss that is not negative"):
        moment_bound(wflow.GradientFlow(low), start, [1.0])
