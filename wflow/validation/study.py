"""The study behind the rates: many small networks up to a short horizon, apart from the published run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.systems.catalogue import System
from wflow.validation.rates import Rates
from wflow.validation.reference import Reference, output_scatter
from wflow.validation.training import Job, trained

FEWEST = 4
"""Widths through which a power is fitted."""
STEPS = 100_000
"""SGD steps a network, at most, unless a shorter step is asked for."""
EARLY = 0.1
"""The horizon as a share of the run."""
TIMES = 4
"""Times that are looked at, at most."""
APART = 10_000
"""Seeds of one width lie so far from those of the next."""


@dataclass(frozen=True)
class Plan:
    """What a study trains: ``seeds`` networks a width at step size ``steps[0]``, then others at all of ``steps``.

    The others are of the last width, all from one start: what sets them apart is the noise of SGD.
    """

    system: System
    widths: tuple[int, ...]
    seeds: int
    times: tuple[float, ...]
    steps: tuple[float, ...]
    batch_size: int
    flow: dict[str, Any] = field(default_factory=dict)

    @property
    def noise_seeds(self) -> int:
        """An even number, for pairs."""
        return 2 * max(1, min(self.seeds // 4, 6))

    def jobs(self) -> list[Job]:
        """All networks of the study; their place is ("width", i, seed) or ("step", j, seed)."""
        return [
            self._job(("width", i, s), n, self.steps[0], APART * (i + 1) + s, None)
            for i, n in enumerate(self.widths)
            for s in range(self.seeds)
        ] + [
            self._job(("step", j, s), self.widths[-1], e, APART * (50 + j) + s, 0)
            for j, e in enumerate(self.steps)
            for s in range(self.noise_seeds)
        ]

    def _job(
        self, place: tuple[Any, ...], n: int, step: float, seed: int, start: int | None
    ) -> Job:
        count = math.ceil(self.times[-1] / step - 1e-9)
        return Job(
            place, self.system, n, step, count, self.times, seed, self.batch_size, start, self.flow
        )


def default_widths(largest: int) -> tuple[int, ...]:
    """Four widths by factors of 2 up to half of the largest network, or as near to it as whole numbers allow.

    >>> default_widths(800), default_widths(4)
    ((50, 100, 200, 400), (2, 4, 8, 16))
    """
    least = max(2, largest // 16)
    return tuple(least * 2**k for k in range(FEWEST))


def default_steps(horizon: float, step: float) -> tuple[float, ...]:
    """Step sizes by factors of 2, the study's own first: no more than STEPS steps, and shorter ones where cheap.

    >>> default_steps(1.0, 1e-6), default_steps(1.0, 1e-2)
    ((1e-05, 2e-05, 4e-05), (0.01, 0.005, 0.0025))
    """
    own = max(step, horizon / STEPS)
    factor = 2.0 if horizon / own > STEPS / 10 else 0.5
    return own, own * factor, own * factor**2


def default_horizon(times: np.ndarray) -> float:
    """The saved time nearest to EARLY of the last one.

    >>> default_horizon(np.array([0.0, 0.3, 1.0, 10.0]))
    1.0
    """
    after = times[times > times[0]]
    return float(after[np.argmin(np.abs(after - EARLY * times[-1]))])


def times_up_to(horizon: float, times: np.ndarray) -> tuple[float, ...]:
    """A few saved times after the start, evenly picked, and the horizon."""
    before = times[(times > times[0]) & (times < horizon * (1 - 1e-9))]
    if before.size > TIMES - 1:
        before = before[np.linspace(0, before.size - 1, TIMES - 1).round().astype(int)]
    return (*before.tolist(), horizon)


def check_widths(widths: Sequence[int]) -> None:
    """Refuse fewer widths than a power can be fitted through."""
    if len(widths) < FEWEST:
        raise InputError(
            f"widths {list(widths)}: a rate is fitted through {FEWEST} or more; give four, or leave the rates out"
        )


def study(
    plan: Plan,
    reference: Reference,
    limit_error: np.ndarray,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Rates:
    """Train the networks of a plan and measure them against the limit at the plan's times."""
    w, s, e, again = len(plan.widths), plan.seeds, len(plan.steps), plan.noise_seeds
    times = len(plan.times)
    measured: dict[str, np.ndarray] = {
        name: np.full((w, s, times), np.nan)
        for name in ("risk", "output", "transport", "lipschitz")
    }
    noise_risk = np.full((e, again, times), np.nan)
    laws: dict[int, np.ndarray] = {}
    excess = [np.nan] * times
    with contextlib.closing(trained(plan.jobs(), executor, workers, progress)) as networks:
        for network in networks:
            kind, i, seed = network.job.place
            if kind == "step":
                noise_risk[i, seed] = network.risk
                held = laws.setdefault(i, np.empty((again, *network.neurons.shape)))
                held[seed] = network.neurons
                continue
            if (i, seed) == (w - 1, 0):
                excess = [reference.excess(k, full) for k, full in enumerate(network.neurons)]
            measured["risk"][i, seed] = network.risk
            for k, full in enumerate(network.neurons):
                neurons = reference.model.reduce(full)
                measured["output"][i, seed, k] = reference.output(k, neurons, network.risk[k])
                measured["transport"][i, seed, k] = reference.transport(k, neurons)
                measured["lipschitz"][i, seed, k] = reference.lipschitz(k, neurons)
    noise_output = np.array(
        [
            [output_scatter(reference.network_energy, laws[i][:, k]) for k in range(times)]
            for i in range(e)
        ]
    ).transpose(0, 2, 1)
    return Rates(
        t=np.array(plan.times),
        widths=np.array(plan.widths),
        steps=np.array(plan.steps),
        control=np.zeros((w, s, times)),
        limit=reference.risk,
        limit_error=limit_error,
        excess=np.array(excess),
        noise_risk=noise_risk,
        noise_output=noise_output,
        batch_size=plan.batch_size,
        risk=measured["risk"],
        output=measured["output"],
        transport=measured["transport"],
        lipschitz=measured["lipschitz"],
    )
