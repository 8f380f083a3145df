"""Samples that are held out of training: a share or a file, one split for a run, its risk in every run."""

import json

import h5py
import numpy as np
import pytest

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.cli.main import main
from wflow.energies import FeatureEnergy
from wflow.errors import InputError


@pytest.fixture
def files(tmp_path):
    """A data set, and a second file of another law."""
    rng = np.random.default_rng(3)
    for name, size, shift in (("train", 40, 0.0), ("test", 11, 2.0)):
        x = rng.normal(size=(size, 3)) * [1.0, 2.0, 3.0] + shift
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.sign(x[:, 0] - x[:, 1]))
    return tmp_path


def dataset(files, **given):
    return wflow.systems.get("dataset", path=str(files / "train.npz"), **given)


def risk_by_hand(theta, x, y):
    f = np.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / theta.shape[0]
    return ((y - f) ** 2).mean()


def test_a_share_is_held_out_and_training_alone_sets_the_scale(files):
    with np.load(files / "train.npz") as held:
        raw, targets = held["x"], held["y"]
    system = dataset(files, test=0.3, scaled="no")
    (x, y), (x2, y2) = system.data(), system.held_out()
    assert len(y) == 28
    assert len(y2) == 12
    rows = np.concatenate([np.column_stack([x, y]), np.column_stack([x2, y2])])
    both = np.column_stack([raw, targets])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, both))
    scaled = dataset(files, test=0.3)
    mean, size = x.mean(axis=0), np.sqrt(((x - x.mean(axis=0)) ** 2).mean())
    np.testing.assert_allclose(scaled.data()[0], (x - mean) / size, rtol=1e-12)
    np.testing.assert_allclose(scaled.held_out()[0], (x2 - mean) / size, rtol=1e-12)
    # The same key, the same split; another key, another one.
    np.testing.assert_array_equal(dataset(files, test="0.3", scaled="no").data()[0], x)
    other = dataset(files, test=0.3, test_seed=1, scaled="no").held_out()[0]
    assert not np.array_equal(other, x2)
    assert dataset(files).held_out() is None
    assert not dataset(files).flow().observations


@pytest.mark.parametrize("share", [True, False])
def test_every_run_reports_the_risk_of_what_is_held_out(files, share, invariants):
    system = dataset(files, test=0.25 if share else str(files / "test.npz"))
    x, y = system.held_out()
    assert y.size == (10 if share else 11)
    start = system.initial("particles", 20)
    sol = wflow.solve(system.flow(), start, (0, 2), t_eval=[0.0, 1.0, 2.0])
    invariants(sol)
    network = wflow.networks.sgd(system, initial=start, step_size=1e-2, n_steps=50, seed=1)
    for run in (sol, network):
        for rho, risk in zip(run.measures, run.series["test_risk"], strict=True):
            assert risk == pytest.approx(risk_by_hand(rho.points(), x, y), rel=1e-12)
        assert "test_risk" in run.summary()
    # What is held out moves nothing.
    alone = GradientFlow(system.energy(), schedule=system.clock)
    same = wflow.solve(alone, start, (0, 2), t_eval=[0.0, 1.0, 2.0])
    np.testing.assert_array_equal(same.risk, sol.risk)
    assert "test_risk" not in same.series


def test_a_run_that_is_taken_up_again_has_the_same_split(files):
    system = dataset(files, test=str(files / "test.npz"))
    start = system.initial("particles", 10)
    whole = wflow.solve(system.flow(), start, (0, 2), t_eval=[0.0, 1.0, 2.0])
    path = files / "run.h5"
    wflow.solve(system.flow(), start, (0, 1), t_eval=[0.0, 1.0], output=path)
    with h5py.File(path) as f:
        assert f["test_risk"].attrs["units"] == "loss"
        assert json.loads(f.attrs["parameters"])["test"].endswith("test.npz")
    sol = wflow.resume(path, t_end=2.0, t_eval=[2.0])
    np.testing.assert_array_equal(sol.series["test_risk"], whole.series["test_risk"])
    # A second file that has changed is another split.
    with np.load(files / "test.npz") as held:
        x, y = held["x"], held["y"]
    np.savez(files / "test.npz", x=x, y=-y)
    with pytest.raises(InputError, match="fingerprints differ"):
        wflow.resume(path, t_end=3.0)


def test_the_digits_on_the_command_line(tmp_path, capsys):
    out = tmp_path / "digits.h5"
    given = ["-p", "test=0.2", "-p", "n=20", "--t-end", "0.2", "--t-eval", "0,0.2", "-o", str(out)]
    assert main(["run", "digits", *given]) == 0
    assert "test_risk" in capsys.readouterr().out
    sol = wflow.load(out)
    system = wflow.systems.get("digits", test=0.2)
    x, y = system.held_out()
    assert (len(system.data()[1]), len(y)) == (1438, 359)
    found = risk_by_hand(sol.measures[-1].points(), x, y)
    assert sol.series["test_risk"][-1] == pytest.approx(found, rel=1e-12)
    assert out.with_suffix(".png").stat().st_size > 10_000


REFUSED = {
    "a share of 1": ({"test": 1.0}, "test = 1.0: expected a number in (0, 1) or a path"),
    "a share below 0": ({"test": "-0.2"}, "expected a number in (0, 1) or a path"),
    "nothing held out": ({"test": 0.01}, "holds out 0 of 40 samples"),
    "nothing left": ({"test": 0.999}, "holds out 40 of 40 samples"),
    "no such file": ({"test": "absent.npz"}, "path absent.npz: no such file"),
    "a file of another kind": ({"test": "absent.txt"}, "unknown file type '.txt'"),
    "no text": ({"test": [0.2]}, "expected text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_held_out_is_refused(files, case):
    given, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        dataset(files, **given).flow()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_columns_and_other_systems_are_refused(files):
    np.savez(files / "narrow.npz", x=np.ones((3, 2)), y=np.ones(3))
    with pytest.raises(InputError, match="has 2 inputs a sample and training has 3"):
        dataset(files, test=str(files / "narrow.npz")).flow()
    with pytest.raises(InputError, match="system 'digits' has no files; hold out a share"):
        wflow.systems.get("digits", test="more.npz").flow()


@pytest.mark.parametrize("method", ["muscl", "quantiles", "jko", "runge-kutta"])
def test_observations_of_ones_own_on_every_kind_of_state(method):
    nodes, targets = [[-1.0], [0.5]], [0.3, -0.2]
    train = FeatureEnergy("tanh", nodes, targets)
    test = FeatureEnergy("tanh", [[2.0]], [0.7])
    flow = GradientFlow(train, observations={"test_risk": test})
    assert flow.fingerprint() != GradientFlow(train).fingerprint()
    rho = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-3, 3)], n=40)
    if method == "runge-kutta":
        rho = Particles(np.linspace(-1, 1, 9))
    sol = wflow.solve(flow, rho, (0, 0.1), method=method, t_eval=[0.0, 0.1])
    found = sol.series["test_risk"]
    for shown, risk in zip(sol.measures, found, strict=True):
        direct = test.prepare(shown.points()).field(shown.weights()).risk
        # The densities of moving cells are remapped to be seen.
        exact = method in ("muscl", "runge-kutta")
        assert risk == pytest.approx(direct, rel=1e-12 if exact else 1e-2)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "observations", [{"risk": None}, {"mass": None}, {"Test_risk": None}, {"test_risk": 3}]
)
def test_observations_that_would_hide_a_series_or_are_none(observations):
    train = FeatureEnergy("tanh", [[1.0]], [0.3])
    with pytest.raises(InputError, match="observation '"):
        GradientFlow(train, observations=observations)
    with pytest.raises(InputError, match="give an energy of 1 coordinates"):
        GradientFlow(train, observations={"a_risk": FeatureEnergy("tanh", np.eye(2), [0.3, 1.0])})
