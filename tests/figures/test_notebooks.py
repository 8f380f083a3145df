"""Every figure has a notebook, and its cells run, at reduced size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wflow.figures import figures

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_every_figure_has_a_notebook() -> None:
    assert {p.stem.replace("_", "-") for p in NOTEBOOKS} == set(figures())


@pytest.mark.slow  # the figures once more: that each of them computes is seen in test_reproduce.py
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_run(path: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert [c["outputs"] for c in code] == [[]] * len(code), "clear the outputs before a commit"
    names: dict[str, object] = {}
    for number, cell in enumerate(code):
        text = "".join(cell["source"])
        exec(compile(text, f"{path.name}[{number}]", "exec"), names)  # noqa: S102  (our own notebooks)
        if "parameters" in cell["metadata"].get("tags", []):
            names["size"] = "reduced"
    assert names["results"].findings  # type: ignore[attr-defined]
