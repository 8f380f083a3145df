"""The least risk as the two Gaussians separate: over all laws, over one shell, and what SGD reaches."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.energies import Energy
from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.figures.parts.trained_risk import trained_risk
from wflow.results.labelled import Labelled
from wflow.solvers.statics import minimise_on_grid
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

TOP = 50.0
"""Radii are looked for up to here; the best laws for Δ > 0.5 would send some of their mass to infinity."""
ONE_SHELL = 1e-3
"""Within this share of it, the least risk over all laws is taken to be that of a single shell."""


@figure
class LeastRisk(Figure):
    """inf R over measures and over single shells |w| = r against Δ, in d dimensions and in infinitely many."""

    name = "mmn-2"
    title = "least risk against the separation: all laws, one shell, SGD"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 2"
    published = {  # noqa: RUF012
        "d": 40,
        "deltas": tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist()),
        "neurons": 800,
        "step_size": 1e-5,
        "t_end": 100.0,
        "sgd_deltas": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        "cells": 1300,
        "seeds": 3,
    }
    reduced = {  # noqa: RUF012
        "d": 40,
        "deltas": (0.2, 0.4, 0.5, 0.6, 0.8),
        "neurons": 100,
        "step_size": 1e-3,
        "t_end": 2.0,
        "sgd_deltas": (0.4, 0.8),
        "cells": 325,
        "seeds": 3,
    }

    def compute(
        self,
        *,
        d: int,
        deltas: tuple[float, ...],
        neurons: int,
        step_size: float,
        t_end: float,
        sgd_deltas: tuple[float, ...],
        cells: int,
        seeds: int,
    ) -> Results:
        # Fine where one shell sits, coarse far out: spacing grows with r.
        r = TOP * np.sinh(np.linspace(0.0, 4.0, cells + 1)) / np.sinh(4.0)
        dims: tuple[float, ...] = (d, np.inf)
        least = np.empty((2, len(deltas)))
        gap, shell, radius = np.empty_like(least), np.empty_like(least), np.empty_like(least)
        laws = np.empty((2, len(deltas), r.size))
        for i, size in enumerate(dims):
            for j, delta in enumerate(deltas):
                energy = get("isotropic-gaussians", d=size, delta=delta).energy()
                best = minimise_on_grid(energy, r)
                least[i, j], gap[i, j], laws[i, j] = best.risk, best.gap, best.weights
                shell[i, j], radius[i, j] = best_shell(energy, r)

        def train(delta: float, seed: int) -> float:
            system = get("isotropic-gaussians", d=d, delta=delta)
            return trained_risk(system, neurons, step_size, t_end, seed)

        jobs = [partial(train, delta, s) for delta in sgd_deltas for s in range(seeds)]
        runs = np.array(side_by_side(jobs)).reshape(-1, seeds)
        reached, error = mean_and_error(runs.T)
        arrays = {
            "dimension": Labelled(np.array(dims), ("dimension",)),
            "delta": Labelled(np.array(deltas), ("delta",)),
            "delta_sgd": Labelled(np.array(sgd_deltas), ("delta_sgd",)),
            "r": Labelled(r, ("r",), "parameter", "|w|"),
            "least": Labelled(least, ("dimension", "delta"), "loss", "inf R over measures"),
            "gap": Labelled(gap, ("dimension", "delta"), "loss", "duality gap of it"),
            "one_shell": Labelled(shell, ("dimension", "delta"), "loss", "inf R over one shell"),
            "shell_radius": Labelled(radius, ("dimension", "delta"), "parameter"),
            "law": Labelled(laws, ("dimension", "delta", "r"), "1", "mass of the minimiser at r"),
            "risk_sgd": Labelled(
                reached, ("delta_sgd",), "loss", f"SGD at t = {t_end:g}, mean over seeds"
            ),
            "error_sgd": Labelled(error, ("delta_sgd",), "loss", "standard error of it"),
        }
        findings = []
        for i, size in enumerate(dims):
            single = shell[i] <= (1 + ONE_SHELL) * least[i] + 1e-9
            last = np.array(deltas)[single].max(initial=0.0)  # the last of the Δ that were tried
            findings.append(
                f"Δ_h: at d = {size:g} one shell is best to 0.1% up to Δ = {last:g} of those tried; "
                f"largest duality gap {gap[i].max():.1e}"
            )
        for delta, risk in zip(sgd_deltas, reached, strict=True):
            inf = np.interp(delta, deltas, least[0])
            findings.append(f"Δ = {delta:g}: inf R = {inf:.4f}, SGD at t = {t_end:g}: {risk:.4f}")
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, right) = new_figure(2)
        picture.suptitle("two isotropic Gaussians: how small can the risk be?", fontsize=11)
        delta, r = results["delta"], results["r"]
        for i, (size, colour) in enumerate(zip(results["dimension"], (BLUE, ORANGE), strict=True)):
            name = "∞" if np.isinf(size) else f"{size:g}"
            left.plot(
                delta, results["least"][i], color=colour, lw=1.6, label=f"all laws, d = {name}"
            )
            left.plot(
                delta,
                results["one_shell"][i],
                "--",
                color=colour,
                lw=1.2,
                label=f"one shell, d = {name}",
            )
        left.errorbar(
            results["delta_sgd"],
            results["risk_sgd"],
            results["error_sgd"],
            fmt="+",
            color="black",
            ms=8,
            capsize=2,
            label=f"{results.arrays['risk_sgd'].meaning}, ± s.e.",
        )
        left.set(xlabel="separation Δ", ylabel="risk R [loss]", ylim=(0, None))
        left.legend(fontsize=7, frameon=False)
        left.grid(alpha=0.3)
        masses = results["law"][0]
        at = masses > 1e-3
        jj, kk = np.nonzero(at)
        right.scatter(
            delta[jj],
            r[kk],
            s=120 * masses[at],
            color=GREEN,
            alpha=0.6,
            lw=0,
            label="best law (area: mass)",
        )
        right.plot(
            delta, results["shell_radius"][0], "--", color=GREY, lw=1.2, label="best single shell"
        )
        right.set_yscale("symlog", linthresh=2.0, linscale=1.0)
        right.set_yticks([0, 1, 2, 5, 10, 20, 50], labels=["0", "1", "2", "5", "10", "20", "50"])
        right.set(xlabel="separation Δ", ylabel="r = |w|  [parameter]", ylim=(-0.15, 1.3 * TOP))
        right.set_title(
            f"where the best law sits, d = {results['dimension'][0]:g}; r = {TOP:g} ends the search",
            fontsize=9,
        )
        right.legend(fontsize=7, frameon=False)
        right.grid(alpha=0.3)
        return picture


def best_shell(energy: Energy, r: np.ndarray) -> tuple[float, float]:
    """The least risk of a single shell |w| = r, and its radius."""
    from scipy.optimize import minimize_scalar

    one = np.ones(1)

    def risk(radius: float) -> float:
        return float(energy.prepare(np.array([[radius]])).field(one).risk)

    values = [risk(x) for x in r]
    k = int(np.argmin(values))
    around = (r[max(k - 1, 0)], r[min(k + 1, r.size - 1)])
    found = minimize_scalar(risk, bounds=around, method="bounded", options={"xatol": 1e-9})
    return (float(found.fun), float(found.x)) if found.fun < values[k] else (values[k], float(r[k]))
