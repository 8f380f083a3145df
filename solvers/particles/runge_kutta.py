"""The default for noiseless particles: Dormand & Prince's pair of orders 5 and 4."""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.method import register
from wflow.solvers.particles.parts.weighted_pair import WeightedPair
from wflow.solvers.tableau import DORMAND_PRINCE


@register
@dataclass(frozen=True)
class RungeKutta(WeightedPair):
    """Dormand–Prince 5(4)."""

    name = "runge-kutta"
    order = 5
    error_order = 5

    abscissae, stages, estimate = DORMAND_PRINCE
