"""Birth–death reaches the least energy from full support at least as fast as C/t; compact support stalls."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.solvers.statics import minimise_on_grid
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.views.drawing import draw_curve, frame_curves, outline

CASES = (("full", 1.0), ("compact", 1.0), ("full", 0.0), ("compact", 0.0))
LINES = ((BLUE, "-"), (ORANGE, "-"), (BLUE, ":"), (ORANGE, ":"))
SPREAD = 0.05
"""Mass that the start of full support spreads evenly over the box."""


@figure
class GlobalConvergence(Figure):
    """E − E* against time on a grid in (c, y), E = ½R, from both starts, with and without birth–death.

    A grid lets a trace of mass through to empty cells, which births find in the end (on 64² cells at t ≈ 900): the
    weighted particles, whose support is exact, stand beside it.
    """

    name = "rjbv-global"
    title = "birth-death: full support reaches the least energy, compact support stalls"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML (2019), Theorem 4.1"
    published = {"cells": 64, "particles": 400, "t_end": 400.0}  # noqa: RUF012
    reduced = {"cells": 24, "particles": 60, "t_end": 100.0}  # noqa: RUF012

    def compute(self, *, cells: int, particles: int, t_end: float) -> Results:
        t = np.concatenate([[0.0], np.geomspace(0.1, t_end, 41)])
        system = get("gaussian-mixture", start="bad")
        compact: Any = system.initial("grid", cells)
        even = np.full(compact.shape, 1.0 / compact.volumes.sum())
        full = compact.with_density((1 - SPREAD) * compact.density + SPREAD * even)

        def run(start: str, rate: float) -> Any:
            rho = {"compact": compact, "full": full}.get(start)
            if rho is None:
                rho = system.initial("particles", particles)
            flow = system.flow(reaction_rate=rate)
            return solve(flow, rho, (0.0, t_end), t_eval=t, rtol=1e-3)

        runs = side_by_side([partial(run, *case) for case in (*CASES, ("particles", 1.0))])
        least = minimise_on_grid(system.energy(), compact, tolerance=1e-10)
        excess = 0.5 * (np.array([r.risk for r in runs]) - least.risk)
        fast = excess[0]
        late = t > 1.0
        slope = np.polyfit(np.log(t[late]), np.log(np.maximum(fast[late], 1e-16)), 1)[0]
        # The least C with E − E* ≤ C/t at every saved time from 1 on.
        constant = float((t[late] * fast[late]).max())
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "y": Labelled(compact.centers[1], ("y",), "parameter"),
            "reaction_rate": Labelled(np.array([rate for _, rate in CASES]), ("case",)),
            "excess": Labelled(excess[:4], ("case", "t"), "loss", "E − E* on the grid"),
            "excess_particles": Labelled(
                excess[4], ("t",), "loss", "E − E* of weighted particles, compact support, α = 1"
            ),
            "places": Labelled(
                np.array([r.measures[-1].widths[0] @ r.measures[-1].density for r in runs[:2]]),
                ("start", "y"),
                "1/parameter",
                "law of the places at the end: full, compact",
            ),
            "constant": Labelled(np.array(constant), (), "loss time", "C of the bound C/t"),
        }
        findings = [
            f"{_label(*case)}: E − E* = {e[-1]:.2e} at t = {t_end:g}"
            for case, e in zip(CASES, excess, strict=False)
        ]
        findings += [
            f"weighted particles, compact support, α = 1: E − E* = {excess[4, -1]:.2e}",
            f"full support, α = 1: fitted power of t {slope:.2f} for t > 1 (the theorem: −1 or faster), "
            f"E − E* ≤ {constant:.3g}/t",
            f"E* = {0.5 * least.risk:.1e}, certified to {0.5 * least.gap:.0e}",
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, right) = new_figure(2)
        picture.suptitle("Gaussian mixture from the bad start", fontsize=11)
        t, excess = results["t"][1:], results["excess"][:, 1:]
        for case, (colour, style), e in zip(CASES, LINES, excess, strict=True):
            left.loglog(t, np.maximum(e, 1e-16), style, color=colour, lw=1.5, label=_label(*case))
        left.loglog(
            t[::4],
            results["excess_particles"][1::4],
            "o",
            color=GREEN,
            ms=3,
            label="compact, α = 1, weighted particles",
        )
        late = t > 1
        bound = float(results["constant"]) / t[late]
        left.loglog(t[late], bound, "--", color=GREY, lw=1.2, label="C/t")
        left.set(xlabel="time t", ylabel="E − E*, E = ½R  [loss]")
        y = results["y"]
        half = 0.5 * (y[1] - y[0])
        edges = np.append(y - half, y[-1] + half)
        label = "y  [parameter], place of a unit"
        curves = [(*outline(edges, law), label) for law in results["places"]]
        top = frame_curves(right, curves)
        for (x, law, _), (colour, _), name in zip(curves, LINES, ("full", "compact"), strict=False):
            draw_curve(right, x, law, top, colour, f"{name} support, α = 1")
        right.set_title(f"law of the places at t = {results['t'][-1]:g}", fontsize=9)
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def _label(start: str, rate: float) -> str:
    return f"{start} support, α = {rate:g}"
