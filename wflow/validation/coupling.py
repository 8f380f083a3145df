r"""How the distance of multilayer networks from their limit goes with their width, with SGD's step size, and with time.

.. math:: \sup_{t\le T}\,\|\mathbf w(t) - w(t, c)\| = O\Bigl(\frac1{\sqrt{N_{\min}}} + \sqrt\varepsilon\Bigr)

up to logarithms, neuron by neuron: in the root mean square over a layer, and for the largest of all differences, which
of N² normal numbers is :math:`\sqrt{\log N}` times as large.
Source: Nguyen & Pham, arXiv:2001.11443, theorem 10.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.layers import Ensemble, Flow
from wflow.multilayer.coupling import coupled, differences
from wflow.multilayer.iid import iid_network
from wflow.multilayer.train import sgd
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.solvers.step_size import steps_to
from wflow.tools.checks import check_count, check_kind, check_list, positive
from wflow.validation.exponents import slope
from wflow.validation.side_by_side import side_by_side
from wflow.validation.trend import (
    Curve,
    Trend,
    check_axis,
    check_steps,
    check_training,
    exponent,
    exponent_verdict,
    mean_curve,
    resampled,
)
from wflow.validation.verdicts import Verdict

WIDTH = 0.07
"""How far the power of N may lie from −½."""
STEP = 0.05
"""How far the power of ε may lie below ½."""
SPREAD = float | Sequence[float] | None


@dataclass(frozen=True)
class Apart:
    """Of one network, up to each time (T,): sup over layers and times before of the r.m.s. and of the largest
    difference, and the gap of the risk at that time."""

    rms: np.ndarray
    largest: np.ndarray
    gap: np.ndarray

    @classmethod
    def of(cls, rms: np.ndarray, largest: np.ndarray, gap: np.ndarray) -> Apart:
        """From differences of layers (T, L)."""
        r, s = (np.maximum.accumulate(np.asarray(a).max(axis=1)) for a in (rms, largest))
        return cls(r, s, np.asarray(gap))

    def at(self, k: int) -> tuple[float, float, float]:
        """All three at one time."""
        return float(self.rms[k]), float(self.largest[k]), float(self.gap[k])


def width_study(
    flow: Flow,
    limit: Ensemble,
    widths: Sequence[int] = (50, 100, 200, 400),
    *,
    horizon: float,
    std: SPREAD = None,
    seeds: int = 24,
    rtol: float = 1e-6,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Trend:
    r"""Hold networks of several widths against their limit, neuron by neuron, both under the flow itself.

    Parameters
    ----------
    flow, limit : the equation, and the ensemble that networks are drawn from
    widths : N of every hidden layer, three or more
    horizon : T
    std : spread of independent middle weights (:func:`wflow.multilayer.iid_network`); None for weights of the atoms
    seeds : networks a width
    rtol : of the flows
    workers, executor, progress : as in :func:`wflow.validate`

    Returns
    -------
    Trend
        differences of weights and the risk's gap against N, with the exponents of N

    Raises
    ------
    InputError
        for fewer than three widths, and as of :func:`wflow.multilayer.coupled`
    ComputationError
        when the limit or a network fails

    Source: Nguyen & Pham, arXiv:2001.11443, theorem 10.

    >>> from wflow.multilayer import Flow, iid_limit, normal_atoms
    >>> flow = Flow([[-1.0, 0.5], [1.0, 0.2]], [-1.0, 1.0])
    >>> limit = iid_limit(3, normal_atoms(64, 2), normal_atoms(8, 1), means=1.0)
    >>> found = width_study(flow, limit, (8, 16, 32), horizon=0.5, std=1.0, seeds=3, workers=1)
    >>> [v.name for v in found.verdicts]
    ['r.m.s. of differences: exponent of N', 'largest difference over √log N: exponent of N']
    """
    began, times, count = _begin(flow, limit, horizon, seeds, workers, executor, progress)
    sizes = check_axis("widths", check_list("widths", widths, "widths"), _width)
    whole = solved(flow, limit, times, rtol)
    jobs = [(flow, whole, n, times, std, s, rtol) for n in sizes for s in range(count)]
    apart = side_by_side(
        of_width,
        jobs,
        [cost(job[2]) for job in jobs],
        workers=workers,
        executor=executor,
        progress=progress,
        what="networks, the study of N",
    )
    return width_trend(sizes, apart, times[-1], limit, std, time.perf_counter() - began)


def width_trend(
    sizes: Sequence[int],
    apart: Sequence[Apart],
    end: float,
    limit: Ensemble,
    std: SPREAD,
    seconds: float,
) -> Trend:
    """The study of N of so many networks of each size, width by width.

    Of a network whose weights are those of its atoms the largest of N² differences is that of as many as there are
    pairs of atoms: where these are fewer it bears no logarithm.
    """
    found = np.array([one.at(-1) for one in apart]).reshape(len(sizes), -1, 3)
    rms, largest, gap = found.transpose(2, 0, 1)
    x, count = np.array(sizes), rms.shape[1]
    log = np.sqrt(np.log(x))
    none = slope(x, log[:, None]) if std is None else 0.0
    verdicts = [
        _at_half("r.m.s. of differences: exponent of N", x, rms, count, 0.0),
        _at_half(
            "largest difference over √log N: exponent of N", x, largest / log[:, None], count, none
        ),
    ]
    return Trend(
        study="N",
        system="multilayer",
        parameters={"limit": repr(limit)},
        x=x,
        curves=curves(rms, largest, gap, "R_N - R"),
        verdicts=tuple(verdicts),
        sizes={"T": end, "seeds": count, "L": limit.depth},
        seconds=seconds,
    )


def step_study(
    flow: Flow,
    limit: Ensemble,
    step_sizes: Sequence[float] = (0.004, 0.008, 0.016, 0.032),
    *,
    horizon: float,
    width: int = 100,
    batch_size: int = 1,
    std: SPREAD = None,
    seeds: int = 8,
    rtol: float = 1e-6,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Trend:
    r"""Hold networks trained by SGD of several step sizes against the flow of their own start.

    Parameters
    ----------
    flow, limit : the equation, and the ensemble that networks are drawn from
    step_sizes : ε, three or more
    horizon : T
    width : N of every hidden layer
    batch_size : samples a step
    std, seeds, rtol, workers, executor, progress : as of :func:`width_study`

    Returns
    -------
    Trend
        differences of weights against ε, with its exponent, ½ or better by the theorem

    Raises
    ------
    InputError
        for fewer than three step sizes, or one that is longer than the horizon
    ComputationError
        when a flow fails

    Source: Nguyen & Pham, arXiv:2001.11443, theorem 10.

    >>> from wflow.multilayer import Ensemble, Flow
    >>> flow = Flow([[-1.0, 0.5], [1.0, 0.2]], [-1.0, 1.0])
    >>> law = Ensemble([[[1.0, 0.0], [0.5, 1.0]], [[1.0], [2.0]], [1.0]])
    >>> found = step_study(flow, law, (0.005, 0.01, 0.02), horizon=0.4, width=8, seeds=3, workers=1)
    >>> [v.name for v in found.verdicts]
    ['r.m.s. of differences: exponent of ε']
    """
    began, times, count = _begin(flow, limit, horizon, seeds, workers, executor, progress)
    n, batch = check_count("width", width), check_count("batch_size", batch_size)
    given = check_list("step_sizes", step_sizes, "step sizes")
    x = check_axis("step_sizes", given, lambda e: positive("step_size", e))
    refuse_long_steps(x, times)
    jobs = [(flow, limit, n, times, std, s, rtol, x, batch) for s in range(count)]
    apart = side_by_side(
        of_steps,
        jobs,
        [1.0] * count,
        workers=workers,
        executor=executor,
        progress=progress,
        what="networks, the study of the step size",
    )
    return step_trend(x, apart, n, batch, times[-1], limit, time.perf_counter() - began)


def step_trend(
    step_sizes: Sequence[float],
    apart: Sequence[Sequence[Apart]],
    width: int,
    batch: int,
    end: float,
    limit: Ensemble,
    seconds: float,
) -> Trend:
    """The study of ε of networks, each at every step size."""
    found = np.array([[one.at(-1) for one in network] for network in apart])
    rms, largest, gap = found.transpose(2, 1, 0)
    x, count = np.array(step_sizes), len(apart)
    name = "r.m.s. of differences: exponent of ε"
    return Trend(
        study="step size",
        system="multilayer",
        parameters={"limit": repr(limit)},
        x=x,
        curves=curves(rms, largest, gap, "the risk's difference"),
        verdicts=(exponent_verdict(name, exponent(x, rms, True), count, 0.5 - STEP, np.inf),),
        sizes={"T": end, "N": width, "seeds": count, "L": limit.depth, "batch_size": batch},
        unit="time",
        seconds=seconds,
    )


def refuse_long_steps(step_sizes: Sequence[float], times: np.ndarray) -> None:
    """Refuse steps of which too few, or too many, lead to the times of a study."""
    if step_sizes[-1] > 0.5 * times[1]:
        raise InputError(
            f"step_sizes up to {step_sizes[-1]:g}: of horizon = {times[-1]:g} the first time is {times[1]:g}, two "
            "steps at least; give shorter steps"
        )
    check_steps(times[-1], step_sizes[0])


def cost(width: int) -> float:
    """What a network costs, beside others."""
    return float(width) ** 2 + 100.0 * width


def _begin(
    flow: Any, limit: Any, horizon: Any, seeds: Any, workers: Any, executor: Any, progress: Any
) -> tuple[float, np.ndarray, int]:
    """When the study began, its times and its number of networks."""
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("limit", limit)
    check_training(executor, workers, progress)
    return (
        time.perf_counter(),
        np.linspace(0.0, positive("horizon", horizon), 6),
        check_count("seeds", seeds, least=2),
    )


def _width(n: Any) -> int:
    return check_count("widths", n, least=2)


def _at_half(name: str, x: np.ndarray, each: np.ndarray, seeds: int, less: float) -> Verdict:
    """−½ within WIDTH, or so much less."""
    return exponent_verdict(name, exponent(x, each, True), seeds, -0.5 - WIDTH - less, -0.5 + WIDTH)


def solved(flow: Flow, start: Ensemble, times: np.ndarray, rtol: float) -> Solution:
    found = solve(flow, start, (0.0, float(times[-1])), t_eval=times, rtol=rtol)
    if not found.success:
        raise ComputationError(f"the flow of {start!r} failed: {found.message}")
    return found


def of_width(
    flow: Flow, limit: Solution, n: int, times: np.ndarray, std: SPREAD, seed: int, rtol: float
) -> Apart:
    """One network of width n under the flow, beside its limit."""
    found = coupled(flow, limit, n, t_eval=times, std=std, seed=seed, rtol=rtol)
    return Apart.of(found.rms, found.largest, found.gap)


def of_steps(
    flow: Flow,
    limit: Ensemble,
    n: int,
    times: np.ndarray,
    std: SPREAD,
    seed: int,
    rtol: float,
    step_sizes: Sequence[float],
    batch: int,
) -> list[Apart]:
    """One network at every step size; its flow is solved once, at the times that all of them save."""
    start = iid_network(limit, n, std, seed)
    runs = []
    for epsilon in step_sizes:
        run = sgd(
            flow,
            start,
            step_size=epsilon,
            n_steps=steps_to(float(times[-1]), epsilon),
            batch_size=batch,
            seed=seed,
            t_eval=times,
        )
        if not run.success:
            raise ComputationError(f"SGD at step_size = {epsilon:g} failed: {run.message}")
        runs.append(run)
    own = solved(flow, start, np.unique(np.concatenate([run.t for run in runs])), rtol)
    return [_from_own(run, own) for run in runs]


def _from_own(run: Solution, own: Solution) -> Apart:
    """How far a network comes from the flow of its start, which has frames at its times."""
    rms, largest = [], []
    places = np.searchsorted(own.t, run.t)
    for state, k in zip(run.measures, places, strict=True):
        there = own.measures[int(k)]
        sizes = differences(state, there)
        rms.append(sizes[0])
        largest.append(sizes[1])
    return Apart.of(np.array(rms), np.array(largest), run.risk - own.risk[places])


def curves(rms: np.ndarray, largest: np.ndarray, gap: np.ndarray, what: str) -> dict[str, Curve]:
    """Of values (X, S): means over seeds, and the root mean square of the risk's."""
    apart = resampled(lambda v: np.sqrt((v[0] ** 2).mean(axis=1)), gap)
    return {
        "r.m.s. of the weights' differences": mean_curve(rms, "parameter"),
        "largest difference": mean_curve(largest, "parameter"),
        f"r.m.s. over seeds of {what}": Curve(*apart),
    }
