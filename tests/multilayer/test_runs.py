"""Runs of many layers on disk: the same bits after a cut, a kill and a longer end."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from multilayer.nets import X, Y, network

import wflow
from wflow.errors import InputError
from wflow.multilayer import Flow, sgd


def flow(delay=0.0):
    """ξ takes its time, so that a run can be killed in it."""
    if not delay:
        return Flow(X, Y)
    return Flow(X, Y, schedule=_slow)


def _slow(t):
    time.sleep(1e-3)
    return 1.0


NET = network((15, 12, 10), 0, biased=True, probabilities=True)


def solve(path, delay, t_end=4.0):
    """One run; one that is slow writes checkpoints often."""
    return wflow.solve(
        flow(delay),
        NET,
        (0, t_end),
        output=path,
        t_eval=np.linspace(0, t_end, 9),
        rtol=1e-9,
        checkpoint_every=0.05 if delay else 30.0,
    )


def train(path, delay, t_end=4.0):
    return sgd(
        flow(delay),
        NET,
        step_size=0.01,
        n_steps=round(t_end / 0.01),
        batch_size=3,
        optimizer="adam",
        t_eval=np.linspace(0, t_end, 9),
        output=path,
        checkpoint_every=0.05 if delay else 30.0,
        seed=2,
    )


@pytest.mark.parametrize("run", [solve, train])
def test_what_is_stored_comes_back(tmp_path, run):
    sol = run(tmp_path / "run.h5", 0.0)
    again = wflow.load(tmp_path / "run.h5")
    assert again.risk.tolist() == sol.risk.tolist()
    for a, b in zip(again.measures, sol.measures, strict=True):
        assert np.array_equal(a.flat(), b.flat())
        assert all(map(np.array_equal, a.probabilities, NET.probabilities))
    with pytest.raises(InputError, match="this run was of a flow of your own"):
        again.predict(X)
    data = sol.to_xarray()
    assert data["w2"].dims == ("t", "neuron_1", "neuron_2")
    sol.plot(str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").stat().st_size > 10_000


@pytest.mark.parametrize("run", [solve, train])
def test_killed_and_taken_up_ends_in_the_same_bits(tmp_path, run, monkeypatch):
    # Several stretches of SGD, so that one that is cut goes on from the middle.
    monkeypatch.setattr("wflow.solvers.networks.sgd.STREAM_STEPS", 32)
    whole = run(tmp_path / "whole.h5", 1.0)
    path = tmp_path / "cut.h5"
    child = multiprocessing.get_context("fork").Process(target=run, args=(path, 1.0))
    child.start()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.02)
        try:
            if path.exists() and wflow.load(path).t.size >= 3:
                break
        except wflow.StorageError:
            continue
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    left = wflow.load(path)
    assert left.status == "stopped"
    stopped = left.t[-1]
    with pytest.raises(InputError, match="was run with a flow of your own: pass it as flow="):
        wflow.resume(path)
    with pytest.raises(InputError, match="fingerprints differ"):
        wflow.resume(path, Flow(X, 2.0 * Y))
    done = wflow.resume(path, flow(1.0))
    assert done.success
    assert stopped > 0
    assert done.risk.tolist() == whole.risk.tolist()
    assert np.array_equal(done.measures[-1].flat(), whole.measures[-1].flat())


@pytest.mark.parametrize("run", [solve, train])
def test_extended_equals_the_longer_run(tmp_path, run):
    long = run(tmp_path / "long.h5", 0.0, 6.0)
    run(tmp_path / "short.h5", 0.0)
    more = wflow.resume(tmp_path / "short.h5", flow(), t_end=6.0)
    assert more.t[-1] == 6.0
    assert np.array_equal(more.measures[-1].flat(), long.measures[-1].flat())
