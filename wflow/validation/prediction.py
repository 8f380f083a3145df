"""What a report can know beforehand: how networks scatter around the limit and how far their mean is off it.

:mod:`wflow.validation.fluctuations` answers for a flow of particles; here stands what of it holds for the SGD networks
of a system, whose flow may be a reduced one, at what cost, and how far it is off itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.network import NetworkModel
from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.kernels.parallel import one_blas_thread
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import System
from wflow.validation.fluctuations import ATOMS, Fluctuations, fluctuations
from wflow.validation.intervals import student
from wflow.validation.sgd_noise import sgd_noise

BUDGET = 3e11
"""Operations that a prediction may take, and as many for features: some ten seconds each, counted and not timed."""
PER_STEP, STAGES = 24, 18
"""Products of matrices a step, its six stages together, and how often it asks for features."""
LARGE, DRAWN, CELLS, SMALL = 64, 128, 512, 32
"""Particles that stand for the initial law, at most: of a quadrature, drawn, cells of a grid; and at least."""
LAWS = 16
"""Samples of the law, where no quadrature of it is at hand."""
DIM = 1e-5
"""Directions of SGD's noise that a network's own band leaves out."""
APART = 2**40 + 1
"""The seed they are drawn with, and those after it."""
RTOL = 1e-4
"""Of the runs that choose the steps."""
UNSURE, UNSURE_DRAWN, NEGLIGIBLE = 0.25, 0.5, 0.05
"""A prediction is none where its error is more of it (by halves, by Student's t), and more of what it is at first."""
SAMPLES = 2048
"""Samples of an integral that tell SGD's noise."""
FINER = 8
"""Times as many particles tell the mean of an influence under the law."""


@dataclass
class Prediction:
    """Series at some times by name, as ``Report.predicted`` has them, with those of their own error.

    Var R_N is ``risk_variance``/N + ``square_variance``/N²: where the first is small, the square counts.

    ``risk`` (T,) is that of the flow of what stands for the law.

    ``influence`` (T, m) of reduced neurons says what each one's start adds to the risk, with mean 0 over starts; None
    where it is not known. It costs so many operations a neuron.
    """

    t: np.ndarray
    series: dict[str, np.ndarray] = field(default_factory=dict)
    risk: np.ndarray | None = None
    influence: Callable[[np.ndarray], np.ndarray] | None = None
    cost: float = 0.0
    notes: tuple[str, ...] = ()

    def at(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The series at some of the times."""
        where = np.searchsorted(self.t, times)
        return {name: values[where] for name, values in self.series.items()}

    def control(
        self, model: NetworkModel, starts: Sequence[np.ndarray], times: np.ndarray
    ) -> np.ndarray:
        """The first-order effect of networks' starts on their risks, (len(starts), len(times)); 0 if not known."""
        where = np.searchsorted(self.t, times)
        reduced = [model.reduce(neurons) for neurons in starts]
        if self.influence is None or self.cost * sum(map(len, reduced)) > 4 * BUDGET:
            return np.zeros((len(starts), times.size))
        ends = np.cumsum([0] + [len(one) for one in reduced])
        each = self.influence(np.concatenate(reduced))[where]
        each[~np.isfinite(self.series["risk_variance"][where])] = 0.0
        return np.array([each[:, a:b].mean(axis=1) for a, b in pairwise(ends)])


def predict(
    system: System,
    flow: GradientFlow,
    model: NetworkModel,
    times: np.ndarray,
    steps: int,
    batch_size: int | None = None,
) -> Prediction:
    """Predict what networks of a system add to the limit of its flow, solved in so many steps.

    With a batch size SGD's steps count too, where the flow is one of whole neurons.

    Where it cannot be known, the notes say why: noise, an energy without nodes, or a law too large for the budget.
    """
    nothing = Prediction(times)
    reduced = is_reduced(model)
    sampled = system.random_particles and "grid" not in system.measures
    try:
        energy = flow.energy.on_nodes()
        laws, slopes = LAWS if sampled else 1, energy.dimension * energy.features.n_nodes
        steps = max(steps, 1)
        # A step takes n changes of the law, ATOMS at most, by n particles.
        pairs = BUDGET / (PER_STEP * slopes * steps * laws)
        cost = STAGES * steps * slopes * energy.features.work
        n = int(min(max(pairs**0.5, pairs / ATOMS), BUDGET / (cost * laws)))
        if n < SMALL:
            nothing.notes = (
                f"scatter and bias are not predicted: {energy.features.n_nodes} nodes and {energy.dimension} "
                "coordinates take too long here; call wflow.validation.fluctuations",
            )
            return nothing
        most = LARGE if not system.random_particles else DRAWN if sampled else CELLS
        n = min(most, n)
        sizes = [n] * LAWS if sampled else [n, n // 2]
        stand_ins = [law(system, model, size, APART + k) for k, size in enumerate(sizes)]
        with one_blas_thread():
            answers = [fluctuations(flow, one, times, rtol=RTOL) for one in stand_ins]
            found = Prediction(times, cost=cost)
            found.risk = (
                np.mean([one.risk for one in answers], axis=0) if sampled else answers[0].risk
            )
            found.series, found.notes = _series(answers, reduced, sampled)
            if not sampled:
                found.influence = _centred(answers[0], law(system, model, FINER * n, APART))
            if batch_size is not None and not reduced:
                drawn = samples_of(system, model)
                found.series |= _steps(flow, stand_ins[0], times, batch_size, drawn)
        found.notes += lost(times, found.series)
    except (InputError, ComputationError) as e:
        nothing.notes = (f"scatter and bias are not predicted: {e}",)
        return nothing
    return found


def of_law(
    flow: GradientFlow, start: Measure, times: np.ndarray, batch_size: int | None
) -> Prediction:
    """Predict what N neurons drawn from a law add to its flow, and SGD with batches of its nodes, if asked for."""
    with one_blas_thread():
        answer = fluctuations(flow, start, times)
        series = answer.series
        if batch_size is not None:
            series |= _steps(flow, start, times, batch_size)
    return Prediction(times, series, answer.risk)


def of_network(
    flow: GradientFlow,
    start: Measure,
    times: np.ndarray,
    batch_size: int,
    samples: Energy | None = None,
) -> Prediction:
    """Predict what SGD adds to the flow of a network's own neurons, whose start is no chance any more."""
    with one_blas_thread():
        found = sgd_noise(
            flow,
            start,
            times,
            batch_size=batch_size,
            rtol=RTOL,
            samples=samples,
            negligible=DIM,
        )
    nothing = np.zeros(times.size)
    return Prediction(times, {"risk_variance": nothing, "bias": nothing} | found.series, found.risk)


def is_reduced(model: NetworkModel) -> bool:
    """Whether the flow is one of less than whole neurons."""
    start = model.start(2, 0)
    whole = model.reduce(start)
    return whole.shape != start.shape or not np.array_equal(whole, start)


def samples_of(system: System, model: NetworkModel) -> Energy | None:
    """What SGD draws: the nodes of the energy (None), or samples of an integral."""
    return None if hasattr(model, "n_samples") else system.sampled(SAMPLES)


def law(system: System, model: NetworkModel, n: int, seed: int) -> Particles:
    """The initial law of reduced neurons as about n particles: a quadrature of it, or else a sample."""
    if not system.random_particles:
        start = system.initial("particles", n)
        return Particles(start.points(), start.weights())
    if "grid" not in system.measures:
        return Particles(model.reduce(model.start(n, seed)))
    dimension = system.energy().dimension
    cells = system.initial("grid", max(2, round((2 * n) ** (1 / dimension))))
    held = cells.weights() > 0
    return Particles(cells.points()[held], cells.weights()[held])


def _series(
    answers: Sequence[Fluctuations], reduced: bool, sampled: bool
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Variances and bias of networks in full space, as far as they are known."""
    found = {"risk_variance": [one.risk_variance for one in answers]}
    notes: tuple[str, ...] = ()
    try:
        about = [one.directions for one in answers] if reduced else answers
    except InputError as e:
        notes = (f"the mean and |f_N - f| are not predicted: {e}",)
    else:
        for name in ("output_variance", "bias", "square_variance"):
            found[name] = [getattr(one, name) for one in about]
    return with_errors(found, sampled), notes


def lost(times: np.ndarray, series: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Where predictions end, a note each."""
    why = {
        "the mean": ("bias", ", or neurons have come to |w| = 0"),
        "|f_N - f|": ("output_variance", ", or neurons have come to |w| = 0"),
        "the scatter of R_N": ("risk_variance", ""),
    }
    found = []
    for what, (name, other) in why.items():
        gone = ~np.isfinite(series.get(name, np.zeros(times.size)))
        if gone.any():
            found.append(
                f"{what} is not predicted from t = {times[gone.argmax()]:g} on: what stands for the law is too coarse "
                f"there{other}"
            )
    return tuple(found)


def with_errors(found: dict[str, list[np.ndarray]], sampled: bool) -> dict[str, np.ndarray]:
    """Series with their errors: by half a quadrature, or by Student's t over samples of the law; NaN if too large."""
    series = {}
    for name, values in found.items():
        each = np.array(values)
        value = each.mean(axis=0) if sampled else each[0]
        if sampled:
            error = student(len(each) - 1) * each.std(axis=0, ddof=1) / np.sqrt(len(each))
        else:
            error = np.abs(each[0] - each[-1])
        share = UNSURE_DRAWN if sampled else UNSURE
        gone = error > np.maximum(share * np.abs(value), NEGLIGIBLE * np.abs(value[0]))
        series[name] = np.where(gone, np.nan, value)
        series[f"{name}_error"] = np.where(gone, np.nan, error)
    return series


def _steps(
    flow: GradientFlow,
    law: Measure,
    times: np.ndarray,
    batch_size: int,
    samples: Energy | None = None,
) -> dict[str, np.ndarray]:
    """What SGD's steps add: to the mean per ε, to the risk's variance per ε/P."""
    answer = sgd_noise(flow, law, times, batch_size=batch_size, rtol=RTOL, samples=samples)
    return answer.series


def _centred(answer: Fluctuations, finer: Particles) -> Callable[[np.ndarray], np.ndarray]:
    """The influence on the risk less its mean under the law, which a finer quadrature tells."""
    mean = answer.risk_influence(finer.points()) @ finer.weights()

    def influence(points: np.ndarray) -> np.ndarray:
        return np.asarray(answer.risk_influence(points) - mean[:, None])

    return influence
