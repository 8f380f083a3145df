r"""How long the next step is.

For an error estimate that shrinks like h^q, the step after an accepted one is

.. math:: h_{n+1} = h_n\,\mathrm{clip}\bigl(0.9\,e_n^{-0.7/q}\,e_{n-1}^{0.4/q},\ 0.2,\ 5\bigr)

(a PI controller: the second factor damps the saw-tooth of a stability-limited step), and after a rejected one the
plain :math:`0.9\,e^{-1/q}`. Source: Hairer & Wanner, Solving ODEs II, IV.2, with k_I + k_P = 0.7, k_P = 0.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


@dataclass
class StepController:
    """The step size and what it remembers; two numbers, so that a checkpoint holds it whole."""

    order: int
    h: float
    previous_error: float = 1.0
    max_step: float = math.inf

    def accept(self, error: float, limit: float) -> None:
        """Set the next step after an accepted one."""
        if self.order > 0:
            e = max(error, 1e-10)
            factor = SAFETY * e ** (-0.7 / self.order) * self.previous_error ** (0.4 / self.order)
            self.previous_error = e
        else:
            factor = GROW
        self.h = min(self.h * min(GROW, max(SHRINK, factor)), limit, self.max_step)

    def reject(self, error: float) -> None:
        """Shrink after a step whose error was above the tolerance, or not a number."""
        if not math.isfinite(error):
            self.h *= 0.25
            return
        self.h *= max(0.1, min(0.9, SAFETY * error ** (-1.0 / max(self.order, 1))))

    def refuse(self, limit: float) -> None:
        """Take the limit a method named when it refused the step."""
        self.h = min(0.9 * self.h, limit) if math.isfinite(limit) else 0.5 * self.h
