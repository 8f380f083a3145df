"""The default for noiseless particles: Dormand & Prince's pair of orders 5 and 4.

Source: Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19, table 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.method import register
from wflow.solvers.particles.parts.weighted_pair import WeightedPair


@register
@dataclass(frozen=True)
class RungeKutta(WeightedPair):
    """Dormand–Prince 5(4)."""

    name = "runge-kutta"
    order = 5
    error_order = 5

    abscissae = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
    stages = (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    )
    estimate = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
