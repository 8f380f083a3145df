r"""Noiseless particles by an embedded pair of Runge–Kutta methods, whichever: a pair is its table.

.. math:: \dot\theta_i = -\xi\nabla\Psi_\lambda(\theta_i;\rho), \quad
          \tfrac{d}{dt}\log w_i = -\alpha\xi(\Psi_\lambda(\theta_i) - \textstyle\int\Psi_\lambda d\rho)

   k_i = v\bigl(t + c_i h,\; y + h \textstyle\sum_{j<i} a_{ij} k_j\bigr), \quad y' = y + h \sum_j b_j k_j, \quad
   y' - \hat y' = h \sum_j e_j k_j

The rate at y' is the first stage of the next step, and may take part in the estimate. Of the weights the logarithm is
integrated, at every stage up to a constant which the mass of the start fixes: weights stay positive, one of 1e-30 grows
as truly as one of 1/n, and where Ψ stays, no step is too long for one that dies out. A particle that reaches a wall of
the domain (r = 0) stays until the velocity turns.
Source: Hairer, Nørsett & Wanner, Solving ODEs I (1993), section II.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.solvers.method import ActsOn, Arrays, Method, Step, Tolerance, dissipation
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.tableau import Row, combine

M = TypeVar("M", bound=Measure)


class EmbeddedPair(Method[M, ParticleProblem]):
    """Positions and weights together, the step by the distance of the pair."""

    abscissae: ClassVar[Row]
    """c of the stages after the first, and 1 for the new state."""
    stages: ClassVar[Sequence[Row]]
    """a of the stages after the first, a row each, and b as the last row."""
    estimate: ClassVar[Row]
    """e = b − b̂ of the stages, and of the rate at the new state where it takes part."""

    acts_on: ClassVar[ActsOn] = "particles"
    reacts = True
    preserves = frozenset({"mass", "positive"})

    def prepare(
        self, flow: GradientFlow, measure: M, tolerance: Tolerance, seed: int
    ) -> ParticleProblem:
        if flow.temperature > 0:
            raise InputError(
                f"method '{self.name}' has no noise: use 'langevin' for temperature > 0"
            )
        return ParticleProblem(flow, measure, tolerance, seed)

    def init(self, problem: ParticleProblem, t: float, y: Arrays) -> Arrays:
        v, g, risk = problem.rates(t, y["positions"], y["weights"])
        return {"velocity": v, "log_growth": g, "risk": np.array(risk)}

    def dissipation(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def first_step(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        # A first step that moves a particle by about 1% of the cloud's size (Hairer, Norsett & Wanner, II.4).
        size = float(np.sqrt((y["positions"] ** 2).mean())) + 1e-6
        pace = float(np.sqrt((carry["velocity"] ** 2).mean())) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def step(self, problem: ParticleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        x, w = y["positions"], y["weights"]
        moves, grows, risk = [carry["velocity"]], [carry["log_growth"]], 0.0
        react = problem.flow.reaction_rate > 0
        xs, ws = x, w
        for c, row in zip(self.abscissae, self.stages, strict=True):
            xs = x + h * combine(row, moves)
            ws = problem.reweighted(w, h * combine(row, grows)) if react else w
            v, g, risk = problem.rates(t + c * h, xs, ws)
            moves.append(v)
            grows.append(g)
        off = h * combine(self.estimate, moves)
        xs, off = misfit(problem, x, xs, off, np.sqrt((x**2).mean(axis=0)))
        error = float(np.sqrt(np.mean(off**2)))
        if react:
            apart = h * combine(self.estimate, grows)
            error += _log_error(w, ws, apart, problem.balanced) / problem.tolerance.rtol
        after = {"velocity": moves[-1], "log_growth": grows[-1], "risk": np.array(risk)}
        done = Step({"positions": xs, "weights": ws}, after, error=error)
        return self.ended(problem, t + h, done, carry)

    def ended(self, problem: ParticleProblem, t: float, done: Step, carry: Arrays) -> Step:
        """What a step that ended at t leaves, beside what it was given in ``carry``."""
        return done


def misfit(
    problem: ParticleProblem, x: np.ndarray, new: np.ndarray, off: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """New positions in the domain, and how far the pair is apart there in units of the tolerance, both (n, D).

    Parameters
    ----------
    x, new : before the step and after it, (n, D)
    off : new positions less those of the other formula, (n, D)
    size : of the cloud before the step, the root mean square of each coordinate, (D,)
    """
    tol = problem.tolerance
    # Both solutions are projected before they are compared: at a wall they agree.
    other = problem.project(new - off)
    new = problem.project(new)
    # Relative to the cloud's size where that is larger: a particle near 0, or one that slides along a kink of
    # the activation (where no step is short enough for a relative error of its own), must not stop the rest.
    scale = tol.atol + tol.rtol * np.maximum(np.maximum(np.abs(x), size), np.abs(new))
    return new, (new - other) / scale


def _log_error(
    before: np.ndarray, after: np.ndarray, apart: np.ndarray, balanced: bool = True
) -> float:
    """The root mean square of the relative errors of weights whose logarithms are ``apart``.

    Where they are ``balanced``, up to a constant, which the mass fixes. A weight that falls to e^−m in the step may be
    off m times as much: what dies out sets no step.
    """
    living = after > 0
    common = float(after @ apart) / float(after.sum()) if balanced else 0.0
    apart = np.where(living, apart - common, 0.0)
    fall = np.log(before, where=living, out=np.zeros_like(before))
    fall -= np.log(after, where=living, out=np.zeros_like(before))
    return float(np.sqrt(np.mean((apart / np.maximum(fall, 1.0)) ** 2)))
