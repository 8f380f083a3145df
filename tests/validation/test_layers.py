"""`validate` of networks of many layers: verdicts on the gap, on the powers of N and ε, and their file."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import InputError, StorageError
from wflow.validation import load_report
from wflow.validation.layers import Asked, _expected

SMALL = {"neurons": [30], "seeds": 8, "widths": (16, 32, 64), "rate_seeds": 8, "t_end": 2.0}
GIVEN = ["--neurons", "30", "--widths", "8,16,32", "--rate-seeds", "4", "--seeds", "2"]


def get(**given):
    return wflow.systems.get("multilayer", **{"depth": 3, "samples": 20, **given})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "v.h5"
    return wflow.validate(get(), **SMALL, output=path), path


def test_the_limit_of_independent_starts_stands(report):
    found, _ = report
    assert found.passed, found.table()
    names = [v.name for v in found.verdicts]
    assert names == [
        *(f"N = 30, step size 0.01: mean R_N - R at t = {t:g}" for t in (0.12, 0.25, 0.38, 0.5)),
        "r.m.s. of differences: exponent of N",
        "largest difference over √log N: exponent of N",
        "left of R_N - R as N grows, at t = 0.5",
        "r.m.s. of differences: exponent of ε",
    ]
    assert [trend.study for trend in found.studies] == ["N", "step size", "T", "L"]
    times, depths = (found.studies[k].x.tolist() for k in (2, 3))
    assert times == [0.125, 0.25, 0.375, 0.5]
    assert depths == [2, 3, 4]
    rms = next(iter(found.studies[2].curves.values()))
    assert (np.diff(rms.value) > 0).all()
    assert (rms.error > 0).all()
    assert np.isfinite(found.expected.error).all()


def test_its_file_and_its_picture_say_all_of_it(report, tmp_path, capsys):
    found, path = report
    again = load_report(path)
    assert again.table() == found.table()
    assert again.verdicts == found.verdicts
    said = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(said)["studies"]["L"]["x"] == [2, 3, 4]
    assert main(["plot", str(path), "-o", str(tmp_path / "v.png")]) == 0
    assert (tmp_path / "v.png").stat().st_size > 50_000
    assert main(["info", str(path)]) == 0
    assert "exponent of ε" in capsys.readouterr().out
    with pytest.raises(StorageError, match="exists"):
        found.save(path)
    import h5py

    with h5py.File(path, "r+") as f:
        f.attrs["gaps"] = "[1]"
    with pytest.raises(StorageError, match="an entry is missing or no report's"):
        load_report(path)


def test_types_of_neurons_stand_too():
    found = wflow.validate(get(start="diverse", depth=2), **SMALL, executor=ThreadPoolExecutor(1))
    assert found.passed, found.table()
    assert found.studies[3].x.tolist() == [2, 3, 4]


@pytest.mark.slow
def test_networks_of_another_law_fail(monkeypatch):
    """Networks of middle means 3 beside the limit of 1: the studies' do not come nearer, the run's are off."""
    from wflow.multilayer import coupling
    from wflow.validation import layers

    drawn = coupling.iid_network

    def wrong(limit, *rest):
        return drawn(get(mean=3.0, depth=limit.depth).initial(), *rest)

    monkeypatch.setattr(coupling, "iid_network", wrong)
    found = wflow.validate(get(), **SMALL)
    failed = [v.name for v in found.verdicts if not v.passed]
    assert "largest difference over √log N: exponent of N" in failed
    assert "left of R_N - R as N grows, at t = 0.5" in failed
    monkeypatch.setattr(coupling, "iid_network", drawn)
    monkeypatch.setattr(layers, "iid_network", wrong)
    found = wflow.validate(get(), **SMALL)
    failed = [v.name for v in found.verdicts if not v.passed]
    assert failed
    assert all("mean R_N - R" in name for name in failed)


def test_what_is_expected_comes_from_c_and_b():
    """Gaps of 2/N + 30/N² and 3ε without chance: the mean of N = 50 at ε = 0.02 is 2/50 + 30/2500 + 0.06."""
    asked = Asked.of(
        get(), neurons=[50], step_sizes=[0.02], seeds=4, t_end=20.0, t_eval=None, batch_size=None,
        constants={"temperature": 0.0, "ridge": 0.0, "decay": 0.0}, rates=True, widths=(20, 40, 80),
        horizon=None, rate_seeds=4,
    )  # fmt: skip
    n, e = np.array(asked.widths), np.array([0.01, 0.02, 0.04])
    gap = np.tile((2 / n + 30 / n**2)[:, None, None], (1, 4, 5))
    found = _expected(asked, gap, e, np.tile(3 * e[:, None, None], (1, 4, 5)))
    assert found.t.tolist() == asked.at[1:].tolist()
    assert found.gap == pytest.approx(np.full(4, 0.112), rel=1e-12)
    assert found.error == pytest.approx(np.full(4, 0.05 * 0.052 + 0.25 * 0.06), rel=1e-9)


def test_without_studies_nothing_is_expected():
    found = wflow.validate(get(), **(SMALL | {"seeds": 2}), rates=False)
    assert found.verdicts == ()
    assert found.passed
    assert "nothing is expected of the gap" in found.table()
    assert found.risk.shape == (2, 5)


def test_the_command_says_yes_and_no(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = [*GIVEN, "-p", "depth=2", "-p", "samples=10", "--t-end", "2"]
    assert main(["validate", "multilayer", *small, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["passed"]
    assert err == ""
    assert (tmp_path / "multilayer-validation.png").exists()
    assert load_report("multilayer-validation.h5").passed
    monkeypatch.setattr("wflow.validation.coupling.STEP", -50.0)
    assert main(["validate", "multilayer", *small, "--overwrite"]) == 1
    out, err = capsys.readouterr()
    assert "verdicts fail" in err
    assert err.splitlines()[:2] == ["wflow: the limit of multilayer", "wflow: 2 networks, the run"]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"neurons": [10, 20]}, "networks of many layers are judged at one"),
        ({"neurons": [1]}, "neurons = 1: give a whole number of at least 2"),
        ({"step_sizes": [0.1, 0.2]}, "networks of many layers are judged at one"),
        ({"step_sizes": [0.5]}, "give shorter steps"),
        ({"temperature": 0.1}, "temperature = 0.1: the flow of system 'multilayer' has none"),
        ({"ridge": 0.1}, "ridge = 0.1: the flow of system 'multilayer' has none"),
        ({"n_grid": 10}, "n_grid = 10: system 'multilayer' starts from an ensemble"),
        ({"n_particles": 10}, "n_particles = 10: system 'multilayer' starts from an ensemble"),
        ({"widths": (10, 20)}, "a power is fitted through 3 or more"),
        ({"horizon": 30.0}, "horizon = 30 lies beyond t_end = 20"),
        ({"rate_seeds": 2}, "rate_seeds = 2: give a whole number of at least 4"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"rates": "no"}, "rates"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_of_layers_is_told_in_a_line(given, words):
    with pytest.raises(InputError, match=words) as told:
        wflow.validate(get(), **given)
    assert "\n" not in str(told.value)


def test_studies_of_two_layers_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for options, words in (
        (["--study", "T"], "--study T is of networks of two layers"),
        (["-p", "temperature=0.1"], "unknown parameter 'temperature'"),
        (["--neurons", "10,20"], "networks of many layers are judged at one"),
    ):
        assert main(["validate", "multilayer", *options]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
