r"""Noisy particles: the McKean–Vlasov diffusion by Euler–Maruyama.

.. math:: d\theta = -\xi\nabla\Psi_\lambda\,dt + \sqrt{2\xi\tau}\,dB

Weak order 1. The noise is a pure function of seed and step number, so a run can be cut and
resumed anywhere. On a reduced state the volume that was integrated out adds the drift ξτ∇log vol (a radius is a Bessel
process) and walls reflect. Source: Mei, Montanari & Nguyen (2018), noisy SGD; Maruyama (1955).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation, register
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.step_size import Clock, StepSize
from wflow.tools.checks import positive
from wflow.tools.streams import stream


@register
@dataclass(frozen=True)
class Langevin(Method[Particles, ParticleProblem]):
    """Euler–Maruyama with the fixed step ``step_size``.

    ``entropy`` names an estimator of :mod:`wflow.measures.estimators`: frames then have the series ``entropy``, and a
    free energy.
    """

    step_size: float = 1e-2
    entropy: str | None = None

    name = "langevin"
    acts_on = "particles"
    order = 1
    preserves = frozenset({"mass", "positive"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> ParticleProblem:
        return ParticleProblem(flow, measure, tolerance, seed, self.entropy)

    def init(self, problem: ParticleProblem, t: float, y: Arrays) -> Arrays:
        v, _, risk = problem.rates(t, y["positions"], y["weights"])
        return {"velocity": v, "risk": np.array(risk), "step": np.zeros((), dtype=np.int64)}

    def dissipation(self, problem: ParticleProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def control(self, problem: ParticleProblem) -> StepSize:
        return Clock(self.step_size)

    def step(self, problem: ParticleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        flow, k = problem.flow, int(carry["step"])
        x = y["positions"]
        noise = stream(problem.seed, "noise", k).standard_normal(x.shape)
        spread = 2.0 * flow.schedule(t) * flow.temperature * h
        drift = h * carry["velocity"]
        if flow.temperature > 0:
            drift = drift + 0.5 * spread * flow.energy.reference_drift(x)
        new = problem.reflect(x + drift + math.sqrt(spread) * noise)
        v, _, risk = problem.rates(t + h, new, y["weights"])
        after = {"velocity": v, "risk": np.array(risk), "step": np.array(k + 1)}
        return Step({"positions": new, "weights": y["weights"]}, after)
