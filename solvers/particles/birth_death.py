r"""Particles that are born and die: birth–death by a population of n, with transport and noise in between.

.. math:: \partial_t\rho = \xi\bigl[\nabla\cdot(\rho\nabla\Phi) - \alpha(\Phi - \bar\Phi)\rho\bigr], \qquad
          \Phi = \Psi_\lambda + \tau\log\rho

A step moves the particles, by :math:`-\xi h\nabla\Psi_\lambda` and noise √(2ξτh), and then makes copies of some in the
place of others (:mod:`wflow.solvers.particles.parts.population` has the rules). With Ψ of the start of the step it is
of order 1 in law as n → ∞. With ``midpoint`` positions move half a step and weights go with them,

.. math:: \theta_{1/2} = \theta + \tfrac h2 v(\theta;\rho) + \sqrt{\xi\tau h}\,g_1, \quad
          w_{1/2} \propto e^{-\alpha\xi\frac h2\Phi}, \qquad
          \theta' = \theta + h v(\theta_{1/2};\rho_{1/2}) + \sqrt{\xi\tau h}\,(g_1 + g_2), \quad
          g_i = -\alpha\xi h\Phi(\theta_{1/2};\rho_{1/2})

which is of order 2, for twice the work. With noise Φ needs log ρ, which particles do not have: ``entropy`` names the
estimator (:mod:`wflow.measures.estimators`), whose bias does not shrink with h. It is asked after the noise, when
clones have parted, and held over the step, where log ρ decays as e^{−ατt}.

With a base law the dead are born anew from it, and clones take their places from all alike:

.. math:: -\alpha(\Phi - \bar\Phi)_+\rho + \alpha\textstyle\int(\Phi - \bar\Phi)_+d\rho\;\rho_b
          + \alpha(\Phi - \bar\Phi)_-\rho - \alpha\int(\Phi - \bar\Phi)_-d\rho\;\rho

of order 1. Published code leaves out the mean (``centred=False``), takes α|Φ|h itself for the probability
(``probability="linear"``), and fills only what clones leave of a deficit (rule ``kill-clone``).
Noise and chance are pure functions of the seed and the step: a run can be cut and resumed anywhere.
Sources: Rotskoff, Jelassi, Bruna & Vanden-Eijnden (2019), algorithm 1; Lu, Lu & Nolen, arXiv:1905.09863, with noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import MISTAKES, InputError, shown
from wflow.flow import BaseLaw, GradientFlow
from wflow.measures import Measure, Particles
from wflow.measures.base import refuse_another_order
from wflow.measures.estimators import ESTIMATORS, log_density
from wflow.measures.resampling import refuse_uneven
from wflow.solvers.method import Arrays, Method, Step, Tolerance, dissipation, register
from wflow.solvers.particles.parts.population import (
    PROBABILITIES,
    Left,
    kill_clone,
    rounding,
    settled,
)
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.step_size import Clock, StepSize
from wflow.tools.arrays import all_finite, as_floats
from wflow.tools.checks import check_flag, check_word, number, positive
from wflow.tools.streams import stream
from wflow.views.particles import ParticleView

RULES = ("rounding", "kill-clone", "kill")
CROWDED = "clones share a place, where log rho is infinite"


class Population(ParticleProblem):
    """n particles of equal weight, of whom nobody is followed from frame to frame, and where they are born anew."""

    def __init__(
        self,
        flow: GradientFlow,
        measure: Particles,
        tolerance: Tolerance,
        seed: int,
        method: BirthDeath,
    ) -> None:
        super().__init__(flow, measure, tolerance, seed, method.entropy)
        refuse_uneven(
            f"method '{method.name}' has particles",
            self.initial["weights"],
            "start from rho0.resampled(seed=0)",
        )
        self.view = ParticleView(measure.names, followed=False)
        self.centred = method.centred
        n, d = self.initial["positions"].shape
        if flow.temperature > 0 < flow.reaction_rate and method.entropy == "kernel" and 1 < n <= d:
            raise InputError(
                f"entropy = 'kernel' with {n} particles of {d} coordinates, whose covariance has no inverse: give more "
                f"than {d}, or entropy = 'nearest-neighbour'"
            )
        self.law = _base_law(method.reinject, flow)
        if self.law is not None and flow.reaction_rate == 0:
            raise InputError(
                "reinject with reaction_rate = 0: nobody dies, to be born anew; give reaction_rate > 0, or leave it out"
            )
        if self.law is not None:
            self.born(1, stream(seed, "births"))

    def level(self, psi: np.ndarray, weights: np.ndarray) -> float:
        return super().level(psi, weights) if self.centred else 0.0

    def rates(
        self, t: float, positions: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """As everywhere, and where volume was integrated out its drift ξτ∇log vol, which noise has there."""
        velocity, growth, risk = super().rates(t, positions, weights)
        flow = self.flow
        if flow.temperature > 0:
            there = self.project(positions)
            velocity += flow.schedule(t) * flow.temperature * flow.energy.reference_drift(there)
        return velocity, growth, risk

    def moved(self, positions: np.ndarray, by: np.ndarray, kick: np.ndarray | float) -> np.ndarray:
        """Positions moved and kicked; walls reflect noise, and hold what moves without."""
        if self.flow.temperature == 0:
            return self.project(positions + by)
        return self.reflect(positions + by + kick)

    def disorder(self, positions: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        """τ(log ρ̂ − log vol) at the particles, (n,), as far as it differs between them."""
        flow = self.flow
        if flow.temperature == 0 or len(weights) == 1 or self.entropy is None:
            return 0.0
        if not np.isfinite(positions).all():
            return np.full(len(weights), math.nan)  # a step that the run will not take
        logs = log_density(positions, weights, self.entropy)
        return np.asarray(flow.temperature * (logs - flow.energy.reference_log_volume(positions)))

    def born(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n positions of the base law, checked."""
        shape = (n, self.initial["positions"].shape[1])
        if self.law is None or n == 0:
            return np.empty((0, shape[1]))
        try:
            given = self.law(n, rng)
        except MISTAKES as e:
            raise InputError(
                f"reinject({n}, rng) failed ({e}): give a function (n, rng) of positions (n, {shape[1]})"
            ) from None
        x = as_floats("reinject's positions", given)
        x = x[:, None] if x.ndim == 1 and shape[1] == 1 else x
        if x.shape != shape:
            raise InputError(
                f"reinject gave positions of shape {x.shape}: {n} of {shape[1]} coordinates need {shape}"
            )
        if (x < self.low).any() or (x > self.high).any():
            raise InputError(
                f"reinject gave a position outside the energy's domain {self.flow.energy.bounds.tolist()}: "
                "choose a base law inside"
            )
        return x


@register
@dataclass(frozen=True)
class BirthDeath(Method[Particles, Population]):
    """Births and deaths in steps of ``step_size``.

    Options
    -------
    rule : "rounding", exact in law for any step; "kill-clone" as published; or "kill", without clones
    midpoint : order 2 for twice the work, with rule "rounding" and no base law; 1 with others
    reinject : the law that the dead are born anew from: a measure, a function (n, rng) of positions (n, D), or True for
        the one that the system has
    until : when births end; transport goes on
    entropy : "nearest-neighbour" or "kernel", the estimator of log ρ where there is noise
    centred : whether rates are held against the mean, as in the equation
    probability : "exponential", or "linear" in the step; of the rules that kill
    """

    step_size: float = 1e-2
    rule: str = "rounding"
    midpoint: bool = False
    reinject: Any = None
    until: float | None = None
    entropy: str = "nearest-neighbour"
    centred: bool = True
    probability: str = "exponential"

    name = "birth-death"
    acts_on = "particles"
    order = 1
    preserves = frozenset({"mass", "positive"})
    reacts = True

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        check_word("rule", self.rule, RULES)
        check_flag("midpoint", self.midpoint)
        check_flag("centred", self.centred)
        check_word("entropy", self.entropy, ESTIMATORS)
        check_word("probability", self.probability, PROBABILITIES)
        if self.until is not None:
            number("until", self.until)
        if self.rule == "rounding" and self.probability != "exponential":
            raise InputError(
                f"probability = '{self.probability}' with rule 'rounding', which tosses no coins: "
                "choose 'kill-clone' or 'kill'"
            )
        if self.midpoint and self.rule == "rounding" and self.reinject in (None, False):
            object.__setattr__(self, "order", 2)

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> Population:
        if flow.temperature > 0 and not self.centred:
            raise InputError(
                f"centred = False with temperature = {flow.temperature:g}: log rho has no level of its own to hold "
                "rates against; leave the mean in"
            )
        return Population(flow, measure, tolerance, seed, self)

    def init(self, problem: Population, t: float, y: Arrays) -> Arrays:
        if self.until is not None and self.until <= t:
            raise InputError(
                f"until = {self.until:g}: the run begins at t = {t:g}, and nobody would be born; give a later time"
            )
        return self._carry(problem, t, y, 0)

    def dissipation(self, problem: Population, t: float, y: Arrays, carry: Arrays) -> float:
        return dissipation(problem, t, y, carry)

    def control(self, problem: Population) -> StepSize:
        return Clock(self.step_size)

    def step(self, problem: Population, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        flow, k = problem.flow, int(carry["step"])
        x, w, velocity, growth = y["positions"], y["weights"], carry["velocity"], carry["growth"]
        ends = self.until is not None and t + 0.5 * h >= self.until
        births = flow.reaction_rate > 0 and not ends
        speed = flow.schedule(t + 0.5 * h if self.midpoint else t)
        first: np.ndarray | float = 0.0
        second: np.ndarray | float = 0.0
        if flow.temperature > 0:
            noise = stream(problem.seed, "noise", k)
            spread = math.sqrt(speed * flow.temperature * h)
            first, second = (spread * noise.standard_normal(x.shape) for _ in range(2))
        rate = flow.reaction_rate * speed
        if self.midpoint:
            middle, v = problem.moved(x, 0.5 * h * velocity, first), w
            if births:
                logs = problem.disorder(middle, w)
                if _crowded(logs):
                    return Step.refused(y, carry, CROWDED)
                half = 0.5 * h * (growth - rate * logs)
                v = problem.reweighted(w, half)
                logs = logs + flow.temperature * half  # log v/w, up to a constant
            velocity, growth, _ = problem.rates(t + 0.5 * h, middle, v)
        new = problem.moved(x, h * velocity, first + second)
        if births:
            if not self.midpoint:
                logs = problem.disorder(new, w)
                if _crowded(logs):
                    return Step.refused(y, carry, CROWDED)
            gain = h * _held(rate * flow.temperature * h, self.midpoint) * (growth - rate * logs)
            if not all_finite(gain):
                return Step(y | {"positions": new}, carry, error=math.nan)
            if flow.temperature > 0:
                gain = gain - gain.mean()
            rng = stream(problem.seed, "births", k + 1)
            if self.probability == "linear" and (largest := float(np.abs(gain).max())) > 1.0:
                return Step.refused(y, carry, f"a linear probability of {largest:.3g}")
            left = self._left(gain, rng, problem.law is not None, new)
            new = settled(new, left, problem.born(left[1], rng))
        after = {"positions": new, "weights": w}
        return Step(after, self._carry(problem, t + h, after, k + 1))

    def _left(self, gain: np.ndarray, rng: np.random.Generator, base: bool, x: np.ndarray) -> Left:
        if self.rule == "rounding":
            order = np.argsort(x[:, 0], kind="stable") if x.shape[1] == 1 else None
            return rounding(gain, rng, base, order)
        return kill_clone(gain, rng, base, self.probability, self.rule == "kill-clone")

    @staticmethod
    def _carry(problem: Population, t: float, y: Arrays, step: int) -> Arrays:
        v, g, risk = problem.rates(t, y["positions"], y["weights"])
        counted = np.array(step, dtype=np.int64)
        return {"velocity": v, "growth": g, "risk": np.array(risk), "step": counted}


def _crowded(logs: np.ndarray | float) -> bool:
    return not isinstance(logs, float) and bool(np.isposinf(logs).any())


def _held(decay: float, midpoint: bool) -> float:
    """∫e^{−ατs}ds/h over the step, during which log ρ decays while Ψ stays; a midpoint has seen it decay."""
    return 1.0 if midpoint or decay == 0 else -math.expm1(-decay) / decay


def _base_law(given: Any, flow: GradientFlow) -> BaseLaw | None:
    """The option ``reinject`` as a function."""
    if given is None or given is False:
        return None
    if given is True:
        if flow.base_law is None:
            raise InputError(
                "reinject = True, and this flow's system has no base law: give a measure, or a function (n, rng)"
            )
        return flow.base_law
    if isinstance(given, Measure):
        if given.dimension != flow.energy.dimension:
            raise InputError(
                f"reinject has {given.dimension} coordinates and the energy {flow.energy.dimension}: give a law of "
                f"{', '.join(flow.energy.coordinates)}"
            )
        refuse_another_order("reinject", given.names, flow.energy.coordinates)
        return lambda n, rng: given.sample(n, int(rng.integers(2**63)))
    if not callable(given):
        raise InputError(
            f"reinject = {shown(given)}: give a measure, a function (n, rng) of positions (n, D), or True"
        )
    return given  # type: ignore[no-any-return]
