"""Critical starts and separations: where an outcome changes, and how fast the state between is left."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.figures.parts.critical_cases import (
    BEST,
    LATE,
    OUTER,
    WORST,
    between,
    delta_h,
    escapes,
    fates,
    risk_at,
    separatrix,
    splitting,
)
from wflow.figures.parts.trained_risk import trained_risk
from wflow.results.labelled import Labelled
from wflow.solvers.statics import critical
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

PURPLE = "#AA4499"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
HALF = 0.5 * (WORST + BEST)


@figure
class CriticalStart(Figure):
    """κ_c of the predicted failure, rates of escape, Δ_h of one shell, and the start that parts late neurons."""

    name = "critical-start"
    title = "critical starts and separations, and how fast the states between are left"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Figs. 2, 3 and 4"
    published = {  # noqa: RUF012
        "d": 320,
        "seeds": 3,
        "kappas": tuple(np.round(np.arange(0.2, 0.301, 0.005), 3).tolist()),
        "particles": (100, 400),
        "t_end": 0.5,
        "kappas_sgd": (0.2, 0.22, 0.24, 0.26, 0.28),
        "neurons": 200,
        "step_sizes": (1e-5, 3e-6),
        "deltas": tuple(np.round(np.arange(0.3, 0.61, 0.02), 2).tolist()),
        "dimensions": (20, 40, 100, 320, np.inf),
        "radii": (201, 801),
        "starts": 24,
        "lines": (0.28, 0.345, 0.41),
    }
    reduced = {  # noqa: RUF012
        "d": 40,
        "seeds": 2,
        "kappas": (0.1, 0.2, 0.25, 0.3, 0.4),
        "particles": (30, 60),
        "t_end": 0.2,
        "kappas_sgd": (0.1, 0.25, 0.4),
        "neurons": 30,
        "step_sizes": (1e-4,),
        "deltas": (0.3, 0.4, 0.5, 0.6),
        "dimensions": (40, np.inf),
        "radii": (101, 201),
        "starts": 6,
        "lines": (0.345,),
    }

    def compute(
        self,
        *,
        d: int,
        kappas: tuple[float, ...],
        particles: tuple[int, ...],
        t_end: float,
        kappas_sgd: tuple[float, ...],
        neurons: int,
        step_sizes: tuple[float, ...],
        seeds: int,
        deltas: tuple[float, ...],
        dimensions: tuple[float, ...],
        radii: tuple[int, ...],
        starts: int,
        lines: tuple[float, ...],
    ) -> Results:
        jobs = [
            partial(_train, d, kappa, neurons, step, t_end, seed)
            for step in step_sizes
            for kappa in kappas_sgd
            for seed in range(seeds)
        ]
        runs = np.array(side_by_side(jobs)).reshape(len(step_sizes), len(kappas_sgd), seeds)
        trained, error = mean_and_error(np.moveaxis(runs, -1, 0))
        risks = np.array([[risk_at(d, k, n, t_end) for k in kappas] for n in particles])
        sharp = np.array([risk_at(np.inf, k, 1, t_end) for k in kappas])

        def learns(n: int, kappa: float) -> bool:
            return bool(risk_at(d, kappa, n, t_end) < HALF)

        halves = [critical(partial(learns, n), min(kappas), max(kappas)) for n in particles]
        root = between()
        jump = critical(lambda k: bool(risk_at(np.inf, k, 1, 5.0) < HALF), min(kappas), max(kappas))
        cases = escapes(root)
        ends = [[delta_h(size, n) for n in radii] for size in dimensions]
        rates = np.array([[splitting(size, x) for x in deltas] for size in dimensions])
        r1, r2, last = fates(particles[0], starts)
        parted = [separatrix(n, lines) for n in particles]

        arrays = {
            "kappa": Labelled(np.array(kappas), ("kappa",)),
            "risk": Labelled(risks, ("particles", "kappa"), "loss", f"d = {d}"),
            "risk_inf": Labelled(sharp, ("kappa",), "loss", "d = inf"),
            "kappa_sgd": Labelled(np.array(kappas_sgd), ("kappa_sgd",)),
            "risk_sgd": Labelled(
                trained, ("step_size", "kappa_sgd"), "loss", f"over {seeds} seeds"
            ),
            "error_sgd": Labelled(error, ("step_size", "kappa_sgd"), "loss", "standard error"),
            "step_size": Labelled(np.array(step_sizes), ("step_size",)),
            "kappa_c": Labelled(np.array([(b.low, b.high) for b in halves]), ("particles", "end")),
            "kappa_c_inf": Labelled(np.array([jump.low, jump.high]), ("end",)),
            "time": Labelled(cases.times, ("case", "saved"), "1", "rate times t"),
            "growth": Labelled(cases.growth, ("case", "saved"), "1", "amplitude over its first"),
            "rate": Labelled(cases.rates, ("case", "of"), "1/time", "of the spectrum, and seen"),
            "dimension": Labelled(np.array(dimensions), ("dimension",)),
            "delta": Labelled(np.array(deltas), ("delta",)),
            "splitting": Labelled(rates, ("dimension", "delta"), "1/time", "of the best shell"),
            "delta_h": Labelled(
                np.array([[(b.low, b.high) for b in row] for row in ends]),
                ("dimension", "radii", "end"),
            ),
            "r1": Labelled(r1, ("r1",), "parameter"),
            "r2": Labelled(r2, ("r2",), "parameter"),
            "charge": Labelled(last, ("r1", "r2"), "parameter", "a at the end"),
            "separatrix": Labelled(
                np.array([[(b.low, b.high) for b in row] for row in parted]),
                ("particles", "line", "end"),
            ),
            "separatrix_r1": Labelled(np.array(lines), ("line",), "parameter"),
        }
        findings = [
            f"κ_c at d = ∞: {jump.low:.5f} … {jump.high:.5f}, the root of Ψ′ is {root:.5f}",
            *(
                f"κ_c at d = {d} (R({t_end:g}) = {HALF:.2f}), {n} particles: {b.low:.4f} … {b.high:.4f}"
                for n, b in zip(particles, halves, strict=True)
            ),
            *(
                f"{word}: rate {told:.4f}, seen {seen:.4f}"
                for word, (told, seen) in zip(cases.words, cases.rates, strict=True)
            ),
            *(
                f"Δ_h at d = {size:g}: " + "; ".join(f"{b.low:.5f} … {b.high:.5f}" for b in row)
                for size, row in zip(dimensions, ends, strict=True)
            ),
            *(
                f"late neurons part at r₂ = {b.low:.4f} … {b.high:.4f} for r₁ = {x:g}, {n} particles"
                for n, row in zip(particles, parted, strict=True)
                for x, b in zip(lines, row, strict=True)
            ),
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(2, 2)
        picture.suptitle("critical starts and separations", fontsize=11)
        _risk(axes[0], results)
        _escape(axes[1], results)
        _shell(axes[2], results)
        _late(axes[3], results)
        return picture


def _train(d: int, kappa: float, n: int, step: float, t_end: float, seed: int) -> float:
    return trained_risk(get("predicted-failure", d=d, kappa=kappa), n, step, t_end, seed)


def _risk(axis: Any, results: Results) -> None:
    kappa = results["kappa"]
    axis.plot(kappa, results["risk_inf"], "--", color="black", lw=1, label="limit, d = ∞")
    for risk, (low, high), style, colour in zip(
        results["risk"], results["kappa_c"], ("-", ":"), (BLUE, ORANGE), strict=True
    ):
        axis.plot(kappa, risk, style, color=colour, lw=1.6, label="limit, d of SGD")
        axis.axvspan(low, high, color=colour, alpha=0.4, lw=0)
    axis.lines[-1].set_label("the same, more particles")
    for k, step in enumerate(results["step_size"]):
        axis.errorbar(
            results["kappa_sgd"],
            results["risk_sgd"][k],
            results["error_sgd"][k],
            fmt="os"[k],
            ms=4,
            mfc="none",
            capsize=2,
            color=(GREEN, PURPLE)[k],
            label=f"SGD, ε = {step:g}, ± s.e.",
        )
    axis.set(xlabel="spread κ of the start", ylabel="risk R [loss]", ylim=(0, None))
    axis.set_title("failure and learning; band: bracket of κ_c", fontsize=9)
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _escape(axis: Any, results: Results) -> None:
    words = ("at κ_c, outwards", "at κ_c, inwards", "one shell, Δ = 0.6, split")
    for k, word in enumerate(words):
        told, seen = results["rate"][k]
        axis.plot(
            results["time"][k],
            results["growth"][k],
            "os^"[k],
            ms=4,
            mfc="none",
            color=COLOURS[k],
            label=f"{word}: {told:.4g}, seen {seen:.4g}",
        )
    x = np.linspace(0.0, results["time"].max(), 100)
    axis.plot(x, np.exp(x), "--", color=GREY, lw=1, label="e to the rate · t")
    axis.set(yscale="log", xlabel="rate of the spectrum · t", ylabel="distance over its first  [1]")
    axis.set_title("leaving a state that rests", fontsize=9)
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _shell(axis: Any, results: Results) -> None:
    shades = np.linspace(0.15, 0.85, len(results["dimension"]))
    import matplotlib

    for k, (size, shade) in enumerate(zip(results["dimension"], shades, strict=True)):
        colour = matplotlib.colormaps["viridis"](shade)
        low, high = results["delta_h"][k, -1]
        name = "∞" if np.isinf(size) else f"{size:g}"
        axis.plot(
            results["delta"],
            results["splitting"][k],
            color=colour,
            lw=1.4,
            label=f"d = {name}: Δ_h = {0.5 * (low + high):.4f}",
        )
        axis.plot([0.5 * (low + high)], [0.0], "o", ms=5, mfc="white", color=colour, zorder=4)
    axis.axhline(0.0, color=GREY, lw=1)
    axis.set(xlabel="separation Δ", ylabel="rate of splitting [1/time]")
    axis.set_title(
        f"the best single shell; marks: Δ_h, the best of all laws with r ≤ {OUTER:g}", fontsize=9
    )
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _late(axis: Any, results: Results) -> None:
    r1, r2, a = results["r1"], results["r2"], results["charge"]
    axis.pcolormesh(
        r1,
        r2,
        np.clip(a, -8, 8).T,
        cmap="RdBu_r",
        vmin=-8,
        vmax=8,
        shading="nearest",
        rasterized=True,
    )
    law = get("anisotropic-gaussians").initial("particles", 200).points()
    axis.plot(law[:, 2], law[:, 3], ".", ms=2, color="black", label="neurons at t = 0")
    for k, (mark, size) in enumerate((("o", 7), ("+", 7))):
        ends = results["separatrix"][k].mean(axis=-1)
        words = "separatrix, bracketed" if k == 0 else "the same, more particles"
        axis.plot(
            results["separatrix_r1"], ends, mark, ms=size, mfc="none", color=GREEN, label=words
        )
    axis.set(xlabel="r₁ of a late neuron at t = 0  [parameter]", ylabel="r₂ at t = 0  [parameter]")
    axis.set_title(
        f"charge a at t = {LATE:g}: −8 and less blue, 0 white, 8 and more red", fontsize=9
    )
    axis.legend(fontsize=7, loc="lower right")
