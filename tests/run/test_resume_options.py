"""Whatever shapes the path is in the checkpoint: any method, any option, cut anywhere, ends in the same bits."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from cut import Cut
from flows import gauss, interacting, well
from hypothesis import given, settings
from hypothesis import strategies as st
from same import same_bits

import wflow
from wflow import GradientFlow, Particles
from wflow.run.trackers import Mass, SteadyState
from wflow.solvers import methods

NOISE, BIRTHS = {"temperature": 0.3}, {"temperature": 0.2, "reaction_rate": 1.0}
# What a method needs of a flow, and the options it may be given.
METHODS = {
    "muscl": ({}, {"theta": [1.0, 1.7], "cfl": [0.2]}),
    "upwind": ({}, {"cfl": [0.3]}),
    "quantiles": ({"reaction_rate": 1.0}, {"cells": [30, 57]}),
    "scharfetter-gummel": (NOISE, {}),
    "scharfetter-gummel-explicit": (NOISE, {"cfl": [0.5]}),
    "forward-euler": (NOISE, {"cfl": [0.5]}),
    "muscl-diffusion": (NOISE, {"theta": [1.2], "cfl": [0.3]}),
    "crank-nicolson": (NOISE, {}),
    "backward-euler": (NOISE, {"step_size": [0.03]}),
    "fully-implicit": (NOISE, {"step_size": [0.03, 0.07]}),
    "jko": (NOISE, {"step_size": [0.05], "parts": [2], "tolerance": [1e-6]}),
    "jko-linearised": (NOISE, {"step_size": [0.05], "tolerance": [1e-4]}),
    "jko-entropic": (NOISE, {"step_size": [0.1], "blur": [0.5], "tolerance": [1e-6]}),
    "jko-wfr": (BIRTHS, {"step_size": [0.05], "tolerance": [1e-4]}),
    "reaction": (BIRTHS, {}),
    "strang": (BIRTHS, {"transport": ["muscl-diffusion", "backward-euler", "crank-nicolson"]}),
    "lie": (BIRTHS, {"transport": ["forward-euler"], "first": ["reaction"]}),
    "runge-kutta": ({"reaction_rate": 1.0}, {"resample": [0.9]}),
    "bogacki-shampine": ({}, {}),
    "implicit": ({}, {}),
    "kinetic": (NOISE, {"step_size": [0.02], "friction": [0.3, 20.0]}),
    "langevin": (NOISE, {"step_size": [0.02], "entropy": ["kernel"]}),
    "birth-death": (
        {"temperature": 0.1, "reaction_rate": 5.0},
        {
            "rule": ["kill-clone", "kill"],
            "midpoint": [True],
            "reinject": [Particles([[0.1], [2.0]], [0.3, 0.7])],
            "until": [0.2],
            "entropy": ["kernel"],
        },
    ),
    "conic": (
        {"reaction_rate": 2.0},
        {"form": ["linear"], "penalty": [0.1], "balanced": [True], "sphere": [True]},
    ),
    "conic-runge-kutta": ({"reaction_rate": 2.0}, {"penalty": [0.1], "balanced": [True]}),
}
ALWAYS = {"jko-entropic": {"step_size": 0.1}}


def test_every_method_is_cut():  # those of layers in tests/multilayer/test_runs.py
    assert {n for n, m in methods().items() if m.acts_on in ("grid", "particles")} == set(METHODS)


@st.composite
def requests(draw, name):
    """A flow, a start and the keywords of ``solve``."""
    constants, choices = METHODS[name]
    method = methods()[name]
    if method.acts_on == "particles":
        start = Particles(np.random.default_rng(draw(st.integers(0, 9))).standard_normal((12, 1)))
    else:
        start = gauss(32, bounds=(-3, 3))
    options = dict(ALWAYS.get(name, {}))
    for key, values in choices.items():
        if draw(st.booleans()):
            options[key] = draw(st.sampled_from(values))
    given = {"method": name, "method_options": options, "seed": draw(st.integers(0, 5))}
    given["rtol"] = draw(st.sampled_from([1e-2, 1e-4]))
    given["atol"] = draw(st.sampled_from([1e-9, 1e-3]))
    if not hasattr(method, "step_size"):
        if draw(st.booleans()):
            given["first_step"] = draw(st.sampled_from([1e-4, 3e-2]))
        if draw(st.booleans()):
            given["max_step"] = draw(st.sampled_from([7e-3, 0.05]))
    if draw(st.booleans()):
        given["t_eval"] = sorted(draw(st.sets(st.floats(0, 0.3), min_size=1, max_size=5)))
    if draw(st.booleans()):
        kept = [Mass] if "mass" in method.preserves else []
        given["trackers"] = lambda: [SteadyState(1e-9), *(watch(1e-6) for watch in kept)]
    schedule = draw(st.sampled_from([1.0, 2.5, lambda t: 1.0 + 0.5 * t]))
    return interacting(**constants, schedule=schedule), start, given


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
@settings(max_examples=2)
def test_cut_and_resumed_it_is_the_whole_run(name, data):
    cut_and_resumed(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
@settings(max_examples=5)
def test_cut_and_resumed_more_often(name, data):
    cut_and_resumed(name, data)


def cut_and_resumed(name, data):
    """A run cut anywhere and resumed is the whole run, bit by bit."""
    flow, start, asked = data.draw(requests(name))
    trackers = asked.pop("trackers", list)
    whole = wflow.solve(flow, start, (0, 0.3), trackers=trackers(), **asked)
    assert whole.success, whole.message
    taken = whole.stats["steps"]
    cut = data.draw(st.integers(1, max(1, taken - 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        left = wflow.solve(
            flow, start, (0, 0.3), trackers=trackers(), output=path, max_steps=cut, **asked
        )
        assert left.success == (taken <= cut)
        found = wflow.resume(path, flow, trackers=trackers())
        same_bits(found, whole)
        same_bits(wflow.load(path), whole)


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
@settings(max_examples=1)
def test_carried_on_it_is_the_longer_run(name, data):
    """The end asked for first does not bend the path either."""
    flow, start, asked = data.draw(requests(name))
    trackers, times = asked.pop("trackers", list), [0.05, 0.1, 0.25, 0.3]
    asked.pop("t_eval", None)
    longer = wflow.solve(flow, start, (0, 0.3), t_eval=times, trackers=trackers(), **asked)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        wflow.solve(
            flow, start, (0, 0.1), t_eval=times[:2], trackers=trackers(), output=path, **asked
        )
        found = wflow.resume(path, flow, 0.3, t_eval=times[2:], trackers=trackers())
        same_bits(found, longer)


@given(data=st.data())
@settings(max_examples=6)
def test_cut_networks(data):
    """Plain SGD, a start of one's own among its options; batches and optimisers are in tests/networks."""
    draw, size = data.draw, 2.0**-12
    asked = {
        "batch_size": draw(st.sampled_from([1, 3])),
        "temperature": draw(st.sampled_from([0.0, 0.01])),
        "ridge": draw(st.sampled_from([0.0, 0.1])),
        "decay": draw(st.sampled_from([0.0, 0.5])),
        "seed": draw(st.integers(0, 5)),
        "step_size": size,
        "n_steps": 6 * 1024 + draw(st.sampled_from([0, 700])),
    }
    if draw(st.booleans()):
        asked["initial"] = Particles(np.random.default_rng(1).standard_normal((5, 40)))
    else:
        asked["n_neurons"] = 4
    if draw(st.booleans()):
        asked["t_eval"] = sorted(draw(st.sets(st.integers(0, 6 * 1024), min_size=1, max_size=4)))
        asked["t_eval"] = [k * size for k in asked["t_eval"]]
    whole = wflow.networks.sgd("isotropic-gaussians", **asked)
    cut = draw(st.integers(1, whole.steps["t"].size - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        with pytest.raises(KeyboardInterrupt):
            wflow.networks.sgd("isotropic-gaussians", **asked, output=path, trackers=[Cut(cut)])
        assert wflow.load(path).steps["t"].size == cut
        same_bits(wflow.resume(path), whole)


def test_a_longest_step_is_kept(tmp_path):
    """50 steps of .02 whole; cut at 5 and resumed they were 43 of up to .024."""
    flow, start = GradientFlow(well()), gauss(40, mean=0.0, variance=0.5, bounds=(-3, 3))
    asked = {"max_step": 0.02, "output": tmp_path / "run.h5"}
    wflow.solve(flow, start, (0, 1), max_steps=5, **asked)
    sol = wflow.resume(tmp_path / "run.h5", flow)
    assert sol.stats["steps"] == 50
    assert sol.steps["h"].max() == 0.02
    assert sol.attributes["max_step"] == 0.02


def test_a_fixed_step_outlives_a_short_run(tmp_path):
    """A run shorter than its step is the beginning of the longer one: the next step ends at .1, not at .05."""
    flow, start = interacting(temperature=0.3), gauss(32, bounds=(-3, 3))
    options = {"method": "backward-euler", "method_options": {"step_size": 0.1}}
    path = tmp_path / "run.h5"
    short = wflow.solve(flow, start, (0, 0.05), t_eval=[0, 0.05], output=path, **options)
    assert short.success
    assert short.steps["t"].size == 0
    longer = wflow.solve(flow, start, (0, 0.5), t_eval=[0, 0.05, 0.5], **options)
    same_bits(wflow.resume(path, flow, 0.5), longer)
    assert longer.steps["t"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("again", [True, False])
def test_watchers_of_the_users_own(again, tmp_path):
    """Passed again they go on from what they remembered; left out, the run goes on without and keeps their memory."""
    flow, start, path = GradientFlow(well()), gauss(40, bounds=(-3, 3)), tmp_path / "run.h5"
    rest = lambda: [SteadyState(1e-3)]  # noqa: E731
    whole = wflow.solve(flow, start, (0, 20), trackers=rest())
    assert "steady state" in whole.message
    wflow.solve(flow, start, (0, 20), trackers=rest(), output=path, max_steps=5)
    sol = wflow.resume(path, flow, trackers=rest() if again else ())
    if again:
        same_bits(sol, whole)
    else:
        assert sol.t[-1] == 20
        # The third part: they are there for a later resume.
        assert wflow.resume(path, flow, 21.0, trackers=rest()).success
