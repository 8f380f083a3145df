"""Figures that need no display: the house's colours, panels, captions of what was computed, and writing to a file."""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, unknown
from wflow.tools.checks import check_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"

SYMBOLS = {
    "delta": "Δ",
    "deltas": "Δ",
    "kappa": "κ",
    "kappas": "κ",
    "neurons": "N",
    "n_neurons": "N",
    "step_size": "ε",
    "step_sizes": "ε",
    "temperature": "τ",
    "ridge": "λ",
    "batch_size": "batch",
}
"""What parameters are called on pictures, where it is not their own name."""
FEW = 6
"""Values of a list that are all named."""
PER_INCH = 16
"""Letters of a caption an inch."""


def new_figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure of panels that needs no display, and shows itself where it is a notebook cell's last value.

    Raises
    ------
    StorageError
        where matplotlib finds no folder for its cache
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except OSError as e:
        why = " ".join(str(e).split())[:120]
        raise StorageError(
            f"matplotlib cannot start ({why}): set MPLCONFIGDIR to a folder that can be written"
        ) from None

    figure: Any = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    # Notebooks know how to show matplotlib's figures only once pyplot is there.
    figure._repr_png_ = partial(as_png, figure)
    return figure, np.atleast_1d(figure.subplots(rows, columns)).ravel()


def as_png(figure: Any) -> bytes:
    """A figure's picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def facts(values: Mapping[str, Any]) -> str:
    """Parameters and sizes in words.

    >>> facts({"d": "inf", "neurons": (100, 800), "step_size": 1e-6})
    'd = ∞, N = 100, 800, ε = 1e-06'
    >>> facts({"batch_size": [[0.0, 16], [2.5, "full"]]})
    'batch = (0, 16), (2.5, full)'
    """
    names = {k: SYMBOLS.get(k, k.replace("_", " ")) for k in values}
    return ", ".join(f"{names[k]} = {_said(v)}" for k, v in values.items())


def _said(value: Any) -> str:
    if isinstance(value, tuple | list):
        if len(value) > FEW:
            return f"{_said(value[0])} … {_said(value[-1])} ({len(value)} values)"
        inner = isinstance(value[0], tuple | list) if value else False
        return ", ".join(f"({_said(v)})" if inner else _said(v) for v in value)
    if isinstance(value, dict):  # a function of the user's own, by its name
        return str(value.get("function", value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "∞" if value == "inf" else str(value)
    return "∞" if math.isinf(value) else f"{value:g}"


def caption(figure: Any, text: str) -> None:
    """What was computed, below the panels."""
    width = int(PER_INCH * figure.get_size_inches()[0])
    figure.supxlabel("\n".join(textwrap.wrap(text, width)), fontsize=7, color=GREY)


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format its name ends in.

    Raises
    ------
    InputError
        for an ending that is no picture format
    StorageError
        when the file cannot be written
    """
    path = check_path("path", path)
    known = figure.canvas.get_supported_filetypes()
    ending = path.suffix.lstrip(".").lower()
    if ending not in known:
        raise unknown("picture format", ending, known)
    try:
        figure.savefig(path, dpi=140)
    except ValueError as e:  # a name, from a file say, that is no mathematics between its $
        why = " ".join(str(e).split())[:100]
        raise InputError(f"{path} cannot be drawn ({why}): give names without $") from None
    except OSError as e:
        raise StorageError(f"{path} cannot be written ({e.strerror or e})") from None
