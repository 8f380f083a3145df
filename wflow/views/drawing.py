"""What views draw with: labels of coordinates, and densities at several times in one picture.

A density that is much higher at one time than at most others (an atom that spreads, a law that collapses) would leave
the others flat: such peaks are cut, a triangle says where, and their height stands in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.tools.pictures import BLUE

if TYPE_CHECKING:
    from wflow.results.solution import Solution

CUT = 2.5
"""Peaks are cut that are higher than so many times the median peak."""
TALL = 4.0
"""A single cell so many times as high as all but a fiftieth of its law is a peak of its own, and cut."""
WORTH = 1.5
"""A cut that would win less than this factor of height is not made."""
VISIBLE = 1e-3
"""Share of the peak from which a density is seen."""
FRAMES = 8
"""States shown in one picture."""


def axis_label(name: str) -> str:
    """The name of a coordinate with its unit."""
    return {"r": "r = |w|  [parameter]"}.get(name, f"{name}  [parameter]")


def ceiling(densities: Iterable[np.ndarray]) -> tuple[float, bool]:
    """The height up to which densities are drawn, and whether one of them is cut there.

    >>> ceiling([np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 0.0])])
    (3.0, False)
    >>> ceiling([np.array([0.0, 90.0, 0.0])] + 3 * [np.array([0.0, 1.0, 2.0])])
    (5.0, True)
    """
    peaks, heights = [], []
    for density in densities:
        peak = float(density.max())
        high = float(np.quantile(density[density >= VISIBLE * peak], 0.98))
        peaks.append(peak)
        heights.append(peak if peak <= TALL * high else CUT * high)
    top = min(max(heights), CUT * float(np.median(heights)))
    if max(peaks) <= WORTH * top:
        return max(peaks) or 1.0, False
    return top, True


def outline(edges: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages over cells as a line of steps, under which lies their mass however few the cells are.

    >>> outline(np.array([0.0, 1.0, 3.0]), np.array([0.4, 0.3]))
    (array([0., 0., 1., 1., 3., 3.]), array([0. , 0.4, 0.4, 0.3, 0.3, 0. ]))
    """
    return np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])


def extent(x: np.ndarray, density: np.ndarray) -> tuple[float, float]:
    """From where to where a density over one axis is seen."""
    seen = x[density >= VISIBLE * density.max()]
    return float(seen.min()), float(seen.max())


def widened(low: float, high: float) -> tuple[float, float]:
    """An interval with a margin of a twentieth."""
    margin = 0.05 * (high - low) or 0.05
    return low - margin, high + margin


def chosen(n: int) -> list[int]:
    """Up to eight of n frames, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, FRAMES))})


def draw_curves(axes: Any, solution: Solution) -> None:
    """The states at up to eight saved times, each as its view's curve."""
    import matplotlib

    shown = chosen(solution.t.size)
    curves = [solution.view.curve(solution.measures[i]) for i in shown]
    top, cut = ceiling(density for _, density, _ in curves)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(shown)))
    for i, colour, (x, density, _) in zip(shown, colours, curves, strict=True):
        label = f"t = {solution.t[i]:.3g}"
        peak = float(density.max())
        if peak > top:
            label += f", peak {peak:.3g}"
            mark_cut(axes, x, density, top, colour)
        axes.plot(x, density, color=colour, lw=1.3, label=label)
    frame_curves(axes, curves, top if cut else 1.05 * top)
    axes.legend(fontsize=7, frameon=False)


def curve_scene(axes: Any, solution: Solution) -> Callable[[int], None]:
    """Room for the curves of all frames, and what shows one of them."""
    curves = [solution.view.curve(shown) for shown in solution.measures]
    top, cut = ceiling(density for _, density, _ in curves)
    frame_curves(axes, curves, top if cut else 1.05 * top)
    (line,) = axes.plot([], [], color=BLUE, lw=1.5)
    triangle = mark_cut(axes, curves[0][0], curves[0][1], top, BLUE)

    def show(i: int) -> None:
        x, density, _ = curves[i]
        peak = float(density.max())
        line.set_data(x, density)
        triangle.set_data([summit(x, density)], [top])
        triangle.set_visible(peak > top)
        beyond = f", peak {peak:.3g}" if peak > top else ""
        axes.set_title(f"law at t = {solution.t[i]:.3g}{beyond}", fontsize=9)

    return show


def frame_curves(axes: Any, curves: list[Any], top: float) -> None:
    """Limits and labels of densities over one axis."""
    ends = [extent(x, density) for x, density, _ in curves]
    label = curves[0][2]
    axes.set(xlim=widened(min(e[0] for e in ends), max(e[1] for e in ends)), ylim=(0, top))
    axes.set(xlabel=label, ylabel=f"density [1/{label.split()[0]}]")
    axes.grid(alpha=0.3)


def summit(x: np.ndarray, density: np.ndarray) -> float:
    """Where an outline is highest: the middle of that cell."""
    at = int(density.argmax())
    return float(x[at : at + 2].mean())


def mark_cut(axes: Any, x: np.ndarray, density: np.ndarray, top: float, colour: Any) -> Any:
    """A triangle at the upper edge, where a curve goes on."""
    return axes.plot([summit(x, density)], [top], "^", color=colour, ms=6, clip_on=False, zorder=5)[
        0
    ]
