"""Predicted failure: the same network learns or collapses, as its start decides."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.networks import sgd
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, ORANGE, new_figure


@figure
class PredictedFailure(Figure):
    """Risk and mean |w| against time from two starts: SGD (marks), the limit at finite d (line) and d = ∞ (dashes)."""

    name = "mmn-4"
    title = "predicted failure: non-monotone activation from two starts"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 4"
    published = {  # noqa: RUF012
        "d": 320,
        "kappas": (0.1, 0.4),
        "neurons": 800,
        "step_size": 1e-6,
        "times": tuple(np.geomspace(1e-4, 3.0, 30).tolist()),
        "particles": 1000,
    }
    reduced = {  # noqa: RUF012
        "d": 320,
        "kappas": (0.1, 0.4),
        "neurons": 100,
        "step_size": 1e-5,
        "times": tuple(np.geomspace(1e-3, 0.3, 12).tolist()),
        "particles": 100,
    }

    def compute(
        self,
        *,
        d: int,
        kappas: tuple[float, ...],
        neurons: int,
        step_size: float,
        times: tuple[float, ...],
        particles: int,
    ) -> Results:
        def limit(size: float, kappa: float) -> Any:
            system = get("predicted-failure", d=size, kappa=kappa)
            rho = system.initial("particles", particles if np.isfinite(size) else 1)
            return solve(system.flow(), rho, (0.0, times[-1]), t_eval=times)

        def train(kappa: float) -> Any:
            system = get("predicted-failure", d=d, kappa=kappa)
            return sgd(
                system,
                n_neurons=neurons,
                step_size=step_size,
                n_steps=round(times[-1] / step_size),
                t_eval=times,
            )

        networks = [partial(train, k) for k in kappas]
        limits = [partial(limit, size, k) for size in (d, np.inf) for k in kappas]
        runs = side_by_side([*networks, *limits])
        n = len(kappas)
        kinds = {"sgd": runs[:n], "limit": runs[n : 2 * n], "limit_inf": runs[2 * n :]}
        arrays = {"kappa": Labelled(np.array(kappas), ("kappa",))}
        for kind, three in kinds.items():
            axis = "t_sgd" if kind == "sgd" else "t"
            radius = [
                [
                    np.average(np.linalg.norm(m.points(), axis=1), weights=m.weights())
                    for m in run.measures
                ]
                for run in three
            ]
            arrays[axis] = Labelled(three[0].t, (axis,), "time")
            risk = np.array([run.risk for run in three])
            arrays[f"risk_{kind}"] = Labelled(risk, ("kappa", axis), "loss")
            arrays[f"radius_{kind}"] = Labelled(
                np.array(radius), ("kappa", axis), "parameter", "E|w|"
            )
        findings = [
            f"κ = {k:g}: R at t = {times[-1]:.3g} is {arrays['risk_limit'].values[i, -1]:.4f} in the limit "
            f"(d = ∞: {arrays['risk_limit_inf'].values[i, -1]:.4f}), "
            f"{arrays['risk_sgd'].values[i, -1]:.4f} by SGD"
            for i, k in enumerate(kappas)
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(2)
        picture.suptitle("predicted failure: two starts w ~ N(0, κ²/d I)", fontsize=11)
        for axis, what, label in zip(
            axes, ("risk", "radius"), ("risk R [loss]", "mean |w|  [parameter]"), strict=True
        ):
            for i, (kappa, colour) in enumerate(
                zip(results["kappa"], (ORANGE, BLUE), strict=False)
            ):
                axis.plot(results["t"], results[f"{what}_limit"][i], color=colour, lw=1.5)
                axis.plot(results["t"], results[f"{what}_limit_inf"][i], "--", color=colour, lw=1)
                axis.plot(
                    results["t_sgd"],
                    results[f"{what}_sgd"][i],
                    "+",
                    color=colour,
                    ms=6,
                    label=f"SGD, κ = {kappa:g}",
                )
            axis.plot([], [], color="black", lw=1.5, label="limit, finite d")
            axis.plot([], [], "--", color="black", lw=1, label="limit, d = ∞")
            axis.set(xscale="log", xlabel="time t", ylabel=label)
            axis.grid(alpha=0.3)
        axes[0].set_ylim(0, None)
        axes[0].legend(fontsize=7, frameon=False)
        return picture
