"""A Gaussian mixture learnt by Gaussian units: a good start learns it, a bad one rests on a plateau."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.measures import Particles
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

CASES = (("good", 0.0), ("bad", 0.0), ("bad", 1.0))
COLOURS = (BLUE, ORANGE, GREEN)


@figure
class MixtureStarts(Figure):
    """Risk of n units against time, the units' places, and the function they make, from both starts."""

    name = "rjbv-mixture"
    title = "Gaussian mixture: good and bad start, with and without birth-death"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML (2019), mixture of Gaussians"
    published = {"units": 200, "seeds": 5, "t_end": 400.0, "rtol": 1e-6}  # noqa: RUF012
    reduced = {"units": 40, "seeds": 2, "t_end": 40.0, "rtol": 1e-4}  # noqa: RUF012

    def compute(self, *, units: int, seeds: int, t_end: float, rtol: float) -> Results:
        t = np.concatenate([[0.0], np.geomspace(1e-2, t_end, 40)])

        def run(start: str, rate: float, seed: int) -> Any:
            system = get("gaussian-mixture", start=start, seed=seed)
            flow = system.flow(reaction_rate=rate)
            rho = system.initial("particles", units)
            return solve(flow, rho, (0.0, t_end), t_eval=t, rtol=rtol)

        jobs = [partial(run, start, rate, s) for start, rate in CASES for s in range(seeds)]
        runs = side_by_side(jobs)
        by_case = [runs[i * seeds : (i + 1) * seeds] for i in range(len(CASES))]
        x = np.linspace(-5.0, 5.0, 401)
        system = get("gaussian-mixture")
        learnt = np.array(
            [[_function(r.measures[-1], system.variance, x) for r in c] for c in by_case]
        )
        last = [[r.measures[-1] for r in c] for c in by_case]
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "x": Labelled(x, ("x",), "input"),
            "reaction_rate": Labelled(np.array([rate for _, rate in CASES]), ("case",)),
            "risk": Labelled(
                np.array([[r.risk for r in c] for c in by_case]), ("case", "seed", "t"), "loss"
            ),
            "target": Labelled(system.target().values(x[:, None]), ("x",), "output", "f*"),
            "function": Labelled(learnt, ("case", "seed", "x"), "output", "f at the end"),
            "places": Labelled(
                np.array([[m.points() for m in c] for c in last]),
                ("case", "seed", "unit", "coordinate"),
                "parameter",
                "(c, y) at the end",
            ),
            "weights": Labelled(
                np.array([[m.weights() for m in c] for c in last]), ("case", "seed", "unit"), "1"
            ),
        }
        end = arrays["risk"].values[..., -1]
        findings = [
            f"{_label(start, rate)}: R = {end[i].mean():.3e} at t = {t_end:g} "
            f"({end[i].min():.1e} … {end[i].max():.1e} over {seeds} seeds)"
            for i, (start, rate) in enumerate(CASES)
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        picture.suptitle("Gaussian mixture learnt by Gaussian units", fontsize=11)
        t, x, risk = results["t"], results["x"], results["risk"]
        for i, ((start, rate), colour) in enumerate(zip(CASES, COLOURS, strict=True)):
            left.fill_between(
                t[1:], *np.quantile(risk[i, :, 1:], (0, 1), axis=0), color=colour, alpha=0.2
            )
            left.plot(t[1:], risk[i, :, 1:].mean(axis=0), color=colour, label=_label(start, rate))
            middle.plot(x, results["function"][i, 0], color=colour, lw=1.3)
            place, mass = results["places"][i, 0], results["weights"][i, 0]
            right.scatter(
                place[:, 1],
                place[:, 0],
                s=24 * mass * mass.size,
                color=colour,
                alpha=0.45,
                lw=0,
                label=_label(start, rate),
            )
        middle.plot(x, results["target"], "--", color=GREY, lw=1.5, label="f*")
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="risk R [loss]")
        middle.set(xlabel="input x", ylabel="output f(x)")
        right.set(xlabel="place y of a unit  [parameter]", ylabel="charge c  [parameter]")
        left.set_title("mean of seeds, shade: least to largest", fontsize=9)
        middle.set_title("at the end, first seed", fontsize=9)
        right.set_title("units at the end, first seed (area: mass)", fontsize=9)
        for axis in (left, middle, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def _label(start: str, rate: float) -> str:
    return f"{start} start" + (f", birth–death α = {rate:g}" if rate else "")


def _function(measure: Particles, variance: float, x: np.ndarray) -> np.ndarray:
    """f(x) = ∫ c N(x; y, σ²) dρ."""
    c, y = measure.points().T
    with np.errstate(under="ignore"):
        units = np.exp(-0.5 * (x[:, None] - y) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    return np.asarray(units @ (measure.weights() * c))
