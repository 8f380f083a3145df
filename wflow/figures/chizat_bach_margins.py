"""Networks trained in both layers and in the output layer alone: classifiers, test errors, and margins on the way."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.results.labelled import Labelled
from wflow.spaces import max_margin, trained_margin
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREY, ORANGE, new_figure

SIDE = 0.8
"""The picture shows the square of this half side."""
PIXELS = 161
NAMES = "both layers (F₁)", "output layer (F₂)"


@figure
class Margins(Figure):
    """Clusters in a plane and noise beside them: what both layers find, and the output layer alone."""

    name = "chizat-bach-margins"
    title = "margins of both layers and of the output layer: classifiers, test errors, ascent"
    source = "Chizat & Bach, arXiv:2002.04486, Figs. 1 to 3"
    published = {  # noqa: RUF012
        "samples": (32, 64, 128, 256, 512),
        "dims": (5, 10, 15, 20, 25),
        "widths": (8, 16, 32, 64, 128, 256, 512, 1024),
        "neurons": 1000,
        "at_d": 15,
        "at_n": 256,
        "steps": 3000,
        "seeds": 6,
        "long": 20_000,
        "published_steps": 50_000,
    }
    reduced = {  # noqa: RUF012
        "samples": (32, 64, 96),
        "dims": (5, 10, 15),
        "widths": (8, 20, 60),
        "neurons": 60,
        "at_d": 15,
        "at_n": 96,
        "steps": 300,
        "seeds": 3,
        "long": 1500,
        "published_steps": 1500,
    }

    def compute(
        self,
        *,
        samples: tuple[int, ...],
        dims: tuple[int, ...],
        widths: tuple[int, ...],
        neurons: int,
        at_d: int,
        at_n: int,
        steps: int,
        seeds: int,
        long: int,
        published_steps: int,
    ) -> Results:
        curves = {
            "n": [(at_d, each, neurons) for each in samples],
            "d": [(each, at_n, neurons) for each in dims],
            "m": [(at_d, at_n, each) for each in widths],
        }
        # Curves share points; the largest first, so that both cores end together.
        points = sorted({p for curve in curves.values() for p in curve}, key=np.prod, reverse=True)
        jobs: list[Any] = [
            partial(_classify, *point, steps, seed) for point in points for seed in range(seeds)
        ]
        small = min(neurons, 200)
        ways: list[Any] = [partial(_way, small, long, "even", seed) for seed in range(seeds)]
        ways.append(partial(_way, neurons, published_steps, "published", 0))
        found = side_by_side([partial(_pictured, min(neurons, 500), long), *ways, *jobs])
        picture, ways, runs = found[0], found[1 : len(ways) + 1], found[len(ways) + 1 :]
        at = {point: np.array(runs[k * seeds : (k + 1) * seeds]) for k, point in enumerate(points)}
        arrays = dict(picture)
        for name, values in (("n", samples), ("d", dims), ("m", widths)):
            table = np.array([at[point] for point in curves[name]])  # (values, seeds, 2, 2)
            over = ("layers", name, "seed")
            arrays |= {
                name: Labelled(np.array(values), (name,)),
                f"error_{name}": Labelled(
                    table[..., 0].transpose(2, 0, 1), over, "1", "test error"
                ),
                f"margin_{name}": Labelled(table[..., 1].transpose(2, 0, 1), over, "1", "margin"),
            }
        even, published = ways[:-1], ways[-1]
        arrays |= {
            "iteration": Labelled(even[0][0], ("iteration",), "steps"),
            "ratio": Labelled(
                np.array([w[1] for w in even]), ("seed", "iteration"), "1", "margin over γ₁/2"
            ),
            "iteration_published": Labelled(published[0], ("iteration_published",), "steps"),
            "ratio_published": Labelled(
                published[1], ("iteration_published",), "1", "margin over γ₁/2"
            ),
            "gap": Labelled(np.array([w[2] for w in even]), ("seed",), "1", "of both bounds of γ₁"),
        }
        return Results(arrays, _findings(arrays))

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        count = results["error_n"].shape[2]
        picture.suptitle(
            f"clusters in a plane, two classes; mean of {count} seeds, shades: ± s.e.", fontsize=11
        )
        for k, axis in enumerate(axes[:2]):
            f, at = results["classifier"][k], results["x1"]
            top = np.abs(results["outputs"][k]).min()
            axis.pcolormesh(
                at, at, np.tanh(f.T / top), cmap="coolwarm", vmin=-1.5, vmax=1.5, shading="auto"
            )
            axis.contour(at, at, f.T, levels=[0.0], colors="black", linewidths=1.4)
            x, y = results["points"], results["labels"]
            for sign, mark in ((1.0, "+"), (-1.0, "_")):
                axis.plot(*x[y == sign].T, mark, color="black", ms=5, mew=0.9)
            axis.set(xlabel="x₁  [1]", ylabel="x₂  [1]", aspect="equal")
            axis.set_title(f"{NAMES[k]}: f = 0 and the signs", fontsize=9)
        words = {"n": "samples n", "d": "coordinates d", "m": "neurons m"}
        for axis, (curve, label) in zip(axes[2:5], words.items(), strict=True):
            for k, colour in enumerate((BLUE, ORANGE)):
                mean, error = mean_and_error(results[f"error_{curve}"][k].T)
                values = results[curve]
                axis.fill_between(values, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
                axis.plot(values, mean, "os"[k] + "-", color=colour, ms=4, lw=1.3, label=NAMES[k])
            axis.set(xlabel=label, ylabel="test error  [1]", ylim=(0.0, None))
            if curve != "d":
                axis.set_xscale("log", base=2)
                axis.set_xticks(values, [str(each) for each in values])
            axis.set_title(f"test error against {curve}", fontsize=9)
        last = axes[5]
        step, ratio = results["iteration"], results["ratio"]
        seen = step > 0
        for k, each in enumerate(ratio):
            last.plot(
                step[seen],
                each[seen],
                color=BLUE,
                lw=0.8,
                alpha=0.7,
                label=None if k else "even pace, each seed",
            )
        there = results["iteration_published"] > 0
        last.plot(
            results["iteration_published"][there],
            results["ratio_published"][there],
            color=GREY,
            lw=1.0,
            label="published pace, one seed",
        )
        last.axhline(1.0, color="black", ls="--", lw=1.0, label="γ₁/2, certified")
        last.set(xscale="log", xlabel="steps", ylabel="margin / (γ₁/2)  [1]", ylim=(0.0, 1.1))
        last.set_title("margin per mean of |θ|², d = 3", fontsize=9)
        for axis in axes[2:]:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def _classify(d: int, n: int, m: int, steps: int, seed: int) -> np.ndarray:
    """Test error and margin of both layers after training, and of the output layer's largest margin, (2, 2)."""
    system = get("clusters", d=d, samples=n, data_seed=seed)
    (x, y), other = system.data(), system.held_out()
    both = trained_margin(
        x, y, m, bias=False, n_steps=steps, precision="single", frames=2, seed=seed
    )
    start = trained_margin(x, y, m, "output", bias=False, n_steps=1, frames=2, seed=seed)
    output: Any = max_margin(x, y, "F2", bias=False, features=start.directions)
    if output.value == 0.0:
        # Few features separate nothing: S has a maximum then, which ascent finds.
        output = trained_margin(x, y, m, "output", bias=False, n_steps=steps, frames=2, seed=seed)
    wrong = [float((f.predict(other[0]) * other[1] <= 0).mean()) for f in (both, output)]
    return np.array([[wrong[0], both.value], [wrong[1], output.value]])


def _way(m: int, steps: int, pace: str, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Margin over half of γ₁ along the ascent of both layers, 64 samples of three coordinates; γ₁'s own gap."""
    system = get("clusters", d=3, samples=64, data_seed=seed)
    x, y = system.data()
    best = max_margin(x, y, bias=False)
    run = trained_margin(
        x, y, m, bias=False, n_steps=steps, pace=pace, precision="single", frames=501, seed=seed
    )
    return run.iterations, run.margins / (0.5 * best.value), best.upper / best.value - 1.0


def _pictured(m: int, steps: int) -> dict[str, Labelled]:
    """Both classifiers over the plane, of 16 clusters and 100 samples."""
    system = get("clusters", k=4, d=3, samples=100, data_seed=1)
    x, y = system.data()
    at = np.linspace(-SIDE, SIDE, PIXELS)
    plane = np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2)
    plane = np.concatenate([np.ones((len(plane), 1)), plane], axis=1)
    both = trained_margin(x, y, m, bias=False, n_steps=steps, precision="single", frames=2)
    start = trained_margin(x, y, m, "output", bias=False, n_steps=1, frames=2)
    output = max_margin(x, y, "F2", bias=False, features=start.directions)
    shape = len(at), len(at)
    f = np.array([each.predict(plane).reshape(shape) for each in (both, output)])
    of_data = np.array([each.predict(x) for each in (both, output)])
    return {
        "x1": Labelled(at, ("x1",), "1"),
        "x2": Labelled(at, ("x2",), "1"),
        "classifier": Labelled(f, ("layers", "x1", "x2"), "1", "f, of norm 1"),
        "outputs": Labelled(of_data, ("layers", "point"), "1", "f at the samples"),
        "points": Labelled(x[:, 1:], ("point", "coordinate"), "1"),
        "labels": Labelled(y, ("point",), "1"),
    }


def _findings(arrays: dict[str, Labelled]) -> list[str]:
    value = {name: array.values for name, array in arrays.items()}
    said = []
    for name in ("n", "d", "m"):
        at = value[name]
        for k, who in enumerate(NAMES):
            mean, error = mean_and_error(value[f"error_{name}"][k].T)
            said.append(
                f"{who}: test error {mean[0]:.3f} ± {error[0]:.3f} at {name} = {at[0]}, "
                f"{mean[-1]:.3f} ± {error[-1]:.3f} at {name} = {at[-1]}"
            )
    for k, who in enumerate(NAMES):
        # Slopes of each seed, whose errors at several d are of one law.
        slopes = np.polyfit(value["d"] / 10.0, value["error_d"][k], 1)[0]
        slope, error = mean_and_error(slopes[:, None])
        said.append(
            f"{who}: test error grows by {slope[0]:.4f} ± {error[0]:.4f} with 10 coordinates"
        )
    more = value["error_d"][1] - value["error_d"][0]
    mean, error = mean_and_error(more.T)
    each = ", ".join(
        f"{m:.3f} ± {e:.3f} at d = {d}" for d, m, e in zip(value["d"], mean, error, strict=True)
    )
    said.append(f"the output layer errs more often, on the same samples, by {each}")
    margin, error = mean_and_error(value["margin_m"][0].T)
    said.append(
        f"margin of both layers {margin[0]:.4f} ± {error[0]:.4f} at m = {value['m'][0]}, "
        f"{margin[-1]:.4f} ± {error[-1]:.4f} at m = {value['m'][-1]}"
    )
    ends = value["ratio"][:, -1]
    said.append(
        f"d = 3: margins end at {ends.min():.3f} to {ends.max():.3f} of half of γ₁ after {value['iteration'][-1]} "
        f"steps of even pace, at {value['ratio_published'][-1]:.3f} after "
        f"{value['iteration_published'][-1]} published ones"
    )
    return said
