"""Weighted particles: positions and weights a frame, the neurons of a network among them.

A population may change: then the arrays have a fixed capacity, and a slot of weight 0 is free. And particle i of one
frame need not be particle i of the next: after births and deaths, or a resampling, the labels say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.energies.arrays import place
from wflow.errors import InputError
from wflow.measures import Particles
from wflow.tools.pictures import BLUE, GREY
from wflow.views.base import VIEWS, Curve, Fields, StoredField, View
from wflow.views.drawing import axis_label, bins_over, curve_scene, draw_curves, outline, widened

if TYPE_CHECKING:
    from wflow.results.solution import Solution


@VIEWS.enter
class ParticleView(View):
    """Particles of named coordinates.

    Parameters
    ----------
    names : of the coordinates
    followed : whether particle i of one frame is particle i of the next. If so, a state between two frames has its
        particles on straight lines (the interpolation of optimal transport when they have kept their order); if not,
        only the frames themselves can be had, since a line between two unrelated particles is no state at all, and
        the nearest frame would be off by as much as the run moves between two of them, without a word
    free_slots : whether a weight of 0 marks a place without a particle, which is never shown

    >>> view = ParticleView(["x"], free_slots=True)
    >>> view.show({"positions": np.array([[3.0], [0.0]]), "weights": np.array([1.0, 0.0])}).n
    1
    """

    name = "particles"
    arrays_at_work = 6

    def __init__(
        self, names: Sequence[str], *, followed: bool = True, free_slots: bool = False
    ) -> None:
        self.coordinates = tuple(names)
        self.followed, self.free_slots = followed, free_slots
        self.fields = {
            "positions": StoredField(
                ("particle", "coordinate"), "parameter", "parameters of the particles"
            ),
            "weights": StoredField(("particle",), "1", "mass of the particles"),
        }

    @classmethod
    def of(cls, state: Particles) -> ParticleView:
        return cls(state.names)

    def show(self, fields: Fields) -> Particles:
        positions, weights = fields["positions"], fields["weights"]
        if self.free_slots:
            held = weights > 0
            positions, weights = positions[held], weights[held]
        return Particles(positions, weights, names=self.coordinates)

    def store(self, shown: Particles) -> Fields:
        return {"positions": np.array(shown.points()), "weights": np.array(shown.weights())}

    def describe(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "names": list(self.coordinates),
            "followed": self.followed,
            "free_slots": self.free_slots,
        }

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> ParticleView:
        return cls(
            about["names"],
            followed=about.get("followed", True),
            free_slots=about.get("free_slots", False),
        )

    def mix(self, low: Fields, high: Fields, share: float) -> Fields:
        if not self.followed:
            raise InputError(
                "this run does not follow its particles from frame to frame, so there is none between them: "
                "save the time with t_eval, or take a frame of sol.measures"
            )
        if self.free_slots:
            # Who is born or dies on the way stands where it was seen, with its share of the weight.
            unborn, dead = low["weights"][:, None] == 0, high["weights"][:, None] == 0
            start, end = low["positions"], high["positions"]
            low = low | {"positions": np.where(unborn, end, start)}
            high = high | {"positions": np.where(dead, start, end)}
        return super().mix(low, high, share)

    def place(self, fields: Fields, marked: np.ndarray) -> str:
        positions = fields.get("positions", np.empty(0))
        if marked.shape[:1] != positions.shape[:1]:
            return ""
        return place(positions[np.argwhere(marked)[0, 0]], self.coordinates)

    def stack(self, frames: Sequence[Fields]) -> Fields:
        """Frames of one length; where one holds fewer particles, NaN and weight 0 stand at its end."""
        sizes = [f["weights"].size for f in frames]
        x = np.full((len(frames), max(sizes, default=0), len(self.coordinates)), np.nan)
        w = np.zeros(x.shape[:2])
        for i, (frame, n) in enumerate(zip(frames, sizes, strict=True)):
            x[i, :n], w[i, :n] = frame["positions"], frame["weights"]
        if self.free_slots:
            x[w == 0] = np.nan
        return {"positions": x, "weights": w}

    def labels(self) -> dict[str, Any]:
        return {"coordinate": list(self.coordinates)}

    def curve(self, shown: Particles) -> Curve:
        """A histogram of the one coordinate, or of |θ|, as its outline."""
        points, weights = shown.points(), shown.weights()
        if points.shape[1] == 1:
            x, label = points[:, 0], axis_label(self.coordinates[0])
        else:
            x, label = np.linalg.norm(points, axis=1), "|θ|  [parameter]"
        bins, low, high = bins_over(x, int(np.clip(np.sqrt(x.size), 12, 60)))
        height, edges = np.histogram(x, bins=bins, range=(low, high), weights=weights)
        return *outline(edges, height / np.diff(edges)), label

    def counted(self, shown: Particles) -> str:
        return f"{shown.n} particles" if shown.n != 1 else "1 particle"

    def draw(self, axes: Any, solution: Solution) -> None:
        """Histograms of one coordinate at saved times; of several the last particles beside where they began.

        Two coordinates are drawn as they are, more over the first and the length of all others.
        """
        if len(self.coordinates) == 1:
            draw_curves(axes, solution, least=0.0)
            return
        last = solution.t.size - 1
        for i, colour in {0: GREY, last: BLUE}.items():
            at, area = self._plane(solution.measures[i])
            when = f"t = {solution.t[i]:.3g}"
            axes.scatter(*at.T, s=area, color=colour, alpha=0.5, lw=0, label=when)
        self._label(axes)
        axes.legend(fontsize=7, frameon=False)

    def scene(self, axes: Any, solution: Solution) -> Callable[[int], None]:
        if len(self.coordinates) == 1:
            return curve_scene(axes, solution, least=0.0)
        planes = [self._plane(shown) for shown in solution.measures]
        everywhere = np.concatenate([at for at, _ in planes])
        low, high = everywhere.min(axis=0), everywhere.max(axis=0)
        axes.set(xlim=widened(low[0], high[0]), ylim=widened(low[1], high[1]))
        self._label(axes)
        dots = axes.scatter([], [], color=BLUE, alpha=0.5, lw=0)

        def show(i: int) -> None:
            at, area = planes[i]
            dots.set_offsets(at)
            dots.set_sizes(area)
            axes.set_title(f"law at t = {solution.t[i]:.3g}", fontsize=9)

        return show

    def _plane(self, shown: Particles) -> tuple[np.ndarray, np.ndarray]:
        """Where particles stand in the picture, (n, 2), and the area of their dots, in proportion to their mass."""
        points, mass = shown.points(), shown.weights()
        up = np.linalg.norm(points[:, 1:], axis=1) if points.shape[1] > 2 else points[:, 1]
        return np.column_stack([points[:, 0], up]), np.clip(12 * mass * mass.size, 1.0, 200.0)

    def _label(self, axes: Any) -> None:
        first, second, *more = self.coordinates
        rest = f"|({second}, …, {more[-1]})|" if more else second
        axes.set(xlabel=axis_label(first), ylabel=f"{rest}  [parameter]")
        axes.grid(alpha=0.3)
