r"""Drift and diffusion by the trapezoidal rule, with the step limited to where it stays positive.

.. math:: m' - m = \tfrac h2 A(\Psi_{1/2})\,(m + m'), \qquad
          A\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

Scharfetter–Gummel fluxes, walls and rings, uniform and graded grids. Second order: Ψ is taken at the middle, from a
first pass with Ψ at the old density, whose distance is the error estimate. Several axes are passed forwards with h/2
and backwards with h/2, a symmetric product. Discrete Gibbs states stay in place.

The implicit half is positive at every h, the explicit half only while no cell is left faster than 2/h: for pure
diffusion on one axis dt ≤ h²/τ, beyond which a sharp front turns negative. A larger step is refused with this limit, so
on fine grids ``scharfetter-gummel``, which has none, is the method; this one is the check on it, without Patankar
weights.
Source: Crank & Nicolson, Proc. Camb. Phil. Soc. 43 (1947) 50; Hundsdorfer & Verwer, Numerical Solution of
Time-Dependent Advection–Diffusion–Reaction Equations (2003), section I.7, for the bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.solvers.grid.parts.axis_by_axis import (
    Rates,
    explicit,
    implicit,
    moving_axes,
    rates,
)
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, register

POSITIVE = 0.9999
"""Largest part of a cell that may leave in an explicit half, with room for rounding."""


@register
@dataclass(frozen=True)
class CrankNicolson(GridMethod[GridProblem]):
    """Trapezoidal drift–diffusion within the bound for positivity; adaptive where Ψ depends on ρ."""

    name = "crank-nicolson"
    order = 2
    error_order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return min(1e-3, _limit(problem, _sweep(problem, t, carry["potential"])))

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        start = y["density"] * problem.volumes
        old = _sweep(problem, t, carry["potential"])
        if h > (limit := _limit(problem, old)):
            return Step.refused(y, carry, "bound for positivity", limit)
        stage = _pass(problem, start, old, h)
        psi, _ = problem.potential(stage / problem.volumes)
        middle = _sweep(problem, t + 0.5 * h, 0.5 * (carry["potential"] + psi))
        if h > (limit := _limit(problem, middle)):
            return Step.refused(y, carry, "bound for positivity", min(limit, 0.9 * h))
        mass = _pass(problem, start, middle, h)
        density = mass / problem.volumes
        after = problem.state(density)
        error = problem.error(mass - stage)
        limit = _limit(problem, _sweep(problem, t + h, after["potential"]))
        return problem.accept(h, y, carry, density, after, error=error, limit=limit)


def _sweep(problem: GridProblem, t: float, psi: np.ndarray) -> list[Rates]:
    """The rates along every axis that moves."""
    return [rates(problem, t, psi, axis) for axis in moving_axes(problem)]


def _pass(problem: GridProblem, mass: np.ndarray, along: list[Rates], h: float) -> np.ndarray:
    """One step of all axes; a single axis takes it whole."""
    if len(along) == 1:
        return _trapezoid(problem, mass, along[0], h)
    for k in [*along, *reversed(along)]:
        mass = _trapezoid(problem, mass, k, 0.5 * h)
    return mass


def _trapezoid(problem: GridProblem, mass: np.ndarray, of: Rates, h: float) -> np.ndarray:
    """(I − ½hA)⁻¹(I + ½hA) mass along one axis."""
    return implicit(problem, explicit(problem, mass, of, 0.5 * h), of, 0.5 * h)


def _limit(problem: GridProblem, along: list[Rates]) -> float:
    """The step at which the fastest cell is emptied by an explicit half."""
    leaving = max((float((k.up + np.roll(k.down, 1, axis=1)).max()) for k in along), default=0.0)
    # Several axes advance by h/2 at a time.
    share = 2.0 if len(along) == 1 else 4.0
    return POSITIVE * share / leaving if leaving > 0.0 else math.inf
