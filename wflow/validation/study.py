"""The study behind the rates: many small networks up to a short horizon, apart from the published run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.measures import Particles
from wflow.solvers.step_size import steps_to
from wflow.systems.catalogue import System
from wflow.validation.prediction import RTOL, Prediction, is_reduced, samples_of
from wflow.validation.rates import Rates
from wflow.validation.reference import Pooled, Reference, output_scatter
from wflow.validation.sgd_noise import sgd_noise
from wflow.validation.training import Job, trained

FEWEST = 4
"""Widths through which a power is fitted."""
LEAST = 16
"""Neurons of the smallest networks, unless others are asked for."""
STEPS = 100_000
"""SGD steps a network, at most, unless a shorter step is asked for."""
EARLY = 0.1
"""The horizon as a share of the run."""
TIMES = 4
"""Times that are looked at, at most."""
ALONE = 100
"""Neurons, at most, that tell the variance of a single one."""
SLOPES = 10**8
"""Products of matrices whose noise is followed, in operations."""
PAIRS, MANY_PAIRS = 5, 48
"""Pairs of networks of one start: at least, and at most."""
APART = 10_000
"""Seeds of one width lie so far from those of the next."""


@dataclass(frozen=True)
class Plan:
    """What a study trains: ``seeds`` networks a width at step size ``steps[0]``, then others at all of ``steps``.

    The others are of the first and of the last width, all of one width from one start: what sets them apart is the
    noise of SGD, and what the step size does to their mean.
    """

    system: System
    widths: tuple[int, ...]
    seeds: int
    times: tuple[float, ...]
    steps: tuple[float, ...]
    batch_size: int
    flow: dict[str, Any] = field(default_factory=dict)

    @property
    def noise_pairs(self) -> tuple[int, int]:
        """Pairs of networks of one start, of the first and of the last width.

        The first tell what noise does, so they are many, half as many where shorter steps take long; the last tell only
        what wide networks have less of it.
        """
        few = max(PAIRS, min(self.seeds // 4, PAIRS + 1))
        many = 3 * self.seeds // (2 if self.steps[1] > self.steps[0] else 4)
        return max(PAIRS, min(many, MANY_PAIRS)), few

    def jobs(self) -> list[Job]:
        """All networks of the study; their place is ("width", i, seed) or ("step", 0 or 1, j, seed)."""
        return [
            self._job(("width", i, s), n, self.steps[0], seed_of(i, s), None)
            for i, n in enumerate(self.widths)
            for s in range(self.seeds)
        ] + [
            self._job(
                ("step", i, j, s), n, e, seed_of(len(self.widths) + j + i * len(self.steps), s), 0
            )
            for i, n in enumerate((self.widths[0], self.widths[-1]))
            for j, e in enumerate(self.steps)
            for s in range(2 * self.noise_pairs[i])
        ]

    def _job(
        self, place: tuple[Any, ...], n: int, step: float, seed: int, start: int | None
    ) -> Job:
        count = steps_to(self.times[-1], step)
        return Job(
            place, self.system, n, step, count, self.times, seed, self.batch_size, start, self.flow
        )


def seed_of(which: int, s: int) -> int:
    """Seeds of their own for every width, and every step size after them."""
    return APART * (which + 1) + s


def default_widths(largest: int) -> tuple[int, ...]:
    """Four widths by factors of 2 up to half of the largest network, or from the least that shows an asymptotic power.

    >>> default_widths(800), default_widths(4)
    ((50, 100, 200, 400), (16, 32, 64, 128))
    """
    least = max(LEAST, largest // 16)
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
    prediction: Prediction,
    *,
    sampled: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Rates:
    """Train the networks of a plan and measure them against the limit at the plan's times.

    Where the limit itself is a ``sampled`` one, the outputs and laws of networks are held against what all networks of
    their width make together: a sample of the limit is off as a network of its size is.
    """
    w, seeds, e, pairs = len(plan.widths), plan.seeds, len(plan.steps), plan.noise_pairs
    again = 2 * max(pairs)
    times, model = len(plan.times), reference.model
    risk, noise_risk = np.full((w, seeds, times), np.nan), np.full((2, e, again, times), np.nan)
    measured = {name: risk.copy() for name in ("output", "transport", "lipschitz")}
    laws: dict[tuple[int, int], np.ndarray] = {}
    reduced: dict[int, np.ndarray] = {}
    whole, excess = np.empty((0, 0, 0)), [np.nan] * times
    with contextlib.closing(
        trained(plan.jobs(), executor, workers, progress, ", the study of rates")
    ) as networks:
        for network in networks:
            kind, i, *rest = network.job.place
            if kind == "step":
                j, seed = rest
                noise_risk[i, j, seed] = network.risk
                held = laws.setdefault((i, j), np.empty((2 * pairs[i], *network.neurons.shape)))
                held[seed] = network.neurons
                continue
            (seed,) = rest
            if (i, seed) == (w - 1, 0):
                whole = network.neurons[:, :ALONE]
            risk[i, seed] = network.risk
            neurons = np.array([model.reduce(full) for full in network.neurons])
            reduced.setdefault(i, np.empty((seeds, *neurons.shape)))[seed] = neurons
    for i, held in reduced.items():
        against = Pooled(held, reference) if sampled else reference
        for seed, k in np.ndindex(seeds, times):
            neurons = held[seed, k]
            measured["output"][i, seed, k] = against.output(k, neurons, risk[i, seed, k])
            measured["transport"][i, seed, k] = against.transport(k, neurons)
            measured["lipschitz"][i, seed, k] = against.lipschitz(k, neurons)
        if i == w - 1:
            excess = [against.excess(k, full) for k, full in enumerate(whole)]
    if sampled:
        measured["output"] *= seeds / (seeds - 1)
    at = np.array(plan.times)
    of_one_start, notes = of_samples(plan)
    starts = [
        model.start(n, seed_of(i, s)) for i, n in enumerate(plan.widths) for s in range(seeds)
    ]
    noise_output = np.full((2, e, again // 2, times), np.nan)
    for (i, j), held in laws.items():
        for k in range(times):
            noise_output[i, j, : pairs[i], k] = output_scatter(reference.network_energy, held[:, k])
    return Rates(
        t=at,
        widths=np.array(plan.widths),
        steps=np.array(plan.steps),
        control=prediction.control(model, starts, at).reshape(w, seeds, times),
        limit=reference.risk,
        limit_error=limit_error,
        excess=np.array(excess),
        noise_risk=noise_risk,
        noise_output=noise_output,
        batch_size=plan.batch_size,
        predicted=prediction.at(at) | of_one_start,
        notes=notes,
        risk=risk,
        **measured,
    )


def of_samples(plan: Plan) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """What SGD's noise is predicted to do to the very networks of one start, or a note why that is not known."""
    system, n = plan.system, plan.widths[0]
    model, flow = system.network(), system.flow(**plan.flow)
    start = model.start(n, 0)
    try:
        samples = samples_of(system, model)
        nodes = (samples or flow.energy).on_nodes().features.n_nodes
        if is_reduced(model):
            return {}, _unknown("their flow is not one of whole neurons")
        if nodes * start.size * min(nodes, start.size) > SLOPES:
            return {}, _unknown(
                f"{nodes} samples and {start.size} parameters take too long here; call wflow.validation.sgd_noise"
            )
        law = Particles(start, names=flow.energy.coordinates)
        found = sgd_noise(
            flow, law, plan.times, batch_size=plan.batch_size, rtol=RTOL, samples=samples
        )
    except (InputError, ComputationError) as e:
        return {}, _unknown(str(e))
    return {"sample_output_variance": found.output_variance}, ()


def _unknown(why: str) -> tuple[str, ...]:
    return (f"the scatter over samples of networks of one start is not predicted: {why}",)
