"""Targets that are Lipschitz and no more are learned slower the more inputs they have; those of few neurons are not."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.tools.pictures import new_figure

A_SIDE, FRESH = 4, 2000
"""Points a coordinate of the Lipschitz target; fresh inputs that say the risk."""
TARGETS = ("lipschitz", "barron")
TIMES = 25
COLOURS = ("#4477AA", "#228833", "#CCBB44", "#EE6677", "#AA3377")


@figure
class Lipschitz(Figure):
    """The distance to 4^d points of the cube against three ReLU neurons, both of variance 1, from the same starts."""

    name = "lipschitz-slow"
    title = (
        "risk over time and neurons of a Lipschitz target and of a Barron one in several dimensions"
    )
    source = "Wojtowytsch & E (2020), arXiv:2005.10815; E, Ma & Wu (2019), arXiv:1906.08039"
    published = {  # noqa: RUF012
        "dimensions": (1, 2, 3, 4, 5),
        "neurons": (8, 32, 128),
        "seeds": 4,
        "nodes": 2000,
        "t_end": 300.0,
    }
    reduced = {  # noqa: RUF012
        "dimensions": (1, 2, 4),
        "neurons": (8, 16, 64),
        "seeds": 2,
        "nodes": 500,
        "t_end": 50.0,
    }

    def compute(
        self,
        *,
        dimensions: tuple[int, ...],
        neurons: tuple[int, ...],
        seeds: int,
        nodes: int,
        t_end: float,
    ) -> Results:
        t = np.concatenate([[0.0], np.geomspace(t_end / 300, t_end, TIMES)])
        cases = [
            partial(learned, target, d, n, seed, nodes, t)
            for target in TARGETS
            for d in dimensions
            for n in neurons
            for seed in range(seeds)
        ]
        shape = len(TARGETS), len(dimensions), len(neurons), seeds, t.size
        risk = np.array(side_by_side(cases)).reshape(shape)
        late = t >= t_end / 30
        slope = np.polyfit(np.log(t[late]), np.log(risk[..., late]).reshape(-1, late.sum()).T, 1)
        arrays = {
            "dimension": Labelled(np.array(dimensions), ("dimension",), "1"),
            "neurons": Labelled(np.array(neurons), ("neurons",), "neurons"),
            "t": Labelled(t, ("t",), "time"),
            "risk": Labelled(
                risk,
                ("target", "dimension", "neurons", "seed", "t"),
                "loss",
                "risk on fresh inputs, in units of the target's variance",
            ),
            "power": Labelled(
                slope[0].reshape(shape[:-1]),
                ("target", "dimension", "neurons", "seed"),
                "1",
                "power of t in the risk over the last factor of 30 in t",
            ),
        }
        return Results(arrays, _findings(arrays))

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(2, 2)
        risk, t, n = results["risk"], results["t"], results["neurons"]
        picture.suptitle(
            f"a Lipschitz target and a Barron one; mean ± s.e. of {risk.shape[3]} seeds",
            fontsize=11,
        )
        words = (f"Lipschitz: distance to {A_SIDE}^d points", "Barron: three neurons")
        for k, (axis, title) in enumerate(zip(axes[:2], words, strict=True)):
            for j, d in enumerate(results["dimension"]):
                mean, error = mean_and_error(risk[k, j, -1])
                axis.fill_between(
                    t[1:],
                    np.maximum(mean - error, 0.5 * mean)[1:],
                    (mean + error)[1:],
                    color=COLOURS[j],
                    alpha=0.25,
                    lw=0,
                )
                axis.plot(t[1:], mean[1:], color=COLOURS[j], lw=1.3, label=f"d = {d}")
            axis.set(xscale="log", yscale="log", xlabel="time t", ylabel="risk / variance  [1]")
            axis.set_title(f"{title}, {n[-1]} neurons", fontsize=9)
        lowest = float(risk[..., -1, :, :].mean(axis=2).min())
        for axis in axes[:2]:
            axis.set_ylim(0.5 * lowest, 1.5)
        for k, (word, mark) in enumerate(zip(TARGETS, "os", strict=True)):
            mean, error = mean_and_error(np.moveaxis(results["power"][k, :, -1], -1, 0))
            axes[2].errorbar(
                results["dimension"], mean, error, fmt=f"{mark}-", ms=4, lw=1, capsize=2, label=word
            )
        axes[2].set(xlabel="inputs d", ylabel="power of t in the risk  [1]")
        axes[2].set_xticks(results["dimension"])
        axes[2].set_title("late decay, over the last factor of 30 in t", fontsize=9)
        for k, style in ((0, "-"), (1, "--")):
            for j, d in enumerate(results["dimension"]):
                mean, error = mean_and_error(np.moveaxis(risk[k, j, :, :, -1], -1, 0))
                axes[3].errorbar(
                    n,
                    mean,
                    [np.minimum(error, 0.7 * mean), error],
                    ls=style,
                    marker="os"[k],
                    ms=3,
                    lw=1,
                    capsize=2,
                    color=COLOURS[j],
                    label=f"{TARGETS[k]}, d = {d}",
                )
        axes[3].set(xscale="log", yscale="log", xlabel="neurons n", ylabel="risk / variance  [1]")
        axes[3].set_xticks(n, [str(size) for size in n])
        axes[3].tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes[3].set_title(f"trained until t = {t[-1]:g}", fontsize=9)
        for axis in axes:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=6, frameon=False, ncols=2 if axis is axes[3] else 1)
        return picture


def target(kind: str, x: np.ndarray, seed: int) -> np.ndarray:
    """Values (m,) at inputs (m, d), of no scale: distance to the nearest of 4^d points, or three neurons of (x, 1)."""
    d = x.shape[1]
    if kind == "lipschitz":
        places = np.random.default_rng([3, d, seed]).uniform(-1.0, 1.0, (A_SIDE**d, d))
        rows = (x**2).sum(axis=1)[:, None] + (places**2).sum(axis=1) - 2 * x @ places.T
        return np.asarray(np.sqrt(np.maximum(rows.min(axis=1), 0.0)))
    w = np.random.default_rng([4, d, seed]).standard_normal((3, d + 1))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    return np.asarray(np.maximum(x @ w[:, 1:].T + w[:, 0], 0.0) @ [1.0, -1.0, 1.0])


def learned(kind: str, d: int, n: int, seed: int, nodes: int, t: np.ndarray) -> np.ndarray:
    """The risk on fresh inputs at times t of n neurons on inputs uniform in (−1, 1)^d."""
    rng = np.random.default_rng([5, d, seed])
    x = rng.uniform(-1.0, 1.0, (nodes + FRESH, d))
    values = target(kind, x, seed)
    values = (values - values.mean()) / values.std()
    train, fresh = (
        FeatureEnergy("relu", x[part], values[part], charges=True, offset=True)
        for part in (slice(nodes), slice(nodes, None))
    )
    theta = rng.standard_normal((n, d + 2))
    theta[:, 2:] /= np.sqrt(d)
    flow = GradientFlow(train, observations={"test_risk": fresh})
    start = Particles(theta, names=train.coordinates)
    run = solve(flow, start, (0.0, float(t[-1])), t_eval=t, rtol=1e-2)
    return np.asarray(run.series["test_risk"])


def _findings(arrays: dict[str, Labelled]) -> list[str]:
    value = {name: array.values for name, array in arrays.items()}
    said = []
    for k, name in enumerate(TARGETS):
        for j, d in enumerate(value["dimension"]):
            power, off = mean_and_error(value["power"][k, j, -1])
            risk, error = mean_and_error(value["risk"][k, j, :, :, -1].T)
            said.append(
                f"{name}, d = {d}: the risk goes with the power {power:.2f} ± {off:.2f} of t at {value['neurons'][-1]} "
                f"neurons; at t = {value['t'][-1]:g} it is {risk[0]:.2g} ± {error[0]:.1g} of {value['neurons'][0]} and "
                f"{risk[-1]:.2g} ± {error[-1]:.1g} of {value['neurons'][-1]} neurons"
            )
    return said
