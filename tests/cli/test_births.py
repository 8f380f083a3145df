"""Births and deaths as a user types them: options that are words, numbers and truths, and a run that is carried on."""

from pathlib import Path

import numpy as np
import pytest

import wflow
from wflow.cli.main import main

LINE = ["run", "gaussian-mixture", "-p", "start=bad", "-p", "measure=particles", "--quiet"]
LINE += ["-p", "reaction_rate=5", "--method", "birth-death", "--option", "step_size=0.05"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options(*given: str) -> list[str]:
    return [word for option in given for word in ("--option", option)]


def test_the_published_variant_runs_and_goes_on() -> None:
    line = LINE + options("rule=kill-clone", "reinject=true", "centred=false", "until=0.75")
    assert main([*line, "--t-end", "1"]) == 0
    held = wflow.load("gaussian-mixture.h5")
    assert held.attributes["method_options"] == {
        "step_size": 0.05,
        "rule": "kill-clone",
        "midpoint": False,
        "reinject": True,
        "until": 0.75,
        "entropy": "nearest-neighbour",
        "centred": False,
        "probability": "exponential",
    }
    assert main([*line, "--t-end", "1.5", "--resume"]) == 0
    assert main([*line, "--t-end", "1.5", "-o", "whole.h5"]) == 0
    longer, whole = wflow.load("gaussian-mixture.h5"), wflow.load("whole.h5")
    assert longer.measures[-1] == whole.measures[-1]
    assert Path("gaussian-mixture.png").exists()


@pytest.mark.parametrize(
    "given, said",
    [
        (["rule=round"], "unknown rule 'round'"),
        (["midpoint=yes"], "midpoint = 'yes': give True or False"),
        (["until=0"], "until = 0: the run begins at t = 0"),
        (["reinject=elsewhere"], "reinject = 'elsewhere': give a measure"),
    ],
)
def test_what_is_refused(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LINE, *options(*given)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_system_without_a_base_law(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "isotropic-gaussians", "-p", "reaction_rate=1", "--method", "birth-death"]
    assert main([*line, *options("reinject=true")]) == 2
    assert "this flow's system has no base law" in capsys.readouterr().err


def test_noise_and_births_choose_births() -> None:
    line = ["run", "isotropic-gaussians", "-p", "measure=particles", "-p", "n=40", "--quiet"]
    line += ["-p", "reaction_rate=1", "-p", "temperature=0.01", "--t-end", "0.05"]
    assert main(line) == 0
    sol = wflow.load("isotropic-gaussians.h5")
    assert sol.attributes["method"] == "birth-death"
    assert np.isfinite(sol.free_energy).all()
