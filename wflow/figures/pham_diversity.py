"""Starts that degenerate and starts that stay diverse: the covariance of a middle layer, and losses over time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.figures.parts.iid_depths import SPREAD, data, descended, powers
from wflow.layers import Ensemble
from wflow.multilayer import (
    diversity,
    feature_regression,
    iid_limit,
    iid_network,
    normal_atoms,
    positions,
    types,
)
from wflow.results.labelled import Labelled
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

PURPLE = "#AA4499"
STARTS = ("independent", "types", "positions", "feature regression")
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
MARKS = "osv^"
LAYERS = (2, 3)
"""2 ≤ i ≤ L − 2 of five layers."""
KINDS, ATOMS, WILD = 20, 400, 2.0
"""Types of neurons a layer; atoms of the other two diverse laws; spread of the types' weights."""


@figure
class Diversity(Figure):
    """Networks of five layers from four starts: how their middle layers vary over neurons, and how the loss falls."""

    name = "pham-diversity"
    title = (
        "independent and diverse starts of five layers: covariance of middle layers, and the loss"
    )
    source = "Pham & Nguyen, arXiv:2006.09355; Fang, Lee, Yang & Zhang, arXiv:2007.01452, section 5"
    published = {  # noqa: RUF012
        "widths": (100, 200, 400, 800, 1600),
        "seeds": 8,
        "trained": 400,
        "step_size": 0.1,
        "t_end": 20.0,
    }
    reduced = {  # noqa: RUF012
        "widths": (50, 100, 200),
        "seeds": 3,
        "trained": 50,
        "step_size": 0.1,
        "t_end": 10.0,
    }

    def compute(
        self,
        *,
        widths: tuple[int, ...],
        seeds: int,
        trained: int,
        step_size: float,
        t_end: float,
    ) -> Results:
        flow, t = data(), np.linspace(0.0, t_end, 21)
        laws = [
            independent(),
            types(3, [KINDS] * 4, std=WILD, mean=0.8, seed=1),
            positions(3, [ATOMS] * 4, seed=1),
            feature_regression(flow, [ATOMS] * 4, seed=1),
        ]

        def start(k: int, n: int, seed: int) -> Ensemble:
            key = n * 1000 + seed
            return iid_network(laws[k], n, None if k else SPREAD, key)

        def spread(k: int, n: int, seed: int) -> np.ndarray:
            found = diversity(flow, start(k, n, seed))
            return np.array([found.spread, found.ratio])[:, [i - 1 for i in LAYERS]]

        def train(k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
            run = descended(flow, start(k, trained, seed), step_size, t)
            found = [diversity(flow, state) for state in run.measures]
            at = [i - 1 for i in LAYERS]
            return run.risk, np.array([[d.spread[at], d.ratio[at]] for d in found])

        every = range(len(STARTS))
        seen = side_by_side(
            [partial(spread, k, n, s) for k in every for n in widths for s in range(seeds)]
        )
        runs = side_by_side([partial(train, k, s) for k in every for s in range(seeds)])
        shape = len(STARTS), seeds, t.size
        first = np.array(seen).reshape(len(STARTS), len(widths), seeds, 2, len(LAYERS))
        later = np.array([values for _, values in runs]).reshape(*shape, 2, len(LAYERS))
        of_start, of_runs = ("start", "layer", "width", "seed"), ("start", "layer", "seed", "t")
        arrays = {
            "width": Labelled(np.array(widths), ("width",), "neurons"),
            "layer": Labelled(np.array(LAYERS), ("layer",), "1"),
            "t": Labelled(t, ("t",), "time"),
            "spread": Labelled(first[..., 0, :].transpose(0, 3, 1, 2), of_start, "1", "tr Cov H_i"),
            "ratio": Labelled(first[..., 1, :].transpose(0, 3, 1, 2), of_start, "1", "λ₂/λ₁"),
            "spread_later": Labelled(
                later[..., 0, :].transpose(0, 3, 1, 2), of_runs, "1", "tr Cov H_i along training"
            ),
            "ratio_later": Labelled(
                later[..., 1, :].transpose(0, 3, 1, 2), of_runs, "1", "λ₂/λ₁ along training"
            ),
            "risk": Labelled(
                np.array([r for r, _ in runs]).reshape(shape), ("start", "seed", "t"), "loss"
            ),
        }
        return Results(arrays, _findings(arrays, trained))

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        count = results["risk"].shape[1]
        picture.suptitle(
            f"five layers, independent and diverse starts; mean of {count} seeds, bars and shades: ± s.d.",
            fontsize=11,
        )
        n, t = results["width"], results["t"]
        for k, (name, colour, mark) in enumerate(zip(STARTS, COLOURS, MARKS, strict=True)):
            for axis, i in ((axes[0], 0), (axes[1], 1)):
                each = results["spread"][k, i]
                fit = powers(n, each)
                _bars(axis, n, each, colour, mark, f"{name}: {fit.value:.2f} ± {fit.error:.2f}")
            _bars(axes[2], n, results["ratio"][k, 1], colour, mark, name)
            for axis, values in (
                (axes[3], results["spread_later"][k, 1]),
                (axes[4], results["ratio_later"][k, 1]),
                (axes[5], results["risk"][k]),
            ):
                mean, off = values.mean(axis=0), values.std(axis=0, ddof=1)
                axis.fill_between(
                    t, np.maximum(mean - off, 0.5 * mean), mean + off, color=colour, alpha=0.2, lw=0
                )
                axis.plot(t, mean, color=colour, lw=1.4, label=name)
        for axis, i in ((axes[0], 2), (axes[1], 3)):
            own = results["spread"][0, i - 2].mean(axis=1)
            axis.plot(n, 0.7 * own[0] * n[0] / n, "--", color=GREY, lw=1, label="1/N")
            axis.set(ylabel=f"tr Cov H{i}  [1]")
            axis.set_title(f"at the start, layer {i}: power of N", fontsize=9)
        axes[2].set(ylabel="λ₂/λ₁ of Cov H3  [1]", ylim=(0.0, 1.25))  # room for the legend
        axes[2].set_title("at the start, layer 3", fontsize=9)
        for axis in axes[:3]:
            axis.set(xscale="log", xlabel="neurons N")
            axis.set_xticks(n, [str(size) for size in n])
            axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        for axis, words in (
            (axes[3], "tr Cov H3  [1]"),
            (axes[4], "λ₂/λ₁ of Cov H3  [1]"),
            (axes[5], "risk R  [loss]"),
        ):
            axis.set(xlabel="time t", ylabel=words)
        axes[4].set_ylim(0.0, None)
        for axis in (axes[0], axes[1], axes[3], axes[5]):
            axis.set_yscale("log")
        for axis in axes[:2]:
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * (high / low) ** 0.5)
        for axis, words in ((axes[3], "layer 3"), (axes[4], "layer 3"), (axes[5], "loss")):
            axis.set_title(f"{words}, along training", fontsize=9)
        for axis in axes:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def independent() -> Ensemble:
    """Five layers from independent weights; w_1 of mean ½, so that H_2, which neurons of the limit share, is not 0."""
    laws = normal_atoms(512, 3, mean=0.5), normal_atoms(32, 1, mean=0.5)
    return iid_limit(5, *laws, means=0.8)


def _bars(axis: Any, n: np.ndarray, each: np.ndarray, colour: str, mark: str, label: str) -> None:
    mean, off = each.mean(axis=1), each.std(axis=1, ddof=1)
    low = np.minimum(off, 0.7 * mean)
    axis.errorbar(
        n, mean, [low, off], fmt=f"{mark}-", ms=4, lw=1.1, capsize=2, color=colour, label=label
    )


def _findings(arrays: dict[str, Labelled], trained: int) -> list[str]:
    value = {name: array.values for name, array in arrays.items()}
    n, t, said = value["width"], value["t"], []
    for k, name in enumerate(STARTS):
        fits = [powers(n, value["spread"][k, i]) for i in range(len(LAYERS))]
        ratio, risk = value["ratio"][k, 1, -1], value["risk"][k, :, -1]
        said.append(
            f"{name}: tr Cov H_i goes with the power {fits[0].value:.2f} ± {fits[0].error:.2f} (i = 2), "
            f"{fits[1].value:.2f} ± {fits[1].error:.2f} (i = 3) of N, λ2/λ1 of H_3 is {ratio.mean():.2f} at "
            f"N = {n[-1]}; R = {risk.mean():.4f} ± {risk.std(ddof=1) / np.sqrt(risk.size):.4f} at "
            f"t = {t[-1]:g}, N = {trained}"
        )
    return said
