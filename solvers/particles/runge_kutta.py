r"""Noiseless particles by an embedded Runge–Kutta pair of orders 5 and 4.

.. math:: \dot\theta_i = -\xi\nabla\Psi_\lambda(\theta_i;\rho), \quad
          \dot w_i = -\alpha\xi(\Psi_\lambda(\theta_i) - \textstyle\int\Psi_\lambda d\rho)\,w_i

The last stage is the first of the next step. The sum of the weights is a linear invariant, which every Runge–Kutta
method keeps; a step with a negative weight is refused. A particle that reaches a wall of the domain (r = 0) stays until
the velocity turns. Source: Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19, table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.solvers.method import Arrays, Method, Step, Tolerance, register
from wflow.solvers.particles.problem import ParticleProblem

NODES = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1])
STAGES = [
    np.array([1 / 5]),
    np.array([3 / 40, 9 / 40]),
    np.array([44 / 45, -56 / 15, 32 / 9]),
    np.array([19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729]),
    np.array([9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656]),
    np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
]
ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])


@register
@dataclass(frozen=True)
class RungeKutta(Method):
    """Dormand–Prince 5(4) for positions and weights together."""

    name = "runge-kutta"
    acts_on = "particles"
    order = 5
    error_order = 5
    reacts = True
    preserves = frozenset({"mass", "positive"})

    def prepare(self, flow: Any, measure: Any, tolerance: Tolerance, seed: int) -> ParticleProblem:
        if flow.temperature > 0:
            raise InputError(
                "method 'runge-kutta' has no noise: use 'langevin' for temperature > 0"
            )
        return ParticleProblem(flow, measure, tolerance, seed)

    def init(self, problem: ParticleProblem, t: float, y: Arrays) -> Arrays:
        v, g, risk = problem.rates(t, y["positions"], y["weights"])
        return {"velocity": v, "growth": g, "risk": np.array(risk)}

    def first_step(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        # A first step that moves a particle by about 1% of the cloud's size (Hairer, Norsett & Wanner, II.4).
        size = float(np.sqrt((y["positions"] ** 2).mean())) + 1e-6
        pace = float(np.sqrt((carry["velocity"] ** 2).mean())) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def step(self, problem: ParticleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        x, w = y["positions"], y["weights"]
        moves, grows, risk = [carry["velocity"]], [carry["growth"]], 0.0
        react = problem.flow.reaction_rate > 0
        xs, ws = x, w
        for c, row in zip(NODES[1:], STAGES, strict=True):
            xs = x + h * _combine(row, moves)
            ws = w + h * _combine(row, grows) if react else w
            v, g, risk = problem.rates(t + c * h, xs, ws)
            moves.append(v)
            grows.append(g)
        if react and ws.min() < 0:
            return Step.refused(y, carry, "negative weight", 0.5 * h)
        tol = problem.tolerance
        # Both solutions are projected before they are compared: at a wall they agree.
        other = problem.project(xs - h * _combine(ERROR, moves))
        xs = problem.project(xs)
        # Relative to the cloud's size where that is larger: a particle near 0, or one that slides along a kink of
        # the activation (where no step is short enough for a relative error of its own), must not stop the rest.
        size = np.maximum(np.abs(x), np.sqrt((x**2).mean(axis=0)))
        scale = tol.atol + tol.rtol * np.maximum(size, np.abs(xs))
        error = float(np.sqrt(np.mean(((xs - other) / scale) ** 2)))
        if react:
            scale_w = tol.atol / w.size + tol.rtol * np.maximum(w, ws)
            error += float(np.sqrt(np.mean((h * _combine(ERROR, grows) / scale_w) ** 2)))
        after = {"velocity": moves[-1], "growth": grows[-1], "risk": np.array(risk)}
        return Step({"positions": xs, "weights": ws}, after, error=error)


def _combine(row: np.ndarray, stages: list[np.ndarray]) -> np.ndarray:
    total = row[0] * stages[0]
    for a, k in zip(row[1:], stages[1:], strict=True):
        if a != 0:
            total = total + a * k
    return np.asarray(total)
