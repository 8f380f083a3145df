"""Sparse deconvolution by conic particles: paths on the circle and the torus, excess over the least value, success."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.measures import Particles
from wflow.results.labelled import Labelled
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.solvers.statics import Minimiser, minimise_sparse
from wflow.systems import System, get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

CIRCLE, TORUS, MAP = (0.05, 0.005), (0.01, 0.01), 0.002
"""The source's step sizes (α, β): r ← r e^{−2αJ'} and θ ← θ − β∇J'; of the map α, with β = α, α/2, α/4, …"""
SUCCESS = 0.1
"""Excess J − J* below which all spikes of the map's signals are found: where one is missed it is 0.46 and more."""
FRAMES = 100
TURN = 2 * np.pi


@figure
class ConicDeconvolution(Figure):
    """Signed spikes on the circle, three positive ones on the torus, and over m and β/α how often all are found."""

    name = "chizat-conic"
    title = "sparse deconvolution by conic particles on the circle and the torus"
    source = "Chizat (2022), Math. Program. 194, 487 (arXiv:1907.10300), Section 5"
    published = {  # noqa: RUF012
        "particles": 30,
        "iterations": 1000,
        "sides": (5, 10),
        "iterations_torus": 3000,
        "experiments": 10,
        "sizes": (4, 5, 6, 7, 8, 9, 10),
        "halvings": 5,
        "iterations_map": 1000,
    }
    reduced = {  # noqa: RUF012
        "particles": 30,
        "iterations": 400,
        "sides": (4, 5),
        "iterations_torus": 200,
        "experiments": 1,
        "sizes": (4, 8),
        "halvings": 1,
        "iterations_map": 200,
    }

    def compute(
        self,
        *,
        particles: int,
        iterations: int,
        sides: Sequence[int],
        iterations_torus: int,
        experiments: int,
        sizes: Sequence[int],
        halvings: int,
        iterations_map: int,
    ) -> Results:
        circle, torus = (
            get("sparse-deconvolution"),
            get("sparse-deconvolution", dimension=2, penalty=1.0),
        )
        jobs = [
            partial(conic, circle, particles, CIRCLE, iterations, form)
            for form in ("mirror", "linear")
        ]
        jobs += [partial(conic, torus, side**2, TORUS, iterations_torus) for side in sides]
        mirror, linear, *on_torus = side_by_side(jobs)
        drawn = [
            get(
                "sparse-deconvolution",
                frequencies=8,
                signs="positive",
                separation=0.0,
                spike_seed=k,
            )
            for k in range(experiments)
        ]
        steps = [(MAP, MAP / 2**k) for k in range(halvings)]
        ends = side_by_side(
            [
                partial(conic, it, m, step, iterations_map, frames=1)
                for it in drawn
                for step in steps
                for m in sizes
            ]
        )
        least_circle, least_torus, *least = side_by_side(
            [partial(least_value, it) for it in (circle, torus, *drawn)]
        )
        shape = (experiments, halvings, len(sizes))
        found = np.array([value(r)[-1] for r in ends]).reshape(shape)
        found -= np.array([0.5 * m.risk for m in least])[:, None, None]
        share, error = success(found)
        k_circle, k_torus = _iterations(iterations), _iterations(iterations_torus)
        y = np.linspace(0.0, TURN, 201)
        square = np.linspace(0.0, TURN, 61)
        plane = np.stack(np.meshgrid(square, square), axis=-1).reshape(-1, 2)
        arrays = {
            "iteration": Labelled(k_circle, ("iteration",), "1", "iterations on the circle"),
            "iteration_torus": Labelled(k_torus, ("iteration_torus",), "1"),
            "paths": Labelled(
                np.array([m.points()[:, 1] for m in mirror.measures]),
                ("iteration", "particle"),
                "parameter",
                "y on the circle, mirror form",
            ),
            "radii": Labelled(
                np.array([signed_radii(m) for m in mirror.measures]),
                ("iteration", "particle"),
                "1",
                "sr, r² = n times the weight",
            ),
            "spikes": Labelled(
                circle.planted().points(), ("spike", "coordinate"), "parameter", "(s, y)"
            ),
            "spike_weights": Labelled(circle.planted().weights(), ("spike",), "1"),
            "y": Labelled(y, ("y",), "parameter"),
            "observed": Labelled(
                circle.energy().predict(circle.planted(), y), ("y",), "output", "f* on the circle"
            ),
            "fitted": Labelled(mirror.predict(y), ("y",), "output", "f at the end"),
            "excess": Labelled(
                np.array([value(r) for r in (mirror, linear)]) - 0.5 * least_circle.risk,
                ("form", "iteration"),
                "loss",
                "J − J* on the circle: mirror, linear",
            ),
            "side": Labelled(np.array(sides), ("side",), "1", "particles an axis"),
            "excess_torus": Labelled(
                np.array([value(r) for r in on_torus]) - 0.5 * least_torus.risk,
                ("side", "iteration_torus"),
                "loss",
                "J − J* on the torus",
            ),
            "observed_torus": Labelled(
                torus.energy().predict(torus.planted(), plane).reshape(61, 61),
                ("square2", "square1"),
                "output",
                "f* on the torus",
            ),
            "spikes_torus": Labelled(
                torus.planted().points()[:, 1:], ("spike_torus", "axis"), "parameter"
            ),
            "size": Labelled(np.array(sizes), ("size",), "1", "particles m"),
            "ratio": Labelled(0.5 ** np.arange(halvings), ("ratio",), "1", "β/α"),
            "map": Labelled(
                found.mean(axis=0), ("ratio", "size"), "loss", "mean of J − J* over the experiments"
            ),
            "success": Labelled(
                share, ("ratio", "size"), "1", f"share of the experiments with J − J* < {SUCCESS:g}"
            ),
            "success_error": Labelled(error, ("ratio", "size"), "1", "its standard error"),
            "found": Labelled(found, ("experiment", "ratio", "size"), "loss", "J − J*"),
        }
        for side, run in zip(sides, on_torus, strict=True):
            arrays[f"paths_{side}"] = Labelled(
                np.array([m.points()[:, 1:] for m in run.measures]),
                ("iteration_torus", f"particle_{side}", "axis"),
                "parameter",
            )
            arrays[f"weights_{side}"] = Labelled(
                run.measures[-1].weights(), (f"particle_{side}",), "1", "at the end"
            )
        findings = [
            f"circle: J* = {0.5 * least_circle.risk:.6f} (certified to {0.5 * least_circle.gap:.0e}); J − J* = "
            f"{arrays['excess'].values[0, -1]:.1e} (mirror) and {arrays['excess'].values[1, -1]:.1e} (linear) after "
            f"{iterations} iterations, mass {mirror.mass[-1]:.4f} of {circle.planted().mass:.4g} observed"
        ]
        findings += [
            f"torus, m = {side**2}: J − J* = {e[-1]:.1e} after {iterations_torus} iterations, mass {r.mass[-1]:.4f}"
            for side, e, r in zip(sides, arrays["excess_torus"].values, on_torus, strict=True)
        ]
        findings += [
            f"map, m = {m}, β = α … α/{2 ** (halvings - 1)}: J − J* < {SUCCESS:g} in "
            f"{', '.join(f'{p:.2g} ± {e:.1g}' for p, e in zip(share[:, k], error[:, k], strict=True))} of "
            f"{experiments} experiments; median J − J* {np.median(found[:, :, k]):.1e}"
            for k, m in enumerate(sizes)
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        picture.suptitle("Sparse deconvolution by conic particles", fontsize=11)
        self._draw_circle(axes[0], axes[1], results)
        excess = axes[2]
        for form, style, e in zip(
            ("mirror", "linear"), ("-", "--"), results["excess"], strict=True
        ):
            _fall(excess, results["iteration"], e, style, BLUE, f"circle, {form}")
        shades = (ORANGE, GREEN, GREY)
        for side, colour, e in zip(results["side"], shades, results["excess_torus"], strict=False):
            _fall(excess, results["iteration_torus"], e, "-", colour, f"torus, m = {side**2}")
        excess.set(yscale="log", xlabel="iteration", ylabel="J − J*  [loss]")
        excess.set_title("excess over the least value", fontsize=9)
        for panel, side in zip(axes[3:5], results["side"], strict=False):
            self._draw_torus(panel, results, int(side))
        self._draw_map(axes[5], results)
        for axis in axes[:3]:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture

    @staticmethod
    def _draw_circle(left: Any, right: Any, results: Results) -> None:
        paths, radii = results["paths"], results["radii"]
        for y, r in zip(paths.T, radii.T, strict=True):
            angle = y % TURN
            angle[1:][np.abs(np.diff(angle)) > np.pi] = np.nan
            left.plot(angle, r, color="black", lw=0.6)
        for sign, colour, name in ((1, ORANGE, "positive"), (-1, BLUE, "negative")):
            here = sign * radii[-1] > 0
            left.plot(
                paths[-1, here] % TURN,
                radii[-1, here],
                "o",
                color=colour,
                ms=4,
                label=f"{name}, at the end",
            )
        signs, places = results["spikes"].T
        alone = signs * np.sqrt(paths.shape[1] * results["spike_weights"])
        left.plot(places, alone, "x", color=GREEN, ms=6, label="spikes, if one particle were each")
        left.set(
            xlim=(0.0, TURN), xlabel="y  [parameter]", ylabel="s r, with r² = n times the weight"
        )
        left.set_title(f"circle: paths of {paths.shape[1]} particles", fontsize=9)
        right.plot(results["y"], results["observed"], ":", color=GREY, label="observed f*")
        right.plot(results["y"], results["fitted"], color=ORANGE, lw=1.3, label="f at the end")
        right.set(xlim=(0.0, TURN), xlabel="x  [input]", ylabel="output f(x)")
        right.set_title("circle: a penalty makes all spikes smaller", fontsize=9)

    @staticmethod
    def _draw_torus(axis: Any, results: Results, side: int) -> None:
        axis.imshow(
            results["observed_torus"], origin="lower", extent=(0, TURN, 0, TURN), cmap="viridis"
        )
        paths, weights = results[f"paths_{side}"], results[f"weights_{side}"]
        for path in np.moveaxis(paths, 1, 0):
            axis.plot(*wrapped(*path.T), color="white", lw=0.6)
        axis.scatter(*(paths[-1].T % TURN), s=60 * np.sqrt(weights), color=ORANGE, zorder=3)
        axis.scatter(*results["spikes_torus"].T, marker="x", s=30, color="white", lw=1, zorder=4)
        axis.set(xlim=(0, TURN), ylim=(0, TURN), xlabel="y1  [parameter]", ylabel="y2  [parameter]")
        axis.set_title(f"torus: m = {side**2} on f*, ends (area: r) and spikes ×", fontsize=9)

    @staticmethod
    def _draw_map(axis: Any, results: Results) -> None:
        shown, middle = results["success"], np.median(results["found"], axis=0)
        axis.imshow(shown, cmap="gray", aspect="auto", vmin=0.0, vmax=1.0)
        for (i, j), number in np.ndenumerate(shown):
            axis.text(
                j,
                i,
                f"{number:.2g} ± {results['success_error'][i, j]:.1g}\n{middle[i, j]:.0e}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if number < 0.5 else "black",
            )
        axis.set_xticks(range(len(results["size"])), [str(m) for m in results["size"]])
        axis.set_yticks(
            range(len(results["ratio"])), [f"1/{round(1 / r)}" for r in results["ratio"]]
        )
        axis.set(xlabel="particles m", ylabel="β/α")
        axis.set_title(
            f"share of {len(results['found'])} with J − J* < {SUCCESS:g}; below, median J − J* [loss]",
            fontsize=9,
        )


def conic(
    system: System,
    n: int,
    steps: tuple[float, float],
    iterations: int,
    form: str = "mirror",
    frames: int = FRAMES,
) -> Solution:
    """A number of the source's iterations: one is a step β of our clock, where masses react with 4α/β."""
    alpha, beta = steps
    return solve(
        system.flow(reaction_rate=4 * alpha / beta),
        system.initial("particles", n),
        (0.0, beta * iterations),
        t_eval=beta * _iterations(iterations, frames),
        method="conic",
        method_options={"step_size": beta, "form": form},
    )


def least_value(system: System) -> Minimiser:
    """J over all measures of total variation up to twice the planted one's: laws of θ = (s, y) with |s| up to that."""
    most = 2 * system.planted().mass
    signs = (0.0 if system.positive else -most, most)
    box = [signs] + [(0.0, TURN)] * system.dimension
    starts = system.planted().points()
    return minimise_sparse(system.energy(), box, starts=starts, tolerance=1e-7, search=41)


def success(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of experiments (first axis) below ``SUCCESS``, and its standard error √(q(1 − q)/(K + 3)).

    k of K are taken for q = (k + 1)/(K + 2), so that none and all of a few have an error, too.

    >>> [[float(x.round(3)) for x in pair] for pair in zip(*success(np.array([[0.0, 0.3], [0.05, 0.01]])))]
    [[1.0, 0.194], [0.5, 0.224]]
    """
    k = (found < SUCCESS).sum(axis=0)
    q = (k + 1) / (len(found) + 2)
    return k / len(found), np.sqrt(q * (1 - q) / (len(found) + 3))


def value(run: Solution) -> np.ndarray:
    """J = ½R."""
    return np.asarray(0.5 * run.risk)


def signed_radii(law: Particles) -> np.ndarray:
    """sr, r² = n times the weight."""
    return np.asarray(law.points()[:, 0] * np.sqrt(len(law.weights()) * law.weights()))


def wrapped(*path: np.ndarray) -> list[np.ndarray]:
    """A path (T,) in each of some angles, in [0, 2π) and cut where it goes round."""
    angles = [angle % TURN for angle in path]
    round_again = np.any([np.abs(np.diff(angle)) > np.pi for angle in angles], axis=0)
    return [np.insert(angle, 1 + np.flatnonzero(round_again), np.nan) for angle in angles]


def _iterations(count: int, frames: int = FRAMES) -> np.ndarray:
    return np.unique(np.linspace(0, count, frames + 1).round()).astype(np.int64)


def _fall(
    axes: Any, k: np.ndarray, excess: np.ndarray, style: str, colour: str, label: str
) -> None:
    axes.plot(k, np.maximum(excess, 1e-12), style, color=colour, lw=1.3, label=label)
