r"""``wflow.validate`` of a system of many layers: its limit beside SGD networks, and studies of N, ε, T and L.

.. math:: E R_N^\varepsilon(t) - R(t) = \frac{c(t)}N + \frac{c_2(t)}{N^2} + \varepsilon\,b(t), \qquad
          \sup_{t\le T}\|\mathbf w - w\| = O\bigl(N^{-1/2} + \sqrt\varepsilon\bigr)

Networks under the flow itself, neuron by neuron beside the limit, tell the powers of N and c; networks trained from one
start at several step sizes tell those of ε and b. What both expect is held against networks that had no part in it. All
of them are drawn from the atoms of the limit, which so has no error of its own but the tolerance of its solution.
Source: Nguyen & Pham, arXiv:2001.11443, theorem 10.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError, shown
from wflow.layers import Ensemble, Flow
from wflow.multilayer.iid import iid_network
from wflow.multilayer.train import sgd
from wflow.results.solution import Solution
from wflow.run.times import check_times, refuse_coinciding
from wflow.solvers.step_size import Clock, steps_to
from wflow.systems.catalogue import System, get
from wflow.tools.checks import check_count, check_flag, check_list, positive
from wflow.tools.memory import check_held
from wflow.validation.coupling import (
    SPREAD,
    Apart,
    cost,
    curves,
    of_steps,
    of_width,
    refuse_long_steps,
    solved,
    step_trend,
    width_trend,
)
from wflow.validation.intervals import reaches, skewness, student
from wflow.validation.layers_report import Expected, LayersReport
from wflow.validation.progress import stage
from wflow.validation.side_by_side import side_by_side
from wflow.validation.training import JOB, check_seeds
from wflow.validation.trend import Trend, check_axis, check_steps, resampled
from wflow.validation.verdicts import Verdict, half_of, verdict

WIDTHS = (50, 100, 200, 400)
"""Widths of the study of N, unless others are asked for."""
STEPS = (0.4, 0.8, 1.6, 3.2)
"""Step sizes of the study of ε, in units of the system's."""
NARROW = 100
"""N of the studies of ε and L, or the network's own where that is less."""
DEPTHS = (2, 3, 4)
"""L of the study of depth, with the system's own."""
HORIZON, TIMES = 0.25, 4
"""Where the studies end, as a share of t_end, unless it is said, and their number of times."""
RTOL = 1e-5
"""Of all flows: networks are off by 1/N and by chance."""
SHARE, STEEP = 0.05, 0.25
"""How far c/N and εb may be off, relatively: the next order, and another width than the one that b was measured at."""
APART = 2**32
"""The first seed of the networks that are judged."""


@dataclass(frozen=True)
class Asked:
    """What is validated: everything that was asked for, checked.

    Attributes
    ----------
    system : a layered one
    width, step, batch, seeds : N, ε, P of the networks that are judged, and how many
    times : when they are looked at, multiples of ε
    decay : of the clock
    rates : whether there are studies
    widths, at, rate_seeds : of the studies: N, times from 0 on, and networks each
    """

    system: Any
    width: int
    step: float
    batch: int
    seeds: int
    times: np.ndarray
    decay: float
    rates: bool
    widths: tuple[int, ...]
    at: np.ndarray
    rate_seeds: int

    @classmethod
    def of(
        cls,
        system: System,
        *,
        neurons: Sequence[int] | None,
        step_sizes: Sequence[float] | None,
        seeds: int,
        t_end: float | None,
        t_eval: Any,
        batch_size: int | None,
        constants: dict[str, float],
        rates: bool,
        widths: Sequence[int] | None,
        horizon: float | None,
        rate_seeds: int,
    ) -> Asked:
        """With the system's own for what is left open.

        Raises
        ------
        InputError
            for what cannot be, before anything is computed
        """
        system.flow(**constants)  # refuses those of measures
        end = positive("t_end", system.t_end if t_end is None else t_end)
        until = HORIZON * end if horizon is None else positive("horizon", horizon)
        if until > end * (1 + 1e-9):
            raise InputError(
                f"horizon = {until:g} lies beyond t_end = {end:g}: give an earlier one"
            )
        n = check_count("neurons", _one("neurons", neurons, system.sgd["n_neurons"]), 2)
        epsilon = positive("step_size", _one("step_sizes", step_sizes, system.sgd["step_size"]))
        check_steps(end, epsilon)
        at = np.linspace(0.0, until, TIMES + 1)
        given = np.linspace(0.0, end, TIMES + 1) if t_eval is None else t_eval
        times = check_times(given, (0.0, end))
        refuse_coinciding(epsilon, times, end)
        if check_flag("rates", rates):
            refuse_long_steps([epsilon * s for s in STEPS], at)
            times = np.union1d(times, at)
        given_widths = check_list("widths", WIDTHS if widths is None else widths, "whole numbers")
        batch = system.sgd["batch_size"] if batch_size is None else batch_size
        return cls(
            system,
            n,
            epsilon,
            check_count("batch_size", batch),
            check_seeds(seeds, 2),
            Clock(epsilon).times(times, (0.0, end)),
            constants["decay"],
            rates,
            tuple(check_axis("widths", given_widths, lambda v: check_count("widths", v, 2))),
            at,
            check_held("rate_seeds", check_count("rate_seeds", rate_seeds, 4), JOB),
        )


def _one(name: str, given: Any, own: Any) -> Any:
    """The one value of a list, or the system's own."""
    if given is None:
        return own
    values = check_list(name, given, "numbers")
    if len(values) != 1:
        raise InputError(
            f"{name} = {shown(values)}: networks of many layers are judged at one; widths= are those of the study"
        )
    return values[0]


def validate_layers(
    asked: Asked, *, workers: int | None, executor: Executor | None, progress: bool
) -> LayersReport:
    """Carry it out.

    Raises
    ------
    ComputationError
        when the limit or a network fails
    """
    began, system = time.perf_counter(), asked.system
    flow, start = system.flow(decay=asked.decay), system.initial()
    stage(progress, f"the limit of {system.name}")
    limit = solved(flow, start, asked.times, RTOL)
    how: dict[str, Any] = {"workers": workers, "executor": executor, "progress": progress}
    jobs = [
        (flow, start, system.spread, asked.width, asked.step, asked.batch, asked.times, APART + s)
        for s in range(asked.seeds)
    ]
    what = "networks, the run"
    risk = np.array(side_by_side(_trained, jobs, [1.0] * asked.seeds, **how, what=what))
    expected, studies = None, tuple[Trend, ...]()
    if asked.rates:
        expected, studies = _studied(asked, flow, start, how)
    return LayersReport(
        system=system.name,
        parameters=system.stored_parameters(),
        t=asked.times,
        limit=np.asarray(limit.risk),
        path=_path(limit),
        risk=risk,
        neurons=asked.width,
        step_size=asked.step,
        batch_size=asked.batch,
        expected=expected,
        gaps=()
        if expected is None
        else tuple(_judged(asked, expected, risk - limit.risk, limit.risk)),
        studies=studies,
        notes=() if asked.rates else ("without the studies nothing is expected of the gap",),
        seconds=time.perf_counter() - began,
    )


def _path(limit: Solution) -> np.ndarray:
    """Times and risks at the start and at every step of a solution, (2, K)."""
    steps = np.stack([limit.steps["t"], limit.steps["risk"]])
    return np.hstack([[limit.t[:1], limit.risk[:1]], steps])


def _trained(
    flow: Flow,
    limit: Ensemble,
    std: SPREAD,
    n: int,
    step: float,
    batch: int,
    times: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Risks of a network under SGD."""
    start = iid_network(limit, n, std, seed)
    count = steps_to(float(times[-1]), step)
    run = sgd(flow, start, step_size=step, n_steps=count, batch_size=batch, seed=seed, t_eval=times)
    if not run.success:
        raise ComputationError(f"SGD with N = {n}, step size {step:g} failed: {run.message}")
    return np.array(run.risk)


def _studied(
    asked: Asked, flow: Flow, start: Ensemble, how: dict[str, Any]
) -> tuple[Expected, tuple[Trend, ...]]:
    """What the studies of N, ε, T and L find, and what they make expect."""
    system, at, count = asked.system, asked.at, asked.rate_seeds
    began, spread = time.perf_counter(), system.spread
    known = solved(flow, start, at, RTOL)
    jobs = [(flow, known, n, at, spread, s, RTOL) for n in asked.widths for s in range(count)]
    costs, what = [cost(job[2]) for job in jobs], "networks, the study of N"
    wide = side_by_side(of_width, jobs, costs, **how, what=what)
    trends = [width_trend(asked.widths, wide, at[-1], start, spread, time.perf_counter() - began)]
    began, narrow = time.perf_counter(), min(NARROW, asked.width)
    steps = [asked.step * s for s in STEPS]
    others = [(flow, start, narrow, at, spread, s, RTOL, steps, asked.batch) for s in range(count)]
    what = "networks, the study of the step size"
    long = side_by_side(of_steps, others, [1.0] * count, **how, what=what)
    trends.append(
        step_trend(steps, long, narrow, asked.batch, at[-1], start, time.perf_counter() - began)
    )
    nearest = int(np.argmin(np.abs(np.array(asked.widths) - asked.width)))
    same = wide[nearest * count : (nearest + 1) * count]
    trends.append(_over_time(asked.widths[nearest], same, at, start))
    trends.append(_over_depth(asked, narrow, how))
    gap = np.array([one.gap for one in wide]).reshape(len(asked.widths), count, at.size)
    trends[0] = replace(
        trends[0], verdicts=(*trends[0].verdicts, _left(asked, gap[..., -1], float(known.risk[-1])))
    )
    step_gap = np.array([[one.gap for one in network] for network in long]).swapaxes(0, 1)
    expected = _expected(asked, gap, np.array(steps), step_gap)
    return expected, tuple(trends)


def _over_time(n: int, apart: Sequence[Apart], at: np.ndarray, limit: Ensemble) -> Trend:
    """Differences up to each time but the first, which is none."""
    values = np.array([[one.at(k) for one in apart] for k in range(1, at.size)])
    rms, largest, gap = values.transpose(2, 0, 1)
    return Trend(
        study="T",
        system="multilayer",
        parameters={"limit": repr(limit)},
        x=at[1:],
        curves=curves(rms, largest, gap, "R_N - R"),
        verdicts=(),
        sizes={"N": n, "seeds": len(apart), "L": limit.depth},
        unit="time",
    )


def _over_depth(asked: Asked, n: int, how: dict[str, Any]) -> Trend:
    """Differences of networks of other depths, all else equal."""
    began, given = time.perf_counter(), asked.system.values
    depths = sorted({*DEPTHS, given["depth"]})
    jobs: list[tuple[Any, ...]] = []
    for depth in depths:
        system: Any = get(asked.system.name, **{**given, "depth": depth})
        flow, start = system.flow(decay=asked.decay), system.initial()
        known = solved(flow, start, asked.at, RTOL)
        jobs += [
            (flow, known, n, asked.at, system.spread, s, RTOL) for s in range(asked.rate_seeds)
        ]
    costs = [float(job[1].measures[0].depth) for job in jobs]
    apart = side_by_side(of_width, jobs, costs, **how, what="networks, the study of L")
    values = np.array([one.at(-1) for one in apart]).reshape(len(depths), asked.rate_seeds, 3)
    rms, largest, gap = values.transpose(2, 0, 1)
    return Trend(
        study="L",
        system="multilayer",
        parameters={k: v for k, v in asked.system.stored_parameters().items() if k != "depth"},
        x=np.array(depths),
        curves=curves(rms, largest, gap, "R_N - R"),
        verdicts=(),
        sizes={"N": n, "T": asked.at[-1], "seeds": asked.rate_seeds},
        seconds=time.perf_counter() - began,
    )


def _expected(asked: Asked, gap: np.ndarray, steps: np.ndarray, step_gap: np.ndarray) -> Expected:
    """The mean gap from gaps of flows (W, S, T) and those that SGD adds (E, S, T), at all times but the first."""
    n = np.array(asked.widths, dtype=float)
    # R_N scatters by N^(−1/2).
    fit = np.linalg.pinv(np.stack([n**-1, n**-2], axis=1) * np.sqrt(n)[:, None]) * np.sqrt(n)
    there = np.array([1 / asked.width, 1 / asked.width**2]) @ fit
    # Wider networks begin with the neurons of narrower ones, and all steps from one start.
    of_n, n_error = resampled(lambda v: there @ v[0].mean(axis=1), gap[..., 1:], together=True)
    # Of mean εb and variance in proportion to ε, b is told best by the ratio of sums.
    share = asked.step / steps.sum()
    of_step, step_error = resampled(
        lambda v: share * v[0].mean(axis=1).sum(axis=0), step_gap[..., 1:], together=True
    )
    wide = student(asked.rate_seeds - 1)
    unsure = wide * (n_error + step_error) + SHARE * np.abs(of_n) + STEEP * np.abs(of_step)
    # What the first order leaves of a gap has one law for all N; eight networks tell it badly.
    skew = skewness(gap[..., 1:].swapaxes(1, 2)).mean(axis=0)
    return Expected(asked.at[1:], np.asarray(of_n + of_step), unsure, skew)


def _left(asked: Asked, gap: np.ndarray, risk: float) -> Verdict:
    """What is left as N grows of gaps (W, S) at the last time: 0, or the limit is another one's."""
    n = np.array(asked.widths, dtype=float)
    rows = np.stack([np.ones(n.size), n[0] / n, (n[0] / n) ** 2], axis=1)
    fit = np.linalg.pinv(rows * np.sqrt(n)[:, None])[0] * np.sqrt(n)
    left, error = resampled(lambda v: fit @ v[0].mean(axis=1), gap, together=True)
    reach = student(asked.rate_seeds - 1) * float(error)
    name = f"left of R_N - R as N grows, at t = {asked.at[-1]:g}"
    bound, off = RTOL * risk, float(np.sqrt((gap[-1] ** 2).mean()))
    return verdict(name, float(left), reach, -bound, bound, half_of(0.0, bound, off))


def _judged(asked: Asked, expected: Expected, gap: np.ndarray, limit: np.ndarray) -> list[Verdict]:
    """The mean gap of the networks (S, T) at the times that something is expected at."""
    found = []
    for t, value, unsure, skew in zip(*expected, strict=True):
        k = int(np.argmin(np.abs(asked.times - t)))
        unsure += RTOL * limit[k]
        down, up = reaches(gap[:, k], skew)
        off = float(np.sqrt((gap[:, k] ** 2).mean()))
        found.append(
            verdict(
                f"N = {asked.width}, step size {asked.step:g}: mean R_N - R at t = {asked.times[k]:g}",
                float(gap[:, k].mean()),
                (float(down), float(up)),
                value - unsure,
                value + unsure,
                half_of(value, unsure, off),
            )
        )
    return found
