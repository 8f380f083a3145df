r"""Birth–death on a grid, exact in time for a frozen Ψ, in log space.

.. math:: \partial_t\rho = -\alpha\xi(\Phi - \textstyle\int\Phi d\rho)\rho \;\Rightarrow\;
          \rho(t+h) \propto v\,(\rho/v)^a e^{-(1-a)\Psi_\lambda/\tau}, \quad a = e^{-\alpha\tau\xi h},

and :math:`\rho e^{-\alpha\xi h\Psi_\lambda}` at τ = 0; v is the volume integrated out. The midpoint rule for Ψ (half a
step predicts the Ψ that the whole step uses) makes it second order. Source: Rotskoff, Jelassi, Bruna & Vanden-Eijnden
(2019), eq. (12), with the time constant of docs/conventions.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, Tolerance, register

AGREED = 1e-10
"""Two values of ∫ξ dt over a step that differ by so little, relative to them, agree."""


@register
@dataclass(frozen=True)
class Reaction(GridMethod[GridProblem]):
    """Pure birth–death, second order, on grids of any dimension."""

    name = "reaction"
    order = 2
    error_order = 2
    reacts = True
    preserves = frozenset({"mass", "positive", "energy"})

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GridProblem:
        if flow.reaction_rate == 0:
            raise InputError(
                "method 'reaction' with reaction_rate = 0 does nothing: set reaction_rate > 0"
            )
        return GridProblem(flow, measure, tolerance)

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        start = y["density"]
        new = react(problem, t, h, start, carry["potential"])
        after = problem.state(new)
        # Against Ψ and ξ of the start throughout.
        plain = frozen_reaction(problem, h * problem.flow.schedule(t), start, carry["potential"])
        error = problem.error((new - plain) * problem.volumes)
        return problem.accept(h, y, carry, new, after, error=error)


def react(
    problem: GridProblem, t: float, h: float, density: np.ndarray, psi: np.ndarray
) -> np.ndarray:
    """One midpoint step of birth–death."""
    clock = run_clock(problem.flow.schedule, t, h)
    middle = frozen_reaction(problem, 0.5 * clock, density, psi)
    psi_middle, _ = problem.potential(middle)
    return frozen_reaction(problem, clock, density, psi_middle)


def run_clock(schedule: Callable[[float], float], t: float, h: float, halvings: int = 14) -> float:
    """∫ξ dt over (t, t + h) by Simpson's rule, in halves where they do not agree with the whole.

    A cell of 1e-30 shows no error in mass while it grows, so what its logarithm gains must be right by itself.

    >>> round(run_clock(lambda t: t**6, 0.0, 1.0), 9) == round(1 / 7, 9)
    True
    """
    a, b, c, d, e = (schedule(t + part * h) for part in (0.0, 0.25, 0.5, 0.75, 1.0))
    whole, halves = h / 6 * (a + 4 * c + e), h / 12 * (a + 4 * b + 2 * c + 4 * d + e)
    if halvings == 0 or abs(halves - whole) <= AGREED * abs(halves):
        return whole
    one, other = (run_clock(schedule, t + part * h, 0.5 * h, halvings - 1) for part in (0.0, 0.5))
    return one + other


def frozen_reaction(
    problem: GridProblem, clock: float, density: np.ndarray, psi: np.ndarray
) -> np.ndarray:
    """The exact solution after ∫ξdt = ``clock`` with ``psi`` = Ψ_λ − τ log vol held fixed; keeps the mass."""
    flow = problem.flow
    tau, alpha = flow.temperature, flow.reaction_rate
    a = math.exp(-alpha * tau * clock)
    # (1 − a)/τ tends to α·clock; expm1 keeps the quotient exact for small τ.
    gain = alpha * clock if tau == 0 else -math.expm1(-alpha * tau * clock) / tau
    living = density > 0
    log = np.full(density.shape, -np.inf)
    log[living] = a * np.log(density[living]) - gain * psi[living]
    new = np.exp(log - log.max())
    # Scaled as a whole: ratios of cells, the reaction's whole content, are untouched.
    mass = float((density * problem.volumes).sum())
    return np.asarray(new * (mass / float((new * problem.volumes).sum())))
