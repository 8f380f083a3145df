"""The spherical 3-spin target along a great circle, learnt; and how its error falls with the width."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.results.labelled import Labelled
from wflow.systems.spherical_3_spin import SphericalThreeSpin
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.validation.widths import TRAINED, error, error_against_n, flowed

COLOURS = (BLUE, ORANGE, GREEN)
SEEN = ("dimension", "n", "seed")


@figure
class ThreeSpin(Figure):
    """The slice x = √d (sin θ, cos θ, 0, …) of target and networks, and squared errors against n in several d.

    Widths with more than ``unknowns`` coordinates to solve for are left out. SGD and sigmoids are shown in
    the first dimension: in higher ones sigmoids fit the nodes of their risk in so long a time, and no other points.
    """

    name = "rve-3-spin"
    title = "spherical 3-spin: a slice of the target, and error against width"
    source = "Rotskoff & Vanden-Eijnden (2018), arXiv:1805.00915, Section 5"
    published = {  # noqa: RUF012
        "slice_d": 10,
        "slice_units": (16, 32, 64),
        "dimensions": (5, 10, 25),
        "neurons": (16, 32, 64, 128),
        "unknowns": 840,
        "nodes": 3072,
        "seeds": 5,
        "horizon": 1e6,
        "times": (1e3, 1e4, 1e5),
        "sgd_neurons": (16, 32, 64),
        "sgd_horizon": 1000.0,
    }
    reduced = {  # noqa: RUF012
        "slice_d": 5,
        "slice_units": (8, 16),
        "dimensions": (5,),
        "neurons": (8, 12, 16),
        "unknowns": 200,
        "nodes": 512,
        "seeds": 2,
        "horizon": 1e4,
        "times": (1e3,),
        "sgd_neurons": (8, 12, 16),
        "sgd_horizon": 30.0,
    }

    def compute(
        self,
        *,
        slice_d: int,
        slice_units: tuple[int, ...],
        dimensions: tuple[int, ...],
        neurons: tuple[int, ...],
        unknowns: int,
        nodes: int,
        seeds: int,
        horizon: float,
        times: tuple[float, ...],
        sgd_neurons: tuple[int, ...],
        sgd_horizon: float,
    ) -> Results:
        angle = np.linspace(0.0, 2 * np.pi, 241)
        x = np.zeros((angle.size, slice_d))
        x[:, 0], x[:, 1] = np.sin(angle), np.cos(angle)
        x *= np.sqrt(slice_d)
        system = SphericalThreeSpin(d=slice_d)

        def learn(n: int) -> tuple[np.ndarray, float]:
            network = flowed(system, n, 0, (*times, horizon), 0.1).measures[-1]
            whole = error(system, network) / system.form().square_norm()
            return system.energy().predict(network, x), whole

        slices, whole = zip(*side_by_side([partial(learn, n) for n in slice_units]), strict=True)
        arrays = {
            "angle": Labelled(angle, ("angle",), "radian"),
            "n_slice": Labelled(np.array(slice_units), ("n_slice",)),
            "n": Labelled(np.array(neurons), ("n",)),
            "dimension": Labelled(np.array(dimensions), ("dimension",)),
            "time": Labelled(np.array(times), ("time",), "time"),
            "target": Labelled(system.form().values(x), ("angle",), "output", "f*"),
            "network": Labelled(np.array(slices), ("n_slice", "angle"), "output", "f_n"),
            "error_slice": Labelled(
                np.array(whole),
                ("n_slice",),
                "|f|^2",
                "squared error of these f_n on the whole sphere",
            ),
        }
        shape = (len(dimensions), len(neurons), seeds)
        kinds: dict[str, np.ndarray] = {}
        course = np.full((len(times), *shape), np.nan)
        findings = []
        # A node costs a sigmoid what a pair costs a bump, and there are many.
        for unit, head, share, several in (
            ("rbf", 1, 1.0, dimensions),
            ("sigmoid", 2, 0.6, dimensions[:1]),
        ):
            for i, d in enumerate(several):
                sizes = [n for n in neurons if n * (d + head) <= share * unknowns]
                found = error_against_n(
                    d,
                    unit=unit,
                    neurons=sizes,
                    seeds=seeds,
                    nodes=nodes,
                    horizon=horizon,
                    times=times if unit == "rbf" else (),
                    sgd_neurons=sgd_neurons if (unit, i) == ("rbf", 0) else (),
                    sgd_horizon=sgd_horizon,
                )
                for kind, errors in found.errors.items():
                    name = f"{unit}_{kind}" if unit == "sigmoid" else kind
                    kinds.setdefault(name, np.full(shape, np.nan))
                    kinds[name][i, : len(sizes)] = errors / found.scale
                if unit == "rbf":
                    course[:, i, : len(sizes)] = found.course / found.scale
                findings += found.findings()
        for kind, each in kinds.items():
            said = "squared distance from the flow" if kind in TRAINED else "squared error"
            arrays[kind.replace(" ", "_")] = Labelled(each, SEEN, "|f|^2", f"{said}, {kind}")
        arrays["course"] = Labelled(course, ("time", *SEEN), "|f|^2", "squared error on the way")
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        picture.suptitle("spherical 3-spin target, by the networks' own gradient flow", fontsize=11)
        angle, n = results["angle"], results["n"]
        left.plot(angle, results["target"], color="black", lw=2, label="target f")
        for size, values, whole, colour in zip(
            results["n_slice"], results["network"], results["error_slice"], COLOURS, strict=False
        ):
            label = f"n = {size}, error on the whole sphere {whole:.2g} ‖f‖²"
            left.plot(angle, values, color=colour, lw=1.2, label=label)
        left.set(xlabel="angle θ [radian]", ylabel="output f(x)")
        # What few units learn, they learn where it pays most: that may be elsewhere.
        left.set_title("on one circle of the sphere, x = √d (sin θ, cos θ, 0, …, 0)", fontsize=9)
        low, high = left.get_ylim()
        left.set_ylim(low - 0.35 * (high - low), high)
        left.legend(fontsize=7, frameon=False, loc="lower left")
        styles = {"free": "o-", "sigmoid_free": "v-.", "fixed": "s--", "random_centres": "^:"}
        names = ("bumps", "sigmoids", "bumps, charges fixed", "centres fixed, best charges")
        for i, (d, colour) in enumerate(zip(results["dimension"], COLOURS, strict=False)):
            for kind, style in styles.items():
                banded(middle, n, results[kind][i], style, colour)
            middle.plot([], [], color=colour, lw=3, label=f"d = {d}")
        for k, t in enumerate(results["time"]):
            way = results["course"][k, 0].mean(axis=1)
            said = {"label": "bumps at earlier times"} if k == 0 else {}
            middle.loglog(n, way, ":", color=GREY, lw=1, **said)
            middle.annotate(
                f"t = {t:g}",
                (n[0], way[0]),
                (0, 3),
                textcoords="offset points",
                fontsize=6,
                color=GREY,
            )
        for style, name in zip(styles.values(), names, strict=True):
            middle.plot([], [], style, color="black", ms=4, lw=1.2, label=name)
        middle.set_title("error at the horizon; mean of seeds, shade: all", fontsize=9)
        for kind, style, colour in zip(TRAINED, ("o-", "s--"), COLOURS, strict=False):
            banded(right, n, results[kind.replace(" ", "_")][0], style, colour)
            right.plot([], [], style, color=colour, ms=4, lw=1.2, label=kind)
        right.set_title("SGD's distance from its flow: batches of n, then of n²", fontsize=9)
        for axis, kind in ((middle, "free"), (right, "SGD")):
            widths_on(axis, n, float(results[kind][0, 0].mean()))
        middle.set_ylabel("squared error / ‖f‖²")
        right.set_ylabel("E(f_SGD − f_flow)² / ‖f‖²")
        for axis in (left, middle, right):
            axis.grid(alpha=0.3)
        return picture


def banded(axis: Any, n: np.ndarray, each: np.ndarray, style: str, colour: str) -> None:
    """The mean over seeds of errors (n, seed) and their range, where there are any."""
    there = np.isfinite(each).all(axis=1)
    axis.loglog(n[there], each[there].mean(axis=1), style, color=colour, ms=4, lw=1.2)
    low, high = each[there].min(axis=1), each[there].max(axis=1)
    axis.fill_between(n[there], low, high, color=colour, alpha=0.12)


def widths_on(axis: Any, n: np.ndarray, top: float) -> None:
    """The axis of widths, the line top·n₀/n, and room below the curves for the legend."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axis.loglog(n, top * n[0] / n, color=GREY, lw=1, label="1/n")
    low, high = axis.get_ylim()
    axis.set_ylim(low * (low / high) ** 0.5, high)
    axis.xaxis.set_major_locator(FixedLocator(n.tolist()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_xlabel("units n")
    axis.legend(fontsize=7, frameon=False, ncols=2, loc="lower left")
