"""Figures that need no display: the house's colours, panels, and writing them to a file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, unknown

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def new_figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure of panels that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.atleast_1d(figure.subplots(rows, columns)).ravel()


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format its name ends in.

    Raises
    ------
    InputError
        for an ending that is no picture format
    StorageError
        when the file cannot be written
    """
    known = figure.canvas.get_supported_filetypes()
    ending = os.path.splitext(path)[1].lstrip(".").lower()
    if ending not in known:
        raise unknown("picture format", ending, known)
    try:
        figure.savefig(path, dpi=140)
    except ValueError as e:  # a name, from a file say, that is no mathematics between its $
        why = " ".join(str(e).split())[:100]
        raise InputError(f"{path} cannot be drawn ({why}): give names without $") from None
    except OSError as e:
        raise StorageError(f"{path} cannot be written ({e.strerror or e})") from None
