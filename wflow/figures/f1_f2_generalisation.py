"""Generalisation in F₁ and F₂: errors against samples and neurons with noisy labels, and what an error is made of."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.figures.parts.error_split import TERMS, of_population, split
from wflow.figures.parts.iid_depths import powers
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.spaces import penalised, ridge_fit
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.validation.powers import against_n

D, NOISE, TEST, TRAINING = 6, 0.5, 4000, 64
"""Dimension, s of the labels, fresh inputs, and samples that networks are trained on."""
RIDGES = 10.0 ** np.arange(-6.0, 0.5, 0.5)
"""Of F₂, which gets the best of them at every draw, by the error itself."""
PURPLE = "#AA4499"
COLOURS = ("black", GREEN, ORANGE, BLUE, PURPLE, GREY)
SPACES = ("F1", "F2")
TRAINED = ("ridge", "none")


@figure
class Generalisation(Figure):
    """Three ReLU teachers in six dimensions, noisy labels; and a target on a line, where minimisers are certified."""

    name = "f1-f2-generalisation"
    title = "errors in F1 and F2 against samples and neurons with noisy labels, and the split of an error"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML 2019; Bach, JMLR 18 (2017)"
    published = {  # noqa: RUF012
        "samples": (32, 64, 128, 256, 512),
        "neurons": (1, 2, 4, 8, 16, 32, 64, 128, 256),
        "seeds": 8,
        "line": (16, 32, 64, 128, 256),
        "nodes": 200,
        "t_end": 100.0,
    }
    reduced = {  # noqa: RUF012
        "samples": (16, 32, 64),
        "neurons": (1, 8, 64, 128),
        "seeds": 2,
        "line": (16, 32, 64),
        "nodes": 64,
        "t_end": 20.0,
    }

    def compute(
        self,
        *,
        samples: tuple[int, ...],
        neurons: tuple[int, ...],
        seeds: int,
        line: tuple[int, ...],
        nodes: int,
        t_end: float,
    ) -> Results:
        best = side_by_side([partial(of_population, size, nodes) for size in line])
        spaces = side_by_side([partial(errors, n, s) for n in samples for s in range(seeds)])
        widths = side_by_side(
            [partial(trained, n, s, TRAINING, t_end) for n in neurons for s in range(seeds)]
        )
        terms = side_by_side(
            [partial(split, n, s, best[i], t_end) for i, n in enumerate(line) for s in range(seeds)]
        )

        def by(found: list[Any], sizes: tuple[int, ...], words: tuple[str, ...]) -> np.ndarray:
            return np.array(found).reshape(len(sizes), seeds, len(words)).transpose(2, 0, 1)

        arrays = {
            "samples": Labelled(np.array(samples), ("samples",), "1"),
            "neurons": Labelled(np.array(neurons), ("neurons",), "neurons"),
            "line": Labelled(np.array(line), ("line",), "1", "samples on a line"),
            "error": Labelled(
                by(spaces, samples, SPACES), ("space", "samples", "seed"), "loss", "E(f − f*)²"
            ),
            "error_trained": Labelled(
                by(widths, neurons, TRAINED), ("ridge", "neurons", "seed"), "loss", "E(f − f*)²"
            ),
            "terms": Labelled(
                by(terms, line, TERMS), ("term", "line", "seed"), "loss", "squares of distances"
            ),
        }
        return Results(arrays, _findings(arrays))

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        seeds = results["error"].shape[-1]
        picture.suptitle(
            f"generalisation with noisy labels; mean ± s.e. of {seeds} seeds", fontsize=11
        )
        x = results["samples"]
        for k, (name, colour, mark) in enumerate(
            zip(("F₁, λ = s/2 L^(−1/2)", "F₂, best ridge"), (BLUE, ORANGE), "os", strict=True)
        ):
            fit = powers(x, results["error"][k])
            label = f"{name}: power {fit.value:.2f} ± {fit.error:.2f}"
            _bars(left, x, results["error"][k], colour, mark, label)
        first = results["error"][0, 0].mean()
        left.loglog(x, first * np.sqrt(x[0] / x), "--", color=GREY, lw=1, label="L^(−1/2)")
        left.set(xlabel="samples L", ylabel="E(f − f*)²  [loss]")
        left.set_title(f"three teachers, d = {D}", fontsize=9)
        n = results["neurons"]
        for k, (name, colour, mark) in enumerate(
            zip(("ridge λ = s/2 L^(−1/2)", "no ridge"), (BLUE, ORANGE), "os", strict=True)
        ):
            _bars(middle, n, results["error_trained"][k], colour, mark, name)
        middle.axvline(D + 1, color=GREY, ls=":", lw=1, label=f"D = {D + 1}")
        middle.set(xlabel="neurons N", ylabel="E(f − f*)²  [loss]")
        middle.set_title(f"trained networks, L = {TRAINING}", fontsize=9)
        x = results["line"]
        words = (
            "f_t to f*",
            "penalty",
            "samples",
            "√L neurons",
            "training",
            "certificate at the samples",
        )
        shown = zip((0, 1, 2, 3, 4, 6), words, COLOURS, "os^vDx", strict=True)
        for k, word, colour, mark in shown:
            _bars(right, x, results["terms"][k], colour, mark, word)
        right.set(xlabel="samples L", ylabel="square of a distance  [loss]")
        right.set_title("on a line: what the error is made of", fontsize=9)
        for axis, at in ((left, results["samples"]), (middle, n), (right, x)):
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(at, [str(size) for size in at])
            axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * (high / low) ** 0.4)  # room for the legend
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False, ncols=1 if axis is not right else 2)
        return picture


def teacher() -> tuple[np.ndarray, np.ndarray]:
    """Charges (3,) and directions (3, d) of length 1: ‖f*‖₁ ≤ 3."""
    w = np.random.default_rng(0).standard_normal((3, D))
    return np.array([1.0, -1.0, 1.0]), w / np.linalg.norm(w, axis=1, keepdims=True)


def drawn(count: int, key: list[int], noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs (count, d) and labels."""
    rng, (c, w) = np.random.default_rng(key), teacher()
    x = rng.standard_normal((count, D))
    return x, np.maximum(x @ w.T, 0.0) @ c + noise * rng.standard_normal(count)


def penalty(samples: int) -> float:
    """λ = s/2 L^{−1/2}."""
    return 0.5 * NOISE / float(np.sqrt(samples))


def errors(samples: int, seed: int) -> np.ndarray:
    """E(f − f*)² of the minimiser in F₁ and of the best of F₂, on fresh inputs without noise."""
    x, y = drawn(samples, [samples, seed], NOISE)
    there, clean = drawn(TEST, [1, 0], 0.0)
    one = penalised(x, y, penalty(samples), bias=False, tolerance=1e-3)
    two = [ridge_fit(x, y, float(ridge), bias=False).predict(there) for ridge in RIDGES]
    off = [((f - clean) ** 2).mean() for f in (one.predict(there), *two)]
    return np.array([off[0], min(off[1:])])


def trained(neurons: int, seed: int, samples: int, t_end: float) -> np.ndarray:
    """E(f − f*)² of flows of N neurons with the ridge of F₁ and without, on one draw of samples a seed."""
    x, y = drawn(samples, [samples, seed], NOISE)
    there, clean = drawn(TEST, [1, 0], 0.0)
    energy = FeatureEnergy("relu", x, y, charges=True)
    rng = np.random.default_rng([2, neurons, seed])
    start = Particles(rng.standard_normal((neurons, 1 + D)), names=energy.coordinates)
    found = []
    for ridge in (penalty(samples), 0.0):
        run = solve(
            GradientFlow(energy, ridge=ridge), start, (0.0, t_end), t_eval=[0.0, t_end], rtol=1e-2
        )
        found.append(((energy.predict(run.measures[-1], there) - clean) ** 2).mean())
    return np.array(found)


def _bars(axis: Any, x: np.ndarray, each: np.ndarray, colour: str, mark: str, label: str) -> None:
    mean, error = mean_and_error(each.T)
    against_n(axis, x, mean, error, colour, label, mark)


def _findings(arrays: dict[str, Labelled]) -> list[str]:
    value = {name: array.values for name, array in arrays.items()}
    said, x, n = [], value["samples"], value["neurons"]
    for name, each in zip(SPACES, value["error"], strict=True):
        fit, (mean, error) = powers(x, each), mean_and_error(each.T)
        said.append(
            f"{name}: E(f - f*)^2 goes with the power {fit.value:.2f} ± {fit.error:.2f} of L, and is "
            f"{mean[-1]:.4f} ± {error[-1]:.4f} at L = {x[-1]}"
        )
    for name, each in zip(("ridge", "no ridge"), value["error_trained"], strict=True):
        mean, error = mean_and_error(each.T)
        said.append(
            f"{name}: E(f - f*)^2 is {mean[0]:.3f} at N = {n[0]}, {mean[-2]:.4f} ± {error[-2]:.4f} at N = {n[-2]} and "
            f"{mean[-1]:.4f} ± {error[-1]:.4f} at N = {n[-1]}"
        )
    parts = value["terms"]
    mean = parts.mean(axis=-1)[:, -1]
    listed = ", ".join(f"{word} {size:.1e}" for word, size in zip(TERMS, mean, strict=True))
    said.append(f"on a line, L = {value['line'][-1]}: {listed}")
    for name, each in zip(TERMS[:4], parts[:4], strict=True):
        fit = powers(value["line"], each)
        said.append(f"on a line, {name}: power {fit.value:.2f} ± {fit.error:.2f} of L")
    return said
