r"""Drift and diffusion with Ψ at the new time: the free energy falls at every step size.

.. math:: m' = \prod_a\bigl(I - h\,\xi A_a(\Psi_\lambda[m'])\bigr)^{-1} m

A_a is the Scharfetter–Gummel generator along axis a. With Ψ held at its new value each factor lowers

.. math:: \int\Psi_\lambda[m']\,dm + \tau\int\log\rho\,dm,

since its fluxes are taken at its own end; and where U is positive semidefinite ½R is convex,
:math:`\tfrac12 R(m') - \tfrac12 R(m) \le \int\Psi[m']\,d(m'-m)`. Added up, F(m') ≤ F(m) for every h, on one axis or
several. First order. Discrete Gibbs states are its rest points.

The equation m' = T(m') is solved by Newton's method with GMRES; the derivative of T is differenced, and the tridiagonal
solves inside T are its preconditioner. The step ends by applying T once more: a product of M-matrix solves, positive
and mass-keeping whatever Newton's method left over. A step that it cannot solve is taken in two halves.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64, for the flux; Knoll & Keyes, J. Comput. Phys.
193 (2004) 357, section 2.2, for the differenced derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wflow.solvers.grid.parts.axis_by_axis import implicit, moving_axes, rates
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, in_halves, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive

CLOSE, LOOSE = 1e-12, 1e-9
"""‖m − T(m)‖₁ aimed at, and accepted where rounding stops Newton's method, relative to the mass."""

NEWTON, KRYLOV, HALVINGS = 30, 60, 8
FORCING = 1e-3
"""Residual of the linear systems, relative."""

DIFFERENCE = 1e-7
"""Length of the differences for T', relative to the mass."""

Map = Callable[[np.ndarray], np.ndarray]


@register
@dataclass(frozen=True)
class FullyImplicit(GridMethod):
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
    start = y["density"] * problem.volumes

    def solves(mass: np.ndarray) -> np.ndarray:
        psi, _ = problem.potential(mass.reshape(start.shape) / problem.volumes)
        new = start
        for axis in moving_axes(problem):
            new = implicit(problem, new, rates(problem, t + h, psi, axis), h)
        return np.asarray(new.ravel())

    found = fixed_point(solves, start.ravel())
    if found is not None:
        density = found.reshape(start.shape) / problem.volumes
        done = problem.accept(h, y, carry, density, problem.state(density))
        if done.status == "ok":
            return done
    if halvings == 0:
        return Step.refused(y, carry, "Newton's method failed", 0.5 * h)
    return in_halves(partial(_step, problem, halvings=halvings - 1), t, h, y, carry)


def fixed_point(solves: Map, start: np.ndarray) -> np.ndarray | None:
    """T(m) at an m with m = T(m), as close as rounding lets it; None where it is not found.

    >>> round(float(fixed_point(np.cos, np.array([1.0]))[0]), 10)
    0.7390851332
    """
    from scipy.sparse.linalg import LinearOperator, gmres

    scale = float(np.abs(start).sum())
    mass, image = start, solves(start)
    residual = image - mass
    # One plain iteration: it ends here where Ψ does not depend on ρ.
    other = solves(image)
    if np.abs(other - image).sum() < np.abs(residual).sum():
        mass, image, residual = image, other, other - image
    size = float(np.abs(residual).sum())
    for _ in range(NEWTON):
        if size <= CLOSE * scale:
            return image
        at, value = mass, image

        def apply(v: np.ndarray, at: np.ndarray = at, value: np.ndarray = value) -> np.ndarray:
            length = float(np.abs(v).sum())
            if length == 0.0:
                return v
            eps = DIFFERENCE * scale / length
            return np.asarray(v - (solves(at + eps * v) - value) / eps)

        operator = LinearOperator((mass.size, mass.size), matvec=apply, dtype=np.float64)
        direction, _ = gmres(operator, residual, rtol=FORCING, restart=KRYLOV, maxiter=1)
        share, moved = 1.0, False
        while share > 1e-3:
            trial = at + share * direction
            answer = solves(trial)
            left = float(np.abs(answer - trial).sum())
            if left < (1.0 - 1e-4 * share) * size:
                mass, image, residual, size, moved = trial, answer, answer - trial, left, True
                break
            share *= 0.5
        if not moved:
            break
    return image if size <= LOOSE * scale else None
