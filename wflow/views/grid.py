"""A density on a grid: one array of cell averages a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.measures import GridDensity
from wflow.views.base import VIEWS, Curve, Fields, StoredField, View
from wflow.views.drawing import axis_label, draw_curves

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

    def stack(self, frames: Sequence[Fields]) -> Fields:
        return {"density": super().stack(frames)["density"].reshape(-1, *self._grid.shape)}

    def curve(self, shown: GridDensity) -> Curve:
        """The marginal on the first axis."""
        density = shown.density
        for k in range(shown.dimension - 1, 0, -1):
            density = density @ shown.widths[k]
        return shown.centers[0], density, axis_label(self.coordinates[0])

    def draw(self, axes: Any, solution: Solution) -> None:
        """Densities on one axis at saved times; of several axes the last density over the first two.

        A third axis is summed over.
        """
        if self._grid.dimension == 1:
            draw_curves(axes, solution)
            return
        last, (first, second, *_) = solution.measures[-1], self.coordinates
        density = last.density @ last.widths[2] if last.dimension == 3 else last.density
        image = axes.pcolormesh(*last.edges[:2], density.T, cmap="viridis", rasterized=True)
        axes.figure.colorbar(image, ax=axes, label=f"density [1/({first}·{second})]")
        axes.set(xlabel=axis_label(first), ylabel=axis_label(second))
        axes.set_title(f"law at t = {solution.t[-1]:.3g}", fontsize=9)
