"""Full and broken support of a 2-homogeneous start, and units that move beside units that stay."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.solvers.statics import duality_gap, minimise_on_grid, solve_euler_lagrange
from wflow.systems import get
from wflow.systems.catalogue import System
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.validation.powers import against_n

PURPLE = "#AA4499"
COLOURS = (BLUE, GREEN, PURPLE, ORANGE)
ANGLES = (0.0, 90.0, 130.0, 135.0)
"""Of the missing cap, in degrees; 0 is full support."""
FRAMES = 25
NO_BOUND = 6.0
"""Charges times lengths of the best positive units at most; they need less, in all."""
SECOND_MOMENT = 2.0
"""∫|θ|² of the teacher."""


@figure
class Support(Figure):
    """R over time from full and broken support with the least risk of positive units, and R against m units."""

    name = "chizat-support"
    title = "full support learns, a missing cap stalls; moving units beside fixed ones"
    source = "Chizat & Bach, NeurIPS 2018, sections 3.2 and 4"
    published = {  # noqa: RUF012
        "particles": 100,
        "seeds": 3,
        "t_end": 2000.0,
        "directions": 360,
        "dimension": 100,
        "teachers": 20,
        "units": (5, 10, 20, 40, 80, 160),
        "t_units": 2000.0,
    }
    reduced = {  # noqa: RUF012
        "particles": 60,
        "seeds": 2,
        "t_end": 300.0,
        "directions": 90,
        "dimension": 10,
        "teachers": 4,
        "units": (4, 8, 16, 32),
        "t_units": 300.0,
    }

    def compute(
        self,
        *,
        particles: int,
        seeds: int,
        t_end: float,
        directions: int,
        dimension: int,
        teachers: int,
        units: tuple[int, ...],
        t_units: float,
    ) -> Results:
        t = np.array([0.0, *np.geomspace(1e-3 * t_end, t_end, FRAMES - 1)])
        jobs = [
            partial(_run, _planar(angle, seed), particles, t)
            for angle in ANGLES
            for seed in range(seeds)
        ]
        many = [
            partial(_run, _wide(dimension, teachers, seed), m, np.array([t_units]))
            for m in units
            for seed in range(seeds)
        ]
        runs = side_by_side([*jobs, *many])
        planar = [runs[k * seeds : (k + 1) * seeds] for k in range(len(ANGLES))]
        risks = np.array([[run.risk for run in row] for row in planar])
        moving = np.array([run.risk[-1] for run in runs[len(jobs) :]]).reshape(-1, seeds)
        fixed = np.array(
            [[_fixed(_wide(dimension, teachers, seed), m) for seed in range(seeds)] for m in units]
        )
        circle = _circle(directions)
        energy: Any = _planar(0.0, 0).energy()
        zero = np.zeros((1, 3))
        positive = np.column_stack([np.full(directions, NO_BOUND), circle])
        best = minimise_on_grid(energy, np.concatenate([positive, zero]))
        side = np.sqrt(0.5 * SECOND_MOMENT)
        sphere = np.concatenate(
            [np.column_stack([np.full(directions, s * side), side * circle]) for s in (1, -1)]
        )
        gaps = [
            max(
                duality_gap(energy, run.measures[-1], np.concatenate([sphere, zero])) for run in row
            )
            for row in planar
        ]
        ends = [planar[k][0].measures[-1].points() for k in (0, -1)]
        charges, w = _planar(0.0, 0).teacher
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "angle": Labelled(np.array(ANGLES), ("angle",), "degree", "of the missing cap"),
            "risk": Labelled(risks, ("angle", "seed", "t"), "loss"),
            "certificate": Labelled(np.array(gaps), ("angle",), "loss", "largest gap at the end"),
            "least_positive": Labelled(np.array(best.risk), (), "loss", "best of positive charges"),
            "ends": Labelled(np.array(ends), ("support", "unit", "coordinate"), "parameter"),
            "teacher": Labelled(np.column_stack([charges, w]), ("planted", "coordinate")),
            "units": Labelled(np.array(units), ("units",)),
            "moving": Labelled(moving, ("units", "seed"), "loss", f"R at t = {t_units:g}"),
            "fixed": Labelled(fixed, ("units", "seed"), "loss", "least R of fixed directions"),
        }
        findings = [
            f"R₊ = {best.risk:.6f} of R_# = {energy.constant:.6f}: no start without the cap of 135° falls below",
            *(
                f"cap of {angle:g}°: R at t = {t_end:g} is {row[:, -1].min():.3g} … {row[:, -1].max():.3g} over "
                f"{seeds} starts, 2(∫Ψdρ − min Ψ) {gap:.2g} at most"
                for angle, row, gap in zip(ANGLES, risks, gaps, strict=True)
            ),
            *(
                f"{m} units, d = {dimension}: moving {a.mean():.2e}, fixed {b.mean():.2e}"
                for m, a, b in zip(units, moving, fixed, strict=True)
            ),
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        picture.suptitle("2-homogeneous units on ReLU teachers", fontsize=11)
        t = results["t"][1:]
        for angle, runs, colour in zip(results["angle"], results["risk"], COLOURS, strict=True):
            label = f"cap of {angle:g}° missing" if angle else "full support"
            left.plot(t, np.median(runs, axis=0)[1:], color=colour, lw=1.5, label=label)
            left.fill_between(
                t, runs.min(axis=0)[1:], runs.max(axis=0)[1:], color=colour, alpha=0.25, lw=0
            )
        left.axhline(
            float(results["least_positive"]),
            color="black",
            ls="--",
            lw=1,
            label="R₊, positive charges",
        )
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="risk R [loss]")
        left.set_title("d = 2, four teachers: median, least to largest", fontsize=9)
        left.legend(fontsize=7, frameon=False, loc="lower left")
        left.grid(alpha=0.3)
        for points, mark, colour, words in zip(
            results["ends"],
            ("o", "x"),
            (BLUE, ORANGE),
            ("full support", "cap of 135° missing"),
            strict=True,
        ):
            x, y = (points[:, :1] * points[:, 1:]).T
            middle.plot(x, y, mark, ms=4, mfc="none", color=colour, label=f"units from {words}")
        a, w = results["teacher"][:, :1], results["teacher"][:, 1:]
        reach = np.abs(results["ends"][:, :, :1] * results["ends"][:, :, 1:]).max()
        for k, end in enumerate(reach * a * w):
            middle.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": GREY})
            middle.plot(
                *end, "s", ms=5, color="black", label="teachers' directions" if k == 0 else None
            )
        middle.set(xlabel="a w₁  [parameter²]", ylabel="a w₂  [parameter²]")
        middle.set_aspect("equal", "datalim")
        middle.set_title(f"units at t = {results['t'][-1]:g}", fontsize=9)
        middle.legend(fontsize=7, frameon=False)
        middle.grid(alpha=0.3)
        for name, colour, mark in (("moving", BLUE, "o"), ("fixed", ORANGE, "s")):
            mean, error = mean_and_error(results[name].T)
            label = f"{results.arrays[name].meaning}, {name}, ± s.e."
            against_n(right, results["units"], mean, error, colour, label, mark)
        right.set(xscale="log", yscale="log", xlabel="units m", ylabel="risk R [loss]")
        right.set_xticks(results["units"], [str(m) for m in results["units"]])
        right.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        right.set_title("many dimensions: positions that move, and that do not", fontsize=9)
        right.legend(fontsize=7, frameon=False)
        right.grid(alpha=0.3)
        return picture


def _planar(angle: float, seed: int) -> System:
    """Four teachers in the plane; an angle of 0 is full support."""
    gap = {"support": "gap", "angle": angle} if angle else {}
    return get("homogeneous-teacher", seed=seed, **gap)


def _wide(d: int, teachers: int, seed: int) -> System:
    return get("homogeneous-teacher", d=d, teachers=teachers, seed=seed)


def _run(system: System, n: int, t: np.ndarray) -> Any:
    start = system.initial("particles", n)
    return solve(system.flow(), start, (0.0, t[-1]), t_eval=t, rtol=1e-4)


def _fixed(system: System, m: int) -> float:
    """The least risk of any charges on the first directions."""
    law: Any = system.initial("particles", m)
    energy: Any = system.energy()
    w = law.points()[:, 1:]
    return solve_euler_lagrange(
        energy.kernel, energy.target, w, ridge=0.0, constant=energy.constant
    ).risk


def _circle(n: int) -> np.ndarray:
    turn = 2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)
