"""The site: these pages, every public name, the systems and the figures; nothing is written twice."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import wflow

sys.path.insert(0, str(Path(__file__).parent))
import gallery_pages

project, author, copyright = "wflow", "The wflow authors", "The wflow authors"
version = release = wflow.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx-mathjax-offline"]
exclude_patterns = ["_build"]
html_theme, html_title = "furo", "wflow"
html_css_files = ["site.css"]
html_static_path = ["static"]
html_show_sourcelink = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"
linkcheck_timeout, linkcheck_retries = 10, 2
autodoc_member_order = "bysource"

MODULES = {
    "wflow": "the equation, runs and their results",
    "wflow.measures": "grids, particles, and distances between them",
    "wflow.energies": "risks as functionals of a measure",
    "wflow.networks": "two-layer networks trained by SGD",
    "wflow.multilayer": "networks of many layers and their limits",
    "wflow.lazy": "tangent kernels and lazy training",
    "wflow.spaces": "function spaces and margins",
    "wflow.sharded": "runs of more neurons than a machine holds",
    "wflow.solvers": "methods",
    "wflow.solvers.statics": "least risks, certificates, Gibbs states",
    "wflow.validation": "limits against networks",
    "wflow.systems": "the systems of the sources",
    "wflow.figures": "the figures of the sources",
    "wflow.trackers": "what watches a run",
    "wflow.results.ledger": "where the free energy goes",
    "wflow.measures.heat": "diffusion by itself",
    "wflow.validation.widths": "error against the number of units",
    "wflow.errors": "what is raised",
}
"""What has public names; one that is in two of them is told in the first."""
ROOT = Path(__file__).parent
APART = re.compile(r"(:math:`[^`]*`|``[^`]*``)")


def write_names() -> None:
    """One page a public module, one entry a name of its ``__all__``."""
    told: dict[int, str] = {}
    for module, words in MODULES.items():
        home, lines, others = importlib.import_module(module), [], []
        for name in sorted(home.__all__, key=str.lower):
            value = getattr(home, name)
            if not callable(value):
                continue
            if id(value) in told:
                others.append(f"- `{name}`: {told[id(value)]}")
                continue
            told[id(value)] = f"in [{module}]({module}.md)"
            kind = "autoclass" if isinstance(value, type) else "autofunction"
            lines += [f".. {kind}:: {name}", *(["   :members:"] * isinstance(value, type)), ""]
        text = [f"# `{module}`: {words}", "", *others, "", "```{eval-rst}"]
        write(f"api/{module}.md", [*text, f".. currentmodule:: {module}", "", *lines, "```"])
    pages = [f"[`{module}`]({module}.md) | {words}" for module, words in MODULES.items()]
    write(
        "api/index.md",
        ["# Every public name", "", *table("module | what is in it", pages), *toc(MODULES)],
    )


def write_systems() -> None:
    """The systems with their parameters, as ``wflow show`` has them."""
    lines = [
        "# The systems",
        "",
        "`wflow show NAME` prints the same, and what all share: noise, ridge, births, clock and start.",
        "",
    ]
    for name, system in sorted(wflow.systems.catalogue().items()):
        rows = [
            " | ".join([f"`{p.name}`", f"`{p.default}`", p.meaning.replace("|", "∣")])
            for p in system.parameters
        ]
        lines += [f"## `{name}`", "", f"{system.title}. Source: {system.source}.", ""]
        lines += table("parameter | default | meaning", rows) if rows else []
    write("api/systems.md", lines)


def table(head: str, rows: list[str]) -> list[str]:
    """Lines of a table."""
    return [
        f"| {head} |",
        "|" + "---|" * (head.count("|") + 1),
        *(f"| {row} |" for row in rows),
        "",
    ]


def toc(pages: Any) -> list[str]:
    """A table of contents that is not shown."""
    return ["```{toctree}", ":hidden:", "", *pages, "```"]


def write(name: str, lines: list[str]) -> None:
    """A page of its own, touched where it has changed only."""
    path, text = ROOT / name, "\n".join([*lines, ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let |w| be an absolute value, and no substitution, in docstrings outside of formulas."""
    formula = False
    for i, line in enumerate(lines):
        if line.lstrip().startswith(".. math::"):
            formula = True
        elif line.strip() and not line.startswith(" " * 6):
            formula = False
        if not formula and not line.lstrip().startswith((">>>", "...")):
            parts = APART.split(line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[i] = "".join(parts)


def head_what_follows(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Head sources and examples that stand below parameters and errors, which numpydoc would take them for."""
    found: list[str] = []
    section = ""
    for i, line in enumerate(lines):
        after = lines[i + 1] if i + 1 < len(lines) else ""
        if line and after and set(after) == {"-"}:
            section = line
        elif section and line and not line.startswith(" ") and found[-1:] == [""]:
            wanted = "Examples" if line.startswith(">>>") else "Notes"
            if section not in (wanted, "Examples"):
                found += [wanted, "-" * len(wanted)]
                section = wanted
        found.append(line)
    lines[:] = found


def setup(app: Any) -> None:
    """Pages of what the library says of itself are written before others are read."""
    write_names()
    write_systems()
    for name, lines in gallery_pages.pages().items():
        write(name, lines)
    # Before numpydoc, which reads docstrings at 500.
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
    app.connect("autodoc-process-docstring", head_what_follows, priority=401)
