"""The validation figure: does the limit predict the networks, at a glance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.results.plotting import time_axis, value_axis
from wflow.tools.pictures import BLUE, GREEN, GREY, new_figure, save_figure
from wflow.views.drawing import ceiling, mark_cut, widened

if TYPE_CHECKING:
    from wflow.validation.report import Report


MARKS = ("o", "s", "^", "D", "v", "P")


def plot_report(report: Report, path: str | os.PathLike[str] | None = None) -> Any:
    """Risk with bands, the law at four times, and the error against N."""
    figure, axes = new_figure(3)
    inside = ", ".join(f"{k} = {v}" for k, v in report.parameters.items())
    figure.suptitle(
        f"{report.system} ({inside}): mean-field limit and SGD, {report.risk.shape[2]} seeds a size",
        fontsize=11,
    )
    _risk(axes[0], report)
    _laws(axes[1], report)
    _error(axes[2], report)
    if path is not None:
        save_figure(figure, path)
    return figure


def _shades(count: int) -> Any:
    """Oranges from light to dark, all of them visible on white."""
    import matplotlib

    return matplotlib.colormaps["Oranges"](np.linspace(0.45 if count > 1 else 0.75, 0.9, count))


def _risk(axis: Any, report: Report) -> None:
    j = report.finest
    mean, error = report.mean()[:, j], report.standard_error()[:, j]
    shades = _shades(report.neurons.size)
    for (kind, solution), line in zip(report.limits.items(), ("-", "--"), strict=False):
        t, risk = solution.t, solution.risk
        if "risk" in solution.steps:
            t = np.concatenate([t, solution.steps["t"]])
            order = np.argsort(t, kind="stable")
            t, risk = t[order], np.concatenate([risk, solution.steps["risk"]])[order]
        colour = BLUE if kind == "grid" else GREEN
        axis.plot(t, risk, line, color=colour, lw=1.4, label=f"limit, {kind}")
    for i, n in enumerate(report.neurons):
        axis.errorbar(
            report.t,
            mean[i],
            3 * error[i],
            fmt=MARKS[i % len(MARKS)],
            ms=4,
            capsize=2,
            color=shades[i],
            label=f"SGD, N = {n}, mean ± 3 s.e.",
        )
    value_axis(axis)
    time_axis(axis, report.t)
    axis.set(xlabel="time t = steps × step size", ylabel="risk R [loss]")
    title = f"step size {report.step_sizes[j]:g}"
    axis.legend(fontsize=7, frameon=False, title=title, title_fontsize=7)
    axis.grid(alpha=0.3)


def _laws(axis: Any, report: Report) -> None:
    import matplotlib

    reference = report.limits.get("grid") or report.limits["particles"]
    picks = sorted({int(i) for i in np.linspace(0, report.t.size - 1, 4)})
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(picks)))
    curves = [reference.view.curve(reference.measures[k]) for k in picks]
    heights = [density for _, density, _ in curves]
    low, high = np.inf, -np.inf
    for k, colour, (x, density, _) in zip(picks, colours, curves, strict=True):
        axis.plot(x, density, color=colour, lw=1.5, label=f"t = {report.t[k]:.3g}")
        seen = x[density > 1e-3 * density.max()]
        spans = [seen]
        if report.laws.size:
            # Of several coordinates the first is shown on a grid's marginal, |θ| on particles, as by the views.
            laws = report.laws[:, k]
            first = laws.shape[-1] == 1 or "grid" in report.limits
            neurons = laws[..., 0] if first else np.linalg.norm(laws, axis=-1)
            height, edges = np.histogram(neurons.ravel(), bins=40, density=True)
            axis.stairs(height, edges, fill=True, color=colour, alpha=0.3)
            spans.append(edges)
            heights.append(height)
        low = min(low, *(float(s.min()) for s in spans))
        high = max(high, *(float(s.max()) for s in spans))
    top = 1.3 * ceiling(heights)[0]
    for (x, density, _), colour in zip(curves, colours, strict=True):
        if density.max() > top:
            mark_cut(axis, x, density, top, colour)
    label = curves[0][2]
    axis.set(xlim=widened(low, high), ylim=(0, top))
    axis.set(xlabel=label, ylabel=f"density [1/{_unit(label)}]")
    shown = f"line: limit, bars: SGD, N = {report.neurons.max()}"
    axis.legend(fontsize=7, frameon=False, title=shown, title_fontsize=7)
    axis.grid(alpha=0.3)


def _unit(label: str) -> str:
    """What stands in brackets at the end of an axis label."""
    return label.rpartition("[")[2].rstrip("]") or "parameter"


def _error(axis: Any, report: Report) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    n = report.neurons.astype(float)
    shades = _shades(report.step_sizes.size)
    for j, e in enumerate(report.step_sizes):
        axis.loglog(
            n,
            report.sup_gap()[:, j],
            f"{MARKS[j % len(MARKS)]}-",
            ms=4,
            color=shades[j],
            label=f"mean sup|R_N − R| [loss], step size {e:g}",
        )
    j = report.finest
    several = f", step size {report.step_sizes[j]:g}" if report.step_sizes.size > 1 else ""
    bias = np.abs(report.gap()[:, j]).mean(axis=-1)
    axis.loglog(n, bias, "s-", ms=4, color=BLUE, label=f"|mean R_N − R| [loss]{several}")
    if np.isfinite(report.distance).all():
        distance = report.distance[:, j].mean(axis=(1, 2))
        label = f"mean W2 to the limit's law [parameter]{several}"
        axis.loglog(n, distance, "^-", ms=4, color=GREEN, label=label)
    if n.size > 1:
        for power, line, scale in (
            (-0.5, ":", report.sup_gap()[0, j]),
            (-1.0, "--", bias[0]),
        ):
            guide = scale * (n / n[0]) ** power
            axis.loglog(n, guide, line, color=GREY, lw=1, label=f"slope {power:g}")
    axis.xaxis.set_major_locator(FixedLocator(n.tolist()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    low, high = axis.get_ylim()
    # Room above the curves for the legend, two fifths of the panel.
    axis.set_ylim(low, high * (high / low) ** 0.7)
    axis.set(xlabel="neurons N", ylabel="error [units in the legend]")
    axis.legend(fontsize=7, frameon=False, loc="upper right")
    axis.grid(alpha=0.3, which="both")
