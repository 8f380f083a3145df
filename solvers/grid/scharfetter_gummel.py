r"""Drift and diffusion together, implicit, second order, positive at every step size.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

In space the Scharfetter–Gummel flux, exact for Gibbs states. In time the two-stage modified Patankar–Runge–Kutta
scheme: stage 1 is backward Euler with Ψ at the old density; stage 2 averages the exchange fluxes of both ends and
weights them by new/predicted mass, so both stages are M-matrix solves. A discrete Gibbs state is left in place;
stage 1 serves as the embedded first-order solution. With τ = 0 the flux is first-order upwind.
Sources: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Burchard, Deleersnijder & Meister,
Appl. Numer. Math. 47 (2003) 1, eq. (26).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.kernels.tridiagonal import exchange, scharfetter_gummel_rates
from wflow.solvers.grid.problem import GridMethod, GridProblem, energy_rises
from wflow.solvers.method import Arrays, Step, register


@register
@dataclass(frozen=True)
class ScharfetterGummel(GridMethod):
    """Implicit drift–diffusion by Patankar weights; adaptive by its embedded first-order stage."""

    name = "scharfetter-gummel"
    kind = "adaptive"
    order = 2
    error_order = 2
    preserves = frozenset({"mass", "positive", "energy"})

    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        widths = problem.flat_volumes
        mass = y["density"] * widths
        up0, down0 = rates(problem, t, carry["potential"])
        stage = np.empty_like(mass)
        exchange(mass, up0, down0, h, stage)
        psi, _ = problem.potential(stage / widths)
        up1, down1 = rates(problem, t + h, psi)
        up = _patankar(up0, up1, mass[:-1], stage[:-1])
        down = _patankar(down0, down1, mass[1:], stage[1:])
        new = np.empty_like(mass)
        exchange(mass, up, down, h, new)
        after = problem.state(new / widths)
        if energy_rises(carry, after):
            return Step(y, carry, limit=0.5 * h, status="refused", reason="free energy would rise")
        tol = problem.tolerance
        error = float(np.abs(new - stage).sum()) / (tol.atol + tol.rtol)
        return Step({"density": new / widths}, after, error=error)


def rates(problem: GridProblem, t: float, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exchange rates between neighbouring cells at time t."""
    flow, gaps, widths = problem.flow, problem.gaps, problem.grid.widths[0]
    up, down = np.empty_like(gaps), np.empty_like(gaps)
    scharfetter_gummel_rates(psi, gaps, widths, flow.temperature, flow.schedule(t), up, down)
    return up, down


def _patankar(k0: np.ndarray, k1: np.ndarray, m0: np.ndarray, m1: np.ndarray) -> np.ndarray:
    """½(k₀m₀ + k₁m₁)/m₁; where the predicted mass is 0 the old rate stands."""
    ratio = np.divide(m0, m1, out=np.ones_like(m0), where=m1 > 1e-290)
    return np.asarray(0.5 * (k0 * ratio + k1))
