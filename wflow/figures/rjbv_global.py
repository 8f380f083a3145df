"""Birth–death reaches the least energy from full support at least as fast as C/t; compact support stalls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.measures import GridDensity, Particles
from wflow.results.labelled import Labelled
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.solvers.statics import Minimiser, minimise_on_grid
from wflow.systems import System, get
from wflow.tools.pictures import BLUE, GREEN, ORANGE, new_figure
from wflow.views.drawing import draw_curve, frame_curves, outline

CASES = (("full", 1.0), ("compact", 1.0), ("full", 0.0), ("compact", 0.0))
LINES = ((BLUE, "-"), (ORANGE, "-"), (BLUE, ":"), (ORANGE, ":"))
SPREAD = 0.05
"""Mass that the start of full support spreads evenly over the box."""
NOTHING = 1e-13
"""Excess that is rounding, and not drawn."""
EARLY = 0.1
"""Share of the time from which C of C/t is taken; the rest tests it."""


@figure
class GlobalConvergence(Figure):
    """E − E* against time, E = ½R, on two systems: full and compact support, with births, without, and reinjected.

    The mixture is on a grid in (c, y), which lets a trace of mass through to empty cells, where births find it in the
    end (on 64² cells at t ≈ 900): weighted particles, whose support is exact, stand beside it. Spikes have a sign that
    nobody changes, so that a start of positive ones alone is compact on every grid. C of E − E* ≤ C/t is the largest
    t(E − E*) in the first tenth of the time, and all that follows is held against it.
    """

    name = "rjbv-global"
    title = "birth-death: full support reaches the least energy, compact support stalls"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML (2019), Theorem 4.1"
    published = {"cells": (48, 64, 96), "particles": 400, "t_end": 400.0, "step_size": 0.02}  # noqa: RUF012
    reduced = {"cells": (16, 24), "particles": 60, "t_end": 100.0, "step_size": 0.1}  # noqa: RUF012

    def compute(
        self, *, cells: Sequence[int], particles: int, t_end: float, step_size: float
    ) -> Results:
        systems = {
            "mixture": get("gaussian-mixture", start="bad"),
            "spikes": get("sparse-deconvolution", radius=1.0, penalty=0.0),
        }
        arrays = {
            "reaction_rate": Labelled(np.array([rate for _, rate in CASES]), ("case",)),
            "cells": Labelled(np.array(cells), ("cells",), "1", "an axis"),
        }
        findings = []
        for name, system in systems.items():
            # Spikes are found in a tenth of the time.
            steps = (t_end if name == "mixture" else 0.1 * t_end) / step_size
            t = step_size * np.append(
                0.0, np.unique(np.geomspace(0.1 / step_size, steps, 41).round())
            )
            grids = [supports(system, n) for n in cells]
            points = compact_particles(system, particles)
            jobs = [partial(followed, system, grids[-1][start], rate, t) for start, rate in CASES]
            jobs += [partial(followed, system, points, 1.0, t)]
            jobs += [partial(reinjected, system, points, t, step_size)]
            jobs += [partial(followed, system, grid["full"], 1.0, t) for grid in grids[:-1]]
            runs = side_by_side(jobs)
            least = side_by_side([partial(least_on, system, grid["full"]) for grid in grids])
            found = np.array([0.5 * (r.risk - least[-1].risk) for r in runs[:6]])
            refined = np.array(
                [0.5 * (r.risk - m.risk) for r, m in zip([*runs[6:], runs[0]], least, strict=True)]
            )
            scaled = t * np.where(refined > NOTHING, refined, 0.0)
            constants, later = zip(*(bound(t, s) for s in scaled), strict=True)
            arrays |= {
                f"t_{name}": Labelled(t, (f"t_{name}",), "time"),
                f"excess_{name}": Labelled(
                    found[:4], ("case", f"t_{name}"), "loss", "E − E* on the grid"
                ),
                f"particles_{name}": Labelled(
                    found[4:],
                    ("kind", f"t_{name}"),
                    "loss",
                    "E − E* of particles from compact support, α = 1: weighted, and reinjected",
                ),
                f"refined_{name}": Labelled(
                    refined, ("cells", f"t_{name}"), "loss", "full support, α = 1"
                ),
                f"constant_{name}": Labelled(
                    np.array(constants),
                    ("cells",),
                    "loss time",
                    "C, the largest t(E − E*) in the first tenth of the time",
                ),
                f"later_{name}": Labelled(
                    np.array(later), ("cells",), "1", "the largest t(E − E*) after that, over C"
                ),
                f"places_{name}": Labelled(
                    np.array([places(r.measures[-1]) for r in runs[:2]]),
                    ("start", f"y_{name}"),
                    "1/parameter",
                    "law of the places at the end: full, compact",
                ),
                f"y_{name}": Labelled(grids[-1]["full"].centers[1], (f"y_{name}",), "parameter"),
            }
            findings += [
                f"{name}, {_label(*case)}: E − E* = {e[-1]:.1e} at t = {t[-1]:g}"
                for case, e in zip(CASES, found, strict=False)
            ]
            findings += [
                f"{name}, particles from compact support: E − E* = {found[4, -1]:.1e} weighted, {found[5, -1]:.1e} "
                "reinjected",
            ]
            findings += [
                f"{name}, full support, α = 1, on {n} cells: t(E − E*) {said(t, s)}"
                for n, s in zip(cells, scaled, strict=True)
            ]
            findings.append(
                f"{name}: E* = {0.5 * least[-1].risk:.1e}, certified to {0.5 * least[-1].gap:.0e}"
            )
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        picture.suptitle("Births and deaths from full and from compact support", fontsize=11)
        titles = {
            "mixture": "Gaussian mixture, bad start",
            "spikes": "spikes on a circle (compact: positive ones alone)",
        }
        for (name, title), (left, middle, right) in zip(
            titles.items(), (axes[:3], axes[3:]), strict=True
        ):
            t = results[f"t_{name}"][1:]
            for case, (colour, style), e in zip(
                CASES, LINES, results[f"excess_{name}"][:, 1:], strict=True
            ):
                shown = np.where(e > NOTHING, e, np.nan)
                left.loglog(t, shown, style, color=colour, lw=1.5, label=_label(*case))
            weighted, born = results[f"particles_{name}"][:, 1:]
            left.loglog(
                t[::4], weighted[::4], "o", color=ORANGE, ms=3, label="compact, weighted particles"
            )
            left.loglog(
                t,
                np.where(born > NOTHING, born, np.nan),
                color=GREEN,
                label="compact, reinjected particles",
            )
            left.set(xlabel="time t", ylabel="E − E*, E = ½R  [loss]")
            left.set_title(title, fontsize=9)
            shades = ("-", "--", ":")
            for n, style, e, c in zip(
                results["cells"],
                shades,
                results[f"refined_{name}"],
                results[f"constant_{name}"],
                strict=False,
            ):
                scaled = t * np.where(e[1:] > NOTHING, e[1:], np.nan)
                middle.loglog(t, scaled, style, color=BLUE, lw=1.3, label=f"{n} cells, C = {c:.4f}")
            middle.set(xlabel="time t", ylabel="t (E − E*)  [loss time]")
            middle.set_title(
                f"full support, α = 1; C: the largest up to t = {EARLY * t[-1]:g}", fontsize=9
            )
            self._draw_places(right, results, name)
            for axis in (left, middle, right):
                axis.grid(alpha=0.3)
                axis.legend(fontsize=7, frameon=False)
        return picture

    @staticmethod
    def _draw_places(axis: Any, results: Results, name: str) -> None:
        y = results[f"y_{name}"]
        half = 0.5 * (y[1] - y[0])
        edges = np.append(y - half, y[-1] + half)
        label = "y  [parameter], place of a unit"
        curves = [(*outline(edges, law), label) for law in results[f"places_{name}"]]
        top = frame_curves(axis, curves)
        for (x, law, _), (colour, _), kind in zip(curves, LINES, ("full", "compact"), strict=False):
            draw_curve(axis, x, law, top, colour, f"{kind} support, α = 1")
        axis.set_title(f"law of the places at t = {results[f't_{name}'][-1]:g}", fontsize=9)


def supports(system: System, cells: int) -> dict[str, GridDensity]:
    """The grids of full and of compact support that a system starts from."""
    start: Any = system.initial("grid", cells)
    if system.name == "gaussian-mixture":
        even = np.full(start.shape, 1.0 / start.volumes.sum())
        full = start.with_density((1 - SPREAD) * start.density + SPREAD * even)
        return {"full": full, "compact": start}
    positive = np.array(start.density)
    positive[1] += positive[0]
    positive[0] = 0.0
    return {"full": start, "compact": start.with_density(positive)}


def compact_particles(system: System, n: int) -> Particles:
    """Particles of the compact support."""
    start = system.initial("particles", n)
    points = np.array(start.points())
    if system.name != "gaussian-mixture":
        points[:, 0] = 1.0
    return Particles(points, start.weights(), names=start.names)


def followed(system: System, rho: Any, rate: float, t: np.ndarray) -> Solution:
    """The flow from a start."""
    return solve(system.flow(reaction_rate=rate), rho, (0.0, t[-1]), t_eval=t, rtol=1e-3)


def reinjected(system: System, rho: Particles, t: np.ndarray, step_size: float) -> Solution:
    """Births and deaths by unbiased rounding, α = 1; who dies is born anew from the system's base law."""
    return solve(
        system.flow(reaction_rate=1.0),
        rho,
        (0.0, t[-1]),
        t_eval=t,
        method="birth-death",
        method_options={"step_size": step_size, "reinject": True},
    )


def least_on(system: System, grid: GridDensity) -> Minimiser:
    """The least energy of laws on the grid's centres."""
    return minimise_on_grid(system.energy(), grid, tolerance=1e-10)


def places(law: GridDensity) -> np.ndarray:
    """The law of y."""
    return np.asarray(law.widths[0] @ law.density)


def bound(t: np.ndarray, scaled: np.ndarray) -> tuple[float, float]:
    """C, the largest of t(E − E*) in the first tenth of the time, and the largest after that over C.

    >>> t = np.geomspace(0.1, 100.0, 31)
    >>> [tuple(round(x, 3) for x in bound(t, t * e)) for e in (1 / t, t**-0.5)]
    [(1.0, 1.0), (3.162, 3.162)]
    """
    early = t <= EARLY * t[-1] * (1 + 1e-9)
    most = float(scaled[early].max())
    return most, float(scaled[~early].max()) / most


def said(t: np.ndarray, scaled: np.ndarray) -> str:
    """The test of C/t in words.

    >>> t = np.geomspace(0.1, 100.0, 31)
    >>> said(t, t**0.5)
    'is at most C = 3.162 up to t = 10, at t = 10, and later up to 3.2 C: no C/t; it still grows at the end'
    >>> said(t, np.exp(-t))
    'is at most C = 0.9048 up to t = 10, at t = 0.1, and later at most 3.8e-06 C'
    """
    most, later = bound(t, scaled)
    at, until = t[np.argmax(scaled >= most)], EARLY * t[-1]
    words = f"is at most C = {most:.4g} up to t = {until:g}, at t = {at:.3g}, and later "
    words += f"at most {later:.2g} C" if later <= 1 else f"up to {later:.2g} C: no C/t"
    grows = scaled[-1] > (1 + 1e-3) * scaled[-2]
    return words + ("; it still grows at the end" if grows else "")


def _label(start: str, rate: float) -> str:
    return f"{start} support, α = {rate:g}"
