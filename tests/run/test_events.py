"""Events: where exact solutions pass a level, on a path that does not know of them, cut or whole."""

import math

import numpy as np
import pytest
from flows import gauss, interacting, well
from scipy.integrate import solve_ivp

import wflow
from wflow import Event, GradientFlow, InputError, Particles
from wflow.energies import PairEnergy

LEVELS = (0.8, 0.5, 0.1)


def mean(t, rho):
    return rho.mean()[0]


def test_a_mean_decays_through_its_levels():
    """dm/dt = −m: m passes c at log(1/c), to the tolerance of the steps."""
    events = [Event(mean, level=c) for c in LEVELS]
    sol = wflow.solve(GradientFlow(well()), Particles([1.0]), (0, 5), events=events, rtol=1e-9)
    for found, c in zip(sol.t_events, LEVELS, strict=True):
        assert found == pytest.approx([math.log(1 / c)], rel=1e-7)
    assert sol.t[-1] == 5
    assert sol.message == "reached t = 5"


@pytest.mark.parametrize(
    "method", ["muscl", "scharfetter-gummel", "strang", "backward-euler", "jko"]
)
def test_on_grids(method):
    """The state at t_events has the level, whatever the method: a run that saves there shows it."""
    constants = {"muscl": {}, "strang": {"temperature": 0.2, "reaction_rate": 1.0}}
    flow = interacting(**constants.get(method, {"temperature": 0.2}))
    start, options = gauss(60, bounds=(-4, 4)), {"method": method, "rtol": 1e-4}
    plain = wflow.solve(flow, start, (0, 0.5), **options)
    level = 0.3 * plain.risk[0] + 0.7 * plain.risk[-1]
    sol = wflow.solve(flow, start, (0, 0.5), events=("risk", level), **options)
    (times,) = sol.t_events
    assert times.size == 1
    assert plain.steps["t"].tobytes() == sol.steps["t"].tobytes()
    assert plain.steps["risk"].tobytes() == sol.steps["risk"].tobytes()
    there = wflow.solve(flow, start, (0, 0.5), t_eval=times, **options)
    assert there.risk[0] == pytest.approx(level, rel=1e-8)


def test_as_scipy_has_them():
    """x' = 3 − x, seen through a wave: the directions, counts and terminal events of solve_ivp."""
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * (x[..., 0] - 3) ** 2, grad_V=lambda x: x - 3))

    def wave(t, x):
        return math.cos(5 * t) + 0.2 * x

    cases = [
        {},
        {"direction": 1},
        {"direction": -1},
        {"terminal": 3},
        {"terminal": True, "direction": -1},
    ]
    for attributes in cases:

        def ours(t, rho):
            return wave(t, rho.mean()[0])

        def theirs(t, y):
            return wave(t, y[0])

        for f in (ours, theirs):
            for name, value in attributes.items():
                setattr(f, name, value)
        sol = wflow.solve(
            flow, Particles([0.5]), (0, 4), events=ours, rtol=1e-10, atol=1e-12, max_step=0.1
        )
        ref = solve_ivp(
            lambda t, y: 3 - y, (0, 4), [0.5], events=theirs, rtol=1e-12, atol=1e-12, max_step=0.1
        )
        assert sol.t_events[0] == pytest.approx(ref.t_events[0], abs=1e-8)
        assert sol.t_events[0].size > 0
        if "terminal" in attributes:
            assert sol.success
            assert sol.t[-1] == sol.t_events[0][-1]
            assert sol.message == f"event 'ours' at t = {sol.t[-1]:g}"


def test_an_end_is_a_frame_of_its_own():
    stop = Event("risk", level=0.25, terminal=True)
    flow = GradientFlow(well())
    for t_eval in ([0.0], [0.0, 0.1, 4.0], None):
        sol = wflow.solve(flow, Particles([1.0]), (0, 5), events=[stop], t_eval=t_eval, rtol=1e-9)
        # R = 2V = x² = e^{−2t}
        assert sol.t[-1] == pytest.approx(math.log(2), rel=1e-7)
        assert sol.risk[-1] == pytest.approx(0.25, rel=1e-9)
        assert (np.diff(sol.t) > 0).all()
        assert sol.steps["t"].max() < sol.t[-1]
    again = wflow.solve(
        flow, Particles([1.0]), (0, 5), events=[stop], t_eval=[0, sol.t[-1]], rtol=1e-9
    )
    assert again.t.tolist() == [0, sol.t[-1]]


@pytest.mark.parametrize("ends", [False, True])
def test_cut_at_every_step_each_is_found_once_and_the_same(ends, tmp_path):
    flow = interacting(reaction_rate=0.5)
    start = Particles(np.random.default_rng(0).standard_normal((8, 1)))

    def wave(t, rho):
        return math.sin(20 * t) + rho.mean()[0]

    wave.terminal = 4 * ends
    early = wflow.solve(flow, start, (0, 0.2), t_eval=[0.1, 0.2], rtol=1e-5)
    levels = [float(series.mean()) for series in (early.second_moment, early.risk)]
    events = [wave, ("second_moment", levels[0]), Event("risk", levels[1])]
    asked = {"events": events, "rtol": 1e-5}
    whole = wflow.solve(flow, start, (0, 0.8), output=tmp_path / "whole.h5", **asked)
    assert whole.success
    assert [found.size > 0 for found in whole.t_events] == [True, True, True]
    assert ("event" in whole.message) == ends
    memory = wflow.solve(flow, start, (0, 0.8), **asked)
    same(memory, whole)
    same(wflow.load(tmp_path / "whole.h5"), whole)
    for cut in range(1, whole.stats["steps"], 2):
        path = tmp_path / f"{cut}.h5"
        left = wflow.solve(flow, start, (0, 0.8), output=path, max_steps=cut, **asked)
        assert not left.success
        same(wflow.resume(path, flow, events=events), whole)


def test_found_in_a_step_beyond_the_end_it_is_found_once(tmp_path):
    """Runs that end shortly before and shortly after an event, inside the step that holds it, and are extended."""
    flow, start = GradientFlow(well()), Particles([1.0])
    asked = {"events": [Event(mean, level=c) for c in LEVELS], "rtol": 1e-4, "first_step": 1e-2}
    whole = wflow.solve(flow, start, (0, 5), t_eval=[5.0], **asked)
    t = float(whole.t_events[1][0])
    for k, end in enumerate((t - 1e-3, t, t + 1e-3)):
        path = tmp_path / f"{k}.h5"
        short = wflow.solve(flow, start, (0, end), t_eval=[end], output=path, **asked)
        assert short.t_events[1].tolist() == ([t] if end >= t else [])
        assert end not in short.steps["t"]
        longer = wflow.resume(path, flow, 5.0, events=asked["events"])
        for one, other in zip(longer.t_events, whole.t_events, strict=True):
            assert one.tobytes() == other.tobytes()


def same(one, other):
    assert (one.success, one.message) == (other.success, other.message)
    assert one.t.tobytes() == other.t.tobytes()
    for mine, theirs in zip(one.t_events, other.t_events, strict=True):
        assert mine.tobytes() == theirs.tobytes()
    for name, values in one.steps.items():
        assert values.tobytes() == other.steps[name].tobytes(), name


def test_a_series_needs_no_function_again(tmp_path):
    flow, start, path = GradientFlow(well()), Particles([1.0]), tmp_path / "run.h5"
    wflow.solve(flow, start, (0, 2), events=("risk", 0.25), output=path, max_steps=2)
    assert wflow.resume(path, flow).t_events[0] == pytest.approx([math.log(2)], rel=1e-5)


def test_with_noise_they_are_at_the_ends_of_steps():
    sol = wflow.solve(
        GradientFlow(well(), temperature=0.1),
        Particles(np.linspace(1, 2, 50)),
        (0, 2),
        events=Event(mean, level=1.0, direction=-1),
        method_options={"step_size": 0.05},
    )
    assert set(sol.t_events[0]) <= set(sol.steps["t"])
    assert sol.t_events[0].size > 0


def test_what_only_touches_or_begins_at_zero():
    """A zero at the start is no passage; a value that comes to zero and stays there passes once."""
    flow = GradientFlow(well())
    kinds = [
        lambda t, rho: t,
        lambda t, rho: max(0.5 - t, 0.0),
        lambda t, rho: 1.0,
        lambda t, rho: abs(t - 0.5) + 1e-3,
    ]
    sol = wflow.solve(flow, Particles([1.0]), (0, 1), events=kinds, max_step=0.05)
    assert [found.size for found in sol.t_events] == [0, 1, 0, 0]
    assert sol.t_events[1] == pytest.approx([0.5], abs=0.05)
    assert wflow.solve(flow, Particles([1.0]), (0, 1)).t_events is None
    assert wflow.solve(flow, Particles([1.0]), (0, 1), events=None).t_events is None


@pytest.mark.parametrize(
    "events, says",
    [
        ("risk", None),
        ("rsik", "unknown series 'rsik': did you mean 'risk'"),
        ([("risk", "low")], "level = 'low'"),
        (3.0, "event 3.0"),
        ([3.0], "event 3.0"),
        (Event, "event"),
        (lambda t, rho: math.nan, "must be one finite number"),
        (lambda t, rho: rho.points(), "must be one finite number"),
        (lambda t, rho: "low", "must be one finite number"),
        (lambda t, rho: None, "must be one finite number"),
    ],
)
def test_what_it_refuses(events, says, tmp_path):
    path = tmp_path / "run.h5"
    flow, start = GradientFlow(well()), Particles([1.0])
    if says is None:
        assert wflow.solve(flow, start, (0, 1), events=events).t_events[0].size == 0
        return
    with pytest.raises(InputError, match=says) as refusal:
        wflow.solve(flow, start, (0, 1), events=events, output=path)
    assert "\n" not in str(refusal.value)
    assert not path.exists()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Event("risk", terminal=-1), "terminal = -1"),
        (lambda: Event("risk", terminal="yes"), "terminal = 'yes'"),
        (lambda: Event("risk", direction="up"), "direction = 'up'"),
        (lambda: Event("risk", level=math.nan), "level = nan"),
    ],
)
def test_attributes_out_of_range(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_a_resumed_run_wants_its_own_events(tmp_path):
    path = tmp_path / "run.h5"
    flow, start = GradientFlow(well()), Particles([1.0])
    wflow.solve(flow, start, (0, 2), events=[mean, ("risk", 0.25)], output=path, max_steps=2)
    before = path.read_bytes()
    with pytest.raises(InputError, match="watches for 'mean', a function of your own"):
        wflow.resume(path, flow)
    for others in (
        [mean],
        [lambda t, rho: rho.mean()[0] - 1, ("risk", 0.25)],
        [mean, ("risk", 0.3)],
    ):
        with pytest.raises(
            InputError, match=r"not those that .* was run with \(mean, risk = 0.25\)"
        ):
            wflow.resume(path, flow, events=others)
    assert path.read_bytes() == before
    assert wflow.resume(path, flow, events=[mean, ("risk", 0.25)]).success
