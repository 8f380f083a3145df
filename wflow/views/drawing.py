"""What views draw with: labels of coordinates, and densities at several times in one picture.

A density that is much higher at one time than at most others (an atom that spreads, a law that collapses) would leave
the others flat: such peaks are cut, a triangle says where, and their height stands in words. Where one cell holds most
of a law it is an atom as far as the cells can tell, of no known height: it is drawn as an arrow with its mass in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
ATOM, MANY = 0.5, 16
"""Share of a law in one of so many cells or more that is an atom."""
ARROW: dict[str, Any] = {
    "marker": "^",
    "ms": 6,
    "lw": 1.8,
    "markevery": slice(-1, None),
    "clip_on": False,
    "zorder": 5,
}
"""To the upper edge, where a curve goes on."""
FRAMES = 8
"""States shown in one picture."""


def axis_label(name: str) -> str:
    """The name of a coordinate with its unit."""
    return {"r": "r = |w|  [parameter]"}.get(name, f"{name}  [parameter]")


def bins_over(x: np.ndarray, bins: int) -> tuple[int, float, float]:
    """Bins of a histogram of x, and its ends. An atom stands in the middle one of many, to every digit shown.

    >>> bins_over(np.array([0.0, 2.0]), 10)
    (10, 0.0, 2.0)
    >>> bins_over(np.array([1.0, 1.0 - 1e-16]), 10)[0]
    41
    """
    low, high = float(x.min()), float(x.max())
    if high - low < 1e-9 * max(1.0, abs(high)):
        narrow = 1e-8 * max(1.0, abs(high))
        return 41, low - narrow, high + narrow
    return bins, low, high


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
        if peak == 0:
            continue
        high = float(np.quantile(density[density >= VISIBLE * peak], 0.98))
        peaks.append(peak)
        heights.append(peak if peak <= TALL * high else CUT * high)
    if not peaks:
        return 1.0, False
    top = min(max(heights), CUT * float(np.median(heights)))
    if max(peaks) <= WORTH * top:
        return max(peaks), False
    return top, True


def outline(edges: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages over cells as a line of steps, under which lies their mass however few the cells are.

    >>> outline(np.array([0.0, 1.0, 3.0]), np.array([0.4, 0.3]))
    (array([0., 0., 1., 1., 3., 3.]), array([0. , 0.4, 0.4, 0.3, 0.3, 0. ]))
    """
    return np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])


def extent(x: np.ndarray, density: np.ndarray, least: float) -> tuple[float, float]:
    """From where to where a density over one axis is a ``least`` share of its peak; at 0 all of its cells."""
    seen = x[density >= least * density.max()]
    return float(seen.min()), float(seen.max())


def widened(low: float, high: float) -> tuple[float, float]:
    """An interval with a margin of a twentieth; of an atom's place alone, one that shows it."""
    margin = 0.05 * (high - low if high - low > 1e-6 * max(1.0, abs(high)) else 1.0)
    return low - margin, high + margin


def chosen(n: int) -> list[int]:
    """Up to eight of n frames, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, FRAMES))})


def draw_curves(axes: Any, solution: Solution, least: float = VISIBLE) -> None:
    """The states at up to eight saved times, each as its view's curve, where it is a ``least`` share of its peak."""
    import matplotlib

    shown = chosen(solution.t.size)
    curves = [solution.view.curve(solution.measures[i]) for i in shown]
    top = frame_curves(axes, curves, least=least)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(shown)))
    for i, colour, (x, density, _) in zip(shown, colours, curves, strict=True):
        draw_curve(axes, x, density, top, colour, f"t = {solution.t[i]:.3g}")
    explain(axes)


def explain(axes: Any, title: str = "") -> None:
    """The legend of curves, and what an arrow is where there is one."""
    texts = [str(text) for text in axes.get_legend_handles_labels()[1]]
    if any(", mass " in text for text in texts):
        title += "\n" * bool(title) + "arrow: an atom, as far as cells can tell"
    axes.legend(fontsize=7, frameon=False, title=title, title_fontsize=7)


def curve_scene(axes: Any, solution: Solution, least: float = VISIBLE) -> Callable[[int], None]:
    """Room for the curves of all frames, and what shows one of them."""
    curves = [solution.view.curve(shown) for shown in solution.measures]
    top = frame_curves(axes, curves, least=least)
    (line,) = axes.plot([], [], color=BLUE, lw=1.5)
    (arrow,) = axes.plot([], [], color=BLUE, **ARROW)

    def show(i: int) -> None:
        x, density, _ = curves[i]
        rest, above, words = cut(x, density, top)
        line.set_data(x, rest)
        arrow.set_data(*above)
        axes.set_title(f"law at t = {solution.t[i]:.3g}{words}", fontsize=9)

    return show


def draw_curve(
    axes: Any, x: np.ndarray, density: np.ndarray, top: float, colour: Any, label: str
) -> None:
    """An outline below ``top``: what goes on above is marked there, an atom is an arrow, and both stand in words."""
    rest, above, words = cut(x, density, top)
    axes.plot(x, rest, color=colour, lw=1.4, label=label + words)
    if words:
        axes.plot(*above, color=colour, **ARROW)


def frame_curves(
    axes: Any, curves: Sequence[Any], beside: Iterable[np.ndarray] = (), least: float = VISIBLE
) -> float:
    """Limits and labels of densities over one axis, with room for others; the height from which on they are cut."""
    top, is_cut = ceiling([*(split(x, density)[0] for x, density, _ in curves), *beside])
    top *= 1.0 if is_cut else 1.05
    ends = [extent(x, density, least) for x, density, _ in curves]
    label = curves[0][2]
    axes.set(xlim=widened(min(e[0] for e in ends), max(e[1] for e in ends)), ylim=(0, top))
    axes.set(xlabel=label, ylabel=f"density [1/{label.split()[0]}]")
    axes.grid(alpha=0.3)
    return top


def split(x: np.ndarray, density: np.ndarray) -> tuple[np.ndarray, float]:
    """An outline without the cell that holds an atom, and the mass of that cell; 0 where there is none.

    >>> edges, heights = np.linspace(0, 1, 33), np.full(32, 0.5)
    >>> heights[0] = 16.5
    >>> rest, mass = split(*outline(edges, heights))
    >>> float(rest.max()), mass
    (0.5, 0.515625)
    """
    masses = density[1:-1:2] * np.diff(x[::2])
    at = int(masses.argmax())
    if masses.size < MANY or masses[at] < ATOM * masses.sum() or not masses.any():
        return density, 0.0
    rest = density.copy()
    rest[2 * at + 1 : 2 * at + 3] = 0.0
    return rest, float(masses[at])


def cut(
    x: np.ndarray, density: np.ndarray, top: float
) -> tuple[np.ndarray, tuple[list[float], list[float]], str]:
    """What is drawn of an outline below ``top``, the arrow to what is not, and words for it."""
    rest, mass = split(x, density)
    at = int((density - rest if mass else density).argmax())
    place = 0.5 * float(x[at] + x[at + 1])
    if mass:
        low, high = (f"{round(float(end), 6) + 0.0:.3g}" for end in x[at : at + 2])
        where = f"at {low}" if low == high else f"in [{low}, {high}]"
        return rest, ([place] * 2, [0.0, top]), f", mass {mass:.2g} {where}"
    if density[at] > top:
        return rest, ([place], [top]), f", peak {density[at]:.3g}"
    return rest, ([], []), ""
