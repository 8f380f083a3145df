r"""Drift and diffusion as one transport along −∇Φ: second order in space even where τ is far below the cell size.

.. math:: \partial_t\rho = \xi\,\nabla\cdot(\rho\nabla\Phi), \qquad \Phi = \Psi_\lambda + \tau\log\rho

The Scharfetter–Gummel flux turns first-order upwind once |ΔΨ| ≫ τ; here the limited slopes of ``muscl`` carry the
density along the face velocity −ΔΦ/δ, so the scheme is ``muscl`` at τ = 0 and stays second order on the way there. A
discrete Gibbs state has ΔΦ = 0 on every face and is left in place to rounding; the semi-discrete free energy falls by
:math:`\sum\delta v^2\rho_{face}/\xi`. Explicit: dt ≲ 0.45 h²/(Dτ) besides the CFL bound, and small while mass enters
empty cells, where log ρ is taken at 1e-300.
Source: Carrillo, Chertock & Huang, Commun. Comput. Phys. 17 (2015) 233, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.grid.axes import GAP, PER_WIDTH
from wflow.measures import GridDensity
from wflow.solvers.grid.muscl import Muscl
from wflow.solvers.grid.parts.problem import GridProblem
from wflow.solvers.method import Tolerance, register

EMPTY = 1e-300


@register
@dataclass(frozen=True)
class MusclDiffusion(Muscl):
    """Second-order drift–diffusion for small τ; ``theta`` in [1, 2) and ``cfl`` as for ``muscl``."""

    theta: float = 1.5

    name = "muscl-diffusion"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.theta >= 2:
            # The face value beside an empty cell is (1 − θ/2)ρ.
            raise InputError(
                f"theta = {self.theta:g}: nothing would enter an empty cell; give 1 <= theta < 2"
            )

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GridProblem:
        if not flow.temperature > 0:
            raise InputError(
                "method 'muscl-diffusion' with temperature = 0 is 'muscl': choose that"
            )
        return GridProblem(flow, measure, tolerance)

    def tendency(
        self,
        problem: GridProblem,
        t: float,
        rho: np.ndarray,
        psi: np.ndarray,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, float]:
        tau = problem.flow.temperature
        phi = np.maximum(rho, EMPTY, out=problem.room("phi"))
        np.log(phi, out=phi)
        phi *= tau
        phi += psi
        rate, outflow = super().tendency(problem, t, rho, phi, out)
        # Ripples of the shortest wave need dt·4τΣδ⁻² ≤ 2, which |v| does not show.
        ripples = tau * problem.flow.schedule(t) * _per_area(problem)
        return rate, outflow + ripples


def _per_area(problem: GridProblem) -> float:
    """Σ over moving axes of the largest 1/(δw)."""
    total = 0.0
    for axis, n, moves in zip(problem.axes.geometry, problem.box_shape, problem.moves, strict=True):
        if moves:
            gaps = np.maximum(axis[GAP, 1 : n + 1], axis[GAP, 2 : n + 2])
            total += float((gaps * axis[PER_WIDTH, :n]).max())
    return total
