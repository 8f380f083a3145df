r"""Where the free energy goes: the dissipation ledger of a solution.

.. math:: \frac{dF}{dt} = -\xi\Bigl(\int|\nabla\Phi|^2\,d\rho + \alpha\,\mathrm{Var}_\rho\,\Phi\Bigr)

The left side is differenced along the steps that the method took; the right side is evaluated from the saved measures
alone, so that the two meet only if the method solves this equation. The same shares, without ξ, stand at every saved
time in the solution's series ``transport_dissipation`` and ``reaction_dissipation``.
Source: docs/conventions.md; the sums over faces are those of solvers/grid/parts/dissipation.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity, Particles
from wflow.results.plotting import time_axis
from wflow.results.solution import Solution
from wflow.solvers.grid.parts.dissipation import shares
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Tolerance
from wflow.solvers.particles.problem import ParticleProblem
from wflow.tools.checks import check_kind
from wflow.tools.pictures import new_figure, save_figure

__all__ = ["Ledger", "ledger"]

FREE = 1e-6
"""A mass that changes by more than so much of itself is meant to."""
VALUES = 5
"""Values of F that a derivative is taken from: dF/dt to the fourth power of the step."""


@dataclass(frozen=True, eq=False)
class Ledger:
    r"""The balance of the free energy at the saved times.

    Attributes
    ----------
    t : the saved times (n,)
    free_energy : F(ρ(t))
    rate : dF/dt, from differences of F over the steps
    transport : ∫|∇Φ|²dρ; infinite where noise meets an empty cell beside a full one
    reaction : α Var_ρ Φ
    schedule : ξ(t)
    """

    t: np.ndarray
    free_energy: np.ndarray
    rate: np.ndarray
    transport: np.ndarray
    reaction: np.ndarray
    schedule: np.ndarray

    @property
    def dissipation(self) -> np.ndarray:
        """ξ(∫|∇Φ|²dρ + α Var_ρ Φ)."""
        return np.asarray(self.schedule * (self.transport + self.reaction))

    @property
    def defect(self) -> np.ndarray:
        """dF/dt + dissipation: 0 for the exact solution."""
        return np.asarray(self.rate + self.dissipation)

    @property
    def reaction_share(self) -> np.ndarray:
        """The part of the dissipation that birth–death does, in [0, 1]; 0 at rest."""
        total = self.transport + self.reaction
        share = np.zeros_like(total)
        moving = (total > 0) & np.isfinite(total)
        share[moving] = self.reaction[moving] / total[moving]
        return np.asarray(share)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """−dF/dt over the two shares that must add up to it, and the defect, where the dissipation is finite.

        Raises
        ------
        InputError
            for a path that ends in no picture format
        StorageError
            when the file cannot be written
        """
        figure, (left, right) = new_figure(2)
        shown = np.isfinite(self.dissipation)
        t, speed = self.t[shown], self.schedule[shown]
        shares = [speed * self.transport[shown], speed * self.reaction[shown]]
        left.stackplot(
            t, *shares, labels=["ξ∫|∇Φ|²dρ", "ξα Var Φ"], colors=["#56B4E9", "#E69F00"], alpha=0.7
        )
        left.plot(t, -self.rate[shown], "k.", ms=4, label="−dF/dt")
        left.set(xlabel="time t", ylabel="dissipation [loss/time]")
        left.legend(fontsize=7, frameon=False)
        right.axhline(0.0, color="#666666", lw=0.8)
        right.plot(t, self.defect[shown], color="#D55E00", lw=1.4)
        right.set(xlabel="time t", ylabel="dF/dt + dissipation [loss/time]")
        for axis in (left, right):
            axis.grid(alpha=0.3)
            time_axis(axis, t)
        if path is not None:
            save_figure(figure, path)
        return figure


def ledger(solution: Solution, flow: GradientFlow) -> Ledger:
    r"""F, dF/dt and both shares of its dissipation at every saved time of a solution.

    .. math:: \frac{dF}{dt} = -\xi\Bigl(\int|\nabla\Phi|^2\,d\rho + \alpha\,\mathrm{Var}_\rho\,\Phi\Bigr)

    Parameters
    ----------
    solution : a Solution on a grid of 1 to 3 axes, or of noiseless particles, with 3 or more steps
    flow : the flow that was solved

    Raises
    ------
    InputError
        for another flow, particles with noise, which have no entropy, masses that are free (method ``conic``), or
        fewer than 3 values of F

    >>> import wflow
    >>> from wflow.energies import PairEnergy
    >>> flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2))
    >>> sol = wflow.solve(flow, wflow.Particles([1.0, -2.0]), (0, 1), max_step=0.02)
    >>> found = ledger(sol, flow)
    >>> float(found.transport[0]), bool(abs(found.defect).max() < 1e-6)  # F = ½∫x²dρ, |∇Φ| = |x|
    (2.5, True)
    """
    check_kind("flow", flow, GradientFlow, "give the wflow.GradientFlow solved")
    check_kind("solution", solution, Solution, "give what wflow.solve returned")
    if solution.attributes.get("fingerprint") not in (None, flow.fingerprint()):
        raise InputError(
            "this flow is not the one that was solved (fingerprints differ): give that one"
        )
    t = solution.t
    if t.size == 0:
        raise InputError("no frame was saved, so there is no ledger: carry the run on first")
    kind = solution.view.name
    if kind not in _SHARES:
        raise InputError(f"a ledger is kept of {' or '.join(_SHARES)}, and this run has {kind}")
    if kind == "particles" and flow.temperature > 0:
        raise InputError(
            f"temperature = {flow.temperature:g} with particles: they have no entropy, so F is undefined; "
            "solve on a grid"
        )
    mass = solution.series.get("mass", np.ones(1))
    if np.ptp(mass) > FREE * mass.max():
        raise InputError(
            f"the mass went from {mass[0]:g} to {mass[-1]:g}: the balance of free masses is another one, whose shares "
            "are the series transport_dissipation and reaction_dissipation"
        )
    times, values = _series(solution)
    balance = _SHARES[kind](flow, solution.measures[0])
    rows = [balance(measure) for measure in solution.measures]
    free, transport, variance = (np.array(column) for column in zip(*rows, strict=True))
    return Ledger(
        t=t,
        free_energy=free,
        rate=np.array([slope(times, values, float(at)) for at in t]),
        transport=transport,
        reaction=flow.reaction_rate * variance,
        schedule=np.array([flow.schedule(float(at)) for at in t]),
    )


def _series(solution: Solution) -> tuple[np.ndarray, np.ndarray]:
    """Times and free energies of the steps, with the start; of the frames where steps are few."""
    t, free = np.asarray(solution.t), np.asarray(solution.series.get("free_energy", []))
    steps = solution.steps
    if "free_energy" in steps and np.size(steps["t"]) >= 2:
        times, values = np.asarray(steps["t"]), np.asarray(steps["free_energy"])
        if t[0] < times[0] and free.size:
            times, values = np.append(t[0], times), np.append(free[0], values)
    else:
        times, values = t[: free.size], free
    times, kept = np.unique(times, return_index=True)
    if times.size < 3 or not np.isfinite(values[kept]).all():
        raise InputError(
            f"F is known at {times.size} times, or not finite: dF/dt needs 3 steps or more; set max_step"
        )
    return times, values[kept]


def slope(times: np.ndarray, values: np.ndarray, at: float) -> float:
    """The derivative at ``at`` of the polynomial through the nearest values.

    >>> float(slope(np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 1.0, 4.0, 16.0]), 1.5))
    3.0
    """
    count = min(VALUES, times.size)
    middle = int(np.searchsorted(times, at))
    low = min(max(middle - count // 2, 0), times.size - count)
    x, f = times[low : low + count] - at, values[low : low + count]
    scale = float(np.abs(x).max())
    # Differences to one value: F is large where its changes are small.
    powers = np.vander(x / scale, count, increasing=True)
    return float(np.linalg.solve(powers, f - f[0])[1]) / scale


class _GridShares:
    """F, ∫|∇Φ|²dρ and Var_ρ Φ of densities on one grid."""

    def __init__(self, flow: GradientFlow, measure: GridDensity) -> None:
        self._flow = flow
        self._problem = GridProblem(flow, measure, Tolerance())

    def __call__(self, measure: GridDensity) -> tuple[float, float, float]:
        rho = np.asarray(measure.density)
        psi, risk = self._problem.potential(rho)
        flow = self._flow
        transport, variance = shares(measure, flow.mobile, flow.temperature, rho, psi)
        return self._problem.free_energy(rho, risk), transport, variance


class _ParticleShares:
    """F, ∫|∇Ψ_λ|²dρ and Var_ρ Ψ_λ of particles."""

    def __init__(self, flow: GradientFlow, measure: Particles) -> None:
        self._flow = flow

    def __call__(self, measure: Particles) -> tuple[float, float, float]:
        problem = ParticleProblem(self._flow, measure, Tolerance(), 0)
        x, w = problem.initial["positions"], problem.initial["weights"]
        transport, variance = problem.shares(x, w)
        risk = float(self._flow.energy.prepare(x).field(w).risk)
        return 0.5 * risk + float(w @ self._flow.ridge_potential(x)), transport, variance


_SHARES: dict[str, Any] = {"grid": _GridShares, "particles": _ParticleShares}
