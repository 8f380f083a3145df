r"""Drift and diffusion by the Scharfetter–Gummel flux and Euler's explicit step, the cheapest there is.

.. math:: \rho' = \rho + h\,\xi\,\nabla\cdot(\rho\nabla\Psi_\lambda + \tau\nabla\rho)

First order in time. Near its bound h ≲ dx²/(2Dτ) that is the order of the cells, at half the cost a step of
``scharfetter-gummel-explicit``. ρ' is the law of a Markov chain after one jump, whose invariant law is the Gibbs state:
positive, of the old mass, and for a fixed Ψ never of more free energy.
Source: Scharfetter & Gummel, IEEE Trans. Electron Devices 16 (1969) 64; Cover & Thomas, Elements of Information Theory
(2006), sec. 4.4, for the decay of relative entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.kernels.memory import recycled_empty
from wflow.solvers.grid.scharfetter_gummel_explicit import (
    POSITIVE,
    ExplicitDriftDiffusion,
    ExplicitProblem,
)
from wflow.solvers.method import Arrays, Step, register


@register
@dataclass(frozen=True)
class ForwardEuler(ExplicitDriftDiffusion):
    """Explicit drift–diffusion in one stage; ``cfl`` in (0, 1] is the part of a cell that may leave in a step."""

    name = "forward-euler"
    order = 1

    def step(self, problem: ExplicitProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        if problem.fast:
            return self._frozen_step(problem, t, h, y, carry)
        rho = y["density"]
        new = recycled_empty(rho.shape)
        leaving, sums = problem.stage(t, rho, rho, carry["potential"], h, 1.0, new, seen=True)
        if h * leaving > POSITIVE:
            return Step.refused(y, carry, "CFL bound", self.cfl / leaving)
        after = problem.observed(*problem.potential(new), sums) | {"leaving": np.array(leaving)}
        return problem.accept(h, y, carry, new, after, limit=self._limit(problem, t + h, after))
