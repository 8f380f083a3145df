"""Pictures of a Solution and of a validation report. Colours are those safe for colour-blind readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.errors import InputError
from wflow.tools.pictures import BLUE, GREY, ORANGE, new_figure, save_figure

if TYPE_CHECKING:
    from wflow.results.solution import Solution


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
    others = [k for k in solution.series if k.endswith("_risk")]
    for name, colour in zip(others, (ORANGE, GREY) * len(others), strict=False):
        left.plot(solution.t, solution.series[name], "s--", ms=4, lw=1.2, color=colour, label=name)
    if others:
        left.legend(fontsize=7, frameon=False)
    free = solution.series.get("free_energy", np.array([np.nan]))
    if np.isfinite(free).any():
        _curve(middle, solution, "free_energy", ORANGE, "free energy F [loss]")
    elif "loss" in solution.steps:
        middle.plot(solution.steps["t"], solution.steps["loss"], color=GREY, lw=0.8)
        middle.set(xlabel="time t", ylabel="training loss of recent samples [loss]")
    else:
        middle.text(0.5, 0.5, "particles with noise\nhave no entropy:\nF is undefined", ha="center")
        middle.set_axis_off()
    solution.view.draw(right, solution)
    if path is not None:
        save_figure(figure, path)
    return figure


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
