"""The law of |w| along SGD beside the limit, two isotropic Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, mean_and_error, side_by_side
from wflow.measures import Particles, wasserstein_2
from wflow.networks import sgd
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREY, new_figure
from wflow.views.drawing import VISIBLE, draw_curve, frame_curves, outline


@figure
class RadialLaws(Figure):
    """Histograms of |w_i| of one network at several times on the density of the limit."""

    name = "mmn-1"
    title = "law of |w|: SGD histograms on the limit, two isotropic Gaussians"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 1"
    published = {  # noqa: RUF012
        "d": 40,
        "delta": 0.8,
        "neurons": 800,
        "step_size": 1e-6,
        "times": (0.0, 0.5, 1.0, 3.0, 5.0, 10.0),
        "cells": 2048,
        "seeds": 2,
    }
    reduced = {  # noqa: RUF012
        "d": 40,
        "delta": 0.8,
        "neurons": 200,
        "step_size": 1e-4,
        "times": (0.0, 0.5, 1.0, 3.0),
        "cells": 256,
        "seeds": 2,
    }

    def compute(
        self,
        *,
        d: int,
        delta: float,
        neurons: int,
        step_size: float,
        times: tuple[float, ...],
        cells: int,
        seeds: int,
    ) -> Results:
        system = get("isotropic-gaussians", d=d, delta=delta)
        steps = round(times[-1] / step_size)

        def limit() -> Any:
            rho = system.initial("grid", cells)
            return solve(system.flow(), rho, (0.0, times[-1]), t_eval=times)

        def network(seed: int) -> Any:
            return sgd(
                system,
                n_neurons=neurons,
                step_size=step_size,
                n_steps=steps,
                t_eval=times,
                seed=seed,
            )

        jobs: list[Callable[[], Any]] = [limit, *(partial(network, s) for s in range(seeds))]
        flow, *networks = side_by_side(jobs)
        grid = flow.measures[0]
        radii = np.array(
            [[np.linalg.norm(m.points(), axis=1) for m in run.measures] for run in networks]
        )
        distance = np.array(
            [
                [
                    wasserstein_2(Particles(r[:, None]), m)
                    for r, m in zip(one, flow.measures, strict=True)
                ]
                for one in radii
            ]
        )
        arrays = {
            "t": Labelled(flow.t, ("t",), "time"),
            "r": Labelled(grid.centers[0], ("r",), "parameter", "|w|"),
            "density": Labelled(
                np.array([m.density for m in flow.measures]),
                ("t", "r"),
                "1/parameter",
                "limit on the grid",
            ),
            "radii": Labelled(radii, ("seed", "t", "neuron"), "parameter", "|w_i| of SGD networks"),
            "risk": Labelled(flow.risk, ("t",), "loss", "risk of the limit"),
            "risk_sgd": Labelled(
                np.array([run.risk for run in networks]), ("seed", "t"), "loss", "risk of SGD"
            ),
            "distance": Labelled(
                distance, ("seed", "t"), "parameter", "W2 of the neurons to the limit"
            ),
        }
        findings = [
            f"t = {t:g}: R = {flow.risk[k]:.4f} in the limit, "
            f"{arrays['risk_sgd'].values[:, k].mean():.4f} by SGD; W2 = {distance[:, k].mean():.4f}"
            for k, t in enumerate(flow.t)
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        t, r, density, radii = (results[k] for k in ("t", "r", "density", "radii"))
        columns = min(3, t.size)
        picture, axes = new_figure(columns, -(-t.size // columns))
        seeds, _, n = radii.shape
        picture.suptitle(
            f"two isotropic Gaussians: {seeds} SGD networks of N = {n} (bars: mean ± s.e.) and the limit (line)",
            fontsize=11,
        )
        far = max(r[density[k] > VISIBLE * density[k].max()].max() for k in range(t.size))
        edges = np.linspace(0.0, 1.02 * max(far, radii.max()), 41)
        middle = 0.5 * (edges[1:] + edges[:-1])
        cells = np.append(0.0, r + r[0])
        for k, axis in enumerate(axes[: t.size]):
            each = np.array([np.histogram(one, edges, density=True)[0] for one in radii[:, k]])
            bars, error = mean_and_error(each)
            curve = *outline(cells, density[k]), "r = |w|  [parameter]"
            top = frame_curves(axis, [curve], [bars + error])
            axis.stairs(bars, edges, fill=True, color=GREY, alpha=0.45, label="SGD")
            axis.errorbar(middle, bars, error, fmt="none", ecolor=GREY, lw=0.8)
            draw_curve(axis, *curve[:2], top, BLUE, "limit")
            axis.set(xlim=(0, edges[-1]), title=f"t = {t[k]:g}")
            axis.legend(fontsize=7, frameon=False)
        for axis in axes[t.size :]:
            axis.set_axis_off()
        return picture
