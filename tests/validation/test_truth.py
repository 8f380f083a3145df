"""A limit that is right passes, and one that is wrong fails: samples of it, long steps, collapsed states."""

import numpy as np
import pytest

import wflow
from wflow.validation import load_report

SMALL = {
    "neurons": [24],
    "step_sizes": [2e-3],
    "seeds": 8,
    "t_end": 1.0,
    "t_eval": [0.0, 0.5, 1.0],
    "n_particles": 100,
    "horizon": 0.5,
    "widths": [4, 8, 16, 32],
    "rate_seeds": 4,
    "workers": 1,
}


@pytest.fixture
def samples(tmp_path, monkeypatch):
    # What is predicted of them has tests of its own.
    monkeypatch.setattr("wflow.validation.prediction.BUDGET", 0.0)
    x = np.random.default_rng(0).normal(size=(12, 1))
    np.savez(tmp_path / "a.npz", x=x, y=np.sin(2 * x[:, 0]))
    return wflow.systems.get("dataset", path=str(tmp_path / "a.npz"))


def test_a_sample_of_the_limit_is_no_gap(samples, tmp_path):
    found = wflow.validate(samples, **SMALL, output=tmp_path / "v.h5")
    assert found.passed, [v for v in found.verdicts if not v.passed]
    names = [v.name for v in found.verdicts]
    assert "N = 24: mean R_N - R of its own flow at t = 1" in names
    assert "P/eps Var f over samples at t = 0.5, N = 4" in names
    # The error that a sample is told to have is no less than that of this one.
    flow = samples.flow()
    many = wflow.solve(flow, samples.initial("particles", 1000), (0, 1), t_eval=found.t).risk
    assert (np.abs(found.limit_risk - many) < found.limit_errors["particles"]).all()
    kept = load_report(tmp_path / "v.h5")
    assert kept.verdicts == found.verdicts
    assert kept.as_json() == found.as_json()


def fast(flow):
    return wflow.GradientFlow(flow.energy, schedule=2.0)


def large(flow):
    x, y = flow.energy.features.nodes, 1.2 * flow.energy.targets
    energy = wflow.energies.FeatureEnergy("tanh", x, y, charges=True, offset=True)
    return wflow.GradientFlow(energy)


@pytest.mark.parametrize("wrong", [fast, pytest.param(large, marks=pytest.mark.slow)])
def test_another_clock_or_loss_fails(samples, monkeypatch, wrong):
    """A limit twice as fast, and one whose labels are 1.2 times as large."""
    monkeypatch.setattr(
        "wflow.validation.samples.solve",
        lambda flow, *a, **options: wflow.solve(wrong(flow), *a, **options),
    )
    found = wflow.validate(samples, **SMALL)
    failed = [v.name for v in found.verdicts if not v.passed]
    assert "N = 24: mean R_N - R of its own flow at t = 1" in failed


@pytest.mark.slow
def test_a_collapsed_state_passes():
    """All neurons at |w| = 0: no start's chance is left, and what SGD's steps add is told by longer ones."""
    found = wflow.validate(
        wflow.systems.get("predicted-failure", d=40),
        neurons=[16],
        step_sizes=[1e-4],
        seeds=4,
        t_end=0.2,
        t_eval=[0.0, 0.1, 0.2],
        n_grid=64,
        n_particles=40,
        widths=[4, 8, 16, 32],
        rate_seeds=4,
        horizon=0.1,
    )
    assert found.limit_risk[-1] == pytest.approx(7.25, abs=1e-6)
    assert found.off().mean() > 0.01
    assert found.passed, [v for v in found.verdicts if not v.passed]
