"""Every public name is documented: its parameters by name, and an example that runs."""

from __future__ import annotations

import importlib
import inspect
import re
import runpy
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = {
    "Energy": "CONTRIBUTING.md",
    "FeatureMap": "tests/energies/test_outputs.py",
    "Field": "CONTRIBUTING.md",
    "Kernel": "CONTRIBUTING.md",
    "Measure": "wflow/measures/particles.py",
    "Method": "CONTRIBUTING.md",
    "Problem": "solvers/networks/problem.py",
    "Tracker": "wflow/run/trackers.py",
    "register": "CONTRIBUTING.md",
}
"""What others are written to, and where one is: an example of a line would be none."""


@cache
def public() -> dict[str, Any]:
    """Every public name of the site once, with what it stands for."""
    before = list(sys.path)
    try:
        modules = runpy.run_path(str(ROOT / "docs" / "conf.py"))["MODULES"]
    finally:
        sys.path[:] = before
    found: dict[int, tuple[str, Any]] = {}
    for module in modules:
        home = importlib.import_module(module)
        for name in home.__all__:
            value = getattr(home, name)
            if callable(value) and not inspect.ismodule(value):
                found.setdefault(id(value), (f"{module}.{name}", value))
    return dict(found.values())


def told(value: Any) -> str:
    """The docstring of a name, and of a class what its own members have."""
    texts = [inspect.getdoc(value) or ""]
    if isinstance(value, type):
        members = [m for name, m in vars(value).items() if not name.startswith("_")]
        texts += [inspect.getdoc(m) or "" for m in [*members, vars(value).get("__init__")] if m]
    return "\n".join(texts)


@cache
def made() -> set[str]:
    """What functions and methods with an example return: records have theirs where they are made."""
    names: set[str] = set()
    for value in public().values():
        members = (
            [m for m in vars(value).values() if inspect.isroutine(m)]
            if isinstance(value, type)
            else []
        )
        for one in [value, *members]:
            if ">>>" in (inspect.getdoc(one) or "") or ">>>" in (inspect.getdoc(value) or ""):
                returned = getattr(one, "__annotations__", {}).get("return", "")
                names |= set(re.findall(r"\w+", str(returned)))
    return names


@pytest.mark.parametrize("name", sorted(public()))
def test_a_name_tells_its_parameters_and_has_an_example(name: str) -> None:
    value, short = public()[name], name.rpartition(".")[2]
    text = told(value)
    assert (inspect.getdoc(value) or "").strip(), "a docstring"
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        parameters = ()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [p for p in named if p[0] != "_" and not re.search(rf"\b{re.escape(p)}\b", text)]
    assert not missing or short in CONTRACTS, f"say what they are: {missing}"
    if short in CONTRACTS:
        assert re.search(rf"\b{short}\b", (ROOT / CONTRACTS[short]).read_text(encoding="utf-8"))
    else:
        assert ">>>" in text or short in made(), "give it an example, or the function that makes it"
