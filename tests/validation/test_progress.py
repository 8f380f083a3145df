"""What `validate` says while it works, where standard error is no terminal."""

import importlib

import pytest

import wflow
from wflow.errors import InputError
from wflow.validation import progress, validate

SMALL = {
    "neurons": [4],
    "step_sizes": [1e-2],
    "seeds": 2,
    "t_end": 0.1,
    "n_grid": 32,
    "n_particles": 20,
}


def test_a_pipe_gets_a_line_a_stage(capsys):
    system = wflow.systems.get("isotropic-gaussians", d=4)
    validate(system, **SMALL, rates=False)
    assert capsys.readouterr().err == ""
    validate(system, **SMALL, widths=[2, 4, 8, 16], rate_seeds=4, progress=True)
    assert capsys.readouterr().err.splitlines() == [
        "wflow: the limit of isotropic-gaussians",
        "wflow: 2 networks, the published run",
        "wflow: what is expected of them",
        "wflow: 16 networks, what the step size adds",
        f"wflow: {4 * 4 + 3 * 2 * (5 + 5)} networks, the study of rates",
    ]


def test_between_them_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", iter([0.0, 10.0, 31.0, 45.0, 70.0]).__next__)
    lines = progress.meter(True, "8 networks", 4.0)
    for _ in range(4):
        lines.update(1.0)
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "wflow: 8 networks",
        "wflow: 8 networks, 50% after 31 s",
        "wflow: 8 networks, 100% after 70 s",
    ]
    assert progress.meter(False, "8 networks", 4.0) is None


def test_a_wrong_scheduler_is_refused_before_the_limit_is_solved(monkeypatch):
    def work(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(importlib.import_module("wflow.validation.validate"), "solve", work)
    with pytest.raises(InputError, match="scheduler WRONG: none answers there") as caught:
        validate("isotropic-gaussians", scheduler="WRONG", **SMALL)
    assert "\n" not in str(caught.value)
