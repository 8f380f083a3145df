"""The spherical 3-spin target along a great circle, learnt; and how its error falls with the width."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.measures import Particles
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.systems.spherical_3_spin import RbfNetwork, SphericalThreeSpin
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.validation.widths import descend, error_against_n

COLOURS = (BLUE, ORANGE, GREEN)


@figure
class ThreeSpin(Figure):
    """The slice x = √d (sin θ, cos θ, 0, …) of target and networks, and the squared error against n in several d."""

    name = "rve-3-spin"
    title = "spherical 3-spin: a slice of the target, and error against width"
    source = "Rotskoff & Vanden-Eijnden (2018), arXiv:1805.00915, Section 5"
    published = {  # noqa: RUF012
        "slice_d": 10,
        "slice_units": (16, 64, 256),
        "dimensions": (5, 10, 25),
        "neurons": (16, 32, 64, 128, 256, 512, 1024),
        "seeds": 3,
        "horizon": 1000.0,
        "evaluations": 1000,
        "sgd_neurons": (16, 32),
    }
    reduced = {  # noqa: RUF012
        "slice_d": 5,
        "slice_units": (8, 32),
        "dimensions": (5,),
        "neurons": (8, 16, 32),
        "seeds": 2,
        "horizon": 30.0,
        "evaluations": 200,
        "sgd_neurons": (8,),
    }

    def compute(
        self,
        *,
        slice_d: int,
        slice_units: tuple[int, ...],
        dimensions: tuple[int, ...],
        neurons: tuple[int, ...],
        seeds: int,
        horizon: float,
        evaluations: int,
        sgd_neurons: tuple[int, ...],
    ) -> Results:
        angle = np.linspace(0.0, 2 * np.pi, 241)
        x = np.zeros((angle.size, slice_d))
        x[:, 0], x[:, 1] = np.sin(angle), np.cos(angle)
        x *= np.sqrt(slice_d)
        system = SphericalThreeSpin(d=slice_d)

        def learn(n: int) -> tuple[np.ndarray, float]:
            start = Particles(system.draw(n, 0), names=system.coordinates())
            span = (0.0, horizon)
            flow = solve(system.flow(), start, span, t_eval=span, rtol=1e-3, atol=1e-6)
            risk, units = descend(system.energy(), flow.measures[-1].points(), evaluations)
            features = RbfNetwork(system).features(x)
            along = np.asarray(features.prepare(units).predict(np.full(n, 1.0 / n)))
            return along, risk / system.form().square_norm()

        slices, whole = zip(*side_by_side([partial(learn, n) for n in slice_units]), strict=True)
        arrays = {
            "angle": Labelled(angle, ("angle",), "radian"),
            "n_slice": Labelled(np.array(slice_units), ("n_slice",)),
            "n": Labelled(np.array(neurons), ("n",)),
            "dimension": Labelled(np.array(dimensions), ("dimension",)),
            "target": Labelled(system.form().values(x), ("angle",), "output", "f*"),
            "network": Labelled(np.array(slices), ("n_slice", "angle"), "output", "f_n"),
            "error_slice": Labelled(
                np.array(whole),
                ("n_slice",),
                "|f|^2",
                "squared error of these f_n on the whole sphere",
            ),
        }
        kinds: dict[str, list[np.ndarray]] = {}
        findings = []
        for d in dimensions:
            table = error_against_n(
                d,
                neurons=neurons,
                seeds=seeds,
                horizon=horizon,
                evaluations=evaluations,
                sgd_neurons=sgd_neurons,
            )
            for kind, errors in table.errors.items():
                kinds.setdefault(kind, []).append(errors / table.scale)
            for kind in ("free", "fixed", "random centres"):
                fit, low, high = table.slope(kind)
                findings.append(
                    f"d = {d}, {kind}: error ~ n^{fit:.2f} (95% {low:.2f} … {high:.2f}), "
                    f"{table.mean(kind)[-1]:.2e} |f|^2 at n = {neurons[-1]}"
                )
        for kind, each in kinds.items():
            arrays[kind.replace(" ", "_")] = Labelled(
                np.array(each), ("dimension", "n", "seed"), "|f|^2", f"squared error, {kind}"
            )
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

        picture, (left, right) = new_figure(2)
        picture.suptitle(
            "spherical 3-spin target by Gaussian bumps with charges: the flow to its horizon, then descent of the risk",
            fontsize=11,
        )
        angle, n = results["angle"], results["n"]
        left.plot(angle, results["target"], color="black", lw=2, label="target f")
        for size, values, error, colour in zip(
            results["n_slice"], results["network"], results["error_slice"], COLOURS, strict=False
        ):
            label = f"n = {size}, error on the whole sphere {error:.2g} ‖f‖²"
            left.plot(angle, values, color=colour, lw=1.2, label=label)
        left.set(xlabel="angle θ [radian]", ylabel="output f(x)")
        # What few units learn, they learn where it pays most: that may be elsewhere.
        left.set_title("on one circle of the sphere, x = √d (sin θ, cos θ, 0, …, 0)", fontsize=9)
        low, high = left.get_ylim()
        left.set_ylim(low - 0.35 * (high - low), high)
        left.legend(fontsize=7, frameon=False, loc="lower left")
        styles = {"free": "o-", "fixed": "s--", "random_centres": "^:"}
        names = ("charges and centres learn", "charges fixed", "centres fixed, best charges")
        for i, (d, colour) in enumerate(zip(results["dimension"], COLOURS, strict=False)):
            for kind, style in styles.items():
                error = results[kind][i]
                right.loglog(n, error.mean(axis=1), style, color=colour, ms=4, lw=1.2)
                right.fill_between(
                    n, error.min(axis=1), error.max(axis=1), color=colour, alpha=0.12
                )
            right.plot([], [], color=colour, lw=3, label=f"d = {d}")
        for style, name in zip(styles.values(), names, strict=True):
            right.plot([], [], style, color="black", ms=4, lw=1.2, label=name)
        top = float(results["free"][:, 0].max())
        right.loglog(n, top * n[0] / n, color=GREY, lw=1, label="1/n")
        low, high = right.get_ylim()
        # Room below the curves for the legend.
        right.set_ylim(low * (low / high) ** 0.35, high)
        right.xaxis.set_major_locator(FixedLocator(n.tolist()))
        right.xaxis.set_minor_locator(NullLocator())
        right.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        right.set(xlabel="units n", ylabel="squared error / ‖f‖²")
        right.set_title("mean of seeds, shade: least to largest", fontsize=9)
        right.legend(fontsize=7, frameon=False, ncols=2, loc="lower left")
        for axis in (left, right):
            axis.grid(alpha=0.3)
        return picture
