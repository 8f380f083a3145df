"""Pictures of a Solution and of a validation report. Colours are those safe for colour-blind readers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.errors import InputError, StorageError, unknown
from wflow.measures import GridDensity, Particles

if TYPE_CHECKING:
    from wflow.solution import Solution

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def new_figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure of panels that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.atleast_1d(figure.subplots(rows, columns)).ravel()


def plot_solution(solution: Solution, path: str | None = None) -> Any:
    """Risk, free energy and the evolution of the law, side by side.

    Raises
    ------
    InputError
        when no frame was saved
    """
    if solution.t.size == 0:
        raise InputError("no frame was saved, so there is nothing to draw: carry the run on first")
    figure, (left, middle, right) = new_figure(3)
    a = solution.attributes
    name = a.get("system") or "user flow"
    figure.suptitle(f"{name} · {a.get('method', '')}", fontsize=11)
    _curve(left, solution, "risk", BLUE, "risk R [loss]")
    free = solution.series.get("free_energy", np.array([np.nan]))
    if np.isfinite(free).any():
        _curve(middle, solution, "free_energy", ORANGE, "free energy F [loss]")
    elif "loss" in solution.steps:
        middle.plot(solution.steps["t"], solution.steps["loss"], color=GREY, lw=0.8)
        middle.set(xlabel="time t", ylabel="training loss of recent samples [loss]")
    else:
        middle.text(0.5, 0.5, "particles with noise\nhave no entropy:\nF is undefined", ha="center")
        middle.set_axis_off()
    draw_law(right, solution)
    if path is not None:
        save_figure(figure, path)
    return figure


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
    except OSError as e:
        raise StorageError(f"{path} cannot be written ({e.strerror or e})") from None


def _curve(axis: Any, solution: Solution, name: str, colour: str, label: str) -> None:
    if name in solution.steps and solution.steps[name].size:
        t = np.concatenate([solution.t[:1], solution.steps["t"]])
        axis.plot(
            t,
            np.concatenate([solution.series[name][:1], solution.steps[name]]),
            color=colour,
            lw=1.4,
        )
    marks = "o" if solution.t.size <= 60 else ","
    line = "-" if name not in solution.steps else ""
    axis.plot(solution.t, solution.series[name], marks, ls=line or "none", ms=4, color=colour)
    axis.set(xlabel="time t", ylabel=label)
    values = solution.series[name]
    good = values[np.isfinite(values)]
    if good.size and good.min() > 0 and good.max() > 100 * good.min():
        axis.set_yscale("log")
    axis.grid(alpha=0.3)


def draw_law(axis: Any, solution: Solution) -> None:
    """The law at saved times: densities on one axis, or histograms of one coordinate or of |θ|."""
    import matplotlib

    n = solution.t.size
    shown = range(n) if n <= 8 else sorted({int(i) for i in np.linspace(0, n - 1, 8)})
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(shown)))
    peak, low, high = 0.0, np.inf, -np.inf
    label = "θ"
    for i, colour in zip(shown, colours, strict=True):
        measure = solution.measures[i]
        x, density, label = law_curve(measure)
        axis.plot(x, density, color=colour, lw=1.3, label=f"t = {solution.t[i]:.3g}")
        peak = max(peak, float(np.quantile(density, 0.995)))
        seen = x[density > 1e-3 * density.max()]
        low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    margin = 0.05 * (high - low) or 0.05
    axis.set(xlim=(low - margin, high + margin), ylim=(0, 1.15 * peak or 1))
    axis.set(xlabel=label, ylabel=f"density [1/{label.split()[0]}]")
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def law_curve(measure: GridDensity | Particles) -> tuple[np.ndarray, np.ndarray, str]:
    """Abscissae, density and label of a measure seen along one axis.

    A grid of several axes is shown by its first marginal; particles of several coordinates by |θ|.
    """
    names = tuple(measure.names)
    if isinstance(measure, GridDensity):
        density, widths = measure.density, measure.widths
        for k in range(measure.dimension - 1, 0, -1):
            density = density @ widths[k]
        return measure.centers[0], density, _axis_label(names[0])
    points, weights = measure.points(), measure.weights()
    if points.shape[1] == 1:
        x, label = points[:, 0], _axis_label(names[0])
    else:
        x, label = np.linalg.norm(points, axis=1), "|θ|  [parameter]"
    low, high = float(x.min()), float(x.max())
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.05, high + 0.05
    bins = int(np.clip(np.sqrt(x.size), 12, 60))
    height, edges = np.histogram(x, bins=bins, range=(low, high), weights=weights)
    return 0.5 * (edges[1:] + edges[:-1]), height / np.diff(edges), label


def _axis_label(name: str) -> str:
    return {"r": "r = |w|  [parameter]"}.get(name, f"{name}  [parameter]")
