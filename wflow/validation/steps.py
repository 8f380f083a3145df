r"""What the step size adds to the mean risk of networks, told by others that take longer steps.

.. math:: E R_\varepsilon(t) = R_0(t) + \varepsilon\,b(t) + O(\varepsilon^2), \qquad
          b \approx \frac{E[R_{2e} - R_e]}{e}

with e the step size itself, or the shortest of :data:`STEPS` steps. Both have the same start, and samples of their own.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import ComputationError
from wflow.solvers.step_size import Clock, steps_to
from wflow.systems.catalogue import System
from wflow.validation.intervals import student
from wflow.validation.training import Job, trained

STEPS = 100_000
"""Steps to the end, at most."""
SEEDS = 8
STEEP = 0.25
"""How far b may be off because the second order counts, relatively."""
APART = 2**32
"""The first of their seeds."""


@dataclass(frozen=True)
class StepEffect:
    """b (neurons, T) and its standard error over seeds."""

    value: np.ndarray
    error: np.ndarray

    def of(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """εb and how far it is open: by chance, and by what is not linear in ε."""
        open_for = student(SEEDS - 1) * self.error + STEEP * np.abs(self.value)
        return step * self.value, step * open_for


def step_effect(
    system: System,
    sizes: Sequence[int],
    step: float,
    times: np.ndarray,
    batch_size: int,
    flow: dict[str, Any],
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> tuple[StepEffect | None, str]:
    """Train SEEDS networks of each size at e and 2e: b, or None and why it is not known."""
    end = float(times[-1])
    base = max(step, end / STEPS)
    steps = (base, 2 * base)
    if Clock(steps[1]).times(times, (0.0, end)).size < times.size:
        return None, f"saved times are too close for networks of step size {steps[1]:g}"
    jobs = [
        Job(
            (i, j, s),
            system,
            n,
            e,
            steps_to(end, e),
            tuple(times),
            APART + 2 * s + j,
            batch_size,
            APART + s,
            flow,
        )
        for i, n in enumerate(sizes)
        for j, e in enumerate(steps)
        for s in range(SEEDS)
    ]
    risk = np.empty((len(sizes), 2, SEEDS, times.size))
    try:
        with contextlib.closing(
            trained(jobs, executor, workers, progress, ", what the step size adds")
        ) as networks:
            for network in networks:
                risk[network.job.place] = network.risk
    except ComputationError as e:
        return None, f"networks of longer steps fail: {e}"
    each = (risk[:, 1] - risk[:, 0]) / base
    return StepEffect(each.mean(axis=1), each.std(axis=1, ddof=1) / math.sqrt(SEEDS)), ""
