"""Times anywhere on the axis, in any unit, and written with rounding: the run is the one from 0, or says what it is."""

import math

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, InputError, Particles
from wflow.energies import PairEnergy
from wflow.run.driver import State
from wflow.run.times import told
from wflow.solvers.step_size import Adaptive, Clock

from flows import gauss, well  # isort: skip

START = Particles([1.0, 2.0])


def run(span, method="auto", start=START, **options):
    tau = options.pop("temperature", 0.0)
    return wflow.solve(GradientFlow(well(), temperature=tau), start, span, method=method, **options)


@pytest.mark.parametrize("start", [1e11, 3e13, -3e13, 1e15])
@pytest.mark.parametrize("method", ["runge-kutta", "muscl", "backward-euler"])
def test_far_from_0_it_is_the_run_from_0(start, method):
    rho = START if method == "runge-kutta" else gauss(60, bounds=(-3, 3))
    near = run((0, 2), method, rho, t_eval=[0, 2])
    far = run((start, start + 2), method, rho, t_eval=[start, start + 2])
    assert far.success
    assert far.t.tolist() == [start, start + 2]
    assert far.risk.tobytes() == near.risk.tobytes()
    assert far.stats["steps"] == near.stats["steps"]
    assert far.steps["h"].tobytes() == near.steps["h"].tobytes()
    assert far.message == f"reached t = {start + 2:.17g}"


def test_far_from_0_noise_keeps_its_clock():
    options = {"temperature": 0.5, "method_options": {"step_size": 0.25}, "seed": 4}
    near = run((0, 2), "langevin", t_eval=[0.5, 2], **options)
    far = run((3e13, 3e13 + 2), "langevin", t_eval=[3e13 + 0.5, 3e13 + 2], **options)
    assert (far.t - 3e13).tolist() == [0.5, 2]
    assert far.measures[-1].points().tobytes() == near.measures[-1].points().tobytes()
    # 0.1 is no float beside 1e11: the nearest tick is meant.
    options["method_options"] = {"step_size": 0.1}
    far = run((1e11, 1e11 + 0.3), "langevin", t_eval=[1e11, 1e11 + 0.3], **options)
    assert far.stats["steps"] == 3
    assert far.t == pytest.approx([1e11, 1e11 + 0.3], abs=2e-5)


def test_far_from_0_events_and_resumed_runs_are_those_from_0(tmp_path):
    flow, found = GradientFlow(well()), []
    for start in (0.0, 3e13):
        path = tmp_path / f"{start:g}.h5"
        times = [start + 1, start + 2]
        cut = wflow.solve(
            flow,
            START,
            (start, start + 2),
            t_eval=times,
            events=("risk", 0.5),
            output=path,
            max_steps=9,
        )
        assert "9 steps taken" in cut.message
        rest = wflow.resume(path, flow)
        assert rest.success
        late = wflow.resume(path, flow, t_end=start + 3)
        assert late.t.tolist() == [*times, start + 3]
        found.append((rest.risk.tobytes(), late.risk.tobytes(), rest.t_events[0][0] - start))
    assert found[0][:2] == found[1][:2]
    # R = 5/2 e^{−2t}; a time at 3e13 has its last digit at 0.004
    assert found[0][2] == pytest.approx(0.5 * math.log(5), abs=1e-5)
    assert found[1][2] == pytest.approx(0.5 * math.log(5), abs=4e-3)


def test_a_schedule_is_asked_at_the_time_itself():
    flow = GradientFlow(well(), schedule=lambda t: 1.0 if t >= 3e13 else 0.0)
    sol = wflow.solve(flow, START, (3e13, 3e13 + 2), t_eval=[3e13 + 2])
    assert sol.measures[-1].points()[:, 0] == pytest.approx(
        np.array([1, 2]) * math.exp(-2), rel=1e-5
    )


def test_a_checkpoint_of_before_the_clock_counted_from_the_start():
    state = State(1.5, {}, {}, Adaptive(2), start=2.0)
    state.control.first(lambda: 0.1, 3.0)
    packed = state.arrays()
    packed["clock"] = packed["clock"][:3]
    again = State(0.0, {}, {}, Adaptive(2))
    again.control.first(lambda: 0.2, 3.0)
    again.restore(packed)
    assert (again.elapsed, again.start, again.t) == (1.5, 2.0, 3.5)


@pytest.mark.parametrize("unit", [1e-30, 1e-11, 1e9])
@pytest.mark.parametrize(
    "method, tau", [("scharfetter-gummel", 0.1), ("muscl", 0.0), ("strang", 0.1)]
)
def test_any_unit_of_time(method, tau, unit):
    """Energies over the unit, times times it: the same run."""

    def solved(unit):
        flow = GradientFlow(
            PairEnergy(lambda x: 0.5 / unit * x[..., 0] ** 2),
            temperature=tau / unit,
            reaction_rate=1.0 if method == "strang" else 0.0,
        )
        return wflow.solve(
            flow, gauss(60, bounds=(-3, 3)), (0, unit), method=method, rtol=1e-4, t_eval=[unit]
        )

    sol, one = solved(unit), solved(1.0)
    assert sol.success, sol.message
    assert sol.measures[-1].density == pytest.approx(one.measures[-1].density, abs=2e-4)


def test_particles_in_any_unit_of_time():
    flow = GradientFlow(PairEnergy(lambda x: 0.5e16 * x[..., 0] ** 2, grad_V=lambda x: 1e16 * x))
    sol = wflow.solve(flow, START, (0, 1e-16), t_eval=[1e-16])
    assert sol.success, sol.message
    assert sol.measures[-1].points()[:, 0] == pytest.approx(np.array([1, 2]) / math.e, rel=1e-5)


@pytest.mark.parametrize("method", ["runge-kutta", "muscl"])
def test_a_tiny_span_is_taken(method):
    sol = run((0, 1e-16), method, START if method == "runge-kutta" else gauss(40))
    assert sol.success, sol.message
    assert sol.t[-1] == 1e-16
    assert sol.stats["steps"] >= 0


@pytest.mark.parametrize("span", [(0, 1e-320), (0, 1e-300), (-1e308, 1e308)])
def test_a_span_beyond_the_numbers_is_refused(span):
    with pytest.raises(InputError, match="take another unit of time"):
        run(span)


# ---- steps that do not fit into the span -----------------------------------------------------------------------------


def test_a_span_below_one_step_is_refused():
    with pytest.raises(
        InputError, match=r"step_size = 0\.01 is longer than t_span = \(0, 0\.004\)"
    ):
        run((0, 0.004), "langevin", temperature=1.0, method_options={"step_size": 0.01})


def test_the_time_reached_is_the_last_whole_step():
    options = {"temperature": 1.0, "method_options": {"step_size": 0.01}}
    sol = run((0, 0.034), "langevin", **options)
    assert sol.message == "reached t = 0.03, the last whole step before 0.034"
    assert sol.t[-1] == pytest.approx(0.03)
    assert run((0, 0.03), "langevin", **options).message == "reached t = 0.03"


def test_a_fixed_step_longer_than_the_span_is_cut_to_it():
    flow, rho = GradientFlow(well(), temperature=1.0), gauss(40, bounds=(-3, 3))
    whole = wflow.solve(
        flow, rho, (0, 0.004), method="backward-euler", method_options={"step_size": 0.01}
    )
    short = wflow.solve(
        flow, rho, (0, 0.004), method="backward-euler", method_options={"step_size": 0.004}
    )
    assert whole.message == "reached t = 0.004"
    assert whole.measures[-1].density.tobytes() == short.measures[-1].density.tobytes()


# ---- times as they are written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "span, times",
    [
        ((0, 0.3), np.arange(0, 0.31, 0.1)),
        ((0, 0.3), [0.1, 0.2, 0.1 + 0.2]),
        ((0.1 + 0.2, 1), [0.3, 1]),
        ((-1, 0), np.cumsum(np.full(10, 0.1)) - 1.0),
        ((1e11, 1e11 + 0.3), 1e11 + np.arange(0, 0.31, 0.1)),
        ((0, 0.7), [0.7 * (1 + 1e-13)]),
    ],
)
def test_times_are_compared_with_rounding(span, times):
    sol = run(span, t_eval=times)
    assert sol.success
    assert sol.t.size == len(times)
    assert sol.t[-1] == min(times[-1], span[1])
    assert sol.t[0] >= span[0]


@pytest.mark.parametrize("times", [[0.31], [-1e-9, 0.1], [0.3 + 1e-9]])
def test_times_outside_are_still_refused(times):
    with pytest.raises(InputError, match="outside t_span"):
        run((0, 0.3), t_eval=times)


def test_a_state_is_had_at_a_time_as_it_is_written():
    sol = run((0, 0.3), t_eval=[0, 0.1, 0.3])
    assert sol(0.1 + 0.2) == sol.measures[2]
    assert sol(0.3 - 0.2) == sol.measures[1]
    for t in (0.3001, -1e-9, math.inf, math.nan):
        with pytest.raises(InputError, match="outside the saved times"):
            sol(t)


def test_times_are_told_with_the_digits_that_tell_them_apart():
    assert told(1 / 3, 1.0) == "0.333333"
    assert told(1e11 + 0.25, 1.0) == "100000000000.25"
    assert told(0.0, 2.0) == "0"


def test_a_clock_far_from_0_counts_all_its_ticks():
    clock = Clock(0.1)
    times = clock.times(1e11 + np.array([0.0, 0.1, 0.2, 0.3]), (1e11, 1e11 + 0.3))
    assert times.size == 4
    assert clock.since(times, 1e11).tolist() == [0.0, 0.1, 0.2, 0.30000000000000004]
