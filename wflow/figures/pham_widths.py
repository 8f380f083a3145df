"""Three layers on digits: networks of several widths beside their limit, and what the convergence theorem asks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.layers import Ensemble, Flow
from wflow.multilayer import WatchHypotheses, iid_limit, iid_network, normal_atoms, sgd
from wflow.results.labelled import Labelled
from wflow.results.solution import Solution
from wflow.solvers.step_size import steps_to
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, ORANGE, new_figure

MEAN, SPREAD = 0.1, 1.0
"""Of the weights of layers 2 and 3; those of layer 1 have mean 0."""
COLOURS = (ORANGE, GREEN, BLUE)
LOOKS = 40
"""Times at which the hypotheses are looked at."""
ASKED = {
    "pace": ("ess sup |∂t w2|", "parameter/time"),
    "factor": ("least over x of (E F(x, C2)²)^½", "1"),
    "gap": ("largest angle to the nearest w1, at least", "radians"),
    "condition": ("least by largest eigenvalue of E σ(w1·x)σ(w1·x')", "1"),
}


@figure
class Widths(Figure):
    """The training loss of networks of three layers, from independent starts of their own, and the limit's."""

    name = "pham-widths"
    title = "three layers on digits: training loss of several widths, the limit, and the theorem's hypotheses"
    source = "H. T. Pham's talk of July 2020; Pham & Nguyen, arXiv:2006.09355"
    published = {  # noqa: RUF012
        "widths": (200, 400, 800),
        "seeds": 4,
        "step_size": 7e-3,
        "samples": 100,
        "t_end": 14.0,
        "atoms": (2048, 32),
    }
    reduced = {  # noqa: RUF012
        "widths": (25, 50, 100),
        "seeds": 3,
        "step_size": 0.035,
        "samples": 40,
        "t_end": 7.0,
        "atoms": (256, 16),
    }

    def compute(
        self,
        *,
        widths: tuple[int, ...],
        seeds: int,
        step_size: float,
        samples: int,
        t_end: float,
        atoms: tuple[int, int],
        path: str | None = None,
    ) -> Results:
        """The numbers; ``path`` is the folder of MNIST's IDX files, without which the packaged digits are taken."""
        flow = digits(samples, path)
        t = step_size * np.round(np.linspace(0.0, t_end / step_size, 29))

        def trained(start: Ensemble, watch: bool) -> tuple[Solution, WatchHypotheses]:
            seen = WatchHypotheses(flow, every=t_end / LOOKS)
            run = sgd(
                flow,
                start,
                step_size=step_size,
                n_steps=steps_to(t_end, step_size),
                batch_size="full",
                t_eval=t,
                trackers=[seen] if watch else [],
            )
            return run, seen

        limits = [limit(flow.inputs, *atoms, seed=s) for s in (0, 1)]
        nets = [
            partial(
                lambda n, s: trained(iid_network(limits[0], n, SPREAD, n * 1000 + s), s == 0), n, s
            )
            for n in sorted(widths, reverse=True)
            for s in range(seeds)
        ]
        known = [partial(trained, law, k == 0) for k, law in enumerate(limits)]
        runs = side_by_side([*known, *nets])
        (first, watched), (second, _) = runs[:2]
        of_nets = [runs[2 + k * seeds : 2 + (k + 1) * seeds] for k in range(len(widths))][::-1]
        risk = np.array([[run.risk for run, _ in row] for row in of_nets])
        watches = [watched, *(row[0][1] for row in of_nets)]
        arrays = {
            "t": Labelled(first.t, ("t",), "time"),
            "width": Labelled(np.array(sorted(widths)), ("width",), "neurons"),
            "risk": Labelled(first.risk, ("t",), "loss", "limit"),
            "risk_again": Labelled(second.risk, ("t",), "loss", "limit by other atoms"),
            "risk_networks": Labelled(risk, ("width", "seed", "t"), "loss"),
            "t_seen": Labelled(np.array(watched.t), ("look",), "time"),
        }
        for name, (words, unit) in ASKED.items():
            values = np.array([w.series()[name] for w in watches])
            arrays[name] = Labelled(
                values, ("limit_and_width", "look"), unit, f"{words}; first the limit"
            )
        ranks = [int(w.seen[-1].rank) for w in watches]
        return Results(arrays, _findings(arrays, ranks, samples))

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        picture.suptitle("three layers, digits 0-4 against 5-9, independent starts", fontsize=11)
        t, n, seeds = results["t"], results["width"], results["risk_networks"].shape[1]
        for k, colour in zip(range(len(n)), COLOURS, strict=False):
            runs = results["risk_networks"][k]
            for axis, values in ((axes[0], runs), (axes[1], runs - results["risk"])):
                axis.fill_between(
                    t, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2
                )
                axis.plot(t, values.mean(axis=0), color=colour, lw=1.3, label=f"N = {n[k]}")
        axes[0].plot(t, results["risk"], "--", color="black", lw=1.2, label="limit")
        axes[1].plot(
            t,
            results["risk_again"] - results["risk"],
            ":",
            color="black",
            lw=1.2,
            label="limit by other atoms",
        )
        axes[1].axhline(0.0, color="black", ls="--", lw=1)
        axes[0].set(xlabel="time t", ylabel="training loss R [loss]", ylim=(0.0, None))
        axes[1].set(xlabel="time t", ylabel="R_N − R [loss]")
        axes[0].set_title(f"mean of {seeds} seeds, least to largest", fontsize=9)
        axes[1].set_title("the same, less the limit", fontsize=9)
        at = results["t_seen"]
        for axis, (name, (words, unit)) in zip(axes[2:], ASKED.items(), strict=True):
            styles = [("black", "--"), *((colour, "-") for colour in COLOURS[: len(n)])]
            labels = ["limit", *(f"N = {size}" for size in n)]
            for values, (colour, style), label in zip(results[name], styles, labels, strict=True):
                axis.plot(at, values, style, color=colour, lw=1.2, label=label)
            axis.set(xlabel="time t", ylabel=f"{name} [{unit}]")
            axis.set_title(words, fontsize=9)
            if name in ("pace", "condition"):
                axis.set_yscale("log")
            else:
                axis.set_ylim(0.0, None)
        for axis in axes:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def digits(samples: int, path: str | None = None) -> Flow:
    """So many digits, 0-4 against 5-9, of the packaged data or of MNIST; Huber's loss, tanh."""
    folder = {} if path is None else {"path": path}
    x, y = get("digits" if path is None else "mnist", task="halves", **folder).data()
    return Flow(x[:samples], y[:samples], activation="tanh", loss="huber")


def limit(inputs: int, first: int, last: int, seed: int) -> Ensemble:
    """The limit of independent normal weights, by so many atoms of the laws of w_1 and of w_3."""
    laws = normal_atoms(first, inputs, seed=seed), normal_atoms(last, 1, SPREAD, MEAN)
    return iid_limit(3, *laws, means=MEAN)


def _findings(arrays: dict[str, Labelled], ranks: list[int], samples: int) -> list[str]:
    risk, nets, n = (arrays[k].values for k in ("risk", "risk_networks", "width"))
    t, means = arrays["t"].values, nets.mean(axis=1)
    said = []
    for k, size in enumerate(n):
        end, error = mean_and_error(nets[k])
        off = np.abs(means[k] - risk)
        said.append(
            f"N = {size}: R = {end[-1]:.4f} ± {error[-1]:.4f} at t = {t[-1]:g}, the limit's {risk[-1]:.4f}; at most "
            f"{off.max():.4f} from the limit, at t = {t[off.argmax()]:.3g}"
        )
    pairs = [(i, j) for j in range(len(n)) for i in range(j)]
    i, j = max(pairs, key=lambda p: np.abs(means[p[0]] - means[p[1]]).max())
    between = np.abs(means[i] - means[j])
    error = np.hypot(*(mean_and_error(nets[k])[1][between.argmax()] for k in (i, j)))
    again = np.abs(arrays["risk_again"].values - risk).max()
    said += [
        f"largest gap between widths: {between.max():.4f} ± {error:.4f}, N = {n[i]} and {n[j]} at t = "
        f"{t[between.argmax()]:.3g}; the limit by other atoms is off by {again:.4f}",
        f"features of layer 1 at the end: rank {', '.join(map(str, ranks))} of {samples} samples (limit, then widths)",
    ]
    for name, words in (
        ("pace", "sup |∂t w2|"),
        ("factor", "least r.m.s. of F"),
        ("gap", "largest angle, at least,"),
    ):
        series = arrays[name].values
        told = ", ".join(f"{row[0]:.3g} → {row[-1]:.3g}" for row in series)
        said.append(f"{words} from the first to the last look: {told} (limit, then widths)")
    return said
