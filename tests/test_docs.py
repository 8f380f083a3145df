"""The Python examples of the README and of docs/ run as they are printed."""

import re
import runpy
import sys
import types
from pathlib import Path
from urllib.parse import urlsplit

# What the pages draw on, loaded once and not by each of them.
import h5py  # noqa: F401
import matplotlib.pyplot as plt  # noqa: F401
import numba  # noqa: F401
import pytest
import xarray  # noqa: F401
from forks import Fork

import wflow

LOADED = wflow.solve, wflow.validate, wflow.networks.sgd, wflow.figures.figures

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"https?://[^\s)>\]\"`]*|www\.[^\s)>\]\"`]*")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def run(code: str, name: str) -> None:
    """The code as a script, which is what the name ``__main__`` stands for."""
    script = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, name, "exec"), script.__dict__)  # noqa: S102  (our own pages)


def test_the_site_shows_every_page() -> None:
    """Pages are written once, in docs/, and found from its index."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    shown = {
        line.strip() for block in index.split("```{toctree}")[1:] for line in block.splitlines()
    }
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages <= shown, "give it a place in docs/index.md"


def test_links_to_other_sites_are_well_formed() -> None:
    """Whether they answer is asked by .ci/run, where there is a network; links within the site by Sphinx."""
    told = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "CITATION.cff"]
    found = [link for page in told for link in LINK.findall(page.read_text(encoding="utf-8"))]
    assert found
    for link in found:
        parts = urlsplit(link)
        assert parts.scheme == "https", link
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), link
        assert link[-1] not in ".,;:", link


def test_the_site_has_every_public_module() -> None:
    modules = runpy.run_path(str(ROOT / "docs" / "conf.py"))["MODULES"]
    assert {f"wflow.{name}" for name in wflow._MODULES} <= set(modules)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    """The blocks of one page, in order, in one process of their own."""
    code = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    done = Fork(lambda: run(code, page.name), tmp_path)
    out, err = done.communicate()
    assert done.returncode == 0, err[-3000:]
    assert "False" not in out, "an example prints that what it claims is not so"
