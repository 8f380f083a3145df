r"""Drift and diffusion together, implicit, second order, positive at every step size.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

In space the Scharfetter–Gummel flux, exact for Gibbs states. In time the two-stage modified Patankar–Runge–Kutta
scheme: stage 1 is backward Euler with Ψ at the old density; stage 2 averages the exchange fluxes of both ends and
weights them by new/predicted mass, so both stages are M-matrix solves. A discrete Gibbs state is left in place;
stage 1 serves as the embedded first-order solution. With τ = 0 the flux is first-order upwind.

On several axes each stage is a product of solves, one axis after another, on walls and on rings. A product of solves is
only first order, but here the weights make it second: the solve along axis a divides the averaged flux by the mass that
stage 1 had reached after axis a, so each factor adds ½h(A₀m₀ + A₁m₁) of its axis up to h³, and the factors add up.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Burchard, Deleersnijder & Meister,
Appl. Numer. Math. 47 (2003) 1, eq. (26).
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.grid.parts.axis_by_axis import implicit, mean_rates, moving_axes, rates
from wflow.solvers.grid.parts.axis_in_one_pass import implicit_sweep, is_large, patankar_sweep
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, register


@register
@dataclass(frozen=True)
class ScharfetterGummel(GridMethod[GridProblem]):
    """Implicit drift–diffusion by Patankar weights; adaptive by its embedded first-order stage."""

    name = "scharfetter-gummel"
    order = 2
    error_order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if not is_large(problem):
            return self._by_arrays(problem, t, h, y, carry)
        start, old = y["density"], carry["potential"]
        reached = implicit_sweep(problem, t, start, old, h)
        stage = reached[-1]
        psi, _ = problem.potential(stage)
        ends = (t, start, old), (t + h, stage, psi)
        density = patankar_sweep(problem, start, ends, reached, h)
        error = problem.apart(density, stage)
        return problem.accept(h, y, carry, density, problem.state(density), error=error)

    def _by_arrays(
        self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays
    ) -> Step:
        """The same array by array, for small grids and those of few lines, a single one above all."""
        volumes = problem.volumes
        start = y["density"] * volumes
        old = [rates(problem, t, carry["potential"], axis) for axis in moving_axes(problem)]
        # What has passed the solves along the first axis, along the first two, …
        partial = [start]
        for k in old:
            partial.append(implicit(problem, partial[-1], k, h))
        stage = partial[-1]
        psi, _ = problem.potential(stage / volumes)
        mass = start
        for k, reached in zip(old, partial[1:], strict=True):
            new = rates(problem, t + h, psi, k.axis)
            mass = implicit(problem, mass, mean_rates(problem, k, new, (start, stage), reached), h)
        density = mass / volumes
        after = problem.state(density)
        return problem.accept(h, y, carry, density, after, error=problem.error(mass - stage))
