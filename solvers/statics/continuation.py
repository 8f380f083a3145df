r"""Gibbs states as the noise falls: from the free energy to the regularised risk.

.. math:: \inf_\rho F_\tau \to \inf_\rho E, \qquad E = \tfrac12 R + \tfrac\lambda2\int|\theta|^2 d\rho

For a quadratic E the energy excess of ρ*_β is exactly D/(2β), each coordinate that feels a spring holding τ/2; in
general :math:`\inf F_\tau - \inf E = O(\tfrac{D}{\beta}\log\beta)`. Source: Mei, Montanari & Nguyen (2018).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.solvers.statics.gibbs import GibbsMethod, GibbsState, solve_gibbs
from wflow.solvers.statics.on_grid import minimise_on_grid
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_kind, number


@dataclass(frozen=True, eq=False)
class Continuation:
    r"""Gibbs states along temperatures, in the order in which they were asked for.

    Attributes
    ----------
    temperatures : τ (n,); ``betas`` are 1/τ
    free_energy, risk, energy : F_τ(ρ*), R(ρ*) and E(ρ*) = ½R + (λ/2)∫|θ|²dρ*, each (n,)
    least_energy : inf E over the same grid, or what the caller knows it to be
    energy_excess : E(ρ*) − inf E, D/(2β) for a quadratic E
    free_energy_gap : F_τ(ρ*) − inf E; negative where the entropy wins
    residual, gap : ‖ρ − T(ρ)‖₁ and the certificate τ KL(ρ | T(ρ)) of every state
    states : the states themselves
    success : whether all of them reached the tolerance
    """

    temperatures: np.ndarray
    free_energy: np.ndarray
    risk: np.ndarray
    energy: np.ndarray
    least_energy: float
    residual: np.ndarray
    gap: np.ndarray
    success: bool
    states: tuple[GibbsState, ...] = field(repr=False)

    @property
    def betas(self) -> np.ndarray:
        """1/τ."""
        return np.asarray(1.0 / self.temperatures)

    @property
    def energy_excess(self) -> np.ndarray:
        """E(ρ*) − inf E."""
        return np.asarray(self.energy - self.least_energy)

    @property
    def free_energy_gap(self) -> np.ndarray:
        """F_τ(ρ*) − inf E."""
        return np.asarray(self.free_energy - self.least_energy)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The energy excess and |inf F_τ − inf E| over β, beside D/(2β) and (D/β) log β, D the axes of the grid.

        Raises
        ------
        InputError
            for a path that ends in no picture format
        """
        from wflow.tools.pictures import BLUE, GREY, ORANGE, new_figure, save_figure

        figure, (left, right) = new_figure(2)
        order = np.argsort(self.betas)
        beta, d = self.betas[order], self.states[0].measure.dimension
        left.loglog(beta, np.maximum(self.energy_excess[order], 1e-300), "o-", color=BLUE, ms=3)
        left.loglog(beta, d / (2 * beta), color=GREY, ls="--", lw=1.0, label="D/(2β)")
        left.set(xlabel="β = 1/τ", ylabel="E(ρ*) − inf E  [loss]")
        gap = np.maximum(np.abs(self.free_energy_gap[order]), 1e-300)
        right.loglog(beta, gap, "o-", color=ORANGE, ms=3)
        large = beta > math.e
        right.loglog(
            beta[large],
            d * np.log(beta[large]) / beta[large],
            color=GREY,
            ls="--",
            lw=1.0,
            label="(D/β) log β",
        )
        right.set(xlabel="β = 1/τ", ylabel="|inf F − inf E|  [loss]")
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        if path is not None:
            save_figure(figure, path)
        return figure


def continue_in_temperature(
    flow: GradientFlow,
    where: Any,
    temperatures: Sequence[float] | np.ndarray,
    *,
    least_energy: float | None = None,
    method: GibbsMethod = "newton",
    tolerance: float = 1e-12,
    max_iterations: int = 500,
) -> Continuation:
    r"""Gibbs states at several temperatures, from the warmest down, each started at the one before.

    .. math:: \tau \mapsto \rho^*_\tau = \operatorname{argmin} F_\tau

    Parameters
    ----------
    flow : its energy and ridge count; its own temperature is not used
    where : a TensorGrid, or a GridDensity of which only the grid counts. A measure narrower than a cell,
        √τ ≲ h, is no longer resolved
    temperatures : τ > 0, in any order
    least_energy : inf E; by default the least over measures on the same grid, certified to 1e-9 (square loss only)
    method, tolerance, max_iterations : of every :func:`solve_gibbs`

    Raises
    ------
    InputError
        for a temperature that is not positive, and what :func:`solve_gibbs` raises

    >>> from wflow.energies import PairEnergy
    >>> from wflow.measures import TensorGrid
    >>> flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2))
    >>> path = continue_in_temperature(flow, TensorGrid.from_bounds([(-5, 5)], 501), [0.2, 0.1])
    >>> path.energy_excess.round(9).tolist()  # D τ/2
    [0.1, 0.05]
    """
    taus = as_floats("temperatures", temperatures)
    if taus.ndim != 1 or taus.size == 0 or not (taus > 0).all():
        raise InputError(
            f"temperatures = {taus.tolist()}: give one or more positive numbers in a list"
        )
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    if least_energy is not None:
        least_energy = number("least_energy", least_energy, finite=False)
    decaying = [
        name for name, on in zip(flow.energy.coordinates, flow.ridge_mask, strict=True) if on
    ]
    if least_energy is None and not flow.energy.affine:
        raise InputError(
            f"{flow.energy.why_not_affine()}: the least energy over a grid is found for the square loss only; "
            "give least_energy, as nan if it is not known"
        )
    found: dict[int, GibbsState] = {}
    start = None
    for i in np.argsort(-taus, kind="stable"):
        at = GradientFlow(
            flow.energy, temperature=float(taus[i]), ridge=flow.ridge, ridge_on=decaying
        )
        found[int(i)] = solve_gibbs(
            at,
            where,
            start=start,
            method=method,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )
        start = found[int(i)].measure
    states = tuple(found[i] for i in range(taus.size))
    if least_energy is None:
        lowest = minimise_on_grid(flow.energy, where, ridge=flow.ridge, ridge_on=decaying)
        least_energy = 0.5 * lowest.objective
    return Continuation(
        temperatures=taus,
        free_energy=np.array([s.free_energy for s in states]),
        risk=np.array([s.risk for s in states]),
        energy=np.array([s.energy for s in states]),
        least_energy=least_energy,
        residual=np.array([s.residual for s in states]),
        gap=np.array([s.gap for s in states]),
        success=all(s.success for s in states),
        states=states,
    )
