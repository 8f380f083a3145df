"""The panels of the figure on independent starts of many layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.figures.catalogue import Results
from wflow.figures.parts.iid_depths import DEPTHS, FOLLOWED, FROZEN, LAWS, MIDDLE, powers, straight
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE

PURPLE = "#AA4499"
COLOURS = dict(zip(DEPTHS, (BLUE, ORANGE, GREEN, PURPLE), strict=True))
MARKS = dict(zip(MIDDLE, ("s", "o", "^"), strict=True))
LINES = dict(zip(MIDDLE, ("-", "-", "--"), strict=True))


def draw_risk(axis: Any, results: Results) -> None:
    t, n = results["t"], results["width"]
    for k, depth in enumerate(DEPTHS):
        runs = results["risk_networks"][k, -1]
        axis.plot(t, results["risk"][k], color=COLOURS[depth], lw=1.4, label=f"L = {depth}")
        axis.fill_between(
            t, np.nanmin(runs, axis=0), np.nanmax(runs, axis=0), color=COLOURS[depth], alpha=0.25
        )
        axis.plot(t, np.nanmean(runs, axis=0), "o", ms=3.5, color=COLOURS[depth])
    axis.plot(t, results["risk_vector"], ":", color=BLUE, lw=1.6, label="L = 3, one vector (wrong)")
    axis.set(xlabel="time t", ylabel="risk R [loss]")
    axis.set_title(f"limits, and networks of N = {n[-1]} (dots; least to largest)", fontsize=9)


def draw_gap(axis: Any, results: Results) -> None:
    n = results["width"]
    for k, depth in enumerate(DEPTHS):
        _against(
            axis,
            n,
            results["risk_networks"][k, :, :, -1] - results["risk"][k, -1],
            COLOURS[depth],
            "o-",
            f"L = {depth}",
        )
    _against(
        axis,
        n,
        results["risk_networks"][0, :, :, -1] - results["risk_vector"][-1],
        BLUE,
        "x:",
        "L = 3 from one vector (wrong)",
    )
    axis.plot(n, 0.5 * n**-0.5, "--", color=GREY, lw=1, label="N^(-1/2)")
    _width_axis(axis, n)
    low, high = axis.get_ylim()
    axis.set_ylabel("r.m.s. of R_N − R [loss]")
    axis.set_ylim(low, high * 6)
    axis.set_title(f"risk at t = {results['t'][-1]:g}, ± s.e.", fontsize=9)


def _against(
    axis: Any, n: np.ndarray, gap: np.ndarray, colour: str, style: str, label: str
) -> None:
    """The root mean square over seeds, with its standard error."""
    square = np.nanmean(gap**2, axis=1)
    error = np.nanstd(gap**2, axis=1, ddof=1) / np.sqrt((~np.isnan(gap)).sum(axis=1))
    root = np.sqrt(square)
    error /= 2 * root
    bars = [np.minimum(error, 0.7 * root), error]
    axis.errorbar(n, root, bars, fmt=style, color=colour, ms=3.5, lw=1.1, capsize=2, label=label)


def draw_shift(axis: Any, results: Results) -> None:
    t, n = results["t"], results["width"]
    i = int(np.flatnonzero(n <= FOLLOWED)[-1])
    for m, pair in enumerate(MIDDLE):
        runs, colour = results["shift_networks"][m, i], COLOURS[pair[0]]
        axis.plot(
            t,
            results["shift"][m],
            LINES[pair],
            color=colour,
            lw=1.4,
            label="L = {}, i = {}".format(*pair),
        )
        axis.errorbar(
            t,
            np.nanmean(runs, axis=0),
            np.nanstd(runs, axis=0, ddof=1),
            color=colour,
            fmt=MARKS[pair],
            ms=3.5,
            capsize=2,
        )
    axis.set(xlabel="time t", ylabel="Δ_i(t) [parameter]")
    axis.set_title(f"one number a middle layer; N = {n[i]} (mean ± s.d. of seeds)", fontsize=9)


def draw_spread(axis: Any, results: Results) -> None:
    n = results["width"]
    for m, pair in enumerate(MIDDLE):
        each = results["spread"][m]
        fit, colour = powers(n, each), COLOURS[pair[0]]
        error = np.nanstd(each, axis=1, ddof=1) / np.sqrt((~np.isnan(each)).sum(axis=1))
        label = "L = {}, i = {}: slope ".format(*pair) + f"{fit.value:.3f} ± {fit.error:.3f}"
        axis.errorbar(
            n,
            np.nanmean(each, axis=1),
            error,
            color=colour,
            ls=LINES[pair],
            marker=MARKS[pair],
            ms=3.5,
            lw=1.1,
            capsize=2,
            label=label,
        )
    axis.plot(
        n,
        0.8 * np.nanmean(results["spread"][0, -1]) * (n / n[-1]) ** -0.5,
        "--",
        color=GREY,
        lw=1,
        label="N^(-1/2)",
    )
    _width_axis(axis, n)
    low, high = axis.get_ylim()
    axis.set_ylabel("s.d. over entries [parameter]")
    axis.set_ylim(low, high * 2)
    axis.set_title("spread of w_i(t) − w_i(0) in a network, ± s.e.", fontsize=9)


def draw_leaving(axis: Any, results: Results) -> None:
    n = results["width_frozen"]
    for k, depth in enumerate(FROZEN):
        t, runs = results["t_frozen"][k], results["risk_frozen"][k]
        for j, risk in enumerate(runs):
            axis.plot(
                t[1:],
                risk[1:],
                color=COLOURS[depth],
                lw=0.7 + 0.5 * j,
                label=f"L = {depth}, N = {n[0]} … {n[len(runs) - 1]}"
                if j == len(runs) - 1
                else None,
            )
    level = results["risk_frozen_limit"][0, 0]
    axis.axhline(level, color=GREY, ls="--", lw=1, label="both limits, for ever")
    axis.set_xlim(1.0, results["t_frozen"].max())
    axis.set(xlabel="time t", ylabel="risk R [loss]", xscale="log", ylim=(0.0, 1.15 * level))
    axis.set_title("means 0: frozen limits are left (thin: narrow)", fontsize=9)


def draw_escape(axis: Any, results: Results, k: int) -> None:
    n, times, (word, law) = results["width_frozen"], results["escape"][k], LAWS[k]
    x, colour = law(n), COLOURS[FROZEN[k]]
    (b, a), error, misfit = straight(x, times)
    count = (~np.isnan(times)).sum(axis=1)
    told, several = times[count > 1], count[count > 1]
    axis.errorbar(
        x[count > 1],
        np.nanmean(told, axis=1),
        np.nanstd(told, axis=1, ddof=1) / np.sqrt(several),
        fmt="o",
        ms=4,
        capsize=2,
        color=colour,
        label=f"L = {FROZEN[k]}, mean ± s.e.",
    )
    axis.plot(
        x,
        a + b * x,
        "-",
        color=GREY,
        lw=1,
        label=f"{a:.2g} + ({b:.2f} ± {error:.2f}) {word}, χ²/dof = {misfit:.1f}",
    )
    (d, c), _, misfit = straight(LAWS[1 - k][1](n), times)
    axis.plot(
        x,
        c + d * LAWS[1 - k][1](n),
        ":",
        color=GREY,
        lw=1,
        label=f"the like in {LAWS[1 - k][0]}, χ²/dof = {misfit:.1f}",
    )
    axis.set_xticks(x, [str(size) for size in n])
    axis.set(xlabel=f"neurons N, at {word}", ylabel="time t of escape")
    axis.set_title(f"L = {FROZEN[k]}: when R is 3/4 of the frozen one", fontsize=9)


def draw_chance(axis: Any, results: Results) -> None:
    for row, (colour, words) in enumerate(
        ((ORANGE, "w₂: knows its w₁"), (GREEN, "w₃: independent"))
    ):
        p = np.concatenate([[0.0], np.sort(results["chance"][row]), [1.0]])
        share = np.minimum(np.arange(p.size) / (p.size - 2), 1.0)
        axis.step(p, share, where="post", color=colour, lw=1.4, label=words)
    axis.plot(*2 * [np.linspace(0.0, 1.0, 5)], "--", color=GREY, lw=1, label="uniform")
    axis.set(xlabel="p of independence  [1]", ylabel="share of blocks  [1]")
    axis.set_title("L = 5: blocks of 16 × 16 trained weights", fontsize=9)


def _width_axis(axis: Any, n: np.ndarray) -> None:
    axis.set(xscale="log", yscale="log", xlabel="neurons N")
    # Room for the widest; one close below goes without a word.
    apart = np.append(n[1:] / n[:-1] > 1.5, True)
    axis.set_xticks(n, [str(size) if room else "" for size, room in zip(n, apart, strict=True)])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
