"""Pictures of a Solution and of a validation report. Colours are those safe for colour-blind readers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.errors import InputError, StorageError, unknown
from wflow.measures import GridDensity, Particles

if TYPE_CHECKING:
    from wflow.results.solution import Solution

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
    if solution.measures[0].dimension == 1:
        draw_law(right, solution)
    else:
        draw_plane(figure, right, solution)
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
        # Saved frames lie between steps: the curve runs through both.
        t = np.concatenate([solution.t, solution.steps["t"]])
        values = np.concatenate([solution.series[name], solution.steps[name]])
        order = np.argsort(t, kind="stable")
        axis.plot(t[order], values[order], color=colour, lw=1.4)
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


def draw_plane(figure: Any, axis: Any, solution: Solution) -> None:
    """The last law over two coordinates: a density in colours, or particles beside where they began.

    They are the first two; a grid of three axes is summed over the third, and particles of many coordinates are
    drawn over the first and the length of all others.
    """
    first, last = solution.measures[0], solution.measures[-1]
    names = tuple(last.names)
    axis.set_title(f"law at t = {solution.t[-1]:.3g}", fontsize=9)
    if isinstance(last, GridDensity):
        density = last.density @ last.widths[2] if last.dimension == 3 else last.density
        image = axis.pcolormesh(*last.edges[:2], density.T, cmap="viridis", rasterized=True)
        unit = f"1/({names[0]}·{names[1]})"
        figure.colorbar(image, ax=axis, label=f"density [{unit}]")
        axis.set(xlabel=_axis_label(names[0]), ylabel=_axis_label(names[1]))
        return
    rest = names[1] if last.dimension == 2 else f"|({names[1]}, …, {names[-1]})|"
    for measure, colour, when in ((first, GREY, solution.t[0]), (last, BLUE, solution.t[-1])):
        points, mass = measure.points(), measure.weights()
        up = points[:, 1] if last.dimension == 2 else np.linalg.norm(points[:, 1:], axis=1)
        area = np.clip(12 * mass * mass.size, 1.0, 200.0)
        axis.scatter(
            points[:, 0], up, s=area, color=colour, alpha=0.5, lw=0, label=f"t = {when:.3g}"
        )
    axis.set(xlabel=_axis_label(names[0]), ylabel=f"{rest}  [parameter]")
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
