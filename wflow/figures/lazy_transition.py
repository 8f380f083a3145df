"""From mean field to lazy training: one problem, its outputs scaled by s."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.figures.parts.lazy_problem import (
    LAZY,
    PART,
    Problem,
    layered_gaps,
    planar_teacher,
    see,
    slopes,
    ways,
)
from wflow.results.labelled import Labelled
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

STARTS = ("plain", "doubled", "three layers")
COLOURS, MARKS = (BLUE, ORANGE, GREEN), "osv"


@figure
class Transition(Figure):
    """Networks whose outputs are scaled by s, beside their linearisation, which the limit of large s is."""

    name = "lazy-transition"
    title = "one problem from mean field to lazy training"
    source = (
        "Chizat, Oyallon & Bach, arXiv:1812.07956, sections 2 and 3, figures 1 and 2, s for their α"
    )
    published = {  # noqa: RUF012
        "scales": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
        "seeds": 5,
        "n_neurons": 200,
        "n_samples": 200,
        "d": 10,
        "t_end": 300.0,
        "n_times": 31,
    }
    reduced = {  # noqa: RUF012
        "scales": (1.0, 16.0, 32.0, 64.0),
        "seeds": 3,
        "n_neurons": 20,
        "n_samples": 20,
        "d": 3,
        "t_end": 20.0,
        "n_times": 9,
    }

    def compute(
        self,
        *,
        scales: tuple[float, ...],
        seeds: int,
        n_neurons: int,
        n_samples: int,
        d: int,
        t_end: float,
        n_times: int,
    ) -> Results:
        t = np.concatenate([[0.0], np.geomspace(t_end / 1000, t_end, n_times)])
        problems = [Problem(d, n_samples, n_neurons, seed) for seed in range(seeds)]
        starts = (False, True)
        jobs = [partial(see, p, s, t, twice) for twice in starts for s in scales for p in problems]
        found = side_by_side(jobs)
        kernels = [p.kernel_flow(t) for p in problems]
        layered = side_by_side([partial(layered_gaps, scales, t, p.seed) for p in problems])
        paths = side_by_side([partial(ways, s, t) for s in (scales[0], scales[-1])])

        def each(what: str) -> np.ndarray:
            values = np.array([getattr(one, what) for one in found])
            return values.reshape(len(starts), len(scales), seeds, *values.shape[1:])

        gap = np.concatenate([each("gap"), np.array(layered).T[None]])
        of, words = ("doubled", "s", "seed"), "largest gap between network and linearisation"
        arrays = {
            "s": Labelled(np.array(scales), ("s",), "1", "scale of the outputs"),
            "t": Labelled(t, ("t",), "time"),
            "gap": Labelled(gap, ("start", "s", "seed"), "1", words),
            "parted": Labelled(each("parted"), of, "time", "NaN: not by the end"),
            "risk": Labelled(each("risk"), (*of, "t"), "1", "training risk"),
            "test": Labelled(each("test"), of, "1", "test risk at the end"),
            "moved": Labelled(each("moved"), of, "1", "root mean square way of the neurons"),
            "risk_kernel": Labelled(np.array([risk for risk, _ in kernels]), ("seed", "t"), "1"),
            "test_kernel": Labelled(np.array([test for _, test in kernels]), ("seed",), "1"),
            "way": Labelled(
                np.array(paths), ("end", "t", "neuron", "axis"), "1", "|a| w of neurons"
            ),
        }
        return Results(arrays, _findings(arrays))

    def draw(self, results: Results) -> Any:
        s, t = results["s"], results["t"]
        seeds = results["gap"].shape[2]
        picture, axes = new_figure(3, 2)
        picture.suptitle(
            f"f = s(∫σ*dρ − f₀): mean field at small s, lazy at large; means and s.e. of {seeds} seeds",
            fontsize=11,
        )
        _risks(axes[0], results)
        for gap, name, colour, mark in zip(results["gap"], STARTS, COLOURS, MARKS, strict=True):
            fit = slopes(s, gap)
            label = f"{name}: s^({fit.mean():.2f} ± {fit.std(ddof=1) / np.sqrt(seeds):.2f})"
            mean, error = mean_and_error(gap.T)
            axes[1].errorbar(s, mean, error, fmt=f"{mark}-", ms=4, lw=1, color=colour, label=label)
        for start, power in ((0, -1), (1, -2)):
            end = results["gap"][start, -1].mean()
            axes[1].plot(s, 0.5 * end * (s / s[-1]) ** power, "--", color=GREY, lw=0.8)
        axes[1].set(ylim=(0.2 * results["gap"].min(), None), ylabel="sup |f − linearised f|  [1]")
        axes[1].set_title("largest gap over time and samples (dashed: 1/s, 1/s²)", fontsize=9)
        for k in (0, 1):
            parted = results["parted"][k]
            whole = ~np.isnan(parted).any(axis=1)
            mean, error = mean_and_error(parted[whole].T)
            axes[2].errorbar(
                s[whole],
                mean,
                error,
                fmt=f"{MARKS[k]}-",
                ms=4,
                lw=1,
                color=COLOURS[k],
                label=STARTS[k],
            )
        axes[2].set(ylabel=f"time of a gap of {PART:g} max |y|  [time]")
        axes[2].set_title(
            f"parting; no mark: a seed's gap stays below until t = {t[-1]:g}", fontsize=9
        )
        _tests(axes[3], results)
        for axis, way, scale in zip(axes[4:], results["way"], (s[0], s[-1]), strict=True):
            _plane(axis, way, scale)
        for axis in axes[:4]:
            axis.set(xscale="log", yscale="log")
            if axis is not axes[0]:
                axis.set(xlabel="scale s", xlim=(s[0] / 1.5, s[-1] * 1.5))
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def _risks(axis: Any, results: Results) -> None:
    """Training risk against time at every other scale, and of the kernel flow."""
    from matplotlib import colormaps

    s, t = results["s"], results["t"]
    shown = range(0, s.size, max(1, s.size // 5))
    for k, place in zip(shown, np.linspace(0.0, 0.9, len(shown)), strict=True):
        mean, error = mean_and_error(results["risk"][0, k])
        colour = colormaps["viridis"](place)
        axis.plot(t[1:], mean[1:], color=colour, lw=1.3, label=f"s = {s[k]:g}")
        axis.fill_between(
            t[1:], (mean - error)[1:], (mean + error)[1:], color=colour, alpha=0.2, lw=0
        )
    axis.plot(t[1:], results["risk_kernel"].mean(axis=0)[1:], "k--", lw=1, label="kernel flow")
    axis.set(xlabel="time t", ylabel="training risk E(f − y)²  [1]")
    axis.set_title("how the risk falls (plain start)", fontsize=9)


def _tests(axis: Any, results: Results) -> None:
    s, t = results["s"], results["t"]
    for k in (0, 1):
        for what, style, words in (("test", "-", "test"), ("risk", ":", "training")):
            values = results[what][k] if what == "test" else results[what][k][..., -1]
            mean, error = mean_and_error(values.T)
            label = f"{words}, {STARTS[k]}"
            axis.errorbar(
                s, mean, error, fmt=f"{MARKS[k]}{style}", ms=4, lw=1, color=COLOURS[k], label=label
            )
    for what, style in (("test_kernel", "-"), ("risk_kernel", ":")):
        values = results[what] if what == "test_kernel" else results[what][:, -1]
        axis.axhline(
            values.mean(),
            color=GREY,
            ls=style,
            lw=1,
            label=f"kernel flow, {'test' if style == '-' else 'training'}",
        )
    axis.set(ylabel="risk E(f − y)²  [1]")
    axis.set_title(f"what is learnt by t = {t[-1]:g}", fontsize=9)


def _plane(axis: Any, way: np.ndarray, scale: float) -> None:
    """Ways of neurons in the plane, with the teacher's directions."""
    axis.plot(*way.transpose(2, 0, 1), color=BLUE, lw=0.6, alpha=0.7)
    axis.plot(*way[0].T, ".", color=GREY, ms=3, label="start")
    axis.plot(*way[-1].T, ".", color=ORANGE, ms=4, label="end")
    reach = 1.05 * np.abs(way).max()
    for k, u in enumerate(planar_teacher()):
        label = "teacher's directions" if k == 0 else None
        axis.plot([0.0, reach * u[0]], [0.0, reach * u[1]], "k--", lw=0.7, label=label)
    axis.set(xlabel="|a| w₁  [1]", ylabel="|a| w₂  [1]")
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_title(f"two inputs: ways of neurons at s = {scale:g}", fontsize=9)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, frameon=False)


def _findings(arrays: dict[str, Labelled]) -> list[str]:
    value = {name: array.values for name, array in arrays.items()}
    s, said = value["s"], []
    for name, gap in zip(STARTS, value["gap"], strict=True):
        fit = slopes(s, gap)
        error = fit.std(ddof=1) / np.sqrt(fit.size)
        said.append(
            f"{name}: the largest gap goes with s to the power {fit.mean():.3f} ± {error:.3f} from s = "
            f"{s[s >= LAZY][0]:g} on, {gap[-1].mean():.2g} at s = {s[-1]:g}"
        )
    for name, test, moved in zip(STARTS, value["test"], value["moved"], strict=False):
        (low, off), (high, off_high) = (mean_and_error(test[k]) for k in (0, -1))
        said.append(
            f"{name}: test risk {low:.4f} ± {off:.4f} at s = {s[0]:g}, {high:.4f} ± {off_high:.4f} at s = {s[-1]:g}; "
            f"neurons move by {moved[0].mean():.2g} and {moved[-1].mean():.2g}"
        )
    mean, error = mean_and_error(value["test_kernel"])
    said.append(f"kernel flow: test risk {mean:.4f} ± {error:.4f}")
    return said
