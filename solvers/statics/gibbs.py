r"""The stationary measure of a noisy flow, the Gibbs fixed point, without any time.

.. math:: \rho^* = T(\rho^*), \qquad
          T(\rho) = \frac{v\,e^{-\Psi_\lambda(\cdot;\rho)/\tau}}{Z(\rho)}, \quad Z(\rho) = \int v\,e^{-\Psi_\lambda(\cdot;\rho)/\tau}

F is strictly convex at τ > 0, ρ* is its only minimiser and the limit of the flow from any start (v is the volume
integrated out, 1 in full space). Any probability ρ bounds what is left to gain: R lies above its tangent,

.. math:: F^* \ge \min_\nu\bigl\{F(\rho) + \textstyle\int\Phi\,d(\nu-\rho) + \tau\,KL(\nu|\rho)\bigr\}
          = F(\rho) - \tau\,KL(\rho\,|\,T(\rho)), \qquad F(\rho) - F^* \ge \tau\,KL(\rho\,|\,\rho^*).

The unknown is a signed measure z of mass 1, known through Ψ_λ(·; z) only. Its dual value
:math:`D(z) = \tfrac12 R(z) - \int\Psi\,dz - \tau\log Z(z)` never exceeds F*, so it decides how far a step goes. Newton's
step solves :math:`(I + SU/\tau)\,\delta = T(z) - z` with the covariance :math:`S = BB^T` of T(z), as the symmetric
:math:`(I + B^TUB/\tau)\,w = B^TU(T(z) - z)`, whose eigenvalues are 1 and above; conjugate gradients need one product with U
an iteration, which every energy gives by its own Ψ.
Sources: Mei, Montanari & Nguyen (2018), eq. (12) for the fixed point; Nitanda, Wu & Suzuki, AISTATS (2022), and Chizat,
Trans. Mach. Learn. Res. (2022), for both bounds; Walker & Ni, SIAM J. Numer. Anal. 49 (2011) 1715, for Anderson's mixing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow, non_negative
from wflow.measures import GridDensity, Measure, TensorGrid
from wflow.measures.base import check_count
from wflow.solvers.grid.problem import GridProblem
from wflow.solvers.method import Tolerance
from wflow.solvers.statics.objective import ROUNDING

GibbsMethod = Literal["newton", "anderson", "picard"]
DEPTH = 6
"""Steps that Anderson's mixing remembers."""
STALLED = 4
"""Iterations without a smaller residual, all below 1e-8, after which rounding is taken to be the cause."""


@dataclass(frozen=True, repr=False, eq=False)
class GibbsState:
    r"""A measure with ρ = T(ρ) to the residual, and how far its free energy can be from the least.

    Attributes
    ----------
    measure : ρ on the grid
    free_energy, risk : F(ρ) and R(ρ)
    energy : ½R + (λ/2)∫|θ|²dρ, the free energy without its entropy
    residual : ‖ρ − T(ρ)‖₁
    gap : τ KL(ρ | T(ρ)) ≥ F(ρ) − F* over all probabilities on this grid, where R is convex
    iterations, history : their number, and the residual after each
    success, message : whether the residual reached the tolerance, in words
    """

    measure: GridDensity
    free_energy: float
    risk: float
    energy: float
    residual: float
    gap: float
    iterations: int
    history: np.ndarray
    success: bool
    message: str
    temperature: float
    potential: np.ndarray
    """Ψ_λ(·; ρ) at the centres, of the grid's shape."""

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """ρ beside the convergence of the residual; a grid of several axes is shown by its first two or one.

        Raises
        ------
        InputError
            for a path that ends in no picture format
        """
        from wflow.plotting import BLUE, GREY, ORANGE, new_figure, save_figure

        figure, (left, right) = new_figure(2)
        figure.suptitle(f"τ = {self.temperature:g}, F = {self.free_energy:.8g}", fontsize=11)
        rho, names = self.measure, self.measure.names
        if rho.dimension == 1:
            left.plot(rho.centers[0], rho.density, color=BLUE, lw=1.4, label="ρ*")
            left.set(xlabel=f"{names[0]}  [parameter]", ylabel=f"density [1/{names[0]}]")
            other = left.twinx()
            other.plot(rho.centers[0], self.potential, color=GREY, lw=1.0, ls="--", label="Ψ_λ")
            other.set_ylabel("Ψ_λ(θ; ρ*)  [loss]")
        else:
            density = rho.density @ rho.widths[2] if rho.dimension == 3 else rho.density
            image = left.pcolormesh(*rho.edges[:2], density.T, cmap="viridis", rasterized=True)
            figure.colorbar(image, ax=left, label=f"density [1/({names[0]}·{names[1]})]")
            left.set(xlabel=f"{names[0]}  [parameter]", ylabel=f"{names[1]}  [parameter]")
        shown = np.maximum(self.history, 1e-17)
        right.semilogy(np.arange(shown.size), shown, "o-", color=ORANGE, ms=3, lw=1.2)
        right.set(xlabel="iteration", ylabel="‖ρ − T(ρ)‖₁")
        right.grid(alpha=0.3)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __repr__(self) -> str:
        return (
            f"GibbsState(temperature={self.temperature:g}, free_energy={self.free_energy:.10g}, "
            f"risk={self.risk:.8g}, residual={self.residual:.2g}, gap={self.gap:.2g}, "
            f"{self.iterations} iterations: {self.message})"
        )


def solve_gibbs(
    flow: GradientFlow,
    where: Any,
    *,
    start: GridDensity | None = None,
    method: GibbsMethod = "newton",
    tolerance: float = 1e-12,
    max_iterations: int = 500,
) -> GibbsState:
    r"""The Gibbs fixed point ρ* ∝ v exp(−Ψ_λ(·; ρ*)/τ) of a flow with noise, on a grid of 1 to 3 axes.

    .. math:: F(\rho^*) = \min_\rho \tfrac12 R(\rho) + \tfrac\lambda2\int|\theta|^2d\rho + \tau\int\rho\log\frac\rho v

    Parameters
    ----------
    flow : its energy, temperature and ridge count; reaction rate and schedule do not change ρ*
    where : a TensorGrid, or a GridDensity of which only the grid counts
    start : where to begin, a probability on the same grid; Gibbs of Ψ at the uniform law by default
    method : "newton"; "anderson", mixing of fixed-point iterates, or "picard", the damped fixed point, which take
        one Ψ an iteration; all three move only where the dual value rises
    tolerance : of ‖ρ − T(ρ)‖₁. Rounding of Ψ allows some 1e-16·max|Ψ_λ|/τ
    max_iterations : after which ``success`` is False

    Raises
    ------
    InputError
        for τ = 0, a grid that is not the energy's, and "newton" where U is not positive semidefinite

    >>> from wflow.energies import PairEnergy
    >>> energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2 - x[..., 0], lambda x, y: (x * y)[..., 0])
    >>> flow = GradientFlow(energy, temperature=0.1)
    >>> state = solve_gibbs(flow, TensorGrid.from_bounds([(-4, 4)], 400))
    >>> state.success, float(state.measure.mean()[0])  # N(1/(1 + 1), τ)
    (True, 0.5)
    """
    if method not in ("newton", "anderson", "picard"):
        raise InputError(f"method {method!r}: choose 'newton', 'anderson' or 'picard'")
    tolerance = non_negative("tolerance", tolerance)
    limit = check_count("max_iterations", max_iterations)
    equation = FixedPoint(flow, where)
    at = equation.at(equation.masses_of(start))
    propose: Callable[[Point], np.ndarray] = {
        "newton": equation.newton,
        "anderson": Anderson(equation),
        "picard": lambda point: point.defect,
    }[method]
    history, best, since = [at.residual], at, 0
    tried = False
    while len(history) <= limit and since < STALLED:
        if at.residual <= tolerance:
            # z itself may dip below 0 by rounding; T(z) cannot, and is accepted by its own residual.
            if at.positive and tried:
                break
            at, tried = equation.at(at.image), True
        else:
            at = equation.advance(at, propose(at))
        history.append(at.residual)
        since = since + 1 if at.residual >= 0.5 * best.residual and best.residual < 1e-8 else 0
        best = at if at.residual < best.residual else best
    if not best.positive:
        best = equation.at(best.image)
    return equation.state(best, np.array(history), tolerance, limit)


def gibbs_gap(flow: GradientFlow, measure: Measure) -> float:
    r"""The certificate of any probability on a grid, the end of a flow, say: how much F could fall at most.

    .. math:: F(\rho) - F^* \le \tau\,KL(\rho\,|\,T(\rho))

    Parameters
    ----------
    flow : with τ > 0 and a risk that is convex in ρ
    measure : a GridDensity of mass 1

    Raises
    ------
    InputError
        for τ = 0, particles, another mass or another dimension

    >>> from wflow.energies import PairEnergy
    >>> flow = GradientFlow(PairEnergy(lambda x: 0.0 * x[..., 0]), temperature=0.5)
    >>> gibbs_gap(flow, GridDensity([2.0, 0.0], [[0.0, 0.5, 1.0]]))  # ½ log 2
    0.34657359027997264
    """
    if not isinstance(measure, GridDensity):
        raise InputError(
            f"measure is a {type(measure).__name__}: the gap needs its entropy; give a GridDensity"
        )
    equation = FixedPoint(flow, measure)
    return equation.gap(equation.at(equation.masses_of(measure)))


@dataclass(frozen=True, eq=False)
class Point:
    """One signed measure z of mass 1 with all that its Ψ tells; shapes (n,)."""

    z: np.ndarray
    potential: np.ndarray
    """Ψ_λ − τ log v at z."""
    risk: float
    image: np.ndarray
    """T(z)."""
    log_image: np.ndarray
    """log of T(z)/(cell volume)."""
    dual: float

    @property
    def defect(self) -> np.ndarray:
        """T(z) − z."""
        return self.image - self.z

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
        if not isinstance(flow, GradientFlow):
            raise InputError(f"flow is a {type(flow).__name__}: give a wflow.GradientFlow")
        if flow.temperature == 0:
            raise InputError(
                "temperature = 0: there is no Gibbs measure without noise; set temperature > 0, or use "
                "minimise_on_grid"
            )
        grid = getattr(where, "grid", where)
        if not isinstance(grid, TensorGrid):
            raise InputError(
                f"where is a {type(where).__name__}: give a TensorGrid or a GridDensity"
            )
        self.flow, self.tau = flow, flow.temperature
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
        loss = getattr(flow.energy, "loss", None)
        self._affine = loss is None or loss.name == "square"
        nothing = np.zeros(self.grid.shape)
        self._zero = self._problem.potential(nothing)[0].ravel() if self._affine else None

    def masses_of(self, start: GridDensity | None) -> np.ndarray:
        """Masses of the start, or T of the uniform law."""
        if start is None:
            return self.at(self.grid.weights()).image
        if not isinstance(start, GridDensity) or start.shape != self.grid.shape:
            raise InputError(f"start is {start!r}: give a GridDensity on the same grid")
        if not all(map(np.array_equal, start.edges, self.grid.edges)):
            raise InputError("start has the right shape and other edges: put it on the same grid")
        if abs(start.mass - 1.0) > ROUNDING:
            raise InputError(f"start has mass {start.mass:.9g}: divide its density by the mass")
        return np.array(start.weights())

    def at(self, z: np.ndarray) -> Point:
        """Ψ at z, T(z) by log-sum-exp, and the dual value."""
        x, risk = self._psi(z)
        log = self._log_cells - x / self.tau
        top = float(log.max())
        image = np.exp(log - top)
        total = float(image.sum())
        image /= total
        log_z = top + math.log(total)
        bare = x - self._ridge + self.tau * self._log_reference
        dual = 0.5 * risk - float(z @ bare) - self.tau * log_z
        return Point(z, x, risk, image, log - log_z - self._log_cells, dual)

    def _psi(self, z: np.ndarray) -> tuple[np.ndarray, float]:
        x, risk = self._problem.potential((z / self._volumes).reshape(self.grid.shape))
        return x.ravel(), float(risk)

    def act(self, point: Point, v: np.ndarray) -> np.ndarray:
        """The derivative of Ψ at z along v: Uv for the square loss, a central difference for others."""
        if self._zero is not None:
            return self._psi(v)[0] - self._zero
        size = float(np.abs(v).sum())
        if size == 0.0:
            return np.zeros_like(v)
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
        for _ in range(4 * DEPTH * 25):
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
        """z + tδ with the largest t = 1, ½, ¼ … at which the dual value rises enough."""
        t = 1.0
        rise = float(point.defect @ self.act(point, direction))
        noise = 1e-13 * max(1.0, abs(point.dual))
        while True:
            new = self.at(point.z + t * direction)
            if new.dual >= point.dual + 1e-4 * t * rise - noise or t < 1e-9:
                return new
            t *= 0.5

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

    def state(
        self, point: Point, history: np.ndarray, tolerance: float, limit: int
    ) -> GibbsState:
        """The result at z, which is a probability."""
        density = (point.z / self._volumes).reshape(self.grid.shape)
        measure = self.grid.with_density(density)
        if point.residual <= tolerance:
            message = f"residual below {tolerance:g}"
        elif history.size > limit:
            message = f"stopped at max_iterations = {limit} before the residual reached {tolerance:g}"
        else:
            message = f"rounding stopped the progress before the residual reached {tolerance:g}"
        return GibbsState(
            measure=measure,
            free_energy=self._problem.free_energy(density, point.risk),
            risk=point.risk,
            energy=0.5 * point.risk + float(point.z @ self._ridge),
            residual=point.residual,
            gap=self.gap(point),
            iterations=history.size - 1,
            history=history,
            success=point.residual <= tolerance,
            message=message,
            temperature=self.tau,
            potential=(point.potential + self.tau * self._log_reference).reshape(self.grid.shape),
        )


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
