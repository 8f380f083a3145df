"""The gallery: every figure with its picture, its source and its command, and a page of each made of its notebook."""

from __future__ import annotations

import base64
import json
import textwrap
from pathlib import Path
from typing import Any

from small_pictures import description

from wflow.figures import figures
from wflow.figures.catalogue import Figure

ROOT = Path(__file__).parent
PICTURES = ROOT / "static" / "gallery"
NOTEBOOKS = ROOT.parent / "notebooks"
WIDE = 110
"""Letters of a caption's line of sizes that are shown; the picture has all."""


def pages() -> dict[str, list[str]]:
    """Lines of every page, by its name below docs/."""
    made = {}
    lines = [
        "# Gallery",
        "",
        "Every figure of the sources that wflow computes anew, with the figure or statement it is about. A picture",
        "leads to its page: equation, code, what it shows, what to try next. `wflow reproduce all -o figures` makes",
        "them all.",
        "",
    ]
    names = sorted(figures())
    for name in names:
        figure = figures()[name]()
        made[f"api/figures/{name}.md"] = page(figure)
        lines += [
            f"## `{name}`",
            "",
            f"{sentence(figure.title)}. Source: {figure.source}.",
            "",
            *picture(figure, "../static/gallery", f"figures/{name}.html"),
            f"    wflow reproduce {name} -o figures",
            "",
            f"[Equation, code and what to try next](figures/{name}.md)",
            "",
        ]
    lines += ["```{toctree}", ":hidden:", "", *(f"figures/{name}" for name in names), "```"]
    made["api/gallery.md"] = lines
    return made


def sentence(title: str) -> str:
    """With a capital, unless it begins with a symbol."""
    return title[:1].upper() + title[1:]


def picture(figure: Figure, folder: str, target: str = "") -> list[str]:
    """A figure's picture with its size in words."""
    path = PICTURES / f"{figure.name}.png"
    if not path.exists():
        raise FileNotFoundError(f"{path}: python docs/remake_gallery.py {figure.name}")
    about = textwrap.shorten(description(path), WIDE, placeholder=" …")
    return [
        f"```{{figure}} {folder}/{figure.name}.png",
        f":alt: {figure.title}",
        *([f":target: {target}"] if target else []),
        "",
        f"{about[:1].upper()}{about[1:]}",
        "```",
        "",
    ]


def page(figure: Figure) -> list[str]:
    """One figure: its picture, its notebook as it ran, and its code."""
    stem = figure.name.replace("-", "_")
    cells = json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    title, *rest = "".join(cells[0]["source"]).split("\n")
    lines = [title, "", f"Source: {figure.source}.", ""]
    lines += picture(figure, "../../static/gallery", f"../../_static/gallery/{figure.name}.png")
    lines += [*rest, ""]
    for number, cell in enumerate(cells[1:]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
        else:
            lines += ["```python", source, "```", ""]
            for place, output in enumerate(cell["outputs"]):
                lines += shown(output, f"{figure.name}-{number}-{place}.png")
    return [
        *lines,
        f"All of this is the notebook {{download}}`{stem}.ipynb <../../../notebooks/{stem}.ipynb>`.",
        "",
        "## The figure's code",
        "",
        f"```{{literalinclude}} ../../../wflow/figures/{stem}.py",
        ":language: python",
        "```",
    ]


def shown(output: dict[str, Any], name: str) -> list[str]:
    """What a cell has answered; a picture becomes a file beside the page."""
    if "text" in output:
        return ["```text", "".join(output["text"]).rstrip(), "```", ""]
    if "image/png" in output["data"]:
        path = ROOT / "api" / "figures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(output["data"]["image/png"]))
        return [f"```{{image}} {name}", ":alt: the picture that the cell has drawn", "```", ""]
    return ["```text", "".join(output["data"]["text/plain"]), "```", ""]
