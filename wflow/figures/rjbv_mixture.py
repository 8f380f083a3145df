"""A Gaussian mixture learnt by Gaussian units: descent, births and deaths, a base law; in 1 to 10 dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.results.labelled import Labelled
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

CASES = ("descent", "births and deaths", "births from the base law")
RATES, COLOURS = (0.0, 5.0, 5.0), (BLUE, ORANGE, GREEN)
"""Published: probabilities of 0.05|cU| a step of 1e-2."""
LONG = 1e3
"""Steps of a run that are worth a process of its own."""
UNCUT = 20.0
"""Spreads at which the bad start ends: never."""


@figure
class MixtureStarts(Figure):
    """Risk of n units from both starts against time, the function they make and their places, and training in d."""

    name = "rjbv-mixture"
    title = "Gaussian mixture: good and bad start, births and deaths, a base law, d = 1 to 10"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML (2019), mixture of Gaussians"
    published = {  # noqa: RUF012
        "units": 200,
        "seeds": 10,
        "t_good": 30.0,
        "t_bad": 100.0,
        "t_descent": 10.0,
        "step_size": 1e-2,
        "dimensions": (2, 3, 5, 7, 10),
        "t_dimensions": 1000.0,
        "t_reborn": 200.0,
    }
    reduced = {  # noqa: RUF012
        "units": 50,
        "seeds": 2,
        "t_good": 10.0,
        "t_bad": 30.0,
        "t_descent": 3.0,
        "step_size": 5e-2,
        "dimensions": (2, 5),
        "t_dimensions": 200.0,
        "t_reborn": 20.0,
    }

    def compute(
        self,
        *,
        units: int,
        seeds: int,
        t_good: float,
        t_bad: float,
        t_descent: float,
        step_size: float,
        dimensions: Sequence[int],
        t_dimensions: float,
        t_reborn: float,
    ) -> Results:
        ends = {"good": t_good, "bad": t_bad}
        t = {s: _times(end, step_size) for s, end in ends.items()}

        def run(start: str, case: int, seed: int) -> Solution:
            system = get("gaussian-mixture", start=start, seed=seed, cut=UNCUT)
            return births(system, case, units, t[start], step_size, ends[start] - t_descent, seed)

        def in_d(d: int, start: str) -> Solution:
            system = get("gaussian-mixture", dimension=d, start=start)
            saved = _unit(d) * _times(t_dimensions, step_size)
            rho = system.initial("particles", units)
            return solve(system.flow(), rho, (0.0, saved[-1]), t_eval=saved, rtol=1e-4)

        def reborn_in_d(d: int) -> Solution:
            system = get("gaussian-mixture", dimension=d, start="bad")
            saved = _unit(d) * _times(t_reborn, step_size)
            return births(system, 2, units, saved, _unit(d) * step_size, 0.9 * saved[-1], 0)

        jobs = [partial(run, s, k, i) for s in ends for k in range(3) for i in range(seeds)]
        jobs += [partial(in_d, d, s) for d in dimensions for s in ends]
        jobs += [partial(reborn_in_d, d) for d in dimensions]
        runs = side_by_side(jobs, apart=t_bad / step_size > LONG)
        near = runs[: 6 * seeds]
        far, reborn = runs[6 * seeds : -len(dimensions)], runs[-len(dimensions) :]
        by_start = {s: near[k * 3 * seeds : (k + 1) * 3 * seeds] for k, s in enumerate(ends)}
        x = np.linspace(-5.0, 5.0, 401)
        system = get("gaussian-mixture")
        arrays = {
            "x": Labelled(x, ("x",), "input"),
            "reaction_rate": Labelled(np.array(RATES), ("case",), "1/time"),
            "target": Labelled(system.target().values(x[:, None]), ("x",), "output", "f*"),
            "d": Labelled(np.array(dimensions), ("d",), "1", "dimension"),
            "t_d": Labelled(
                _times(t_dimensions, step_size), ("t_d",), "time", "t / (2π)^((d − 1)/2)"
            ),
            "t_reborn": Labelled(_times(t_reborn, step_size), ("t_reborn",), "time", "likewise"),
            "relative": Labelled(
                _by(far, (len(dimensions), 2), _relative),
                ("d", "start", "t_d"),
                "1",
                "R over that of the zero network: descent from the good and the bad start",
            ),
            "relative_reborn": Labelled(
                _by(reborn, (len(dimensions),), _relative),
                ("d", "t_reborn"),
                "1",
                "the same from the bad start, with births from the base law",
            ),
        }
        findings = []
        for start, made in by_start.items():
            risk = _by(made, (3, seeds), lambda r: r.risk)
            axes = ("case", "seed")
            arrays |= {
                f"t_{start}": Labelled(t[start], (f"t_{start}",), "time"),
                f"risk_{start}": Labelled(risk, (*axes, f"t_{start}"), "loss"),
                f"function_{start}": Labelled(
                    _by(made, (3, seeds), lambda r: r.predict(x)),
                    (*axes, "x"),
                    "output",
                    "f at the end",
                ),
                f"units_{start}": Labelled(
                    _by(made, (3, seeds), lambda r: r.measures[-1].points()),
                    (*axes, "unit", "coordinate"),
                    "parameter",
                    "(c, y) at the end",
                ),
            }
            findings += [
                f"{start} start, {case}: R = {r.mean():.2e} at t = {ends[start]:g} "
                f"({r.min():.1e} … {r.max():.1e} over {seeds} seeds)"
                for case, r in zip(CASES, risk[..., -1], strict=True)
            ]
        for d, (good, bad), again in zip(
            dimensions, arrays["relative"].values, arrays["relative_reborn"].values, strict=True
        ):
            findings.append(
                f"d = {d}: R/R_# = {good[-1]:.1e} from the good start and {bad[-1]:.2g} from the bad one at t = "
                f"{t_dimensions:g} (2π)^{(d - 1) / 2:g}; {again[-1]:.1e} from it with births from the base law at "
                f"{t_reborn:g}"
            )
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        picture.suptitle("Gaussian mixture learnt by Gaussian units", fontsize=11)
        for row, start in enumerate(("good", "bad")):
            left, right = axes[3 * row : 3 * row + 2]
            t, risk = results[f"t_{start}"][1:], results[f"risk_{start}"][..., 1:]
            for k, (case, colour) in enumerate(zip(CASES, COLOURS, strict=True)):
                left.fill_between(t, *np.quantile(risk[k], (0, 1), axis=0), color=colour, alpha=0.2)
                label = case + (f", α = {results['reaction_rate'][k]:g}" if k else "")
                left.plot(t, risk[k].mean(axis=0), color=colour, label=label)
                f = results[f"function_{start}"][k, 0]
                right.plot(results["x"], f, color=colour, lw=1.3, label=case)
            left.set(xscale="log", yscale="log", xlabel="time t", ylabel="risk R [loss]")
            left.set_title(f"{start} start: mean of seeds, shade: least to largest", fontsize=9)
            right.plot(results["x"], results["target"], "--", color=GREY, lw=1.5, label="f*")
            right.set(xlabel="input x", ylabel="output f(x)")
            right.set_title(f"{start} start: at t = {t[-1]:g}, first seed", fontsize=9)
        self._draw_dimensions(axes[2], results)
        units = results["units_bad"][:, 0]
        for (c, y), colour, case, mark in zip(
            np.moveaxis(units, -1, 1), COLOURS, CASES, "osx", strict=True
        ):
            axes[5].plot(y, c, mark, color=colour, ms=4, alpha=0.6, label=case)
        axes[5].set(xlabel="place y of a unit  [parameter]", ylabel="charge c  [parameter]")
        axes[5].set_title(
            f"bad start: units at t = {results['t_bad'][-1]:g}, first seed", fontsize=9
        )
        for axis in axes:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture

    @staticmethod
    def _draw_dimensions(axes: Any, results: Results) -> None:
        from matplotlib import colormaps

        shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(results["d"])))
        t, t_reborn = results["t_d"][1:], results["t_reborn"][1:]
        for d, shade, (good, bad), again in zip(
            results["d"], shades, results["relative"], results["relative_reborn"], strict=True
        ):
            axes.loglog(t, good[1:], color=shade, label=f"d = {d}")
            axes.loglog(t, bad[1:], ":", color=shade)
            axes.loglog(t_reborn, again[1:], "--", color=shade)
        for style, name in (("-", "good start"), (":", "bad start"), ("--", "with the base law")):
            axes.plot([], [], style, color=GREY, label=name)
        axes.set(xlabel="time t / (2π)^((d − 1)/2)", ylabel="R / R_#")
        axes.set_title("in d dimensions, relative to the zero network", fontsize=9)


def births(
    system: Any, case: int, units: int, t: np.ndarray, h: float, until: float, seed: int
) -> Solution:
    """The source's births and deaths: linear probabilities without the mean, then descent alone."""
    options = {"step_size": h, "rule": "kill-clone", "centred": False, "probability": "linear"}
    options |= {"until": until, "reinject": case == 2}
    return solve(
        system.flow(reaction_rate=RATES[case]),
        system.initial("particles", units),
        (0.0, t[-1]),
        t_eval=t,
        method="birth-death",
        method_options=options,
        seed=seed,
    )


def _times(end: float, step_size: float) -> np.ndarray:
    """Multiples of the step, about evenly in the logarithm."""
    steps = np.unique(np.geomspace(1.0, end / step_size, 60).round())
    return step_size * np.concatenate([[0.0], steps])


def _unit(d: int) -> float:
    """Rates go with K(y, y) = (2π)^{−d/2} for units of variance ½."""
    return float((2 * np.pi) ** ((d - 1) / 2))


def _relative(run: Solution) -> np.ndarray:
    """R/R_#."""
    about = run.attributes["parameters"]
    return np.asarray(run.risk / get("gaussian-mixture", **about).constant)


def _by(runs: list[Solution], shape: tuple[int, ...], part: Any) -> np.ndarray:
    """What is asked of each run, its shape behind that of the runs."""
    made = np.array([part(r) for r in runs])
    return made.reshape(shape + made.shape[1:])
