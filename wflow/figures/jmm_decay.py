"""Bumps on a concave target: exponential decay in the limit of no width, and the floor that a width leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

COLOURS = (BLUE, ORANGE, GREEN)
START = {"start": "paraboloid", "start_center": 0.3, "start_radius": 0.4}
"""Off the middle: a law in the middle decays faster than the bound, one that has to move as slowly."""


@figure
class BumpDecay(Figure):
    """E − E* against time, E = ½R: width 0 under the bound e^{−2αt}, positive widths down to their floors."""

    name = "jmm-decay"
    title = "bumps on a concave target: exponential decay, and its floor at positive width"
    source = "Javanmard, Mondelli & Montanari (2019), arXiv:1901.01375, displacement convexity"
    published = {  # noqa: RUF012
        "alpha": 4.0,
        "widths": (0.4, 0.2, 0.1),
        "cells": 256,
        "particles": 400,
        "t_end": 1.6,
    }
    reduced = {  # noqa: RUF012
        "alpha": 4.0,
        "widths": (0.4, 0.2),
        "cells": 48,
        "particles": 80,
        "t_end": 1.0,
    }

    def compute(
        self, *, alpha: float, widths: tuple[float, ...], cells: int, particles: int, t_end: float
    ) -> Results:
        t = np.linspace(0.0, t_end, 33)
        limit: Any = get("bump", width=0.0, alpha=alpha, **START)
        flow = limit.flow()

        def local() -> Any:
            return solve(flow, limit.initial("grid", cells), (0.0, t_end), t_eval=t)

        def wide(width: float) -> Any:
            system = get("bump", width=width, alpha=alpha, **START)
            rho = system.initial("particles", particles)
            return solve(system.flow(), rho, (0.0, t_end), t_eval=t)

        jobs: list[Callable[[], Any]] = [local, *(partial(wide, w) for w in widths)]
        runs = side_by_side(jobs)
        steady = limit.steady_state(cells)
        excess = runs[0].free_energy - flow.free_energy(steady)
        # The infimum over all laws in the limit of no width, from a fine grid.
        lowest = flow.free_energy(limit.steady_state(4096))
        wide_excess = np.abs(np.array([run.free_energy for run in runs[1:]]) - lowest)
        last = runs[0].measures[-1]
        off = float((np.abs(last.density - steady.density) * last.widths[0]).sum())
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "width": Labelled(np.array(widths), ("width",), "parameter"),
            "x": Labelled(last.centers[0], ("x",), "parameter"),
            "excess": Labelled(excess, ("t",), "loss", "E − E* at width 0"),
            "excess_wide": Labelled(wide_excess, ("width", "t"), "loss", "|E − E*| at width δ"),
            "bound": Labelled(excess[0] * np.exp(-2 * alpha * t), ("t",), "loss"),
            "density": Labelled(
                np.array([runs[0].measures[k].density for k in (0, t.size // 8, -1)]),
                ("frame", "x"),
                "1/parameter",
                "law at width 0",
            ),
            "steady": Labelled(steady.density, ("x",), "1/parameter", "(f − c)₊"),
        }
        seen = excess > 1e-6 * excess[0]
        rate = -np.polyfit(t[seen], np.log(excess[seen]), 1)[0]
        findings = [
            f"decay: E − E* falls at rate {rate:.2f} at width 0; the bound is 2α = {2 * alpha:g}",
            f"largest (E − E*)/bound while above 1e-6 of the start: "
            f"{(excess / arrays['bound'].values)[seen].max():.4f}",
            f"law at t = {t_end:g} against (f − c)₊ in L1: {off:.2e}",
        ]
        findings += [
            f"δ = {w:g}: floor |E − E*| = {e[-1]:.1e}"
            for w, e in zip(widths, wide_excess, strict=True)
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, right) = new_figure(2)
        picture.suptitle("bumps on a strongly concave target", fontsize=11)
        t = results["t"]
        left.semilogy(t, results["bound"], "--", color=GREY, lw=1.2, label="bound e^(−2αt)")
        seen = results["excess"] > 1e-8 * results["excess"][0]
        left.semilogy(t[seen], results["excess"][seen], color="black", lw=1.6, label="δ → 0")
        for width, excess, colour in zip(
            results["width"], results["excess_wide"], COLOURS, strict=False
        ):
            left.semilogy(t, excess, color=colour, lw=1.2, label=f"δ = {width:g}")
        left.set(xlabel="time t", ylabel="E − E*, E = ½R  [loss]")
        for density, colour, label in zip(
            results["density"],
            COLOURS,
            ("start", f"t = {t[t.size // 8]:.2g}", f"t = {t[-1]:.2g}"),
            strict=True,
        ):
            right.plot(results["x"], density, color=colour, lw=1.4, label=label)
        right.plot(results["x"], results["steady"], "--", color="black", lw=1, label="(f − c)₊")
        right.set(xlabel="x  [parameter]", ylabel="density at δ → 0  [1/x]")
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture
