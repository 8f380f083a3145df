"""Ten digits learnt by SGD and by the flow: risk and accuracy, in training and held out, square loss and softmax."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.networks import sgd
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, ORANGE, new_figure

LOSSES = ("square", "softmax")
SERIES = {"risk": "loss", "test_risk": "loss", "accuracy": "1", "test_accuracy": "1"}
"""The series that are shown, with their units."""
STYLES = {
    "risk": (BLUE, "training"),
    "test_risk": (ORANGE, "held out"),
    "accuracy": (BLUE, "training"),
    "test_accuracy": (ORANGE, "held out"),
}


@figure
class TenDigits(Figure):
    """Networks of ten outputs from starts of their own, beside the flow of particles."""

    name = "digits"
    title = "ten hand-written digits: SGD networks of ten outputs beside the flow"
    source = "the data of Alpaydin & Kaynak (1998); the limit of Mei, Montanari & Nguyen (2018) with vector outputs"
    published = {  # noqa: RUF012
        "particles": 4000,
        "neurons": 1600,
        "step_size": 1e-2,
        "batch_size": 20,
        "times": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
        "test": 0.3,
        "seeds": 10,
    }
    reduced = {  # noqa: RUF012
        "particles": 200,
        "neurons": 100,
        "step_size": 1e-2,
        "batch_size": 20,
        "times": (0.25, 0.5, 1.0, 2.0),
        "test": 0.3,
        "seeds": 3,
    }

    def compute(
        self,
        *,
        particles: int,
        neurons: int,
        step_size: float,
        batch_size: int,
        times: tuple[float, ...],
        test: float,
        seeds: int,
    ) -> Results:
        systems = [get("digits", classes=10, loss=loss, test=test) for loss in LOSSES]

        def limit(system: Any) -> Any:
            start = system.initial("particles", particles)
            return solve(system.flow(), start, (0.0, times[-1]), t_eval=times, rtol=1e-4)

        def network(system: Any, seed: int) -> Any:
            return sgd(
                system,
                n_neurons=neurons,
                step_size=step_size,
                batch_size=batch_size,
                n_steps=round(times[-1] / step_size),
                t_eval=times,
                seed=seed,
            )

        limits = [partial(limit, system) for system in systems]
        networks = [partial(network, system, s) for system in systems for s in range(seeds)]
        runs = side_by_side([*limits, *networks])
        flows, trained = runs[: len(LOSSES)], runs[len(LOSSES) :]
        arrays = {"t": Labelled(flows[0].t, ("t",), "time")}
        for name, unit in SERIES.items():
            of_sgd = np.array([run.series[name] for run in trained])
            arrays[name] = Labelled(
                np.array([run.series[name] for run in flows]),
                ("loss", "t"),
                unit,
                f"{name} of the flow; losses {', '.join(LOSSES)}",
            )
            arrays[f"{name}_sgd"] = Labelled(
                of_sgd.reshape(len(LOSSES), seeds, -1),
                ("loss", "seed", "t"),
                unit,
                f"{name} of SGD networks",
            )
        return Results(arrays, [_finding(arrays, i, times[-1]) for i in range(len(LOSSES))])

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(2, 2)
        t, seeds = results["t"], results["risk_sgd"].shape[1]
        picture.suptitle(
            f"ten digits: the flow (lines) and {seeds} SGD networks (mean, least to largest)",
            fontsize=11,
        )
        panels = axes.reshape(2, 2)
        for i, loss in enumerate(LOSSES):
            for axis, names, label in (
                (panels[i, 0], ("risk", "test_risk"), f"risk, {loss} loss  [loss]"),
                (panels[i, 1], ("accuracy", "test_accuracy"), f"accuracy, {loss} loss  [1]"),
            ):
                for name in names:
                    colour, said = STYLES[name]
                    runs = results[f"{name}_sgd"][i]
                    axis.fill_between(
                        t, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.2
                    )
                    axis.plot(t, results[name][i], color=colour, lw=1.4, label=said)
                    axis.plot(t, runs.mean(axis=0), "o", ms=4, color=colour, label=f"{said}, SGD")
                axis.set(xscale="log", xlabel="time t", ylabel=label)
                axis.set_xticks(t, [f"{at:g}" for at in t])
                axis.minorticks_off()
                axis.grid(alpha=0.3)
                axis.legend(fontsize=7, frameon=False)
        return picture


def _finding(arrays: dict[str, Labelled], i: int, t: float) -> str:
    """What one loss comes to at the end."""
    said = []
    for name, words in (("risk", "risk"), ("test_accuracy", "accuracy held out")):
        mean, error = mean_and_error(arrays[f"{name}_sgd"].values[i, :, -1:])
        said.append(
            f"{words} {arrays[name].values[i, -1]:.4f} in the flow, {mean[0]:.4f} ± {error[0]:.4f} by SGD"
        )
    return f"{LOSSES[i]} loss at t = {t:g}: {'; '.join(said)}"
