"""Predicted failure: the same network learns or collapses, as its start decides."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREY, ORANGE, new_figure


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
        "seeds": 3,
    }
    reduced = {  # noqa: RUF012
        "d": 320,
        "kappas": (0.1, 0.4),
        "neurons": 100,
        "step_size": 1e-5,
        "times": tuple(np.geomspace(1e-3, 0.3, 12).tolist()),
        "particles": 100,
        "seeds": 2,
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
        seeds: int,
    ) -> Results:
        def limit(size: float, kappa: float) -> Any:
            system = get("predicted-failure", d=size, kappa=kappa)
            rho = system.initial("particles", particles if np.isfinite(size) else 1)
            return solve(system.flow(), rho, (0.0, times[-1]), t_eval=times)

        def train(kappa: float, seed: int) -> Any:
            system = get("predicted-failure", d=d, kappa=kappa)
            return sgd(
                system,
                n_neurons=neurons,
                step_size=step_size,
                n_steps=round(times[-1] / step_size),
                t_eval=times,
                seed=seed,
            )

        networks = [partial(train, k, s) for k in kappas for s in range(seeds)]
        limits = [partial(limit, size, k) for size in (d, np.inf) for k in kappas]
        runs = side_by_side([*networks, *limits])
        n, m = len(kappas), len(networks)
        arrays = {
            "kappa": Labelled(np.array(kappas), ("kappa",)),
            "t_sgd": Labelled(runs[0].t, ("t_sgd",), "time"),
            "t": Labelled(runs[m].t, ("t",), "time"),
        }
        risks = np.array([run.risk for run in runs])
        radii = np.array([[_mean_radius(law) for law in run.measures] for run in runs])
        for what, unit, each in (("risk", "loss", risks), ("radius", "parameter", radii)):
            trained = [mean_and_error(one) for one in each[:m].reshape(n, seeds, -1)]
            mean, error = np.array(trained).swapaxes(0, 1)
            for kind, values in (
                ("sgd", mean),
                ("sgd_error", error),
                ("limit", each[m : m + n]),
                ("limit_inf", each[m + n :]),
            ):
                axes = ("kappa", "t_sgd" if "sgd" in kind else "t")
                meaning = {"sgd": f"mean over {seeds} seeds", "sgd_error": "standard error of it"}
                arrays[f"{what}_{kind}"] = Labelled(values, axes, unit, meaning.get(kind, ""))
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
                axis.plot(results["t"], results[f"{what}_limit_inf"][i], "--", color="black", lw=1)
                axis.errorbar(
                    results["t_sgd"],
                    results[f"{what}_sgd"][i],
                    results[f"{what}_sgd_error"][i],
                    fmt="o",
                    mfc="none",
                    color=colour,
                    ms=4,
                    capsize=2,
                    label=f"SGD, κ = {kappa:g}, mean ± s.e.",
                )
            axis.plot([], [], color=GREY, lw=1.5, label="limit, d of SGD")
            axis.plot([], [], "--", color="black", lw=1, label="limit, d = ∞")
            axis.set(xscale="log", xlabel="time t", ylabel=label)
            axis.grid(alpha=0.3)
        axes[0].set_ylim(0, None)
        axes[0].legend(fontsize=7, frameon=False)
        return picture


def _mean_radius(law: Particles) -> float:
    """E|w|."""
    return float(np.average(np.linalg.norm(law.points(), axis=1), weights=law.weights()))
