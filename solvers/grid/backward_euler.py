r"""Drift and diffusion by one implicit step with Ψ at the old density: first order, fixed step, robust.

.. math:: \rho^{n+1} - \rho^n = dt\,\xi\,\nabla\cdot(\rho^{n+1}\nabla\Psi_\lambda[\rho^n] + \tau\nabla\rho^{n+1})

On several axes one implicit solve an axis, one after another. Positive and mass-keeping at every dt. The plain twin of
the second-order scheme, and the way to a steady state in large steps.
Source: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64.
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.grid.parts.axis_by_axis import implicit, moving_axes, rates
from wflow.solvers.grid.parts.axis_in_one_pass import implicit_sweep, is_large
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive


@register
@dataclass(frozen=True)
class BackwardEuler(GridMethod[GridProblem]):
    """First-order implicit drift–diffusion with the fixed step ``step_size``."""

    step_size: float = 1e-2

    name = "backward-euler"
    order = 1
    preserves = frozenset({"mass", "positive"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def control(self, problem: GridProblem) -> StepSize:
        return Fixed(self.step_size)

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if is_large(problem):
            reached = implicit_sweep(problem, t + h, y["density"], carry["potential"], h)
            new = reached[-1].copy()  # from the problem's room
        else:
            mass = y["density"] * problem.volumes
            for axis in moving_axes(problem):
                mass = implicit(problem, mass, rates(problem, t + h, carry["potential"], axis), h)
            new = mass / problem.volumes
        new, after = problem.settled(new, problem.state(new))
        return Step({"density": new}, after)
