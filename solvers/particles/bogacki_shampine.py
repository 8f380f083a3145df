"""Noiseless particles by Bogacki & Shampine's pair of orders 3 and 2: half the work a step, for loose tolerances.

Source: Bogacki & Shampine, Appl. Math. Lett. 2 (1989) 321.
"""

from __future__ import annotations

from dataclasses import dataclass

from wflow.solvers.method import register
from wflow.solvers.particles.parts.weighted_pair import WeightedPair


@register
@dataclass(frozen=True)
class BogackiShampine(WeightedPair):
    """Bogacki–Shampine 3(2)."""

    name = "bogacki-shampine"
    order = 3
    error_order = 3

    abscissae = (1 / 2, 3 / 4, 1)
    stages = ((1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9))
    estimate = (-5 / 72, 1 / 12, 1 / 9, -1 / 8)
