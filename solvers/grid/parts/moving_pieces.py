r"""One minimising movement on 1 to 3 axes by an optimal map, with Newton's method on density and potential together.

The old law stands as pieces of its cells, at their middles x. Under a potential p (a quadratic spline with one number
c a cell) each settles where it costs least, as the optimal map to the new law demands, and covers cells as a box; d(c)
is the mass that then lies in each cell. With e(ρ) = τρ log ρ + κρ²/2, the movement is

.. math:: z(x) = \operatorname{argmin}_z \frac{|z-x|^2}{2h} + p(z), \qquad
          d(c) = m\rho, \qquad e'(\rho) + \varepsilon(\log\rho + 1) = c - \Psi_\lambda[\rho], \qquad
          \varepsilon \to 0 .

z is the gradient of a convex function where z²/2 + hp is convex: the map is optimal, and p/h Kantorovich's potential
between both laws. At rest d is the old density: no mass is smeared that does not move. d is positive and has the mass
of the old law whatever p is, so the new density is d.

For −∂d/∂c stands the five- or seven-point operator of the mobility ρ(1 + hD²p)⁻¹, which leaves a positive definite
system for the linear solver of :mod:`wflow.solvers.grid.parts.linearised_movement`; the residual then falls to .6 a
step or better. A background of δ = tolerance/10 of the mean density lets c be smooth where no piece comes. Where
Newton's method is lost at the whole time h it goes by way of shorter ones.
Source: Jordan, Kinderlehrer & Otto, SIAM J. Math. Anal. 29 (1998) 1, for the movement and its optimality condition;
Jacobs & Léger, Numer. Math. 146 (2020) 513, for the potential as the unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wflow.kernels.grid import linearised_movement as five
from wflow.kernels.grid import moving_pieces as kernels
from wflow.kernels.parallel import over_slabs
from wflow.kernels.vectors import dot
from wflow.solvers.grid.parts import linearised_movement as linearised
from wflow.solvers.grid.parts.linearised_movement import Internal, direction
from wflow.solvers.grid.parts.problem import GridProblem

FLOOR = 0.1
"""δ over the tolerance and the mean density."""
LEAST_MASS = 1e-14
"""Share of the mass below which a cell sends no pieces."""
SPREAD = 1e-8
"""Share of the mass that is spread evenly to begin with."""
STEEPEST = 3.0
"""Largest slope of log ρ within a cell."""
ROUGH = 0.02
"""Largest relative residual of the linear systems."""
LIGHT, GROW = 1e-4, 6.0
"""Below this share of the mean density ρ grows by factors, by e to this at most: it has orders of magnitude to go."""
ON_THE_WAY = 0.02
"""KKT residual that is enough at a shorter time."""
LOST, STUCK, PATIENCE = 3.0, 10, 30
"""Newton's method is lost where the residual grows so much, or has not fallen in so many steps, or takes so many."""
SHORTER, SHORTEST = 0.25, 1e-3


class Pieces(NamedTuple):
    """Where from, in cells (P, 3), masses, and half their widths in cells (P,)."""

    home: np.ndarray
    mass: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Plan:
    """One step's problem: masses ``start``, their pieces, the time h, Ψ_λ[ρ] and, unless it is constant, its slope."""

    box: five.Box
    shape: tuple[int, int, int]
    lattice: kernels.Lattice
    pieces: Pieces
    internal: Internal
    start: np.ndarray
    h: float
    floor: float
    potential: Callable[[np.ndarray], np.ndarray]
    interaction: Callable[[np.ndarray, np.ndarray], np.ndarray] | None


@dataclass(frozen=True)
class Found:
    """The new density, its residual ‖ρ − asked‖₁ for mass 1, the free energy that this may stand for, and the steps."""

    density: np.ndarray
    residual: float
    gap: float
    steps: int


def lattice_of(problem: GridProblem) -> kernels.Lattice:
    """The grid as three axes of equal cells."""
    missing = 3 - problem.grid.dimension
    widths, near = np.ones(3), []
    for k, n in enumerate(problem.box_shape):
        if k >= missing:
            widths[k] = problem.grid.widths[k - missing][0]
        index = np.arange(n)[:, None]
        if problem.moves[k]:
            index = index + np.array([-1, 0, 1])
            index = index % n if problem.periodic[k] else np.clip(index, 0, n - 1)
        near.append(np.ascontiguousarray(index, dtype=np.int64))
    return kernels.Lattice(problem.moves, problem.periodic & problem.moves, widths, *near)


def pieces_of(lattice: kernels.Lattice, masses: np.ndarray, parts: int) -> Pieces:
    """Cells of ``masses`` (n0, n1, n2) cut in ``parts`` along each axis that moves; log ρ is sloped within a cell."""
    heavy = masses > LEAST_MASS * masses.sum()
    at = np.argwhere(heavy)
    ticks = [(np.arange(parts) + 0.5) / parts if m else np.array([0.5]) for m in lattice.moves]
    offsets = np.stack(np.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, 3)
    slopes = np.stack([_slope(masses, heavy, lattice, k)[heavy] for k in range(3)], -1)
    shares = np.exp(slopes @ (offsets - 0.5).T)
    shares *= (masses[heavy] / shares.sum(axis=1))[:, None]
    mass = shares.ravel() * (masses.sum() / shares.sum())
    home = (at[:, None, :] + offsets).reshape(-1, 3)
    return Pieces(home, mass, np.full(mass.size, 0.5 / parts))


def _slope(
    masses: np.ndarray, heavy: np.ndarray, lattice: kernels.Lattice, axis: int
) -> np.ndarray:
    """The lesser of the differences of log ρ to both neighbours, 0 at extrema, walls and holes."""
    out = np.zeros_like(masses)
    if lattice.moves[axis]:
        log = np.log(np.where(heavy, masses, 1.0))
        up, whole = np.roll(log, -1, axis) - log, np.roll(heavy, -1, axis) & heavy
        if not lattice.periodic[axis]:
            np.moveaxis(whole, axis, 0)[-1] = False
        up = np.where(whole, up, 0.0)
        down = np.roll(up, 1, axis)
        lesser = np.minimum(np.abs(up), np.abs(down))
        out = np.where(up * down > 0, np.sign(up) * np.minimum(lesser, STEEPEST), 0.0)
    return out


class Settled:
    """Where the pieces are under c, what lies in each cell, and the matrices there."""

    def __init__(self, plan: Plan, c: np.ndarray, z: np.ndarray) -> None:
        self.plan, self.c, self.z = plan, c, z.copy()
        answer, table = np.empty((len(z), 6)), c.reshape(plan.shape)
        home, mass, half = plan.pieces
        out = np.zeros((4, *plan.shape))

        def settle(a: int, b: int) -> None:
            kernels.settle(home, table, plan.lattice, plan.h, a, b, self.z, answer)

        def spread(a: int, b: int) -> None:
            kernels.spread(self.z, mass, half, answer, plan.lattice, a, b, out)

        over_slabs(settle, len(z), 50)
        over_slabs(spread, plan.shape[0] * plan.shape[1], 20 * plan.shape[2])
        self.d, self._moved = out[0].ravel(), out[1:].reshape(3, -1)

    def crept(self) -> np.ndarray:
        """What the background lets through: hδ times the Laplacian of c."""
        plan, out = self.plan, np.zeros_like(self.c)
        for ahead, face in zip(plan.box.ahead, plan.box.faces, strict=True):
            flow = (plan.floor * plan.h) * face * (self.c - self.c[ahead])
            out += np.bincount(ahead, flow, flow.size) - flow
        return out

    def forth(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.plan.box.volumes * x)

    def back(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.plan.box.volumes * x)

    def prepare(self, soft: np.ndarray) -> None:
        """Fix D = ``soft`` and the mobility of the cells, and factorise."""
        plan, box = self.plan, self.plan.box
        still, g, off = (np.zeros_like(box.faces) for _ in range(3))
        for k, axis in enumerate(np.flatnonzero(plan.lattice.moves)):
            mobile = self._moved[axis] / box.volumes + plan.floor
            g[k] = 0.5 * plan.h * box.faces[k] * (mobile + mobile[box.ahead[k]])
        self.soft = soft
        self._system = five.Schur(still, soft, g, off, np.empty_like(soft))
        five.factorise(box, self._system)

    def solve(self, right: np.ndarray, tolerance: float) -> np.ndarray:
        x = np.empty_like(right)
        five.solve(right, self.plan.box, self._system, tolerance, linearised.INNER, x)
        return x


class State(NamedTuple):
    """Pieces and the density that Newton's method has beside them."""

    at: Settled
    rho: np.ndarray


def solve(plan: Plan, tolerance: float, most: int) -> Found:
    """At most so many Newton steps; the best density met."""
    mean = float(plan.start.sum() / plan.box.volumes.sum())
    rho = (1 - SPREAD) * plan.start / plan.box.volumes + SPREAD * mean
    c, z, done, ahead, left = np.zeros_like(rho), plan.pieces.home, 0.0, plan.h, most
    best: Found | None = None
    while True:
        h = min(done + ahead, plan.h)
        whole = h == plan.h
        here = replace(plan, h=h)
        # As far as before: displacements are h times slopes of c.
        begin = State(Settled(here, c * (done / h), z), rho)
        enough = tolerance if whole else ON_THE_WAY
        state, found, wrong, taken = _newton(here, begin, enough, whole, min(left, PATIENCE))
        left -= taken
        if whole and (best is None or found.residual < best.residual):
            best = found
        near = wrong <= ON_THE_WAY
        if left <= 0 or (whole and near) or (not near and SHORTER * ahead < SHORTEST * plan.h):
            break
        if near:
            c, z, rho = state.at.c, state.at.z, state.rho
            done, ahead = h, 2 * ahead
        else:
            ahead *= SHORTER
    return replace(best or found, steps=most - left)


def _newton(
    plan: Plan, state: State, tolerance: float, whole: bool, most: int
) -> tuple[State, Found, float, int]:
    """The state of the least KKT residual, the density of the least residual, the former, and the steps taken."""
    m, e = plan.box.volumes, plan.internal
    mass = float(plan.start.sum())
    mean = mass / float(m.sum())
    last = max(e.tau, linearised.LAST * e.kappa * mean)
    heat = max(last, linearised.FIRST * e.kappa * mean)
    least, first, since, nearest = math.inf, math.inf, 0, state
    best = Found(plan.start, math.inf, 0.0, 0)
    for k in range(most + 1):
        at, rho = state
        warm = Internal(heat, e.kappa)
        psi = plan.potential(rho)
        missing = at.d - m * rho + at.crept()
        q = at.c - psi - warm.slope(rho)
        wrong = float(np.abs(missing).sum() + dot(m / warm.bend(rho), np.abs(q))) / mass
        found = _certified(plan, at, at.c - psi, k)
        if found.residual < best.residual:
            best, since = found, k
        if wrong < least:
            least, nearest, since = wrong, state, k
        enough = best.residual if whole else wrong if heat == last else math.inf
        if enough <= tolerance or k == most or not wrong < LOST * first or k > since + STUCK:
            break
        first = min(first, max(wrong, 0.1))
        if wrong < linearised.READY and heat > last:
            falls = max(last, linearised.SHRINK * heat)
            q += (heat - falls) * (np.log(rho) + 1)
            heat, warm = falls, Internal(falls, e.kappa)
        soft = 1.0 / (m * warm.bend(rho))
        at.prepare(np.maximum(soft, linearised.LEAST_SOFT * soft.max()))
        rough = min(ROUGH, max(0.1 * wrong, 0.1 * tolerance / wrong))
        change, d = direction(plan, at, rho, missing, m * q, rough)
        # No more mass than there is moves in one step.
        step = min(1.0, mass / max(dot(m, np.abs(change)), linearised.LEAST_DENSITY))
        x = step * change / rho
        grows = np.exp(np.clip(x, 0.0, GROW))
        share = np.maximum(1 + x, linearised.LEAST_SHARE)
        share = np.where((x > 0) & (rho < LIGHT * mean), grows, share)
        rho = np.maximum(rho * share, linearised.LEAST_DENSITY)
        state = State(Settled(plan, at.c + step * d, at.z), rho)
    return nearest, best, least, k


def _certified(plan: Plan, at: Settled, s: np.ndarray, steps: int) -> Found:
    """The density that lies in the cells, and how far it is from the one that s asks for."""
    m, e = plan.box.volumes, plan.internal
    mass = float(plan.start.sum())
    if e.kappa == 0:
        # A constant in c moves nothing: the one for which the masses agree.
        top = float(s.max())
        weight = dot(m, np.exp(np.clip((s - top) / e.tau, -640.0, 0.0)))
        s = s - top + e.tau * (1 + math.log(mass / weight))
    residual = float(np.abs(at.d - m * e.asked(s)).sum()) / mass
    held = at.c[at.d > LEAST_MASS * mass]
    return Found(at.d / m, residual, residual * mass * float(np.ptp(held)), steps)
