r"""Noiseless transport on one axis in quantile coordinates: cells of constant mass that move, remapped only to be seen.

.. math:: \partial_t X(u, t) = -\xi\,\Psi_\lambda'(X(u, t);\rho), \qquad \rho = X(\cdot, t)_\# du

The state is the mean position of each of ``cells`` quantile bins of the start. Pure transport has no flux through the
edges of such cells, so a law that concentrates or splits is not smeared, and the mesh follows it: the error is that of
the start's bins, and in time that of the pair ``runge-kutta``. Scalars come from the bins; only the density of a frame
is remapped: each bin is spread between the midpoints to its neighbours, which is first order in 1/cells in L1.
Birth–death changes the bins' masses.
Source: Gosse & Toscani, SIAM J. Sci. Comput. 28 (2006) 1203, eq. (1.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.solvers.method import Arrays, Tolerance, register
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.particles.runge_kutta import RungeKutta
from wflow.tools.checks import check_count
from wflow.views import view_of


class QuantileProblem(ParticleProblem):
    """The bins as particles between the grid's walls, shown as cell averages on the grid."""

    def __init__(
        self, flow: Any, measure: Any, tolerance: Tolerance, seed: int, cells: int
    ) -> None:
        super().__init__(flow, measure.to_particles(cells), tolerance, seed)
        self.view = view_of(measure)
        self.edges = measure.edges[0]
        if self.edges[0] < self.low[0] or self.edges[-1] > self.high[0]:
            raise InputError(
                f"the grid leaves the energy's domain {flow.energy.bounds.tolist()}: move its bounds inside"
            )
        self.low, self.high = self.edges[:1], self.edges[-1:]
        self.bounded = True

    def fields(self, y: Arrays) -> Arrays:
        return {"density": spread(y["positions"][:, 0], y["weights"], self.edges)}


@register
@dataclass(frozen=True)
class Quantiles(RungeKutta):
    """Moving cells of constant mass; ``cells`` of them."""

    cells: int = 2000

    name = "quantiles"
    acts_on = "grid"
    order_in_space = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", check_count("cells", self.cells, 2))

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> QuantileProblem:
        if flow.temperature > 0:
            raise InputError(
                "method 'quantiles' has no diffusion: use 'scharfetter-gummel' for temperature > 0"
            )
        if measure.dimension != 1 or measure.periodic[0]:
            raise InputError(
                f"method 'quantiles' works on 1 axis with walls and the grid has {measure.dimension}, "
                f"periodic: {', '.join(str(p) for p in measure.periodic)}: use 'muscl'"
            )
        return QuantileProblem(flow, measure, tolerance, seed, self.cells)


def spread(positions: np.ndarray, masses: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Cell averages of masses spread evenly between the midpoints of neighbouring positions.

    >>> spread(np.array([0.5, 1.5]), np.array([0.5, 0.5]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.5, 0.5]
    """
    order = np.argsort(positions, kind="stable")
    x, m = positions[order], masses[order]
    middle = 0.5 * (x[1:] + x[:-1])
    ends = np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]])
    ends = np.clip(ends, edges[0], edges[-1])
    total = np.concatenate([[0.0], np.cumsum(m)])
    inside = np.interp(edges, ends, total)
    # Bins that have met at a wall lie in the wall's cell.
    inside[0], inside[-1] = 0.0, total[-1]
    return np.asarray(np.diff(inside) / np.diff(edges))
