"""Networks of many layers as a system (SYSTEMS E4–E6): golden run, three starts, files and the command line."""

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import InputError
from wflow.multilayer import coupled, diversity, sgd

GOLDEN = [0.70391095582, 0.27785690714, 0.05705532073]
"""Risks of 64 atoms at t = 0, 1, 5; the reduced equation of four layers, integrated apart, has them too."""


def get(**given):
    return wflow.systems.get("multilayer", **given)


def limit(system, times, n=None, **options):
    start = system.initial("ensemble", n)
    sol = wflow.solve(system.flow(), start, (0, times[-1]), t_eval=times, **options)
    assert sol.success, sol.message
    return sol


def test_golden_run():
    sol = limit(get(), [0.0, 1.0, 5.0], 64, rtol=1e-10)
    assert np.abs(sol.risk - GOLDEN).max() < 2e-10
    # The limit of independent starts: layer 3 has the atoms of w_4, layer 2 one.
    assert sol.measures[-1].widths == (64, 1, 64)
    assert (np.diff(sol.steps["free_energy"]) <= 0).all()


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
@pytest.mark.parametrize("start", ["iid", "diverse", "feature-regression"])
def test_every_start_learns_and_networks_follow(depth, start):
    system = get(depth=depth, start=start, samples=100)
    sol = limit(system, [0.0, 2.0], 32, rtol=1e-4)
    assert sol.risk[1] < 0.4 * sol.risk[0]
    assert sol.risk[1] == pytest.approx(system.flow().risk(sol.measures[-1]), rel=1e-12)
    # One network is off by some 1/sqrt(N), its weights from those of their atoms too.
    off = coupled(system.flow(), sol, 150, t_eval=[0.0, 2.0], std=system.spread, seed=1, rtol=1e-4)
    assert abs(off.gap[-1]) < 0.08
    assert off.rms[-1].max() < 0.35


def test_a_network_is_drawn_as_the_study_draws_it():
    system = get(depth=4)
    drawn = system.drawn([20, 30, 40], seed=3, n=16)
    assert (drawn.layout.inputs, drawn.widths) == (3, (20, 30, 40))
    middle = get(depth=4, mean=0.5, std=2.0).drawn(300, seed=3, n=16).weights[1]
    assert abs(middle.mean() - 0.5) < 0.05
    assert abs(middle.std() - 2.0) < 0.05
    alike = get(depth=4, start="diverse").drawn(500, seed=3, n=4)
    assert np.unique(alike.weights[1]).size == 16


def test_independent_starts_degenerate_and_the_others_do_not():
    for start, keeps in (("iid", False), ("diverse", True), ("feature-regression", True)):
        system = get(depth=4, start=start)
        narrow, wide = (
            diversity(system.flow(), system.drawn(n, seed=0)).spread[1] for n in (100, 1600)
        )
        assert (wide / narrow > 0.3) == keeps, start
        if not keeps:
            assert wide / narrow == pytest.approx(1 / 16, rel=0.5)


def test_biases_start_at_zero_and_move():
    with_them, without = (limit(get(bias=b), [0.0, 2.0], 32, rtol=1e-4) for b in ("yes", "no"))
    assert with_them.risk[0] == without.risk[0]
    assert with_them.risk[1] != without.risk[1]
    assert max(np.abs(b).max() for b in with_them.measures[-1].biases) > 1e-3


def test_the_digits_of_the_source():
    system = get(data="digits", depth=3, loss="huber", mean=0.1)
    x, y = system.problem
    assert x.shape == (100, 64)
    assert set(y) == {-1.0, 1.0}
    sol = limit(system, [0.0, 10.0], 32, rtol=1e-3)
    assert sol.series["accuracy"][-1] > 0.95
    logistic = limit(get(data="digits", loss="logistic"), [0.0, 10.0], 32, rtol=1e-3)
    assert logistic.series["accuracy"][-1] > 0.95


def test_another_seed_is_another_sample():
    one, other = get(), get(data_seed=1)
    assert not np.array_equal(one.problem[0], other.problem[0])
    assert np.array_equal(get(samples=10).problem[0], one.problem[0][:10])
    assert [len(get(start=s).problem[1]) for s in ("diverse", "feature-regression")] == [100, 10]
    starts = [get(seed=s).initial(n=8).flat() for s in (0, 1)]
    assert not np.array_equal(*starts)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: get(depth=1), r"depth = 1: expected in \[2, 12\]"),
        (lambda: get(loss="logistic"), "its targets are numbers; take data=digits"),
        (lambda: get(start="feature-regression", mean=0.5), "its weights are regressed; leave mean out"),
        (lambda: get(data="digits", samples=3000).flow(), "there are 1797 digits"),
        (lambda: get(activation="none").flow(), "activation"),
        (lambda: get(decay=1.0), r"it belongs to the flow, system.flow\(decay=…\)"),
        (lambda: get(n=3), "it belongs to the start, system.initial"),
        (lambda: get(temperature=1.0), "unknown parameter 'temperature'"),
        (lambda: get().flow(temperature=0.1), "temperature = 0.1: the flow of system 'multilayer' has none"),
        (lambda: get().initial("grid"), "starts from ensemble, not from 'grid'"),
        (lambda: get(depth=3).initial(n=10**12), "choose a smaller n"),
        (lambda: get().energy(), "has layers, and no energy of a measure"),
        (lambda: get().network(), "has networks of many layers: draw one"),
        (lambda: wflow.networks.sgd("multilayer"), "has networks of many layers: draw one"),
        (lambda: get().sampled(10), "has networks of many layers: draw one"),
        (lambda: get().drawn([3, 4], seed=0), "one a hidden layer"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)


RUN = ["run", "multilayer", "-p", "depth=5", "-p", "n=16", "--quiet"]


def test_the_command_runs_goes_on_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--t-end", "2", "-o", "run.h5"]) == 0
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert main([*RUN, "--t-end", "2", "-o", "run.h5", "--requeue"]) == 0
    assert main([*RUN, "--t-end", "3", "-o", "run.h5", "--resume"]) == 0
    assert main([*RUN, "--t-end", "3", "--t-eval", "2,3", "-o", "whole.h5"]) == 0
    gone_on, whole = wflow.load("run.h5"), wflow.load("whole.h5")
    assert np.array_equal(gone_on.measures[-1].flat(), whole.measures[-1].flat())
    # The file says all of the system: outputs need nothing else.
    x = get().problem[0][:4]
    flow = get(depth=5).flow()
    assert np.array_equal(gone_on.predict(x), flow.predict(gone_on.measures[-1], x))
    assert main(["info", "run.h5"]) == 0
    assert "multilayer" in capsys.readouterr().out
    assert main(["plot", "run.h5", "-o", "again.png"]) == 0
    assert main(["show", "multilayer"]) == 0
    shown = capsys.readouterr().out
    assert "temperature" not in shown
    assert "feature-regression" in shown
    assert main([*RUN, "--dry-run"]) == 0


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["run", "multilayer", "-p", "temperature=0.1"], "unknown parameter 'temperature'"),
        (["run", "multilayer", "-p", "measure=grid"], "unknown parameter 'measure'"),
        (["run", "multilayer", "--method", "muscl"], "starts from ensemble, not from 'grid'"),
        ([*RUN[:4], "--requeue", "-o", "run.h5"], "was started with n = 16"),
        ([*RUN, "-p", "start=diverse", "--resume", "-o", "run.h5"], "was started with start = iid"),
        (["plot", "run.h5", "--neurons", "10"], "a run of kind 'ensemble'"),
        ([*RUN, "--requeue", "-o", "net.h5"], "a run of kind 'multilayer-network', not the limit"),
    ],
)  # fmt: skip
def test_wrong_commands_are_told_in_a_line(wrong, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--t-end", "0.5", "-o", "run.h5"]) == 0
    system = get(depth=5)
    sgd(system.flow(), system.drawn(8, 0, n=16), step_size=0.1, n_steps=5, output="net.h5")
    assert main(wrong) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_trained_network_goes_on_from_its_file(tmp_path):
    system = get(depth=3)
    net = system.drawn(12, seed=1, n=16)
    run = {"step_size": 0.02, "batch_size": 2, "seed": 4}
    long = sgd(system.flow(), net, n_steps=100, t_eval=[0.0, 1.0, 2.0], **run)
    sgd(system.flow(), net, n_steps=50, t_eval=[0.0, 1.0], output=tmp_path / "net.h5", **run)
    more = wflow.resume(tmp_path / "net.h5", t_end=2.0)
    assert np.array_equal(more.measures[-1].flat(), long.measures[-1].flat())
    assert np.array_equal(
        wflow.load(tmp_path / "net.h5").predict(system.problem[0]),
        system.flow().predict(long.measures[-1], system.problem[0]),
    )


def test_a_sweep_over_depths_and_starts(tmp_path):
    plan = {"system": "multilayer", "run": "limit", "t_end": 0.5, "rtol": 1e-3, "seeds": 2}
    plan["parameters"] = {"depth": [3, 4], "start": ["iid", "diverse"], "n": 8}
    found = wflow.sweep(plan, tmp_path / "limits", workers=1)
    assert found.count("done") == 8
    assert found.arrays()["risk"].values.shape == (2, 2, 2, 2 + 9)
    with pytest.raises(InputError, match="has networks of many layers: draw one"):
        wflow.sweep({"system": "multilayer", "run": "network"}, tmp_path / "nets", workers=1)


def test_a_limit_without_networks_is_no_axis_of_a_sweep(tmp_path):
    with pytest.raises(InputError, match="has no finite network: it is a limit only"):
        wflow.sweep(
            {"system": "sparse-deconvolution", "run": "network"}, tmp_path / "no", workers=1
        )
