r"""Conic particles: unbalanced transport of 2-homogeneous units, whose mass is free.

A particle (r, θ) of mass w = r² carries the unit σ*(x; θ), and the measure ν = Σ w_i δ(θ_i) descends

.. math:: J(\nu) = F(\nu) + \kappa\,\nu(\mathbb R^D), \qquad J' = \Psi_\lambda + \kappa, \qquad
          \dot r = -2a\,r\,J'(\theta), \quad \dot\theta = -b\,\nabla J'(\theta)

which is birth–death without the mean, :math:`\partial_t\nu = \xi[\nabla\cdot(\nu\nabla J') - \alpha J'\nu]`, in the
flow's own constants: b = ξ and a = αξ/4. A step of h is

.. math:: w \leftarrow w\,e^{-\alpha\xi hJ'}\ \text{(mirror)} \quad\text{or}\quad
          r \leftarrow r\,(1 - \tfrac12\alpha\xi hJ')\ \text{(linear)}, \qquad
          \theta \leftarrow \theta - \xi h\nabla J'

of order 1; "mirror" is exact where J' stays. With ``balanced``, J' is taken less its mean and the mass stays: the
birth–death flow of weighted particles. The linear form keeps the mass only to first order, so that its masses are then
divided by what they sum to, a relative change of ¼ (αξh)² Var J' a step. With ``sphere``, θ keeps its length and moves
along the tangent.

The Wasserstein flow of units that are 2-homogeneous in all of Θ = rθ, a relu(⟨w, x⟩) say, is this flow on the sphere
with α = 4 and weights |Θ|²/n (:func:`wflow.measures.directions`).
Source: Chizat, Math. Program. 194 (2022) 487, algorithm 1; its step sizes (α, β) are a h and b h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation, register
from wflow.solvers.particles.parts.cone import Cone
from wflow.solvers.step_size import Clock, StepSize
from wflow.tools.checks import check_word, positive


@register
@dataclass(frozen=True)
class Conic(Method[Particles, Cone]):
    """Euler's method on the cone, in steps of ``step_size``.

    Options
    -------
    form : "mirror" or "linear", the step of the masses
    penalty : κ, on the mass; below 0 it rewards mass
    balanced : whether the mass is kept, by J' less its mean
    sphere : whether θ are directions, of the lengths that they begin with
    """

    step_size: float = 1e-2
    form: str = "mirror"
    penalty: float = 0.0
    balanced: bool = False
    sphere: bool = False

    name = "conic"
    acts_on = "particles"
    order = 1
    preserves = frozenset({"positive"})
    reacts = True

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        check_word("form", self.form, ("mirror", "linear"))

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> Cone:
        return Cone(self.name, flow, measure, tolerance, self.penalty, self.balanced, self.sphere)

    def init(self, problem: Cone, t: float, y: Arrays) -> Arrays:
        v, g, risk = problem.rates(t, y["positions"], y["weights"])
        return {"velocity": v, "log_growth": g, "risk": np.array(risk)}

    def dissipation(self, problem: Cone, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def control(self, problem: Cone) -> StepSize:
        return Clock(self.step_size)

    def step(self, problem: Cone, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        x, w, gain = y["positions"], y["weights"], h * carry["log_growth"]
        if self.form == "mirror":
            w = problem.reweighted(w, gain)
        else:
            root = 1.0 + 0.5 * gain
            if root.min() < 0:
                return Step.refused(y, carry, f"r would change its sign, by {root.min():.3g}")
            w = problem.held(w, w * root**2)
            if problem.balanced:
                w = w * (problem.mass / float(w.sum()))
        after = {"positions": problem.project(x + h * carry["velocity"]), "weights": w}
        return Step(after, self.init(problem, t + h, after))
