"""Labels of coordinates, and densities at several times in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from wflow.results.solution import Solution


def axis_label(name: str) -> str:
    """The name of a coordinate with its unit."""
    return {"r": "r = |w|  [parameter]"}.get(name, f"{name}  [parameter]")


def draw_curves(axes: Any, solution: Solution) -> None:
    """The states at up to eight saved times, each as its view's curve."""
    import matplotlib

    n = solution.t.size
    shown = range(n) if n <= 8 else sorted({int(i) for i in np.linspace(0, n - 1, 8)})
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(shown)))
    peak, low, high = 0.0, np.inf, -np.inf
    label = "θ"
    for i, colour in zip(shown, colours, strict=True):
        x, density, label = solution.view.curve(solution.measures[i])
        axes.plot(x, density, color=colour, lw=1.3, label=f"t = {solution.t[i]:.3g}")
        peak = max(peak, float(np.quantile(density, 0.995)))
        seen = x[density > 1e-3 * density.max()]
        low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    margin = 0.05 * (high - low) or 0.05
    axes.set(xlim=(low - margin, high + margin), ylim=(0, 1.15 * peak or 1))
    axes.set(xlabel=label, ylabel=f"density [1/{label.split()[0]}]")
    axes.legend(fontsize=7, frameon=False)
    axes.grid(alpha=0.3)
