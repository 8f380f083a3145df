"""Run the notebooks and keep what their cells answer: ``python docs/run_notebooks.py [NAME ...]``.

Cells run as they stand, at the size that the notebook names, in one process a notebook after another; what they print,
and their last value, become their outputs, pictures made small. Nothing of the machine goes into a notebook.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from small_pictures import small_png

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LIMIT = 90_000
"""Bytes of a picture; a third more in the notebook's letters."""


def answer(source: str, names: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The outputs of one cell."""
    tree = ast.parse(source, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    said, value = io.StringIO(), None
    with redirect_stdout(said):
        exec(compile(tree, where, "exec"), names)  # noqa: S102  (our own notebooks)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        text = said.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        outputs.append({"data": shown(value), "metadata": {}, "output_type": "execute_result"})
    return outputs


def shown(value: Any) -> dict[str, Any]:
    """A value as a notebook holds it."""
    if hasattr(value, "savefig"):
        picture = base64.b64encode(small_png(value, LIMIT)).decode()
        return {"image/png": picture, "text/plain": ["<Figure>"]}
    return {"text/plain": repr(value).splitlines(keepends=True)}


def run(path: Path) -> dict[str, Any]:
    """A notebook with what its cells answer now."""
    book: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        cell["outputs"] = answer("".join(cell["source"]), names, f"{path.name}[{number}]")
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
    return book


def main() -> None:
    """The command."""
    asked = sys.argv[1:] or [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    for name in asked:
        path = NOTEBOOKS / f"{name.removesuffix('.ipynb').replace('-', '_')}.ipynb"
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            book = run(path)
            os.chdir("/")
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
