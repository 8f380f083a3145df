"""Every figure has a notebook that runs, with what its cells answered, and a picture in the gallery."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from wflow.figures import figures, get_figure
from wflow.tools.pictures import facts

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GALLERY = ROOT / "docs" / "static" / "gallery"
NUMBER = re.compile(r"[-+−]?\d[\d.,]*(?:e[-+]?\d+)?|nan|∞")
MACHINE = re.compile(r"/(?:home|root|tmp|work|Users)/|[A-Z]:\\\\")


def cells_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["cells"])


@pytest.fixture(scope="module")
def tools() -> Any:
    """What docs/ makes notebooks and pictures with."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield {
            name: runpy.run_path(str(ROOT / "docs" / f"{name}.py"))
            for name in ("run_notebooks", "small_pictures")
        }
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_every_figure_has_a_notebook() -> None:
    assert {p.stem.replace("_", "-") for p in NOTEBOOKS} == set(figures())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_teaches_and_ships_with_outputs(path: Path) -> None:
    cells = cells_of(path)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    words = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "$" in words, "an equation"
    assert "What to try next" in words
    assert "".join(code[0]["source"]).startswith('size = "reduced"')
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(cell["outputs"] for cell in code[1:]), "python docs/run_notebooks.py"
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    assert any("image/png" in output.get("data", {}) for output in outputs), "a picture"
    said = "".join("".join(o.get("text", [])) + str(o.get("data", "")) for o in outputs)
    assert not MACHINE.search(re.sub(r"'image/png': '[^']*'", "", said))
    assert path.stat().st_size <= 150_000


@pytest.mark.parametrize("name", sorted(figures()))
def test_the_gallery_shows_a_figure_at_one_of_its_sizes(name: str, tools: Any) -> None:
    picture = GALLERY / f"{name}.png"
    assert picture.exists(), f"python docs/remake_gallery.py {name}"
    assert picture.stat().st_size <= 60_000
    figure = get_figure(name)
    sizes = [f"{size} size: {facts(figure.sized(size))}" for size in ("published", "reduced")]
    assert tools["small_pictures"]["description"](picture) in sizes


def test_the_gallery_is_small() -> None:
    pictures = list(GALLERY.glob("*.png"))
    assert {p.stem for p in pictures} == set(figures())
    assert sum(p.stat().st_size for p in pictures) <= 1_500_000


def words_of(cells: list[dict[str, Any]]) -> list[str]:
    """What cells print, without its numbers, which may differ in their last digits elsewhere."""
    printed = [
        "".join(output.get("text", output.get("data", {}).get("text/plain", [])))
        for cell in cells
        for output in cell.get("outputs", [])
    ]
    return [re.sub(r"[\s\[\](),]+", " ", NUMBER.sub("#", text)) for text in printed]


@pytest.mark.slow  # the figures once more: that each of them computes is seen in test_reproduce.py
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_answer_what_is_stored(path: Path, monkeypatch, tmp_path: Path, tools: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert words_of(tools["run_notebooks"]["run"](path)["cells"]) == words_of(cells_of(path))
