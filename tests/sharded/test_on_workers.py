"""Shards on real workers: the bits of one process, and a worker that is lost."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import wflow

X = np.random.default_rng(0).normal(size=(20, 2))
ENERGY = wflow.energies.FeatureEnergy("tanh", X, np.sin(X[:, 0]), charges=True)
FLOW = wflow.GradientFlow(ENERGY, ridge=0.1)


def shard(k: int) -> wflow.Particles:
    theta = np.random.default_rng([1, k]).normal(size=(50 + k, 3))
    return wflow.Particles(theta, names=("a", "w1", "w2"))


def doomed(k: int) -> wflow.Particles:
    if k == 1:
        os.environ["DOOMED"] = "yes"
    return shard(k)


def clock(t: float) -> float:
    """Where t = 0.05 is passed the worker of ``doomed`` is no more."""
    if t > 0.05 and "DOOMED" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def wrong(k: int) -> wflow.Particles:
    raise wflow.InputError(f"no neurons for {k}")


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    here = wflow.sharded.solve(FLOW, shard, (0, 1), n_shards=3)
    there = wflow.sharded.solve(FLOW, shard, (0, 1), n_shards=3, workers=2, output=tmp_path / "run")
    for name in here.series:
        assert (there.series[name] == here.series[name]).all(), name
    for name in here.steps:
        assert (there.steps[name] == here.steps[name]).all(), name
    assert there.sizes == (50, 51, 52)
    assert there.gather().mass == pytest.approx(1.0, rel=1e-14)
    flow, lost = wflow.GradientFlow(ENERGY, schedule=clock), tmp_path / "lost"
    with pytest.raises(wflow.ComputationError) as told:
        wflow.sharded.solve(flow, doomed, (0, 1), n_shards=2, workers=2, output=lost)
    said = str(told.value)
    assert "was lost, and shard 1 with it: start again" in said
    assert "\n" not in said
    assert wflow.sharded.read_shard(lost, 0, 0).points().shape == (50, 3)
    with pytest.raises(wflow.InputError, match="no neurons for 0"):
        wflow.sharded.solve(FLOW, wrong, (0, 1), n_shards=2, workers=2)
