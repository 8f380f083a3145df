"""The validation figure: does the limit predict the networks, at a glance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.results.plotting import chosen_parameters, time_axis, value_axis
from wflow.tools.pictures import BLUE, GREEN, caption, facts, new_figure, save_figure
from wflow.validation.powers import against_n, draw_rates, guides
from wflow.validation.verdicts import failures, headline
from wflow.views.drawing import ARROW, bins_over, draw_curve, explain, frame_curves

if TYPE_CHECKING:
    from wflow.validation.report import Report


MARKS = ("o", "s", "^", "D", "v", "P")


def plot_report(report: Report, path: str | os.PathLike[str] | None = None) -> Any:
    """Risk with bands, the law at four times, and errors in risk and law against N, of the study if there is one."""
    known = bool(np.isfinite(report.distance).all())
    study = report.rates is not None
    figure, axes = new_figure(4 if study or known else 3)
    figure.suptitle(
        f"{report.system}: mean-field limit and SGD, {headline(report.verdicts)}", fontsize=11
    )
    sizes = {
        "neurons": report.neurons.tolist(),
        "step_size": report.step_sizes.tolist(),
        "batch_size": report.batch_size,
    }
    inside = chosen_parameters(report.parameters) | sizes
    text = f"{facts(inside)}, {report.risk.shape[2]} seeds a size"
    caption(figure, text + failures(report.verdicts))
    _risk(axes[0], report)
    _laws(axes[1], report)
    if report.rates is not None:
        draw_rates(axes[2:4], report.rates)
    else:
        _error(axes[2], report)
        if known:
            _distance(axes[3], report)
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
        reach = report.limit_errors[kind]
        axis.fill_between(
            solution.t, solution.risk - reach, solution.risk + reach, color=colour, alpha=0.25, lw=0
        )
    for i, n in enumerate(report.neurons):
        axis.errorbar(
            report.t,
            mean[i],
            3 * error[i],
            fmt=MARKS[i % len(MARKS)],
            # Smaller as networks grow, so that equal means are all seen.
            ms=max(3, 7 - 2 * i),
            capsize=2,
            color=shades[i],
            label=f"SGD, N = {n}, mean ± 3 s.e.",
        )
    expected, unsure = report.expected()
    if np.isfinite(expected).any():
        for i, n in enumerate(report.neurons):
            # Of its own start's flow, where that is what it is held against.
            at = report.own[i].mean(axis=0) if report.own.size else report.limit_risk
            label = f"expected mean, N = {n}"
            axis.errorbar(
                report.t,
                at + expected[i],
                unsure[i],
                fmt="_",
                ms=12,
                lw=1.2,
                color="black",
                label=label,
            )
    value_axis(axis)
    time_axis(axis, report.t)
    axis.set(xlabel="time t = steps × step size", ylabel="risk R [loss]")
    title = f"step size {report.step_sizes[j]:g}"
    axis.legend(fontsize=7, frameon=False, title=title, title_fontsize=7)
    axis.grid(alpha=0.3)


def _laws(axis: Any, report: Report) -> None:
    import matplotlib

    reference_name = "grid" if "grid" in report.limits else "particles"
    reference = report.limits[reference_name]
    if not len(reference.measures):
        axis.text(0.5, 0.5, "the law of the limit\nis not in the file", ha="center")
        axis.set_axis_off()
        return
    picks = sorted({int(i) for i in np.linspace(0, report.t.size - 1, 4)})
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(picks)))
    curves = [reference.view.curve(reference.measures[k]) for k in picks]
    bars = []
    if report.laws.size:
        # Of several coordinates the first is shown on a grid's marginal, |θ| on particles, as by the views.
        first = report.laws.shape[-1] == 1 or "grid" in report.limits
        for k in picks:
            laws = report.laws[:, k]
            neurons = laws[..., 0] if first else np.linalg.norm(laws, axis=-1)
            many, low, high = bins_over(neurons, 40)
            bars.append(np.histogram(neurons.ravel(), many, (low, high), density=True))
    top = frame_curves(axis, curves, (height for height, _ in bars))
    # Of the law where it is seen, and of every neuron.
    ends = [*axis.get_xlim(), *(x for _, edges in bars for x in (edges[0], edges[-1]))]
    axis.set_xlim(min(ends), max(ends))
    for i, (k, colour, (x, density, _)) in enumerate(zip(picks, colours, curves, strict=True)):
        draw_curve(axis, x, density, top, colour, f"t = {report.t[k]:.3g}")
        if bars:
            height, edges = bars[i]
            axis.stairs(height, edges, fill=True, color=colour, alpha=0.3)
            if height.max() > top:
                at = int(height.argmax())
                axis.plot(
                    [0.5 * (edges[at] + edges[at + 1])], [top], color=colour, mfc="white", **ARROW
                )
                axis.plot(
                    [], [], "s", color=colour, alpha=0.3, label=f"its bars, peak {height.max():.3g}"
                )
    label = curves[0][2]
    axis.set_ylabel(f"density [1/{_unit(label)}]")
    shown = f"line: limit ({reference_name}), bars: SGD, N = {report.neurons.max()}"
    explain(axis, shown)
    axis.grid(alpha=0.3)


def _unit(label: str) -> str:
    """What stands in brackets at the end of an axis label."""
    return label.rpartition("[")[2].rstrip("]") or "parameter"


def _error(axis: Any, report: Report) -> None:
    """What is off in risk against N, with standard errors over seeds."""
    n = report.neurons.astype(float)
    off = np.abs(report.risk - report.limit_risk).max(axis=-1)
    shades = _shades(report.step_sizes.size)
    for j, e in enumerate(report.step_sizes):
        label = f"mean sup|R_N − R|, ε = {e:g}"
        against_n(
            axis,
            n,
            off[:, j].mean(axis=-1),
            _scatter(off[:, j]),
            shades[j],
            label,
            MARKS[j % len(MARKS)],
        )
    j = report.finest
    bias = np.abs(report.gap()[:, j]).mean(axis=-1)
    # No less than that of one time: at neighbouring times the same networks are off the same way.
    scatter = report.standard_error()[:, j].mean(axis=-1)
    against_n(axis, n, bias, scatter, BLUE, f"|mean R_N − R|, ε = {report.step_sizes[j]:g}", "s")
    guides(axis, n, ((-0.5, ":", report.sup_gap()[0, j]), (-1.0, "--", bias[0])))
    axis.set_ylabel("error in risk [loss], ± s.e.")


def _distance(axis: Any, report: Report) -> None:
    """How far the law of the neurons is from the limit's."""
    n, j = report.neurons.astype(float), report.finest
    far = report.distance[:, j].mean(axis=-1)
    label = f"mean W2 to the limit's law, ε = {report.step_sizes[j]:g}"
    against_n(axis, n, far.mean(axis=-1), _scatter(far), GREEN, label, "^")
    guides(axis, n, ((-0.5, ":", far[0].mean()),))
    axis.set_ylabel("distance of laws [parameter], ± s.e.")


def _scatter(of: np.ndarray) -> np.ndarray:
    """Standard errors over the seeds, the last axis."""
    return np.asarray(of.std(axis=-1, ddof=1) / np.sqrt(of.shape[-1]))
