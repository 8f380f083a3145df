"""A density on a grid: one array of cell averages a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.energies.arrays import place
from wflow.measures import GridDensity
from wflow.views.base import VIEWS, Curve, Fields, StoredField, View
from wflow.views.drawing import (
    VISIBLE,
    axis_label,
    ceiling,
    curve_scene,
    draw_curves,
    outline,
    widened,
)

if TYPE_CHECKING:
    from wflow.results.solution import Solution


@VIEWS.enter
class GridView(View):
    """Cell averages on the grid of a given density.

    >>> view = GridView(GridDensity([1.0, 3.0], [[0.0, 0.25, 0.5]], names=["r"]))
    >>> view.show({"density": np.array([4.0, 0.0])}).mass, view.fields["density"].dims
    (1.0, ('r',))
    """

    name = "grid"
    arrays_at_work = 25

    def __init__(self, grid: GridDensity) -> None:
        self._grid = grid
        self.coordinates = grid.names
        self.fields = {"density": StoredField(grid.names, "1/volume", "density")}
        self.axes = dict(zip(grid.names, zip(grid.centers, grid.edges, strict=True), strict=True))

    @classmethod
    def of(cls, state: GridDensity) -> GridView:
        return cls(state)

    def show(self, fields: Fields) -> GridDensity:
        return self._grid.with_density(fields["density"])

    def store(self, shown: GridDensity) -> Fields:
        return {"density": np.array(shown.density)}

    def describe(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "names": list(self.coordinates),
            "periodic": list(self._grid.periodic),
        }

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> GridView:
        along = [edges[name] for name in about["names"]]
        empty = np.zeros([e.size - 1 for e in along])
        return cls(GridDensity(empty, along, names=about["names"], periodic=about["periodic"]))

    def place(self, fields: Fields, marked: np.ndarray) -> str:
        if marked.shape != self._grid.shape:
            return ""
        if marked.all():
            return "in every cell"
        cell = np.argwhere(marked)[0]
        at = [centers[i] for centers, i in zip(self._grid.centers, cell, strict=True)]
        return place(np.array(at), self.coordinates)

    def stack(self, frames: Sequence[Fields]) -> Fields:
        return {"density": super().stack(frames)["density"].reshape(-1, *self._grid.shape)}

    def curve(self, shown: GridDensity) -> Curve:
        """The marginal on the first axis, as its outline."""
        density = shown.density
        for k in range(shown.dimension - 1, 0, -1):
            density = density @ shown.widths[k]
        return *outline(shown.edges[0], density), axis_label(self.coordinates[0])

    def counted(self, shown: GridDensity) -> str:
        return f"{' × '.join(map(str, shown.shape))} cells"

    def draw(self, axes: Any, solution: Solution) -> None:
        """Densities on one axis at saved times; of several axes the last density over the first two.

        A third axis is summed over.
        """
        if self._grid.dimension == 1:
            draw_curves(axes, solution)
            return
        density = self._plane(solution.measures[-1])
        self._image(axes, [density]).set_array(density.T)
        axes.set_title(f"law at t = {solution.t[-1]:.3g}", fontsize=9)

    def scene(self, axes: Any, solution: Solution) -> Callable[[int], None]:
        if self._grid.dimension == 1:
            return curve_scene(axes, solution)
        image = self._image(axes, map(self._plane, solution.measures))

        def show(i: int) -> None:
            image.set_array(self._plane(solution.measures[i]).T)
            axes.set_title(f"law at t = {solution.t[i]:.3g}", fontsize=9)

        return show

    def _plane(self, shown: GridDensity) -> np.ndarray:
        """The density over the first two axes."""
        return shown.density @ shown.widths[2] if shown.dimension == 3 else shown.density

    def _image(self, axes: Any, planes: Iterable[np.ndarray]) -> Any:
        """An empty image with room for some densities over the first two axes, and no more."""
        planes = list(planes)
        top, cut = ceiling(planes)
        first, second = self.coordinates[:2]
        edges = self._grid.edges[:2]
        image = axes.pcolormesh(
            *edges, np.zeros_like(planes[0].T), vmin=0.0, vmax=top, rasterized=True
        )
        peak = max(float(plane.max()) for plane in planes)
        label = f"density [1/({first}·{second})]" + (f", peak {peak:.3g}" if cut else "")
        axes.figure.colorbar(image, ax=axes, label=label, extend="max" if cut else "neither")
        axes.set(xlabel=axis_label(first), ylabel=axis_label(second))
        # Cells along each axis where some density is seen.
        seen = np.logical_or.reduce([plane >= VISIBLE * plane.max() for plane in planes])
        for k, limit in enumerate((axes.set_xlim, axes.set_ylim)):
            held = np.flatnonzero(seen.any(axis=1 - k))
            low, high = widened(edges[k][held[0]], edges[k][held[-1] + 1])
            limit(max(low, edges[k][0]), min(high, edges[k][-1]))
        return image
