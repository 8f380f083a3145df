r"""Drift and diffusion with Ψ at the new time: the free energy falls at every step size.

.. math:: m = \prod_a\bigl(I - h\,\xi A_a(\Psi_\lambda[m'])\bigr)\,m'

A_a is the Scharfetter–Gummel generator along axis a. With Ψ held at its new value the inverse of each factor lowers

.. math:: \int\Psi_\lambda[m']\,dm + \tau\int\log\rho\,dm,

since its fluxes are taken at its own end; and where U is positive semidefinite ½R is convex,
:math:`\tfrac12 R(m') - \tfrac12 R(m) \le \int\Psi[m']\,d(m'-m)`. Added up, F(m') ≤ F(m) for every h, on one axis or
several. First order. Discrete Gibbs states are its rest points.

Newton's method works on the equation as it stands, whose terms are products of two unknowns, not on m' = T(m') with the
inverses, where a step that is large beside the stability bound leaves it no basin. The derivative is differenced; GMRES
is preconditioned by the factors with the local stiffness κ of Ψ = … + κρ added, which is the whole derivative on one
axis. At τ = 0 an empty cell has no mobility and Newton's method fills one cell beside a front at a time: where a few
steps do not suffice it comes down from a high temperature, at which every cell is full. The step ends by applying T:
a product of M-matrix solves, positive and mass-keeping whatever Newton's method left over. A step that it cannot solve
is taken in two halves.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64, for the flux; Knoll & Keyes, J. Comput. Phys.
193 (2004) 357, section 2.2, for the differenced derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wflow.solvers.grid.parts.axis_by_axis import (
    Rates,
    explicit,
    implicit,
    moving_axes,
    rates,
    to_lines,
)
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, in_halves, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive

CLOSE, LOOSE = 1e-12, 1e-9
"""‖m − T(m)‖₁ aimed at, and accepted where rounding stops Newton's method, relative to the mass."""
NEAR = 1e-6
"""What is left of the equation, relative to the mass, below which Newton's method may stop for rounding."""

NEWTON, KRYLOV, HALVINGS = 30, 60, 8
DIRECT = 10
"""Newton steps at the flow's own temperature before it is raised."""
FORCING = 1e-3
"""Residual of the linear systems, relative."""
DIFFERENCE = 1e-11, 1e-8
"""Least and largest length of the differences for the derivative, relative to the mass: that of the residual between
them, since longer ones would cross the kinks of upwinding that lie beyond the root."""
LEAST_SHARE = 0.2
"""What one Newton step leaves of any cell."""
LOST = 1e3
"""Growth of the residual at which Newton's method has gone astray."""

COOLING, SLOWEST, COOL = 0.2, 0.8, 1e-6
"""The fall of the temperature at once, the slowest, and its last value above 0 relative to the first."""
WARM = 1e-2
"""What is left of the equation on the way, relative to the mass."""

Map = Callable[[np.ndarray], np.ndarray]
Equation = Callable[[np.ndarray], tuple[np.ndarray, Callable[[], Map]]]
Root = np.ndarray | None


@register
@dataclass(frozen=True)
class FullyImplicit(GridMethod[GridProblem]):
    """First-order drift–diffusion, Ψ implicit, with the fixed step ``step_size`` as large as wanted."""

    step_size: float = 1e-1

    name = "fully-implicit"
    order = 1
    preserves = frozenset({"mass", "positive", "energy"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def control(self, problem: GridProblem) -> StepSize:
        return Fixed(self.step_size)

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        return _step(problem, t, h, y, carry)


def _step(
    problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays, halvings: int = HALVINGS
) -> Step:
    found = Balance(problem, t + h, h, y["density"] * problem.volumes).solved()
    if found is not None:
        density = found / problem.volumes
        done = problem.accept(h, y, carry, density, problem.state(density))
        if done.status == "ok":
            return done
    if halvings == 0:
        return Step.refused(y, carry, "Newton's method failed", 0.5 * h)
    return in_halves(partial(_step, problem, halvings=halvings - 1), t, h, y, carry)


class Balance:
    """The equation of one step over h, which ends at t, from the masses ``start``; masses are of the grid's shape."""

    def __init__(self, problem: GridProblem, t: float, h: float, start: np.ndarray) -> None:
        self.problem, self.t, self.h, self.start = problem, t, h, start
        self.axes = moving_axes(problem)
        self.scale = float(start.sum())
        self.stiffness = problem.flow.energy.local_stiffness
        self.temperature = problem.flow.temperature

    def solved(self) -> np.ndarray | None:
        """T(m) at an m with m = T(m), as close as rounding lets it; None where it is not found."""
        once = self.carried(self.start)
        image = self.carried(once)
        # Two plain iterations: they end here where Ψ does not depend on ρ, and help where h is small.
        gap = float(np.abs(image - once).sum())
        if gap <= CLOSE * self.scale:
            return image
        near = image if gap < 0.1 * float(np.abs(once - self.start).sum()) else self.start
        found = self.root(near, self.temperature, CLOSE, DIRECT)
        if found is None:
            found = self.cooled()
        if found is None:
            return None
        image = self.carried(found)
        return image if float(np.abs(image - found).sum()) <= LOOSE * self.scale else None

    def cooled(self) -> np.ndarray | None:
        """A root by way of higher temperatures, which fall more slowly where Newton's method does not follow."""
        top = max(self.temperature, float(np.ptp(self.potential(self.start))))
        last = max(self.temperature, COOL * top)
        mass = self.pushed(self.rates(np.zeros_like(self.start), top), self.start)
        found, tau, fall = self.root(mass, top, WARM, DIRECT), top, COOLING
        while found is not None and tau > last:
            lower = max(last, fall * tau)
            cooler = self.root(found, lower, WARM, DIRECT)
            if cooler is not None:
                found, tau, fall = cooler, lower, max(COOLING, fall**1.5)
            elif fall < SLOWEST:
                fall = math.sqrt(fall)
            else:
                return None
        return None if found is None else self.root(found, self.temperature, CLOSE, NEWTON)

    def root(
        self, mass: np.ndarray, temperature: float, enough: float, steps: int
    ) -> np.ndarray | None:
        """Newton's method from ``mass`` at a temperature."""
        shape = self.start.shape

        def at(flat: np.ndarray) -> tuple[np.ndarray, Callable[[], Map]]:
            left, reached = self.left(flat.reshape(shape), temperature)
            return left.ravel(), lambda: self.inverse(reached)

        found = newton(at, mass.ravel(), self.scale, enough, steps)
        return None if found is None else found.reshape(shape)

    def potential(self, mass: np.ndarray) -> np.ndarray:
        """Ψ_λ − τ log vol."""
        return self.problem.potential(mass / self.problem.volumes)[0]

    def rates(self, psi: np.ndarray, temperature: float) -> list[Rates]:
        """The rates of a potential along every axis."""
        return [rates(self.problem, self.t, psi, axis, temperature) for axis in self.axes]

    def pushed(self, along: list[Rates], mass: np.ndarray) -> np.ndarray:
        """Π(I − hA)⁻¹ mass."""
        for k in along:
            mass = implicit(self.problem, mass, k, self.h)
        return mass

    def carried(self, mass: np.ndarray) -> np.ndarray:
        """T(m): the start, pushed by Ψ at m."""
        return self.pushed(self.rates(self.potential(mass), self.temperature), self.start)

    def left(
        self, mass: np.ndarray, temperature: float
    ) -> tuple[np.ndarray, list[tuple[Rates, np.ndarray]]]:
        """Π(I − hA)m − start, and for each axis its rates and the mass that is multiplied by them."""
        reached = []
        for k in reversed(self.rates(self.potential(mass), temperature)):
            reached.append((k, mass))
            mass = explicit(self.problem, mass, k, -self.h)
        return mass - self.start, reached[::-1]

    def inverse(self, reached: list[tuple[Rates, np.ndarray]]) -> Map:
        """The derivative of ``left`` but for the interaction, inverted: Π(I − hA − hκ∇·(ρ∇·))⁻¹, ρ upwind."""
        along = [k for k, _ in reached]
        if self.stiffness:
            units = self.rates(np.zeros_like(self.start), self.stiffness)
            along = [
                stiffened(self.problem, k, unit, mass)
                for (k, mass), unit in zip(reached, units, strict=True)
            ]
        return lambda v: self.pushed(along, v.reshape(self.start.shape)).ravel()


def stiffened(problem: GridProblem, k: Rates, unit: Rates, mass: np.ndarray) -> Rates:
    """The rates, and those of a diffusion whose coefficient is the density upwind of each face."""
    rho = np.maximum(to_lines(problem, mass / problem.volumes, k.axis), 0.0)
    upwind = np.where(k.up >= k.down, rho, np.roll(rho, -1, axis=1))
    return Rates(k.axis, k.up + upwind * unit.up, k.down + upwind * unit.down)


def newton(at: Equation, x: np.ndarray, scale: float, enough: float, steps: int) -> Root:
    """A root near x ≥ 0, positive where x is, to ‖residual‖₁ ≤ ``enough`` · ``scale``; None where it is not found.

    ``at`` gives the residual at a point and, when called, nearly the inverse of the derivative there.

    >>> def at(x):
    ...     return x**2 - 2, lambda: lambda v: v / (2 * x)
    >>> newton(at, np.array([1.0]), 1.0, 1e-12, 20).round(10).tolist()
    [1.4142135624]
    """
    from scipy.sparse.linalg import LinearOperator, gmres

    shortest, longest = (part * scale for part in DIFFERENCE)
    with np.errstate(all="ignore"):
        residual, near = at(x)
        first = size = float(np.abs(residual).sum())
        for _ in range(steps):
            if size <= enough * scale:
                return x
            inverse = near()
            slope = derivative(at, x, residual, inverse, min(max(size, shortest), longest))
            operator = LinearOperator((x.size, x.size), matvec=slope, dtype=np.float64)
            found, _ = gmres(operator, -residual, rtol=FORCING, restart=KRYLOV, maxiter=1)
            x = np.maximum(x + inverse(found), LEAST_SHARE * x)
            residual, near = at(x)
            size, before = float(np.abs(residual).sum()), size
            if not size <= LOST * max(first, scale):
                return None
            if size <= NEAR * scale and size > 0.8 * before:
                return x
    return x if size <= enough * scale else None


def derivative(
    at: Equation, x: np.ndarray, residual: np.ndarray, inverse: Map, length: float
) -> Map:
    """v ↦ the difference quotient of ``at`` in the direction ``inverse`` v, over a distance of ``length``."""

    def product(v: np.ndarray) -> np.ndarray:
        moved = inverse(v)
        size = float(np.abs(moved).sum())
        if size == 0.0:
            return v
        return np.asarray((at(x + length / size * moved)[0] - residual) * (size / length))

    return product
