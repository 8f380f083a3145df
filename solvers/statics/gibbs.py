r"""The stationary measure of a noisy flow, the Gibbs fixed point, without any time.

.. math:: \rho^* = T(\rho^*), \qquad T(\rho) = \tfrac1Z\,v\,e^{-\Psi_\lambda(\cdot;\rho)/\tau}, \quad
          Z = \int v\,e^{-\Psi_\lambda(\cdot;\rho)/\tau}

F is strictly convex at τ > 0, ρ* is its only minimiser and the limit of the flow from any start (v is the volume
integrated out, 1 in full space). Any probability ρ bounds what is left to gain: R lies above its tangent,

.. math:: F^* \ge \min_\nu\bigl\{F(\rho) + \textstyle\int\Phi\,d(\nu-\rho) + \tau\,KL(\nu|\rho)\bigr\}
          = F(\rho) - \tau\,KL(\rho\,|\,T(\rho)), \qquad F(\rho) - F^* \ge \tau\,KL(\rho\,|\,\rho^*).

How the equation is solved is in :mod:`wflow.solvers.statics.fixed_point`.
Sources: Mei, Montanari & Nguyen (2018) for the fixed point; Nitanda, Wu & Suzuki, AISTATS (2022), and Chizat,
Trans. Mach. Learn. Res. (2022), for both bounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.statics.fixed_point import Anderson, FixedPoint, Point
from wflow.tools.checks import check_count, non_negative

GibbsMethod = Literal["newton", "anderson", "picard"]
STALLED = {"newton": 12, "anderson": 60, "picard": 60}
"""Iterations without a smaller residual, all below 1e-8, after which rounding is taken to be the cause."""
WARM = 0.1
"""Residual to which the warmer states are solved."""


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
    iterations, history : their number, and the residual after each, those of warmer states before it included
    success, message : whether the residual reached the tolerance, in words
    temperature, potential : τ, and Ψ_λ of the measure on the grid
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
        from wflow.tools.pictures import BLUE, GREY, ORANGE, new_figure, save_figure

        figure, (left, right) = new_figure(2)
        figure.suptitle(f"τ = {self.temperature:g}, F = {self.free_energy:.8g}", fontsize=11)
        rho, names = self.measure, self.measure.names
        if rho.dimension == 1:
            left.plot(rho.centers[0], rho.density, color=BLUE, lw=1.4, label="ρ*")
            left.set(xlabel=f"{names[0]}  [parameter]", ylabel=f"density [1/{names[0]}]")
            other = left.twinx()
            other.plot(rho.centers[0], self.potential, color=GREY, lw=1.0, ls="--", label="Ψ_λ")
            other.set_ylabel("Ψ_λ(θ; ρ*), dashed  [loss]", color=GREY)
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
    start : where to begin, a probability on the same grid; by default warmer Gibbs states, from the uniform law on
    method : "newton"; "anderson", mixing of fixed-point iterates, or "picard", the damped fixed point; all three
        move only where the dual value rises, which presumes a convex R
    tolerance : of ‖ρ − T(ρ)‖₁. Rounding of Ψ allows some 1e-16·max|Ψ_λ|/τ
    max_iterations : after which ``success`` is False

    Raises
    ------
    InputError
        for τ = 0, a grid that is not the energy's, and "newton" where U is not positive semidefinite

    >>> from wflow.energies import PairEnergy
    >>> from wflow.measures import TensorGrid
    >>> energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2 - x[..., 0], lambda x, y: (x * y)[..., 0])
    >>> flow = GradientFlow(energy, temperature=0.1)
    >>> state = solve_gibbs(flow, TensorGrid.from_bounds([(-4, 4)], 400))
    >>> state.success, float(state.measure.mean()[0])  # N(1/(1 + 1), τ)
    (True, 0.5)
    """
    if not isinstance(method, str) or method not in ("newton", "anderson", "picard"):
        raise InputError(f"method {shown(method)}: choose 'newton', 'anderson' or 'picard'")
    tolerance = non_negative("tolerance", tolerance)
    limit = check_count("max_iterations", max_iterations)
    equation = FixedPoint(flow, where)
    at = equation.at(equation.masses_of(start))
    history: list[float] = []
    if start is None:
        # Far from ρ* the steps are short, the shorter the colder: it is approached from warmer states.
        for tau in equation.cooling(at):
            equation.tau = tau
            at = _descend(equation, equation.at(at.z), method, WARM, limit, history, law=False)
        equation.tau = flow.temperature
    at = _descend(equation, equation.at(at.z), method, tolerance, limit, history)
    return _state(equation, at, np.array(history), tolerance, limit)


def _descend(
    equation: FixedPoint,
    at: Point,
    method: GibbsMethod,
    tolerance: float,
    limit: int,
    history: list[float],
    *,
    law: bool = True,
) -> Point:
    """A z that solves the equation to the tolerance, or the best one; residuals go to ``history``.

    With ``law`` it is a probability; z on its way may be negative.
    """
    proposals: dict[str, Callable[[Point], np.ndarray]] = {
        "newton": equation.newton,
        "anderson": Anderson(equation),
        "picard": lambda point: point.defect,
    }
    propose, best, since = proposals[method], at, 0
    history.append(at.residual)
    while len(history) <= limit and since < STALLED[method]:
        if at.residual <= tolerance:
            at = equation.best_law(at) if law else at
            if at.residual <= tolerance:
                return at
        at = equation.advance(at, propose(at))
        history.append(at.residual)
        since = since + 1 if at.residual >= 0.9 * best.residual and best.residual < 1e-8 else 0
        best = at if at.residual < best.residual else best
    return equation.best_law(best) if law else best


def gibbs_gap(flow: GradientFlow, measure: GridDensity) -> float:
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
    if getattr(measure, "kind", None) != "grid":
        raise InputError(
            f"measure is a {type(measure).__name__}: the gap needs its entropy; give a GridDensity"
        )
    equation = FixedPoint(flow, measure)
    return equation.gap(equation.at(equation.masses_of(measure)))


def _state(
    equation: FixedPoint, point: Point, history: np.ndarray, tolerance: float, limit: int
) -> GibbsState:
    if point.residual <= tolerance:
        message = f"residual below {tolerance:g}"
    elif history.size > limit:
        message = f"stopped at max_iterations = {limit} before the residual reached {tolerance:g}"
    else:
        message = f"rounding stopped the progress before the residual reached {tolerance:g}"
    return GibbsState(
        measure=equation.grid.with_density(equation.density(point)),
        free_energy=equation.free_energy(point),
        risk=point.risk,
        energy=equation.energy(point),
        residual=point.residual,
        gap=equation.gap(point),
        iterations=history.size - 1,
        history=history,
        success=point.residual <= tolerance,
        message=message,
        temperature=equation.tau,
        potential=equation.first_variation(point),
    )
