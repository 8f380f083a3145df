r"""The equation z = T(z) of a Gibbs state on one grid, its dual value, and the directions that solve it.

The unknown is a signed measure z of mass 1, known through Ψ_λ(·; z) only. With p = T(z), the dual value

.. math:: D(z) = \tfrac12 R(z) - \int\Psi\,dz - \tau\log Z(z) \le F^*

rises along every direction taken here, so it decides how far a step goes. Newton's direction solves
:math:`(I + SU/\tau)\,\delta = p - z` with the
covariance :math:`S = BB^T` of p, :math:`B = \sqrt p\,(I - \sqrt p\sqrt p^T)`, as

.. math:: \delta = p - z - \tfrac1\tau Bw, \qquad (I + \tfrac1\tau B^TUB)\,w = B^TU(p - z),

symmetric with eigenvalues from 1 upwards, so that conjugate gradients converge; each iteration takes one product with
U, which every energy gives by its own Ψ. For a loss other than the square, U is the second variation at z.
Source: Walker & Ni, SIAM J. Numer. Anal. 49 (2011) 1715, for Anderson's mixing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.measures import GridDensity, TensorGrid
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Tolerance
from wflow.solvers.statics.objective import ROUNDING
from wflow.tools.checks import check_kind

DEPTH = 6
"""Steps that Anderson's mixing remembers."""
PRODUCTS = 600
"""Most conjugate gradient iterations a Newton step."""
QUADRATIC = 1e-6
"""Residual below which the second derivative alone sets the step: the rise of the dual value is lost in rounding."""


@dataclass(frozen=True, eq=False)
class Point:
    """One signed measure z of mass 1 with all that its Ψ tells; shapes (n,)."""

    z: np.ndarray
    potential: np.ndarray
    """Ψ_λ at z."""
    risk: float
    image: np.ndarray
    """T(z)."""
    log_image: np.ndarray
    """log of T(z)/(cell volume)."""
    dual: float

    @property
    def defect(self) -> np.ndarray:
        """T(z) − z."""
        return np.asarray(self.image - self.z)

    @property
    def residual(self) -> float:
        """‖z − T(z)‖₁."""
        return float(np.abs(self.defect).sum())

    @property
    def positive(self) -> bool:
        """Whether z is a measure."""
        return bool(self.z.min() >= 0.0)


class FixedPoint:
    """The equation z = T(z) on one grid."""

    def __init__(self, flow: GradientFlow, where: Any) -> None:
        check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
        if flow.temperature == 0:
            raise InputError(
                "temperature = 0: there is no Gibbs measure without noise; set temperature > 0, or use "
                "minimise_on_grid"
            )
        grid = getattr(where, "grid", where)
        check_kind("where", grid, TensorGrid, "give a TensorGrid or a GridDensity")
        self.flow = flow
        self.tau = flow.temperature
        """The present temperature; it starts higher where no start is given."""
        uniform = np.full(grid.shape, 1.0 / float(grid.volumes.sum()))
        names = flow.energy.coordinates
        names = grid.names if len(names) != grid.dimension else names
        self.grid = GridDensity(uniform, grid.edges, names=names, periodic=grid.periodic)
        self._problem = GridProblem(flow, self.grid, Tolerance())
        points = self.grid.points()
        self._volumes = self._problem.flat_volumes
        self._log_cells = np.log(self._volumes)
        self._ridge = flow.ridge_potential(points)
        self._log_reference = flow.energy.reference_log_volume(points)
        nothing = np.zeros(self.grid.volumes.size)
        self._zero = self._psi(nothing)[0] if flow.energy.affine else None

    def masses_of(self, start: GridDensity | None) -> np.ndarray:
        """Masses of the start, or T of the uniform law."""
        if start is None:
            return self.at(self.grid.weights()).image
        if getattr(start, "kind", None) != "grid" or start.shape != self.grid.shape:
            raise InputError(f"start is {shown(start)}: give a GridDensity on the same grid")
        if not all(map(np.array_equal, start.edges, self.grid.edges)):
            raise InputError("start has the right shape and other edges: put it on the same grid")
        if abs(start.mass - 1.0) > ROUNDING:
            raise InputError(f"the density has mass {start.mass:.9g}: divide it by that")
        return np.array(start.weights())

    def cooling(self, start: Point) -> list[float]:
        """Temperatures from where Ψ_λ is all but flat down to the one above τ."""
        tau, found = 0.25 * float(np.ptp(start.potential)), []
        while tau > 2.0 * self.flow.temperature:
            found.append(tau)
            tau *= 0.25
        return found

    def at(self, z: np.ndarray) -> Point:
        """Ψ at z, T(z) by log-sum-exp, and the dual value, at the present temperature."""
        psi, risk = self._psi(z)
        x = psi - self.tau * self._log_reference
        log = self._log_cells - x / self.tau
        top = float(log.max())
        image = np.exp(log - top)
        total = float(image.sum())
        image /= total
        log_z = top + math.log(total)
        dual = 0.5 * risk - float(z @ (psi - self._ridge)) - self.tau * log_z
        return Point(z, psi, risk, image, log - log_z - self._log_cells, dual)

    def _psi(self, z: np.ndarray) -> tuple[np.ndarray, float]:
        """Ψ_λ and the risk."""
        x, risk = self._problem.potential((z / self._volumes).reshape(self.grid.shape))
        return x.ravel() + self.flow.temperature * self._log_reference, float(risk)

    def best_law(self, point: Point) -> Point:
        """T(z), or the positive part of z where that is certified to be closer."""
        image = self.at(point.image)
        positive = np.maximum(point.z, 0.0)
        law = self.at(positive / float(positive.sum()))
        return law if self.gap(law) < self.gap(image) and law.residual < image.residual else image

    def act(self, point: Point, v: np.ndarray) -> np.ndarray:
        """The derivative of Ψ at z along v: Uv where Ψ is affine, a central difference elsewhere."""
        # V is subtracted out of a v of the size of a probability, so that little is lost.
        size = float(np.abs(v).sum())
        if size == 0.0:
            return np.zeros_like(v)
        if self._zero is not None:
            return np.asarray(size * (self._psi(v / size)[0] - self._zero))
        step = 6e-6 / size
        up, down = self._psi(point.z + step * v)[0], self._psi(point.z - step * v)[0]
        return np.asarray((up - down) / (2.0 * step))

    def newton(self, point: Point) -> np.ndarray:
        """δ = r − Bw/τ with (I + BᵀUB/τ)w = BᵀUr, B = √p(I − √p√pᵀ), by conjugate gradients."""
        root = np.sqrt(point.image)

        def spread(w: np.ndarray) -> np.ndarray:
            return np.asarray(root * (w - root * float(root @ w)))

        def gather(u: np.ndarray) -> np.ndarray:
            scaled = root * u
            return np.asarray(scaled - root * float(root @ scaled))

        defect = point.defect
        w = np.zeros_like(defect)
        left = gather(self.act(point, defect))
        along, size = left.copy(), float(left @ left)
        # A residual r of the fixed point needs its own step to r relative, and no more.
        goal = size * min(0.1, 1e-2 + point.residual) ** 2 * min(1.0, point.residual) ** 2
        for _ in range(PRODUCTS):
            if size <= goal or size == 0.0:
                break
            image = along + gather(self.act(point, spread(along))) / self.tau
            curvature = float(along @ image)
            if curvature < 0.5 * float(along @ along):
                raise InputError(
                    "the interaction is not positive semidefinite: F need not be convex and Newton's step "
                    "need not lower it; use method='anderson' and compare starts"
                )
            step = size / curvature
            w += step * along
            left -= step * image
            new = float(left @ left)
            along, size = left + (new / size) * along, new
        return np.asarray(defect - spread(w) / self.tau)

    def advance(self, point: Point, direction: np.ndarray) -> Point:
        """z + tδ with t from the second derivative of the dual value, halved until that rises enough."""
        u = self.act(point, direction)
        rise = float(point.defect @ u)
        if rise <= 0.0:
            # Rounding, or a risk that is not convex: then the dual value decides nothing.
            return self.at(point.z + direction)
        level = u - float(point.image @ u)
        curvature = float(direction @ u) + float(point.image @ level**2) / self.tau
        t = rise / curvature if rise < curvature else 1.0
        noise = 1e-13 * max(1.0, abs(point.dual))
        while True:
            new = self.at(point.z + t * direction)
            risen = new.dual >= point.dual + 1e-4 * t * rise - noise
            if risen or point.residual < QUADRATIC or t < 1e-9:
                return new
            t *= 0.5

    def free_energy(self, point: Point) -> float:
        """F of z, which is a probability."""
        return self._problem.free_energy(self.density(point), point.risk)

    def energy(self, point: Point) -> float:
        """½R + (λ/2)∫|θ|²dz."""
        return 0.5 * point.risk + float(point.z @ self._ridge)

    def density(self, point: Point) -> np.ndarray:
        """Cell averages of z, of the grid's shape."""
        return np.asarray((point.z / self._volumes).reshape(self.grid.shape))

    def first_variation(self, point: Point) -> np.ndarray:
        """Ψ_λ at the centres, of the grid's shape."""
        return np.asarray(point.potential.reshape(self.grid.shape))

    def gap(self, point: Point) -> float:
        """τ KL(z | T(z)) as a sum of terms m(s − 1 + e^{−s}) ≥ 0 with s = log(m/T), so that nothing cancels."""
        held = point.z > 0
        m = point.z[held]
        s = np.log(m) - self._log_cells[held] - point.log_image[held]
        # m e^{−s} is T; far below its cell's T the difference of both is as good.
        close = np.abs(s) < 1.0
        terms = np.where(
            close, m * (s + np.expm1(-np.where(close, s, 0.0))), m * (s - 1) + point.image[held]
        )
        return self.tau * float(terms.sum() + point.image[~held].sum())


class Anderson:
    """Directions from the last few steps: the affine mix of them whose defect is least."""

    def __init__(self, equation: FixedPoint) -> None:
        self._equation = equation
        self._past: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, point: Point) -> np.ndarray:
        r, past = point.defect, self._past
        direction = r
        if past:
            dz = np.stack([point.z - z for z, _ in past], axis=1)
            dr = np.stack([r - old for _, old in past], axis=1)
            mix = np.linalg.lstsq(dr, r, rcond=1e-12)[0]
            direction = r - (dz + dr) @ mix
        past.append((point.z, r))
        del past[:-DEPTH]
        # Mixing may point downhill where the map is far from linear: then the plain step, and a new memory.
        if float(r @ self._equation.act(point, direction)) <= 0.0 and direction is not r:
            past.clear()
            direction = r
        return direction
