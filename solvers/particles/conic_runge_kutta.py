"""The conic flow by an adaptive Runge–Kutta pair: what ``conic`` solves, to a tolerance.

Masses go with the logarithm, as weights do everywhere, and without the mean; see :mod:`wflow.solvers.particles.conic`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.solvers.method import Tolerance, register
from wflow.solvers.particles.parts.cone import Cone
from wflow.solvers.particles.parts.embedded_pair import EmbeddedPair
from wflow.solvers.particles.runge_kutta import RungeKutta


@register
@dataclass(frozen=True)
class ConicRungeKutta(EmbeddedPair[Particles]):
    """Dormand–Prince 5(4) on the cone, with the options of ``conic`` that say what is solved."""

    penalty: float = 0.0
    balanced: bool = False
    sphere: bool = False

    name = "conic-runge-kutta"
    order, error_order = RungeKutta.order, RungeKutta.error_order
    abscissae, stages, estimate = RungeKutta.abscissae, RungeKutta.stages, RungeKutta.estimate
    preserves = frozenset({"positive"})

    def prepare(
        self, flow: GradientFlow, measure: Particles, tolerance: Tolerance, seed: int
    ) -> Cone:
        return Cone(self.name, flow, measure, tolerance, self.penalty, self.balanced, self.sphere)
