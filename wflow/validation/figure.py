"""The validation figure: does the limit predict the networks, at a glance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.plotting import BLUE, GREEN, GREY, ORANGE, law_curve, new_figure

if TYPE_CHECKING:
    from wflow.validation.report import Report


def plot_report(report: Report, path: str | os.PathLike[str] | None = None) -> Any:
    """Risk with bands, the law at four times, and the error against N."""
    figure, axes = new_figure(3)
    inside = ", ".join(f"{k} = {v}" for k, v in report.parameters.items())
    figure.suptitle(f"{report.system} ({inside}): mean-field limit and SGD", fontsize=11)
    _risk(axes[0], report)
    _laws(axes[1], report)
    _error(axes[2], report)
    if path is not None:
        figure.savefig(path, dpi=140)
    return figure


def _risk(axis: Any, report: Report) -> None:
    mean, error = report.mean()[:, 0], report.standard_error()[:, 0]
    shades = np.linspace(0.35, 1.0, report.neurons.size)
    for i, n in enumerate(report.neurons):
        axis.errorbar(
            report.t,
            mean[i],
            3 * error[i],
            fmt="o",
            ms=3.5,
            capsize=2,
            color=ORANGE,
            alpha=shades[i],
            label=f"SGD, N = {n}, mean ± 3 s.e.",
        )
    for (kind, solution), line in zip(report.limits.items(), ("-", "--"), strict=False):
        t = np.concatenate([solution.t[:1], solution.steps["t"]])
        r = np.concatenate([solution.risk[:1], solution.steps["risk"]])
        axis.plot(
            t, r, line, color=BLUE if kind == "grid" else GREEN, lw=1.4, label=f"limit, {kind}"
        )
    positive = report.t[report.t > 0]
    if positive.size and positive[-1] > 30 * positive[0]:
        axis.set_xscale("symlog", linthresh=float(positive[0]), linscale=0.4)
    axis.set(xlabel="time t = k × step size", ylabel="risk R [loss]", xlim=(0, None))
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _laws(axis: Any, report: Report) -> None:
    import matplotlib

    reference = report.limits.get("grid") or report.limits["particles"]
    picks = sorted({int(i) for i in np.linspace(0, report.t.size - 1, 4)})
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(picks)))
    top = 0.0
    label = ""
    for k, colour in zip(picks, colours, strict=True):
        x, density, label = law_curve(reference.measures[k])
        axis.plot(x, density, color=colour, lw=1.5, label=f"t = {report.t[k]:.3g}")
        if report.laws.size and report.laws.shape[-1] == 1:
            neurons = report.laws[:, k, :, 0].ravel()
            height, edges = np.histogram(neurons, bins=60, density=True)
            axis.stairs(height, edges, fill=True, color=colour, alpha=0.3)
            top = max(top, float(height.max()))
    if report.laws.size:
        axis.set(xlim=(0, 1.1 * float(report.laws.max())), ylim=(0, 1.25 * top or None))
    axis.set(xlabel=label, ylabel="density [1/parameter]")
    axis.legend(fontsize=7, frameon=False, title="line: limit, bars: SGD", title_fontsize=7)
    axis.grid(alpha=0.3)


def _error(axis: Any, report: Report) -> None:
    for j, e in enumerate(report.step_sizes):
        axis.loglog(
            report.neurons,
            report.sup_gap()[:, j],
            "o-",
            color=ORANGE,
            alpha=1 - 0.25 * j,
            label=f"mean sup|R_N − R|, step size {e:g}",
        )
    bias = np.abs(report.gap()[:, 0]).mean(axis=-1)
    axis.loglog(report.neurons, bias, "s-", color=BLUE, label="|mean R_N − R|")
    if np.isfinite(report.distance).all():
        axis.loglog(
            report.neurons,
            report.distance[:, 0].mean(axis=(1, 2)),
            "^-",
            color=GREEN,
            label="W2 to the limit's law [parameter]",
        )
    n = report.neurons.astype(float)
    for power, line, scale in ((-0.5, ":", report.sup_gap()[0, 0]), (-1.0, "--", bias[0])):
        axis.loglog(
            n, scale * (n / n[0]) ** power, line, color=GREY, lw=1, label=f"slope {power:g}"
        )
    axis.set(xlabel="neurons N", ylabel="error [loss]")
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3, which="both")
