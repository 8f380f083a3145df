"""How far a run has come: lines in a log now and then, nothing of a short run."""

import re

import pytest
from flows import gauss, well

import wflow
from wflow import GradientFlow
from wflow.run import record


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, start = GradientFlow(well()), gauss(40)
    wflow.solve(flow, start, (1, 3), progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(record, "LINES_APART", 0.0)
    sol = wflow.solve(flow, start, (1, 3), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == sol.stats["steps"]
    assert re.fullmatch(r"t = 1\.\d+ of 3, risk [\d.]+, 0 s, about \d+ s left", lines[0])
    assert re.fullmatch(r"t = [23][.\d]* of 3, risk [\d.]+, 0 s, about 0 s left", lines[-1])
