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
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.layers import Ensemble, Flow
from wflow.multilayer.coupling import coupled
from wflow.multilayer.iid import iid_network
from wflow.multilayer.train import sgd
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.solvers.step_size import steps_to
from wflow.tools.checks import check_count, check_kind, check_list, positive
from wflow.tools.workers import executor as executor_of
from wflow.tools.workers import in_one_thread
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


class _Apart(NamedTuple):
    """Of one network: sup over times and layers of the r.m.s. and of the largest difference, and the gap at the end."""

    rms: float
    largest: float
    gap: float


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
    workers, executor : as in :func:`wflow.validate`

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
    began, times, count = _begin(flow, limit, horizon, seeds, workers, executor)
    sizes = check_axis("widths", check_list("widths", widths, "widths"), _width)
    whole = _solved(flow, limit, times, rtol)
    jobs = [(flow, whole, n, times, std, s, rtol) for n in sizes for s in range(count)]
    found = np.array(_side_by_side(_of_width, jobs, workers, executor))
    rms, largest, gap = found.reshape(len(sizes), count, 3).transpose(2, 0, 1)
    x = np.array(sizes)
    even = largest / np.sqrt(np.log(x))[:, None]
    verdicts = [
        _at_half("r.m.s. of differences: exponent of N", x, rms, count),
        _at_half("largest difference over √log N: exponent of N", x, even, count),
    ]
    return Trend(
        study="N",
        system="multilayer",
        parameters={"limit": repr(limit)},
        x=x,
        curves=_curves(rms, largest, gap, "R_N - R"),
        verdicts=tuple(verdicts),
        sizes={"T": times[-1], "seeds": count, "L": limit.depth},
        seconds=time.perf_counter() - began,
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
) -> Trend:
    r"""Hold networks trained by SGD of several step sizes against the flow of their own start.

    Parameters
    ----------
    flow, limit : the equation, and the ensemble that networks are drawn from
    step_sizes : ε, three or more
    horizon : T
    width : N of every hidden layer
    batch_size : samples a step
    std, seeds, rtol, workers, executor : as of :func:`width_study`

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
    began, times, count = _begin(flow, limit, horizon, seeds, workers, executor)
    n, batch = check_count("width", width), check_count("batch_size", batch_size)
    given = check_list("step_sizes", step_sizes, "step sizes")
    x = check_axis("step_sizes", given, lambda e: positive("step_size", e))
    if x[-1] > 0.5 * times[1]:
        raise InputError(
            f"step_sizes up to {x[-1]:g}: a fifth of horizon = {times[-1]:g} is {times[1]:g}, two steps at least; "
            "give shorter steps"
        )
    check_steps(times[-1], x[0])
    jobs = [(flow, limit, n, times, std, s, rtol, x, batch) for s in range(count)]
    found = np.array(_side_by_side(_of_seed, jobs, workers, executor))
    rms, largest, gap = found.transpose(2, 1, 0)
    fit, axis = "r.m.s. of differences: exponent of ε", np.array(x)
    return Trend(
        study="step size",
        system="multilayer",
        parameters={"limit": repr(limit)},
        x=axis,
        curves=_curves(rms, largest, gap, "the risk's difference"),
        verdicts=(exponent_verdict(fit, exponent(axis, rms), count, 0.5 - STEP, np.inf),),
        sizes={"T": times[-1], "N": n, "seeds": count, "L": limit.depth, "batch_size": batch},
        unit="time",
        seconds=time.perf_counter() - began,
    )


def _begin(
    flow: Any, limit: Any, horizon: Any, seeds: Any, workers: Any, executor: Any
) -> tuple[float, np.ndarray, int]:
    """When the study began, its times and its number of networks."""
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("limit", limit)
    check_training(executor, workers, False)
    return (
        time.perf_counter(),
        np.linspace(0.0, positive("horizon", horizon), 6),
        check_count("seeds", seeds, least=2),
    )


def _width(n: Any) -> int:
    return check_count("widths", n, least=2)


def _at_half(name: str, x: np.ndarray, each: np.ndarray, seeds: int) -> Verdict:
    return exponent_verdict(name, exponent(x, each), seeds, -0.5 - WIDTH, -0.5 + WIDTH)


def _solved(flow: Flow, start: Ensemble, times: np.ndarray, rtol: float) -> Solution:
    found = solve(flow, start, (0.0, float(times[-1])), t_eval=times, rtol=rtol)
    if not found.success:
        raise ComputationError(f"the flow of {start!r} failed: {found.message}")
    return found


def _of_width(
    flow: Flow, limit: Solution, n: int, times: np.ndarray, std: SPREAD, seed: int, rtol: float
) -> _Apart:
    found = coupled(flow, limit, n, t_eval=times, std=std, seed=seed, rtol=rtol)
    return _Apart(float(found.rms.max()), float(found.largest.max()), float(found.gap[-1]))


def _of_seed(
    flow: Flow,
    limit: Ensemble,
    n: int,
    times: np.ndarray,
    std: SPREAD,
    seed: int,
    rtol: float,
    step_sizes: Sequence[float],
    batch: int,
) -> list[_Apart]:
    """One network at every step size; its flow is solved once, at the times that all of them save."""
    start = limit.sample(n, seed) if std is None else iid_network(limit, n, std, seed)
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
    own = _solved(flow, start, np.unique(np.concatenate([run.t for run in runs])), rtol)
    return [_from_own(run, own) for run in runs]


def _from_own(run: Solution, own: Solution) -> _Apart:
    """How far a network comes from the flow of its start, which has frames at its times."""
    rms = largest = 0.0
    places = np.searchsorted(own.t, run.t)
    for state, k in zip(run.measures, places, strict=True):
        there = own.measures[int(k)]
        apart = [a - b for a, b in zip(state.weights, there.weights, strict=True)]
        rms = max(rms, *(float(np.sqrt(np.mean(a**2))) for a in apart))
        largest = max(largest, *(float(np.abs(a).max()) for a in apart))
    return _Apart(rms, largest, float(run.risk[-1] - own.risk[places[-1]]))


def _curves(rms: np.ndarray, largest: np.ndarray, gap: np.ndarray, what: str) -> dict[str, Curve]:
    """Of values (X, S): means over seeds, and the root mean square of the risk's."""
    apart = resampled(lambda v: np.sqrt((v[0] ** 2).mean(axis=1)), gap)
    return {
        "r.m.s. of the weights' differences": mean_curve(rms, "parameter"),
        "largest difference": mean_curve(largest, "parameter"),
        f"r.m.s. over seeds of {what}": Curve(*apart),
    }


def _side_by_side(
    function: Any, jobs: list[Any], workers: int | None, given: Executor | None
) -> list[Any]:
    """What a function answers to all jobs, in their order; one worker is this process."""
    if given is None and workers == 1:
        return [function(*job) for job in jobs]
    with ExitStack() as stack:
        pool = given or stack.enter_context(executor_of(workers))
        waiting = [pool.submit(in_one_thread, function, *job) for job in jobs]
        return [one.result() for one in waiting]
