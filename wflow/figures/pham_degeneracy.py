"""Independent starts of many layers: the limit, in what it is degenerate, and how networks leave a frozen one."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.figures.parts.iid_depths import (
    ASYMPTOTIC,
    DEPTHS,
    FOLLOWED,
    FROZEN,
    LAWS,
    MIDDLE,
    Seen,
    data,
    descended,
    escape,
    escaping,
    limit,
    network,
    one_vector,
    powers,
    straight,
)
from wflow.figures.parts.iid_panels import (
    draw_chance,
    draw_escape,
    draw_gap,
    draw_leaving,
    draw_risk,
    draw_shift,
    draw_spread,
)
from wflow.results.labelled import Labelled
from wflow.tools.pictures import new_figure


@figure
class Degeneracy(Figure):
    """Networks of 3 to 6 layers against the limit of independent weights, by the same steps of gradient descent."""

    name = "pham-degeneracy"
    title = "independent starts of 3 to 6 layers: networks, the limit, one number a middle layer, frozen starts"
    source = "Nguyen & Pham, arXiv:2001.11443, section 5; H. T. Pham's talk of July 2020"
    published = {  # noqa: RUF012
        "widths": (100, 200, 400, 800, 1600, 2000),
        "seeds": (24, 24, 24, 12, 6, 4),
        "step_size": 0.1,
        "t_end": 5.0,
        "frozen_widths": (50, 100, 200, 400, 800, 1600),
        "frozen_seeds": (24, 24, 24, 16, 8, 6),
    }
    reduced = {  # noqa: RUF012
        "widths": (25, 50, 100),
        "seeds": (3, 3, 3),
        "step_size": 0.1,
        "t_end": 5.0,
        "frozen_widths": (25, 50, 100),
        "frozen_seeds": (3, 3, 3),
    }

    def compute(
        self,
        *,
        widths: tuple[int, ...],
        seeds: tuple[int, ...],
        step_size: float,
        t_end: float,
        frozen_widths: tuple[int, ...],
        frozen_seeds: tuple[int, ...],
    ) -> Results:
        flow, t = data(), np.linspace(0.0, t_end, 11)
        known = [descended(flow, limit(depth), step_size, t) for depth in DEPTHS]
        vector = descended(flow, one_vector(), step_size, t)
        last = max([n for n in widths if n <= FOLLOWED], default=widths[0])
        jobs, places = [], []
        for k, depth in enumerate(DEPTHS):
            for i, (n, count) in enumerate(zip(widths, seeds, strict=True)):
                for s in range(count):
                    test = depth == 5 and n == last
                    jobs.append(partial(network, flow, depth, n, s, step_size, t, test))
                    places.append((k, i, s))
        # The longest first, so that no core waits for another at the end.
        order = sorted(range(len(jobs)), key=lambda j: -DEPTHS[places[j][0]] * widths[places[j][1]])
        runs: dict[Any, Seen] = {
            places[j]: seen
            for j, seen in zip(order, side_by_side([jobs[j] for j in order]), strict=True)
        }
        shape = len(DEPTHS), len(widths), max(seeds)
        risk = np.full((*shape, t.size), np.nan)
        spread = np.full((len(MIDDLE), *shape[1:]), np.nan)
        shift = np.full((len(MIDDLE), *shape[1:], t.size), np.nan)
        for (k, i, s), seen in runs.items():
            risk[k, i, s] = seen.risk
            for m, (depth, layer) in enumerate(MIDDLE):
                if depth == DEPTHS[k]:
                    spread[m, i, s] = seen.spread[layer - 3]
                    shift[m, i, s, seen.times] = seen.shift[layer - 3]
        chances = [seen.chances for seen in runs.values() if seen.chances is not None]
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "depth": Labelled(np.array(DEPTHS), ("depth",), "1"),
            "width": Labelled(np.array(widths), ("width",), "neurons"),
            "risk": Labelled(np.array([r.risk for r in known]), ("depth", "t"), "loss", "limits"),
            "risk_vector": Labelled(
                vector.risk, ("t",), "loss", "three layers, with a vector δ₂(w₁) for the matrix"
            ),
            "risk_networks": Labelled(
                risk, ("depth", "width", "seed", "t"), "loss", "NaN where there are fewer seeds"
            ),
            "layers": Labelled(np.array(MIDDLE), ("middle", "pair"), "1", "L and i"),
            "shift": Labelled(
                np.array([_shift(known, *pair) for pair in MIDDLE]),
                ("middle", "t"),
                "parameter",
                "Δ_i*(t) of the limit",
            ),
            "shift_networks": Labelled(
                shift,
                ("middle", "width", "seed", "t"),
                "parameter",
                "mean over entries of w_i(t) - w_i(0)",
            ),
            "spread": Labelled(
                spread,
                ("middle", "width", "seed"),
                "parameter",
                "standard deviation over entries of w_i - w_i(0) at the end",
            ),
            "chance": Labelled(
                np.concatenate(chances, axis=1),
                ("layer", "block"),
                "1",
                f"p of independence, layers 2 and 3 of five, N = {last}",
            ),
        } | _frozen(flow, frozen_widths, frozen_seeds)
        return Results(arrays, _findings(arrays, sum(frozen_seeds)))

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(4, 2)
        picture.suptitle(
            "independent starts of L = 3 … 6 layers: networks, their limit, and how it is degenerate",
            fontsize=11,
        )
        draw_risk(axes[0], results)
        draw_gap(axes[1], results)
        draw_shift(axes[2], results)
        draw_spread(axes[3], results)
        draw_leaving(axes[4], results)
        for axis, k in ((axes[5], 0), (axes[6], 1)):
            draw_escape(axis, results, k)
        draw_chance(axes[7], results)
        for axis in axes:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def _shift(known: list[Any], depth: int, layer: int) -> np.ndarray:
    """Δ_i* of the limit."""
    states = known[DEPTHS.index(depth)].measures
    first = states[0].weights[layer - 1]
    return np.array([float((s.weights[layer - 1] - first)[0, 0]) for s in states])


def _frozen(flow: Any, widths: tuple[int, ...], seeds: tuple[int, ...]) -> dict[str, Labelled]:
    """How long networks stay where their limit stays for ever, and their risk meanwhile."""
    places = [
        (k, i, s)
        for i, count in reversed(list(enumerate(seeds)))
        for s in range(count)
        for k in range(len(FROZEN))
    ]
    left = side_by_side([partial(escape, flow, FROZEN[k], widths[i], s) for k, i, s in places])
    times = np.full((len(FROZEN), len(widths), max(seeds)), np.nan)
    for place, at in zip(places, left, strict=True):
        times[place] = at
    drawn = [n for n in widths if n <= FOLLOWED]
    ends = [1.4 * np.nanmax(times[k, : len(drawn)], initial=1.0) for k in range(len(FROZEN))]
    t = np.array([np.linspace(0.0, end, 60) for end in ends])
    risk = side_by_side(
        [partial(escaping, flow, FROZEN[k], n, t[k]) for k in range(len(FROZEN)) for n in drawn]
    )
    return {
        "depth_frozen": Labelled(np.array(FROZEN), ("case",), "1"),
        "width_frozen": Labelled(np.array(widths), ("width_frozen",), "neurons"),
        "escape": Labelled(
            times, ("case", "width_frozen", "try"), "time", "until R = 3/4 of that of the limit"
        ),
        "t_frozen": Labelled(t, ("case", "moment"), "time"),
        "risk_frozen": Labelled(
            np.array(risk).reshape(len(FROZEN), len(drawn), -1),
            ("case", "width_drawn", "moment"),
            "loss",
            "networks of the first seed",
        ),
        "risk_frozen_limit": Labelled(
            np.array([descended(flow, limit(k, 0.0), 0.5, [0.0, 100.0]).risk for k in FROZEN]),
            ("case", "start_and_end"),
            "loss",
            "limits at t = 0 and 100",
        ),
    }


def _findings(arrays: dict[str, Labelled], tried: int) -> list[str]:
    """What came out, in sentences; ``tried`` frozen networks of a depth."""
    value = {name: array.values for name, array in arrays.items()}
    n, risk, at = value["width"], value["risk"], value["t"][-1]
    said = []
    for k, depth in enumerate(DEPTHS):
        gap = value["risk_networks"][k, :, :, -1] - risk[k, -1]
        fit = powers(n, gap**2)
        wide = gap[-1][~np.isnan(gap[-1])]
        said.append(
            f"L = {depth}: R = {risk[k, -1]:.4f} at t = {at:g}; networks of N = {n[-1]} are off by "
            f"{np.sqrt((wide**2).mean()):.4f} (r.m.s. of {wide.size}), power of N {fit.value / 2:.2f} "
            f"± {fit.error / 2:.2f}"
        )
    off = value["risk_networks"][0, -1, :, -1] - value["risk_vector"][-1]
    said.append(
        f"L = 3 with one vector: R = {value['risk_vector'][-1]:.4f}, from which networks of N = {n[-1]} stay "
        f"{np.sqrt(np.nanmean(off**2)):.4f} away"
    )
    for m, (depth, layer) in enumerate(MIDDLE):
        fit = powers(n, value["spread"][m])
        first = n[n >= ASYMPTOTIC][0] if (n >= ASYMPTOTIC).sum() > 2 else n[0]
        said.append(
            f"L = {depth}, i = {layer}: the spread of w_i(t) - w_i(0) over entries goes with the power "
            f"{fit.value:.3f} ± {fit.error:.3f} of N from N = {first}; Δ* = {value['shift'][m, -1]:.3f}"
        )
    stay = np.ptp(value["risk_frozen_limit"], axis=1).max()
    said.append(f"without means: the limits of L = 4, 5 move by {stay:.1e} in R up to t = 100")
    for k, depth in enumerate(FROZEN):
        fits = []
        for word, law in LAWS:
            (b, a), error, misfit = straight(law(value["width_frozen"]), value["escape"][k])
            fits.append(f"{a:.2f} + ({b:.3f} ± {error:.3f}) {word} (χ²/dof = {misfit:.1f})")
        stayed = tried - np.count_nonzero(~np.isnan(value["escape"][k]))
        said.append(
            f"L = {depth} frozen: escape at {fits[k]}; not so {fits[1 - k]}; {stayed} of {tried} did not escape"
        )
    from scipy.stats import kstest

    for row, words in ((1, "w₃, which should be independent"), (0, "w₂, which should not")):
        p = value["chance"][row]
        said.append(
            f"L = 5: {(p <= 0.05).mean():.1%} of {p.size} blocks of {words}, have p ≤ 0.05; p of their being uniform "
            f"{kstest(p, 'uniform').pvalue:.2g}"
        )
    return said
