r"""Noiseless particles for long times: TR-BDF2, each stage by Newton's method on the whole flow.

.. math:: \theta_\gamma = \theta + \tfrac{\gamma h}2\bigl(v(\theta) + v(\theta_\gamma)\bigr), \quad
          \theta' = \theta + w h\bigl(v(\theta) + v(\theta_\gamma)\bigr) + \tfrac{\gamma h}2 v(\theta'), \qquad
          \gamma = 2 - \sqrt 2,\ w = \tfrac{\sqrt 2}4

Second order and L-stable: what decays within a step is gone at its end, however long the step. The error is the
distance to the embedded formula of third order, smoothed by the matrix of Newton's method, without which fast
components would be counted that have decayed. Both stages are roots of the same kind, and share that matrix while it
serves; how it is solved with, :mod:`wflow.solvers.particles.parts.shifted` says. A step is refused, and a much shorter
one tried, where Newton's method does not come to an end, where a direction is too unstable for the step, and where the
free energy would rise by more than rounding. No longer step is tried than lets the fastest growth of a particle's
velocity, as the last step saw it, go on by a factor of e^0.7: beyond that most are refused.

A schedule ξ(t) changes nothing but the clock: the step is one of ∫ξ dt at ξ = 1. Positions beyond a wall are held as
by the explicit methods.
Source: Hosea & Shampine, Appl. Numer. Math. 20 (1996) 21, in the form of Bank et al. (1985).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation, register
from wflow.solvers.particles.parts.shifted import Indefinite, Shifted
from wflow.solvers.particles.problem import ParticleProblem

GAMMA = 2.0 - math.sqrt(2.0)
SHARE, W = GAMMA / 2.0, math.sqrt(2.0) / 4.0
ESTIMATE = (W - (1.0 - W) / 3.0, W - (3.0 * W + 1.0) / 3.0, SHARE * 2.0 / 3.0)
"""b − b̂ of the stages, b̂ of third order."""

CLOSE = 0.01
"""Newton's method ends this near to the root, in units of the tolerance of a step."""
NEAR = 0.3
"""Or this near, where it goes to and fro: beside a kink of the activation there may be no root."""
ITERATIONS = 10
STALE = 0.5
"""A matrix of an older state is formed anew where an iteration leaves more than this of the last one's way."""
FORCING = 1e-2
"""Residual of systems that are not factorised, relative."""
UNSEEN = 1e-12
"""A rise of the free energy that counts as rounding, relative to that of the start."""
FAR = 3.0
"""So it is where the first iteration with it leads this far, in units of the tolerance."""
SHORTER = 0.4
"""Of a step that was refused: what it met comes on suddenly, as a unit leaves its saddle."""
LONGER, LONGEST = 1.25, 5.0
"""A step is longer than the one before by this factor more than that one was, and by LONGEST at most."""
GROWN = 0.2
"""Share of a stage's bound 1/μ that a step may take of the fastest growth the last one saw: e^0.7 of a speed's."""
MOVED = 1e-2
"""Particles count for that which moved this share of the farthest way or more: others' rates are rounding."""
LEAST = 0.2
"""A step is not made shorter for it by more than this factor at once."""


class Lost(Exception):
    """Newton's method found no root."""


@register
@dataclass(frozen=True)
class Implicit(Method[Particles, ParticleProblem]):
    """TR-BDF2 for stiff particle flows; weights stay as they are."""

    name = "implicit"
    acts_on = "particles"
    order = 2
    error_order = 3
    preserves = frozenset({"mass", "positive"})

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> ParticleProblem:
        if flow.temperature > 0 or flow.reaction_rate > 0:
            raise InputError(
                f"temperature = {flow.temperature:g}, reaction_rate = {flow.reaction_rate:g}: method 'implicit' "
                "neither shakes particles nor weighs them; take 'langevin' for noise, 'runge-kutta' for births, deaths"
            )
        return ParticleProblem(flow, measure, tolerance, seed)

    def init(self, problem: ParticleProblem, t: float, y: Arrays) -> Arrays:
        x, w = y["positions"], y["weights"]
        pull, risk = problem.pull(x, w)
        return {
            "pull": pull,
            "risk": np.array(risk),
            "top": np.array(abs(_free(problem, x, w, risk))),
            "h": np.array(0.0),
        }

    def dissipation(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def first_step(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        size = float(np.sqrt((y["positions"] ** 2).mean())) + 1e-6
        pace = float(np.sqrt((carry["pull"] ** 2).mean())) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def step(self, problem: ParticleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        x, w, v = y["positions"], y["weights"], carry["pull"]
        # Where no longer step would do, the one before is about the longest: it is not tried each time anew.
        last, length = float(carry["h"]), np.array(h)
        limit = h * (min(LONGEST, LONGER * max(1.0, h / last)) if last > 0 else LONGEST)
        h, unsure = own_time(problem.flow, t, h)
        if h == 0.0:
            return Step(y, carry)
        stages = Stages(problem, x, w, h)
        try:
            start = x + SHARE * h * v
            middle = stages.root(start, x + GAMMA * h * v)
            v_middle = (middle - start) / (SHARE * h)
            start = x + W * h * (v + v_middle)
            # Where the parabola through both velocities leads.
            ahead = (1.0 - GAMMA) * h
            bend = 0.5 * ahead / (GAMMA * h) * (v_middle - v)
            end = stages.root(start, middle + ahead * (v_middle + bend))
            # Of a component that has decayed the velocity at the end is rounding, times its rate; this is not.
            v_end = (end - start) / (SHARE * h)
            e = ESTIMATE
            apart = stages.matrix.solve(h * (e[0] * v + e[1] * v_middle + e[2] * v_end))
        except Indefinite:
            return Step.refused(y, carry, "a direction is too unstable for it", SHORTER * h)
        except Lost:
            return Step.refused(y, carry, "Newton's method found no state at its end", SHORTER * h)
        new, other = problem.project(end), problem.project(end - apart)
        error = float(np.sqrt(np.mean(((new - other) / stages.scale(new)) ** 2)))
        error += unsure * float(np.sqrt(np.mean((h * v_middle / stages.scale(new)) ** 2)))
        _, risk = problem.pull(new, w)
        free = _free(problem, new, w, risk)
        before = _free(problem, x, w, float(carry["risk"]))
        if error <= 1.0 and free > before + UNSEEN * float(carry["top"]):
            return Step.refused(y, carry, "the free energy would rise", 0.5 * h)
        if (rate := runaway(end - x, v_end - v)) > 0.0:
            stable = GROWN / (SHARE * rate) / h
            limit = min(limit, max(stable, LEAST) * float(length))
        after = {"pull": v_end, "risk": np.array(risk), "top": carry["top"], "h": length}
        return Step({"positions": new, "weights": w}, after, error=error, limit=limit)


class Stages:
    """The roots of θ = start + (γh/2) v(θ) of one step over h of the flow's own time, from x."""

    def __init__(self, problem: ParticleProblem, x: np.ndarray, w: np.ndarray, h: float) -> None:
        self.problem, self.x, self.w, self.eta = problem, x, w, SHARE * h
        self.size = np.maximum(np.abs(x), np.sqrt((x**2).mean(axis=0)))
        self.matrix: Shifted

    def scale(self, new: np.ndarray) -> np.ndarray:
        """What a position may be off, relative to the cloud's size where that is larger."""
        tol = self.problem.tolerance
        return np.asarray(tol.atol + tol.rtol * np.maximum(self.size, np.abs(new)))

    def root(self, start: np.ndarray, guess: np.ndarray) -> np.ndarray:
        """The root that Newton's method finds from a guess.

        Raises
        ------
        Lost
            where it does not come near to one, or not in a few iterations
        Indefinite
            where the equation has no one root nearby
        """
        problem, last = self.problem, math.inf
        at, scale = guess, self.scale(guess)
        stale, own = not hasattr(self, "matrix"), False
        for _ in range(ITERATIONS):
            pull, _ = problem.pull(problem.project(at), self.w)
            if stale:
                self.matrix, own = self._linearised(at), True
            move = self.matrix.solve(start + self.eta * pull - at)
            way = float(np.sqrt(np.mean((move / scale) ** 2)))
            if not math.isfinite(way):
                break
            at = at + move
            # What is left falls like a geometric series, whose rate two iterations show.
            share = way / last
            if way <= CLOSE or (0.0 < share < 1.0 and way * share / (1.0 - share) <= CLOSE):
                return np.asarray(at)
            if own and share > 1.0:
                break
            stale = share > STALE or (not own and way > FAR)
            last = way
        if way <= NEAR:
            return np.asarray(at)
        raise Lost

    def _linearised(self, at: np.ndarray) -> Shifted:
        problem, inside = self.problem, self.problem.project(at)
        flow = problem.flow
        curvature = flow.energy.curvature(inside, self.w)
        # Beyond a wall the velocity is the wall's own.
        moves = flow.mobile * (inside == at)
        ridge = flow.ridge * flow.ridge_mask
        return Shifted(curvature, self.w, ridge, moves, self.eta, FORCING)


def runaway(ways: np.ndarray, changes: np.ndarray) -> float:
    r"""The fastest growth of a particle's velocity along its way, ⟨Δv, Δθ⟩/|Δθ|²: −H between the ends, both (n, D).

    >>> runaway(np.array([[1.0], [1e-9]]), np.array([[0.5], [1.0]]))
    0.5
    """
    square = (ways**2).sum(axis=1)
    far = square > MOVED**2 * square.max()
    return float(((changes * ways).sum(axis=1)[far] / square[far]).max(initial=-math.inf))


def own_time(flow: GradientFlow, t: float, h: float) -> tuple[float, float]:
    """∫ξ dt over (t, t + h), and how far the quadrature may be off, relative to it."""
    if not callable(flow.clock):
        return h * flow.schedule(t), 0.0
    fine, coarse = (
        h * float(b @ [flow.schedule(t + h * c) for c in a]) for a, b in (_gauss(5), _gauss(3))
    )
    return fine, abs(fine - coarse) / fine if fine > 0 else 0.0


@cache
def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's nodes and weights on (0, 1)."""
    a, b = np.polynomial.legendre.leggauss(count)
    return 0.5 * (a + 1.0), 0.5 * b


def _free(problem: ParticleProblem, x: np.ndarray, w: np.ndarray, risk: float) -> float:
    return 0.5 * risk + float(w @ problem.flow.ridge_potential(x))
