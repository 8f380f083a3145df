"""Studies of one quantity: against d, against T, and of the time to the least free energy."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.cli.studies import STUDIES
from wflow.errors import ComputationError, InputError, StorageError
from wflow.validation import (
    Trend,
    dimension_study,
    horizon_study,
    load_trend,
    relaxation_study,
)
from wflow.validation.relaxation import first_time
from wflow.validation.trend import Curve, exponent, exponent_verdict, mean_curve

RNG = np.random.default_rng(0)
X = np.array([10.0, 20.0, 40.0, 80.0])


def noisy(power: float, seeds: int = 50) -> np.ndarray:
    return X[:, None] ** power * RNG.lognormal(0, 0.1, (4, seeds))


def known() -> Trend:
    each = noisy(-0.5)
    return Trend(
        study="d",
        system="bump",
        parameters={"width": 0.1},
        x=X,
        curves={"risk": mean_curve(each), "limit": Curve(1 / X, np.zeros(4), "time")},
        verdicts=(exponent_verdict("power", exponent(X, each), 50, -np.inf, 0.05),),
        sizes={"neurons": 3},
        notes=("a note",),
        seconds=1.5,
    )


def test_a_power_is_found_with_its_error() -> None:
    fits = [exponent(X, noisy(-0.5)) for _ in range(8)]
    values = np.array([fit.value for fit in fits])
    assert values.mean() == pytest.approx(-0.5, abs=3 * fits[0].error)
    assert values.std() == pytest.approx(np.mean([fit.error for fit in fits]), rel=0.8)
    assert exponent_verdict("power", fits[0], 50, -0.6, -0.4).passed
    assert not exponent_verdict("power", fits[0], 50, -0.4, np.inf).passed


def test_a_study_comes_back_from_its_file(tmp_path: Path) -> None:
    trend, path = known(), tmp_path / "study.h5"
    trend.save(path)
    again = load_trend(path)
    assert again.table() == trend.table()
    assert again.as_json() == json.loads(json.dumps(trend.as_json()))
    assert again.verdicts == trend.verdicts
    assert again.passed
    with h5py.File(path) as f:
        assert f["curve_1"].dims[0].label == "d"
        assert f["curve_1"].attrs["long_name"] == "risk"
    with pytest.raises(StorageError, match="exists"):
        trend.save(path)
    assert main(["info", str(path)]) == 0
    assert main(["plot", str(path), "-o", str(tmp_path / "a.png")]) == 0
    with h5py.File(path, "r+") as f:
        del f["curve_1"]
    with pytest.raises(StorageError, match="an entry is missing or no study's"):
        load_trend(path)


def test_the_first_time_is_that_of_an_exponential_between_two() -> None:
    t = np.linspace(0, 3, 7)
    assert first_time(t, np.exp(-t), np.exp(-1.3)) == pytest.approx(1.3)
    assert np.isnan(first_time(t, np.exp(-t), 0.01))
    assert first_time(t, np.exp(-t), 2.0) == 0
    # An estimate may fall below the least.
    assert 1.5 <= first_time(t, np.array([4, 3, 2, 1, -0.1, -0.2, 0.1]), 0.5) <= 2.0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: dimension_study("bump"), "system 'bump' has no parameter d: give a function"),
        (lambda: dimension_study("isotropic-gaussians", (4, 5)), "a power is fitted through 3 or"),
        (
            lambda: dimension_study("isotropic-gaussians", (1, 4, 5)),
            "d = 1: give a whole number of",
        ),
        (
            lambda: horizon_study("bump", times=(0.1, 0.1, 0.2)),
            "a power is fitted through 3 or more, each",
        ),
        (
            lambda: horizon_study("bump", times=(0.1, 0.2, 0.3), step_size=0.09),
            "too long for T = 0.1",
        ),
        (lambda: relaxation_study("teacher-student"), "has no grid, on which inf F is known"),
        (lambda: relaxation_study("bump"), "no parameter d: study N, at a given temperature"),
        (lambda: relaxation_study("bump", over="M"), "unknown over 'M'"),
        (
            lambda: relaxation_study("isotropic-gaussians", temperature=0.0),
            "temperature = 0: must be positive",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "line, words",
    [
        (["--study", "e"], "unknown study 'e'"),
        (["--study", "d", "--widths", "3"], "--widths: study d takes none; leave it out"),
        (["--study", "d", "--no-rates"], "--no-rates with --study d: it has none"),
        (["--study", "d", "-p", "ridge=1"], "ridge: study d takes none; leave it out"),
        (
            ["--study", "d", "--neurons", "3,4"],
            "--neurons 3,4: a study has one; --over is the axis",
        ),
        (["--study", "d", "--over", "3,x"], "over = '3,x': give whole numbers separated by commas"),
        (["--over", "3,4"], "--over is the axis of a study: give --study NAME too"),
    ],
)
def test_what_the_command_refuses(
    line: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-o", str(tmp_path / "a.h5")]
    assert main(["validate", "isotropic-gaussians", *line, *place]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def study(system: wflow.systems.System, dimensions: list[int], **rest: Any) -> Trend:
        given.update(rest, d=dimensions, system=system.name)
        return known()

    monkeypatch.setitem(STUDIES, "d", replace(STUDIES["d"], function=study))
    line = ["--study", "d", "--over", "3,4,5", "--horizon", "0.5", "--neurons", "5", "--seeds", "2"]
    path = tmp_path / "d.h5"
    assert main(["validate", "isotropic-gaussians", *line, "-o", str(path), "--quiet"]) == 0
    asked = {"d": [3, 4, 5], "horizon": 0.5, "neurons": 5, "seeds": 2, "progress": False}
    assert given == asked | {"system": "isotropic-gaussians"}
    assert load_trend(path).x.tolist() == X.tolist()
    assert path.with_suffix(".png").exists()


def test_noise_that_never_comes_there_is_told() -> None:
    with pytest.raises(ComputationError, match=r"not by t = 0\.001: give another delta"):
        relaxation_study("isotropic-gaussians", n_grid=32, horizon=0.001, temperature=0.1)


@pytest.mark.slow
def test_the_gap_does_not_grow_with_the_dimension() -> None:
    found = dimension_study("isotropic-gaussians", (4, 8, 16), neurons=30, horizon=0.2, n_limit=100)
    by_theory, held, _ = (v.value for v in found.verdicts)
    # 1/N leads: N = d log d makes it fall, and N held leaves it.
    assert by_theory < -0.9
    assert abs(held) < 0.4


@pytest.mark.slow
def test_networks_lie_where_they_are_predicted_at_every_time() -> None:
    system = wflow.systems.get("isotropic-gaussians", d=5)
    found = horizon_study(
        system, (0.25, 0.5, 1.0), neurons=60, seeds=12, step_size=2e-4, n_limit=100
    )
    assert [v.name for v in found.verdicts] == [
        f"mean R_N - R over c/N at t = {t}" for t in (0.25, 0.5, 1)
    ]
    assert found.passed
    assert all(v.band[1] - v.band[0] < 1.0 for v in found.verdicts)


@pytest.mark.slow
def test_noisy_networks_take_as_long_as_the_limit() -> None:
    system = wflow.systems.get("predicted-failure", d=5)
    found = relaxation_study(
        system, values=(32, 64, 128), steps_per_dimension=40, n_grid=96, pool=128
    )
    assert found.passed
    networks, limit = (curve.value for curve in found.curves.values())
    # c/2N makes them late, the less the wider they are.
    assert (networks[1:] > limit[1:] - 0.03).all()
    assert networks[2] < networks[1]
