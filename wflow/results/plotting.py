"""Pictures of a Solution: its risk and free energy over time, and beside them its states, which their view draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wflow.errors import InputError
from wflow.tools.pictures import BLUE, GREY, ORANGE, caption, facts, new_figure, save_figure

if TYPE_CHECKING:
    from wflow.results.solution import Solution

DECADES = 100.0
"""Ratio of the largest to the least value from which an axis is logarithmic."""


class RiskBand(Protocol):
    """Where the risk of a finite network is expected to lie at times t."""

    label: str
    t: np.ndarray
    mean: np.ndarray

    @property
    def low(self) -> np.ndarray: ...

    @property
    def high(self) -> np.ndarray: ...


def plot_solution(solution: Solution, path: str | None = None, band: RiskBand | None = None) -> Any:
    """The risk, the accuracy of classes, the free energy where it says more, and the states, side by side.

    Raises
    ------
    InputError
        when no frame was saved
    """
    refuse_empty(solution)
    free = solution.series.get("free_energy", np.array([np.nan]))
    known = bool(np.isfinite(free).any())
    # Without noise and ridge F = ½R, which is no second picture.
    energetic = known and not np.allclose(free, 0.5 * solution.series["risk"], rtol=1e-9, atol=0.0)
    noisy = "loss" in solution.steps and not energetic
    accurate = any(name.endswith("accuracy") for name in solution.series)
    figure, panels = new_figure(2 + (energetic or noisy) + accurate)
    figure.suptitle(headline(solution), fontsize=11)
    caption(figure, described(solution))
    draw_risks(panels[0], solution)
    if band is not None:
        _draw_band(panels[0], solution, band)
    if energetic:
        draw_series(panels[1], solution, "free_energy", ORANGE)
        panels[1].set_ylabel("free energy F [loss]")
    elif noisy:
        t = solution.steps["t"]
        style = {"ls": "-" if t.size > 2 else "none", "marker": "o" if t.size <= 60 else None}
        panels[1].plot(t, solution.steps["loss"], ms=3, color=GREY, lw=0.8, **style)
        panels[1].set(xlabel="time t", ylabel="training loss of recent samples [loss]")
        panels[1].grid(alpha=0.3)
        value_axis(panels[1])
        time_axis(panels[1], solution.t)
        panels[1].set_xlim(panels[0].get_xlim())
    if accurate:
        draw_accuracies(panels[-2], solution)
    if not known:
        why, corner = "F is undefined: particles\nwith noise have no entropy", panels[0].transAxes
        panels[0].text(
            0.97, 0.95, why, fontsize=8, color=GREY, ha="right", va="top", transform=corner
        )
    solution.view.draw(panels[-1], solution)
    if path is not None:
        save_figure(figure, path)
    return figure


def _draw_band(axes: Any, solution: Solution, band: RiskBand) -> None:
    """Mean and two standard deviations to either side, between frames at the curve's distance from them."""
    if not all(hasattr(band, part) for part in ("t", "mean", "low", "high", "label")):
        raise InputError(
            f"band is a {type(band).__name__}: give what wflow.validation.band returns"
        )
    t, risk = _through_steps(solution, "risk")
    low, mean, high = (
        risk + np.interp(t, band.t, values - solution.risk)
        for values in (band.low, band.mean, band.high)
    )
    if axes.get_yscale() == "log":  # what lies below 0 lies below the axis
        low = np.maximum(low, 0.5 * np.min(mean[mean > 0], initial=np.inf))
    axes.fill_between(t, low, high, color=ORANGE, alpha=0.3, lw=0)
    axes.plot(t, mean, "--", color=ORANGE, lw=1.2, label=f"{band.label}, ± 2 s.d.")
    axes.legend(fontsize=8, frameon=False)


def refuse_empty(solution: Solution) -> None:
    """Refuse a solution without frames."""
    if solution.t.size == 0:
        raise InputError("no frame was saved, so there is nothing to draw: carry the run on first")


def headline(solution: Solution) -> str:
    """What ran, and how."""
    about = solution.attributes
    return f"{about.get('system') or 'user flow'} · {about.get('method', '')}"


def described(solution: Solution) -> str:
    """With what parameters, on how many cells or particles: all that a reader needs to run it again."""
    about = solution.attributes
    own = chosen_parameters(about.get("parameters", {}))
    constants = {
        k: about[k] for k in ("temperature", "ridge", "reaction_rate", "decay") if about.get(k)
    }
    options = about.get("method_options", {})
    steps = {k: options[k] for k in ("step_size", "batch_size", "optimizer") if k in options}
    if steps.get("optimizer") == "sgd":
        del steps["optimizer"]
    # A seed counts where there is chance, in methods with steps of their own.
    seed = {"seed": about["seed"]} if steps and "seed" in about else {}
    size = {"N": about["n_neurons"]} if "n_neurons" in about else {}
    counted = "" if size else solution.view.counted(solution.measures[0])
    said = facts(own | size | steps | constants | seed)
    return ", ".join(part for part in (said, counted) if part)


def chosen_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result: not who evaluates it, nor what was left out."""
    return {k: v for k, v in parameters.items() if k != "evaluator" and v not in (None, "")}


def draw_risks(axes: Any, solution: Solution) -> None:
    """The risk and the risks that are observed beside it."""
    draw_series(axes, solution, "risk", BLUE, label="risk")
    others = [name for name in solution.series if name.endswith("_risk")]
    for name, colour in zip(others, (ORANGE, GREY) * len(others), strict=False):
        draw_series(axes, solution, name, colour, label=name)
    axes.set_ylabel("risk R [loss]")
    if others:
        axes.legend(fontsize=8, frameon=False)


def draw_accuracies(axes: Any, solution: Solution) -> None:
    """The shares told right, in training and of what is held out."""
    names = [name for name in solution.series if name.endswith("accuracy")]
    for name, colour in zip(names, (BLUE, ORANGE, GREY) * len(names), strict=False):
        draw_series(axes, solution, name, colour, label=name)
    axes.set(ylabel="share of samples told right [1]", ylim=(None, 1.02), yscale="linear")
    if len(names) > 1:
        axes.legend(fontsize=8, frameon=False)


def draw_series(axes: Any, solution: Solution, name: str, colour: str, **style: Any) -> None:
    """One series over time: a dot a frame, and a line through the steps where they have it."""
    t, values = _through_steps(solution, name)
    # Two points are no curve.
    axes.plot(t, values, ls="-" if t.size > 2 else "none", color=colour, lw=1.4, **style)
    marks = "o" if solution.t.size <= 60 else ","
    axes.plot(solution.t, solution.series[name], marks, ms=4, color=colour)
    axes.set_xlabel("time t")
    axes.grid(alpha=0.3)
    value_axis(axes)
    time_axis(axes, solution.t)


def _through_steps(solution: Solution, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A series at its frames and at the steps between them, where it has these."""
    t, values = solution.t, solution.series[name]
    if name in solution.steps and solution.steps[name].size:
        t = np.concatenate([t, solution.steps["t"]])
        values = np.concatenate([values, solution.steps[name]])
        order = np.argsort(t, kind="stable")
        t, values = t[order], values[order]
    return t, values


def value_axis(axes: Any) -> None:
    """A logarithmic axis of values where those of all curves are positive and span two decades."""
    seen = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    seen = seen[np.isfinite(seen)]
    spread = seen.size > 0 and seen.min() > 0 and seen.max() >= DECADES * seen.min()
    axes.set_yscale("log" if spread else "linear")


def time_axis(axes: Any, t: np.ndarray) -> None:
    """A logarithmic axis of time where the saved times span two decades and are evener on it than on a linear one.

    Up to the first time after 0 it is linear.
    """
    after = t[t > 0]
    if (
        t[0] >= 0
        and after.size > 3
        and after[-1] >= (1 - 1e-9) * DECADES * after[0]
        and _unevenness(np.log(after)) < _unevenness(after)
    ):
        axes.set_xscale("symlog", linthresh=float(after[0]), linscale=0.3)
        axes.set_xlim(-0.2 * float(after[0]), 1.3 * float(after[-1]))


def _unevenness(places: np.ndarray) -> float:
    """The scatter of the gaps between places, relative to their mean."""
    gaps = np.diff(places)
    return float(gaps.std() / gaps.mean())
