"""Two anisotropic Gaussians, ReLU with offset: risk and mean parameters of SGD on the reduced limit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.networks import sgd
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

COLOURS = (BLUE, ORANGE, GREEN)
STYLES = (("a", "-", "o"), ("b", "--", "s"), ("r1", "-.", "^"), ("r2", ":", "v"))


@figure
class MeanParameters(Figure):
    """Risk, and means of a, b, r₁, r₂, against time: SGD (marks) on the limit at finite d (lines) and at d = ∞."""

    name = "mmn-3"
    title = "two anisotropic Gaussians, ReLU with offset: risk and mean parameters"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 3"
    published = {  # noqa: RUF012
        "d": 320,
        "s0": 60,
        "deltas": (0.5,),
        "neurons": 800,
        "step_sizes": (2e-4, 2.5e-5),
        "times": (0.0, *np.geomspace(2e-3, 5.0, 24).tolist()),
        "particles": 2000,
        "seeds": 4,
    }
    reduced = {  # noqa: RUF012
        "d": 40,
        "s0": 10,
        "deltas": (0.5,),
        "neurons": 100,
        "step_sizes": (1e-3, 1e-4),
        "times": (0.0, *np.geomspace(2e-2, 1.0, 10).tolist()),
        "particles": 200,
        "seeds": 4,
    }

    def compute(
        self,
        *,
        d: int,
        s0: int,
        deltas: tuple[float, ...],
        neurons: int,
        step_sizes: tuple[float, ...],
        times: tuple[float, ...],
        particles: int,
        seeds: int,
    ) -> Results:
        def limit(size: float, delta: float) -> Any:
            given = {"ratio": s0 / d} if np.isinf(size) else {"s0": s0}
            system = get("anisotropic-gaussians", d=size, delta=delta, **given)
            rho = system.initial("particles", particles if np.isfinite(size) else 1)
            return solve(system.flow(), rho, (0.0, times[-1]), t_eval=times)

        def train(delta: float, step_size: float, seed: int) -> Any:
            system = get("anisotropic-gaussians", d=d, s0=s0, delta=delta)
            run = sgd(
                system,
                n_neurons=neurons,
                step_size=step_size,
                n_steps=round(times[-1] / step_size),
                t_eval=times,
                seed=seed,
            )
            means = [system.network().reduce(m.points()).mean(axis=0) for m in run.measures]
            return run.t, run.risk, np.array(means)

        networks = [
            partial(train, delta, e, s)
            for delta in deltas
            for e in step_sizes
            for s in range(seeds)
        ]
        flows = [partial(limit, size, delta) for size in (d, np.inf) for delta in deltas]
        runs = side_by_side([*networks, *flows])
        trained, limits = runs[: len(networks)], runs[len(networks) :]
        m, k = len(deltas), len(step_sizes)
        means = np.array([[law.mean() for law in run.measures] for run in limits])
        arrays = {
            "t": Labelled(np.array(times), ("t",), "time"),
            "delta": Labelled(np.array(deltas), ("delta",)),
            "step_size": Labelled(np.array(step_sizes), ("step_size",), "time"),
            "dimension": Labelled(np.array([d, np.inf]), ("dimension",)),
            "risk": Labelled(
                np.array([run.risk for run in limits]).reshape(2, m, -1),
                ("dimension", "delta", "t"),
                "loss",
                "risk of the limit",
            ),
            "mean": Labelled(
                means.reshape(2, m, *means.shape[1:]),
                ("dimension", "delta", "t", "parameter"),
                "parameter",
                "means of a, b, r1, r2 in the limit",
            ),
            "t_sgd": Labelled(
                np.array([run[0] for run in trained]).reshape(m, k, seeds, -1), _SGD, "time"
            ),
            "risk_sgd": Labelled(
                np.array([run[1] for run in trained]).reshape(m, k, seeds, -1), _SGD, "loss"
            ),
            "mean_sgd": Labelled(
                np.array([run[2] for run in trained]).reshape(m, k, seeds, len(times), 4),
                (*_SGD, "parameter"),
                "parameter",
                "means of a, b, r1, r2 of SGD",
            ),
        }
        return Results(arrays, _findings(arrays))

    def draw(self, results: Results) -> Any:
        picture, (left, right) = new_figure(2)
        picture.suptitle("two anisotropic Gaussians, ReLU with offset", fontsize=11)
        t, smallest = results["t"][1:], int(np.argmin(results["step_size"]))
        for j, (delta, colour) in enumerate(zip(results["delta"], COLOURS, strict=False)):
            left.plot(
                t,
                results["risk"][0, j, 1:],
                color=colour,
                lw=1.5,
                label=f"limit, d = {results['dimension'][0]:g}, Δ = {delta:g}",
            )
            left.plot(
                t,
                results["risk"][1, j, 1:],
                "--",
                color="black",
                lw=1.2,
                label=f"limit, d = ∞, Δ = {delta:g}",
            )
            for k, marker in zip(range(results["step_size"].size), "sxo", strict=False):
                left.errorbar(
                    results["t_sgd"][j, k, 0, 1:],
                    *mean_and_error(results["risk_sgd"][j, k, :, 1:]),
                    fmt=marker,
                    mfc="none",
                    color=colour if k == smallest else GREY,
                    ms=4,
                    capsize=2,
                    label=f"SGD, ε = {results['step_size'][k]:g}, mean ± s.e.",
                )
        for p, (name, line, marker) in enumerate(STYLES):
            colour = (*COLOURS, "black")[p]
            right.plot(t, results["mean"][0, 0, 1:, p], line, color=colour, lw=1.5)
            at = results["t_sgd"][0, smallest, 0]
            right.errorbar(
                at[1:],
                *mean_and_error(results["mean_sgd"][0, smallest, :, 1:, p]),
                fmt=marker,
                color=colour,
                ms=4,
                mfc="none",
                capsize=2,
                label=f"mean {name}",
            )
        left.set(xscale="log", xlabel="time t", ylabel="risk R [loss]")
        right.set(xscale="log", xlabel="time t", ylabel="mean  [parameter]")
        right.set_title(
            f"SGD (marks, ε = {results['step_size'][smallest]:g}) and the limit (lines), d = "
            f"{results['dimension'][0]:g}",
            fontsize=9,
        )
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


_SGD = ("delta", "step_size", "seed", "t_index")


def _findings(arrays: dict[str, Labelled]) -> list[str]:
    """Largest gaps of the mean over seeds at the saved times, and what the mean parameters end off by."""
    found = []
    risk, mean = arrays["risk"].values[0], arrays["mean"].values[0]
    for j, delta in enumerate(arrays["delta"].values):
        for k, e in enumerate(arrays["step_size"].values):
            off = np.abs(arrays["risk_sgd"].values[j, k].mean(axis=0) - risk[j]).max()
            drift = arrays["mean_sgd"].values[j, k, :, -1].mean(axis=0) - mean[j, -1]
            parts = ", ".join(f"{n} {x:+.4f}" for (n, _, _), x in zip(STYLES, drift, strict=True))
            found.append(
                f"Δ = {delta:g}, ε = {e:g}: largest |mean R_SGD − R| = {off:.4f}; "
                f"means at the end off by {parts}"
            )
    return found
