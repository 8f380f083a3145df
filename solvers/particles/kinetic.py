r"""Particles with momenta: the kinetic flow, which gradient descent with momentum follows.

.. math:: \partial_t\mu = \xi\bigl[-p\cdot\nabla_\theta\mu
              + \nabla_p\cdot\bigl(\mu\,(\gamma p + \nabla\Psi_\lambda)\bigr) + \gamma\tau\Delta_p\mu\bigr], \qquad
          \frac{d}{dt}\Bigl(F(\rho) + \tfrac12\int|p|^2d\mu\Bigr) = -\xi\gamma\int|p|^2\,d\mu \quad (\tau = 0)

for the joint law μ of positions and momenta, whose Ψ is that of the positions' law ρ. The momenta start at 0. As γ
grows ρ(γt) becomes the gradient flow at t; with noise the momenta rest at N(0, τ) and the positions at the Gibbs
state. A step kicks by half of h, moves freely with friction and noise, exactly, and kicks again,

.. math:: p \leftarrow p - \tfrac h2\nabla\Psi_\lambda(\theta), \quad
          (\theta, p) \leftarrow \Bigl(\theta + \tfrac{1-e^{-\gamma h}}\gamma p + \zeta,\;
                                   e^{-\gamma h}p + \eta\Bigr), \quad
          p \leftarrow p - \tfrac h2\nabla\Psi_\lambda(\theta),

.. math:: \mathrm{Var}\,\eta = \tau(1-e^{-2x}), \quad \mathrm{Cov}(\zeta,\eta) = \tfrac\tau\gamma(1-e^{-x})^2, \quad
          \mathrm{Var}\,\zeta = \tfrac\tau{\gamma^2}(2x - 3 + 4e^{-x} - e^{-2x}), \quad x = \gamma h,

second order, weakly with noise; no friction is too large for it, and none at all is the leapfrog. At a wall of the
domain a particle is mirrored with its momentum. Source: Skeel & Izaguirre, Mol. Phys. 100 (2002) 3885.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.solvers.method import Arrays, Method, Step, Tolerance, register
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.step_size import Clock, Fixed, StepSize
from wflow.tools.checks import non_negative, positive
from wflow.tools.streams import stream


class KineticProblem(ParticleProblem):
    """Positions and momenta; frames hold the positions, and the momenta's energy beside the free energy."""

    def __init__(
        self,
        flow: GradientFlow,
        measure: Particles,
        tolerance: Tolerance,
        seed: int,
        friction: float,
    ) -> None:
        super().__init__(flow, measure, tolerance, seed)
        self.friction = friction
        self.initial["momenta"] = np.zeros_like(self.initial["positions"])

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        square = float(y["weights"] @ (y["momenta"] ** 2).sum(axis=1))
        return super().monitor(y, carry) | {"kinetic_energy": 0.5 * square}

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        x, w, seen = y["positions"], y["weights"], self.monitor(y, carry)
        return seen | {
            "second_moment": float(w @ (x**2).sum(axis=1)),
            "friction_dissipation": 2.0 * self.friction * seen["kinetic_energy"],
            **self.flow.observe(x, w),
        }


@register
@dataclass(frozen=True)
class Kinetic(Method[Particles, KineticProblem]):
    """Kicks around exact friction, with the fixed step ``step_size`` and ``friction`` γ."""

    step_size: float = 1e-2
    friction: float = 1.0

    name = "kinetic"
    acts_on = "particles"
    order = 2
    preserves = frozenset({"mass", "positive"})

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        non_negative("friction", self.friction)

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> KineticProblem:
        if flow.temperature > 0 and self.friction == 0:
            raise InputError(
                f"temperature = {flow.temperature:g} with friction = 0: noise comes with friction; give friction > 0"
            )
        if flow.temperature > 0 and flow.energy.reference_drift(measure.points()).any():
            raise InputError(
                "method 'kinetic' has no noise on a reduced state, whose momenta have more directions: use "
                "'langevin', or the energy in full space"
            )
        return KineticProblem(flow, measure, tolerance, seed, self.friction)

    def init(self, problem: KineticProblem, t: float, y: Arrays) -> Arrays:
        pull, risk = problem.pull(y["positions"], y["weights"])
        return {"pull": pull, "risk": np.array(risk), "step": np.zeros((), dtype=np.int64)}

    def control(self, problem: KineticProblem) -> StepSize:
        # Noise belongs to whole steps.
        return (Clock if problem.flow.temperature > 0 else Fixed)(self.step_size)

    def step(self, problem: KineticProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        flow, k, w = problem.flow, int(carry["step"]), y["weights"]
        # The schedule is another clock for all of it; its mean over the step to second order.
        s = h * flow.schedule(t + 0.5 * h)
        kicked = y["momenta"] + 0.5 * s * carry["pull"]
        lost = -math.expm1(-self.friction * s)
        reach = lost / self.friction if self.friction > 0 else s
        x, p = y["positions"] + reach * kicked, (1.0 - lost) * kicked
        if flow.temperature > 0 and s > 0:
            g = stream(problem.seed, "noise", k).standard_normal((2, *x.shape))
            along, across, shake = _noise(self.friction, s, flow.temperature)
            x, p = x + along * g[0] + across * g[1], p + shake * g[0]
        inside = problem.reflect(x)
        if problem.bounded:
            p = np.where(inside == x, p, -p)
        pull, risk = problem.pull(inside, w)
        after = {"positions": inside, "weights": w, "momenta": p + 0.5 * s * pull}
        return Step(after, {"pull": pull, "risk": np.array(risk), "step": np.array(k + 1)})


def _noise(friction: float, s: float, temperature: float) -> tuple[float, float, float]:
    """ζ = along g₀ + across g₁ and η = shake g₀ for standard normals, over a time s.

    >>> _noise(1e-4, 1.0, 3.0)[1] / math.sqrt(1e-4 / 6 * 3.0)
    1.0000
    """
    x = friction * s
    lost = -math.expm1(-x)
    shake = math.sqrt(temperature * lost * (2.0 - lost))
    along = temperature / friction * lost**2 / shake
    # 2(x − q) − q² with q = 1 − e^−x is 2x³/3 − …: for small x nothing would be left of its digits.
    if x > 1e-2:
        spread = 2.0 * (x - lost) - lost**2
    else:
        spread = x**3 * (2 / 3 - x * (1 / 2 - x * (7 / 30 - x * (1 / 12 - x * 31 / 1260))))
    variance = temperature / friction**2 * spread - along**2
    return along, math.sqrt(max(variance, 0.0)), shake
