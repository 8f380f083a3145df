r"""What a static problem returns: the minimising measure, its certificate, and the picture of optimality.

A measure minimises 2F = R + λ∫|θ|²dρ if and only if Ψ_λ(·; ρ*) is smallest on its support, supp ρ* ⊆ argmin Ψ_λ.
The gap measures by how much this fails, and bounds what any other measure could gain.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wflow.errors import InputError
from wflow.measures import GridDensity, Particles

if TYPE_CHECKING:
    from wflow.solvers.statics.objective import Objective


@dataclass(frozen=True, repr=False, eq=False)
class Minimiser:
    r"""A minimising measure ρ* with its duality gap.

    Attributes
    ----------
    measure : ρ*, on the grid or as particles
    risk : R(ρ*)
    objective : 2F = R + λ∫|θ|²dρ*, the risk itself without a ridge
    gap : 2(∫Ψ_λ dρ* − min Ψ_λ) ≥ objective − inf, in the units of R
    level : min Ψ_λ
    first_variation : Ψ_λ at the points of the measure (n,)
    scope : over what the minimum is taken: the "points" given, a "search" of a box (the best point found), or a
        "bound", a proved lower bound of Ψ_λ over the box
    iterations, history : their number, and the gap after each
    success, message : whether the gap reached the tolerance, in words
    """

    measure: GridDensity | Particles
    risk: float
    objective: float
    gap: float
    level: float
    first_variation: np.ndarray
    scope: Literal["points", "search", "bound"]
    iterations: int
    history: np.ndarray
    success: bool
    message: str
    box: np.ndarray
    _objective: Objective

    @property
    def points(self) -> np.ndarray:
        """Positions (n, D) of the measure."""
        return np.asarray(self.measure.points())

    @property
    def weights(self) -> np.ndarray:
        """Masses (n,) at the points."""
        return np.asarray(self.measure.weights())

    def support(self, threshold: float = 1e-6) -> Particles:
        """The points that carry more than ``threshold`` of the mass; what the others carry is left out."""
        kept = self.weights > threshold
        if not kept.any():
            raise InputError(
                f"no point carries more than {threshold:g}: the heaviest has {self.weights.max():.3g}; "
                "lower the threshold"
            )
        return Particles(self.points[kept], self.weights[kept], names=self.measure.names)

    def potential(self, at: Any) -> np.ndarray:
        """Ψ_λ(·; ρ*) at any points (m, D), shape (m,)."""
        at = np.ascontiguousarray(at, dtype=np.float64)
        at = at[:, None] if at.ndim == 1 and self.measure.dimension == 1 else at
        return self._objective.around(self.points, self.weights).potential(at)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Ψ_λ over θ with the support of ρ* on it and the level min Ψ_λ; 1 or 2 coordinates.

        Raises
        ------
        InputError
            for more than 2 coordinates, or a path that ends in no picture format
        """
        from wflow.tools.pictures import new_figure, save_figure

        if self.measure.dimension > 2:
            raise InputError(
                f"the picture of Ψ needs 1 or 2 coordinates and the measure has {self.measure.dimension}: "
                "draw potential(points) along a line of your choice"
            )
        figure, (axis,) = new_figure(1)
        figure.suptitle(f"R = {self.risk:.6g}, gap {self.gap:.2g}", fontsize=11)
        if self.measure.dimension == 1:
            self._draw_line(axis)
        else:
            self._draw_plane(figure, axis)
        if path is not None:
            save_figure(figure, path)
        return figure

    def _symbol(self) -> str:
        return "Ψ_λ" if self._objective.ridge else "Ψ"

    def _marks(self) -> tuple[np.ndarray, np.ndarray]:
        """The points that carry mass, and areas of their marks."""
        carried = self.weights > 1e-6 * self.weights.max()
        share = self.weights[carried] / self.weights.max()
        return carried, np.maximum(68.0 * share, 4.0)

    def _draw_line(self, axis: Any) -> None:
        from wflow.tools.pictures import BLUE, GREY, ORANGE

        x = np.linspace(self.box[0, 0], self.box[0, 1], 1001)
        psi = self.potential(x)
        carried, area = self._marks()
        axis.plot(x, psi, color=BLUE, lw=1.4, label=f"{self._symbol()}(θ; ρ*)")
        axis.axhline(self.level, color=GREY, lw=1.0, ls="--", label=f"min {self._symbol()}")
        axis.scatter(
            self.points[carried, 0],
            self.first_variation[carried],
            s=area,
            color=ORANGE,
            zorder=3,
            label="support of ρ* (area: mass)",
        )
        axis.set(xlabel=_label(self.measure.names[0]), ylabel=f"{self._symbol()}  [loss]")
        axis.legend(fontsize=7, frameon=False)
        axis.grid(alpha=0.3)

    def _draw_plane(self, figure: Any, axis: Any) -> None:
        from wflow.tools.pictures import ORANGE

        x, y = (np.linspace(side[0], side[1], 161) for side in self.box)
        at = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        psi = self.potential(at).reshape(x.size, y.size)
        carried, area = self._marks()
        image = axis.pcolormesh(x, y, psi.T, cmap="cividis", shading="nearest", rasterized=True)
        bar = figure.colorbar(image, ax=axis)
        bar.set_label(f"{self._symbol()}(θ; ρ*)  [loss],  min {self.level:.3g}")
        bar.ax.axhline(self.level, color=ORANGE, lw=2)
        axis.scatter(
            *self.points[carried].T,
            s=area,
            color=ORANGE,
            edgecolor="white",
            lw=0.5,
            clip_on=False,
            label="support of ρ* (area: mass)",
        )
        axis.set(xlabel=_label(self.measure.names[0]), ylabel=_label(self.measure.names[1]))
        axis.legend(fontsize=7, loc="upper right")

    def __repr__(self) -> str:
        carried = int((self.weights > 1e-6).sum())
        ridge = f", objective={self.objective:.8g}" if self._objective.ridge else ""
        return (
            f"Minimiser(risk={self.risk:.8g}{ridge}, gap={self.gap:.2g} over the {_SCOPES[self.scope]}, "
            f"support of {carried} points, {self.iterations} iterations: {self.message})"
        )


_SCOPES = {"points": "points", "search": "searched box", "bound": "box"}


def _label(name: str) -> str:
    return f"{'r = |w|' if name == 'r' else name}  [parameter]"
