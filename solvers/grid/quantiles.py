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

from dataclasses import dataclass, replace

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import check_one_axis, check_start
from wflow.solvers.grid.parts.quantile_energy import spread
from wflow.solvers.method import Arrays, Tolerance, register
from wflow.solvers.particles.parts.embedded_pair import EmbeddedPair
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.particles.runge_kutta import RungeKutta
from wflow.tools.checks import check_count
from wflow.views import view_of


class QuantileProblem(ParticleProblem):
    """The bins as particles between the grid's walls, shown as cell averages on the grid."""

    def __init__(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int, cells: int
    ) -> None:
        check_start(flow, measure)
        super().__init__(flow, measure.to_particles(cells), tolerance, seed)
        self.view = view_of(measure)
        self.edges = measure.edges[0]
        self.low, self.high = self.edges[:1], self.edges[-1:]
        self.bounded = True

    def fields(self, y: Arrays) -> Arrays:
        return {"density": spread(y["positions"][:, 0], y["weights"], self.edges)}


@register
@dataclass(frozen=True)
class Quantiles(EmbeddedPair[GridDensity]):
    """Moving cells of constant mass; ``cells`` of them."""

    cells: int = 2000

    name = "quantiles"
    acts_on = "grid"
    order, error_order = RungeKutta.order, RungeKutta.error_order
    order_in_space = 1
    abscissae, stages, estimate = RungeKutta.abscissae, RungeKutta.stages, RungeKutta.estimate

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", check_count("cells", self.cells, 2))

    def coarser(self) -> Quantiles:
        return replace(self, cells=max(2, self.cells // 2))

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> QuantileProblem:
        if flow.temperature > 0:
            raise InputError(
                f"temperature = {flow.temperature:g}: method 'quantiles' has no diffusion; use 'scharfetter-gummel'"
            )
        check_one_axis(self.name, measure, "muscl")
        return QuantileProblem(flow, measure, tolerance, seed, self.cells)
