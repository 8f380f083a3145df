"""What a report can know beforehand: how networks scatter around the limit and how far their mean is off it.

:mod:`wflow.validation.fluctuations` answers for a flow of particles; here stands what of it holds for the SGD networks
of a system, whose flow may be a reduced one, at what cost, and how far it is off itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from wflow.energies.network import NetworkModel, Rotations
from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.kernels.parallel import one_blas_thread
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import System
from wflow.validation.fluctuations import fluctuations
from wflow.validation.rotations import rotational

BUDGET = 3e11
"""Operations that a prediction may take, some ten seconds."""
RADII = (48, 32, 24)
"""Radii that stand for the law of |w|, and fewer of them to tell the error."""
PER_STEP = 24
"""Products of matrices a step, its six stages together."""
PATIENCE, STAGES, FEW = 10.0, 18, 32
"""Seconds that features may take, how often a step asks for them, and at how many points that is tried."""
MANY, APART = 20_000, 2**40
"""Neurons that tell the mean of an influence, at most, and the seed they are drawn with."""
LARGE, SMALL = 128, 48
"""Particles that stand for the initial law, at most and at least."""


@dataclass
class Prediction:
    """Series at some times by name, as ``Report.predicted`` has them, with those of their own error.

    Var R_N is ``risk_variance``/N + ``square_variance``/N²: where the first is small, the square counts.

    ``influence`` (T, m) of reduced neurons says what each one's start adds to the risk; None where it is not known. It
    costs so many seconds a neuron.
    """

    t: np.ndarray
    series: dict[str, np.ndarray] = field(default_factory=dict)
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
        """The first-order effect of networks' starts on their risks, (len(starts), len(times)); 0 if not known.

        The influence has mean 0 under the particles that it was computed with. Where these are a sample of the law, its
        mean under the law itself, seen from many starts, is taken off.
        """
        where = np.searchsorted(self.t, times)
        reduced = [model.reduce(neurons) for neurons in starts]
        if self.influence is None or 11 * self.cost * sum(map(len, reduced)) > PATIENCE:
            return np.zeros((len(starts), times.size))
        ends = np.cumsum([0] + [len(one) for one in reduced])
        each = self.influence(np.concatenate(reduced))[where]
        # Ten times as many as are controlled: their own chance is a third of the networks'.
        many = min(MANY, 10 * int(ends[-1]))
        other = self.influence(model.reduce(model.start(many, APART)))[where]
        mean, error = other.mean(axis=1), other.std(axis=1) / np.sqrt(many)
        each -= np.where(np.abs(mean) > 3 * error, mean, 0.0)[:, None]
        return np.array([each[:, a:b].mean(axis=1) for a, b in pairwise(ends)])


def predict(
    system: System, flow: GradientFlow, model: NetworkModel, times: np.ndarray, steps: int
) -> Prediction:
    """Predict what networks of a system add to the limit of its flow, solved in so many steps.

    Where it cannot be known, the notes say why: noise, an energy without nodes, or a law too large for the budget.
    """
    nothing = Prediction(times)
    start = model.start(2, 0)
    whole = model.reduce(start)
    reduced = whole.shape != start.shape or not np.array_equal(whole, start)
    try:
        flow = _on_nodes(system, flow)
        energy = flow.energy.on_nodes()
        d, q = flow.energy.dimension, energy.features.n_nodes
        point = seconds_a_point(flow, whole)
        steps = max(steps, 1)
        n = min(
            LARGE,
            int(np.sqrt(BUDGET / (PER_STEP * d * q * steps))),
            int(PATIENCE / max(STAGES * steps * point, 1e-9)),
        )
        if n < SMALL:
            nothing.notes = (
                f"scatter and bias are not predicted: {q} nodes and {d} coordinates take too long here; "
                "call wflow.validation.fluctuations",
            )
            return nothing
        with one_blas_thread():
            fine, coarse = (fluctuations(flow, law(system, flow, k), times) for k in (n, n // 2))
    except (InputError, ComputationError) as e:
        nothing.notes = (f"scatter and bias are not predicted: {e}",)
        return nothing
    rotations = getattr(model, "rotations", None)
    names = ["risk_variance", *([] if reduced else ["output_variance", "bias"])]
    found = Prediction(times, influence=fine.risk_influence, cost=STAGES * steps * point)
    for name in names:
        value, other = np.asarray(getattr(fine, name)), np.asarray(getattr(coarse, name))
        found.series[name], found.series[f"{name}_error"] = value, np.abs(value - other)
    if not reduced:
        found.series["square_variance"] = np.array(
            [_square_variance(fine.covariance(k), energy.weights) for k in range(times.size)]
        )
    if rotations is not None:
        try:
            found.series |= _turned(system, flow, rotations, times)
        except ComputationError as e:
            found.notes = (f"the mean and |f_N - f| are not predicted: {e}",)
    elif reduced:
        found.notes = (
            "the limit is one of reduced neurons: what directions add to the mean and to |f_N - f| is not predicted",
        )
    return found


def seconds_a_point(flow: GradientFlow, points: np.ndarray) -> float:
    """What the features at one point and their slopes cost, as measured."""
    energy = flow.energy.on_nodes()
    seconds = []
    for count in (2, FEW, FEW):  # the first one may compile
        at = np.repeat(points, count // 2, axis=0)
        began = time.process_time()
        energy.features.jacobian(at)
        seconds.append(time.process_time() - began)
    return min(seconds[1:]) / FEW


def _square_variance(covariance: np.ndarray, weights: np.ndarray) -> float:
    """N²·Var Σ p_q (f_N − f)²_q of a Gaussian f_N − f."""
    p = np.resize(weights, covariance.shape[0])
    return float(2.0 * (p[:, None] * p * covariance**2).sum())


def _on_nodes(system: System, flow: GradientFlow) -> GradientFlow:
    """The flow, with features at nodes where the system has them beside closed kernels."""
    try:
        flow.energy.on_nodes()
    except InputError:
        if "evaluator" not in system.values:
            raise
        twin = type(system)(**(system.values | {"evaluator": "features"}))
        return GradientFlow(
            twin.energy(),
            temperature=flow.temperature,
            ridge=flow.ridge,
            ridge_on=system.ridge_on,
            frozen=system.frozen(),
            schedule=flow.schedule,
        )
    return flow


def _turned(
    system: System, flow: GradientFlow, rotations: Rotations, times: np.ndarray
) -> dict[str, np.ndarray]:
    """Bias and variance in output where the limit is one of radii, with the largest change on fewer of them."""
    answers = [
        rotational(
            rotations,
            system.initial("particles", m).points()[:, 0],
            flow.schedule,
            times,
            flow.ridge,
        )
        for m in sorted(RADII)
    ][::-1]
    found = {}
    for k, name in enumerate(("bias", "output_variance", "square_variance")):
        found[name] = answers[0][k]
        found[f"{name}_error"] = np.max([np.abs(a[k] - answers[0][k]) for a in answers[1:]], axis=0)
    return found


def law(system: System, flow: GradientFlow, n: int) -> Measure:
    """The initial law as n particles in the space of a flow."""
    if "particles" in system.measures:
        return system.initial("particles", n)
    grid = system.initial("grid")
    return Particles(grid.sample(n, 0), names=flow.energy.coordinates)
