"""Configuration files that are none, or have no end: exit status 2 and one line, at once."""

from pathlib import Path

import pytest

from wflow.cli.main import main

DEEP = "x = " + "[" * 20_000 + "]" * 20_000
LONG = "t_end = " + "1" * 10_000
WRONG = {
    "nested": (DEEP, "too deep"),
    "a table in a table": ("x = " + "{a = " * 20_000 + "1" + "}" * 20_000, ""),
    "more digits than Python reads": (LONG, "is not TOML"),
    "larger than any float": ("t_end = 1" + "0" * 400, "t_end"),
    "longer than a configuration": ("# " + "x" * (1 << 20), "longer than 1 MiB"),
    "a number as text": ('t_eval = "1_0"', "numbers separated by commas"),
    "a parameter as text": ('[parameters]\nd = "1_0"', "d = '1_0'"),
    "true for a number": ("[parameters]\ntemperature = true", "temperature = 'True'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_configuration(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text, words = WRONG[case]
    Path("run.toml").write_text(text, encoding="utf-8")
    assert main(["run", "isotropic-gaussians", "--config", "run.toml", "-p", "n=8"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert len(said) < 700
    assert [p.name for p in tmp_path.iterdir()] == ["run.toml"]


def test_a_device_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "isotropic-gaussians", "--config", "/dev/zero"]) == 2
    assert "longer than 1 MiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ["-p", "d=1_0"],
        ["--t-end", "1_0"],
        ["--t-eval", "0,1_0"],
        ["--seed", "1_0"],
        ["--method", "langevin", "--option", "step_size=1_0"],
    ],
    ids=lambda given: given[-1],
)
def test_ten_is_written_without_an_underscore(
    option: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["run", "isotropic-gaussians", *option])
    except SystemExit as e:  # argparse's own
        status = e.code
    assert status == 2
    assert "1_0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
