"""``wflow.validate``: the limit on a grid and as particles, SGD networks beside it, and the verdict."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np

from wflow.errors import ComputationError, InputError, shown
from wflow.flow import GradientFlow
from wflow.results.labelled import check_free
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.run.times import check_times, refuse_coinciding
from wflow.solvers.method import get_method
from wflow.solvers.step_size import steps_to
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_flag, check_list, positive
from wflow.tools.workers import executor as processes
from wflow.validation.layers import Asked, validate_layers
from wflow.validation.layers_report import LayersReport
from wflow.validation.prediction import Prediction, predict
from wflow.validation.progress import stage
from wflow.validation.reference import Reference
from wflow.validation.report import Report
from wflow.validation.samples import sampled_limit
from wflow.validation.steps import step_effect
from wflow.validation.study import (
    Plan,
    check_widths,
    default_horizon,
    default_steps,
    default_widths,
    study,
    times_up_to,
)
from wflow.validation.training import Job, check_seeds, trained
from wflow.validation.trend import check_training

T = TypeVar("T")


def validate(
    system: System | str,
    *,
    neurons: Sequence[int] | None = None,
    step_sizes: Sequence[float] | None = None,
    seeds: int = 8,
    t_end: float | None = None,
    t_eval: Any = None,
    batch_size: int | None = None,
    temperature: float = 0.0,
    ridge: float = 0.0,
    decay: float = 0.0,
    n_grid: int | None = None,
    n_particles: int | None = None,
    rates: bool = True,
    widths: Sequence[int] | None = None,
    horizon: float | None = None,
    rate_seeds: int = 32,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> Report | LayersReport:
    """Hold a system's limit against SGD, and say what was found in verdicts.

    The flow is solved on a grid and as particles (whichever the system has); for every number of neurons N, step size
    ε and seed a network is trained by online SGD from i.i.d. starts of its own. A second solution on half as many cells
    or particles tells the error of the limit itself. Apart from these, a study of many smaller networks up to a shorter
    horizon tells the powers of N and ε by which networks approach the limit (docs/validation.md).

    Of a system of many layers the limit is an ensemble, held against networks drawn from it (docs/multilayer.md): one N
    and one ε, the studies of N, ε, T and L, a :class:`LayersReport`.

    Parameters
    ----------
    system : a system or its name
    neurons, step_sizes : networks to train; by default the published size at the published ε
    seeds : networks for each size
    t_end, t_eval : on the system's clock, t = kε
    batch_size : samples a step; by default the system's
    temperature, ridge, decay : the same for the flow and SGD
    n_grid, n_particles : sizes of the two solutions of the limit
    rates, widths, horizon, rate_seeds : whether to predict and to study rates, through which numbers of neurons (four
        or more; by default 1/16 … 1/2 of the largest network), up to what time (by default about a tenth of t_end), how
        often
    output, overwrite : HDF5 file for the report; an existing one is refused unless ``overwrite``
    progress : a bar on a terminal, a line a stage elsewhere
    workers : networks trained side by side, by default one a core
    executor : who trains the networks instead, with the interface of :mod:`concurrent.futures`
    scheduler : address of a Dask scheduler whose workers train them instead

    Raises
    ------
    InputError
        for a system without a network, or sizes that are not positive
    ComputationError
        when the limit or a network fails

    >>> small = {"neurons": [4], "seeds": 2, "step_sizes": [1e-2], "t_end": 0.05, "rates": False}
    >>> report = validate("isotropic-gaussians", **small)
    >>> report.risk.shape[:3]
    (1, 1, 2)
    """
    system = as_system(system)
    constants = {"temperature": temperature, "ridge": ridge, "decay": decay}
    check_seeds(seeds, 2)  # a band needs two
    check_training(executor, workers, progress)
    check_free(output, check_flag("overwrite", overwrite))
    if scheduler is not None and (executor, workers) != (None, None):
        raise InputError("scheduler with workers or executor: each says who trains; give one")
    if system.layered:
        for name, size in (("n_grid", n_grid), ("n_particles", n_particles)):
            if size is not None:
                raise InputError(
                    f"{name} = {shown(size)}: system '{system.name}' starts from an ensemble; leave it out"
                )
        asked = Asked.of(
            system,
            neurons=neurons,
            step_sizes=step_sizes,
            seeds=seeds,
            t_end=t_end,
            t_eval=t_eval,
            batch_size=batch_size,
            constants=constants,
            rates=rates,
            widths=widths,
            horizon=horizon,
            rate_seeds=rate_seeds,
        )
        with contextlib.ExitStack() as stack:
            if scheduler is not None:
                executor = stack.enter_context(processes(scheduler=scheduler))
            layers = validate_layers(asked, workers=workers, executor=executor, progress=progress)
        if output is not None:
            layers.save(output, overwrite=overwrite)
        return layers
    model = system.network()
    if neurons is None:
        neurons = [int(system.sgd.get("n_neurons", 800))]
    sizes = sorted(_each("neurons", neurons, _whole))
    if step_sizes is None:
        step_sizes = [system.sgd["step_size"]]
    epsilons = _each("step_sizes", step_sizes, lambda value: positive("step_size", value))
    batch = check_count(
        "batch_size", system.sgd.get("batch_size", 1) if batch_size is None else batch_size
    )
    end = positive("t_end", system.t_end if t_end is None else t_end)
    if t_eval is None:
        t_eval = system.saved_times(end)
    times = check_times(t_eval, (0.0, end))
    for e in epsilons:
        check_count("n_steps", math.ceil(min(end / e, 2.0**63)))
        refuse_coinciding(e, times, float(times[-1]))
    flow = system.flow(temperature=temperature, ridge=ridge, decay=decay)
    plan = None
    if check_flag("rates", rates):
        plan = _plan(
            system, sizes, min(epsilons), times, batch, constants, widths, horizon, rate_seeds
        )
    began = time.perf_counter()
    # Particles with noise, or from a random start, are a sample: they stand in only where there is no grid.
    sampled = temperature > 0 or system.random_particles
    kinds = [k for k in ("grid", "particles") if k in system.measures]
    if sampled and len(kinds) == 2:
        kinds, sampled = ["grid"], False
    counts = {"grid": n_grid, "particles": n_particles}
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            # A wrong address is refused before the work begins.
            executor = stack.enter_context(processes(scheduler=scheduler))
        limits: dict[str, Solution] = {}
        errors: dict[str, np.ndarray] = {}
        own = np.empty(0)
        stage(progress, f"the limit of {system.name}")
        for kind in kinds:
            if sampled:
                limits[kind], errors[kind], own = sampled_limit(
                    flow, system, sizes, seeds, n_particles, times
                )
            else:
                limits[kind], errors[kind] = _limit(flow, system, kind, counts[kind], times, end)
        reference = Reference(limits[kinds[-1]], flow.energy, model)
        pde_seconds = time.perf_counter() - began
        jobs = [
            Job(
                (i, j, s),
                system,
                n,
                e,
                steps_to(end, e),
                tuple(times),
                s,
                batch,
                None,
                constants,
            )
            for i, n in enumerate(sizes)
            for j, e in enumerate(epsilons)
            for s in range(seeds)
        ]
        shape = (len(sizes), len(epsilons), seeds, times.size)
        risk, distance, off = (np.full(shape, np.nan) for _ in range(3))
        laws: dict[int, np.ndarray] = {}
        finest = (len(sizes) - 1, int(np.argmin(epsilons)))
        networks = stack.enter_context(
            contextlib.closing(trained(jobs, executor, workers, progress, ", the published run"))
        )
        for network in networks:
            where = network.job.place
            risk[where] = network.risk
            reduced = np.array([model.reduce(full) for full in network.neurons])
            for k, law in enumerate(reduced):
                distance[(*where, k)] = reference.transport(k, law)
                off[(*where, k)] = reference.output(k, law, network.risk[k])
            if where[:2] == finest:
                laws[where[2]] = reduced
        began_with = limits[kinds[-1]].stats.get("steps", 0)
        every = times if plan is None else np.union1d(times, plan.times)
        prediction = Prediction(times)
        if plan is not None:
            stage(progress, "what is expected of them")
            prediction = predict(system, flow, model, every, began_with)
        starts = [model.start(n, s) for n in sizes for s in range(seeds)]
        control = prediction.control(model, starts, times).reshape(len(sizes), 1, seeds, times.size)
        found = step = None
        notes = prediction.notes
        if plan is not None:
            step, why = step_effect(
                system,
                sizes,
                min(epsilons),
                times,
                batch,
                constants,
                executor=executor,
                workers=workers,
                progress=progress,
            )
            if why:
                notes += (f"what the step size adds is not known: {why}",)
            near, error = limits[kinds[-1]], errors[kinds[-1]]
            at = np.array(plan.times)
            if not np.isin(at, near.t).all():
                if sampled:
                    near, error, _ = sampled_limit(flow, system, sizes, seeds, n_particles, at)
                else:
                    kind = kinds[-1]
                    near, error = _limit(flow, system, kind, counts[kind], at, plan.times[-1])
            frames = np.searchsorted(near.t, at).tolist()
            found = study(
                plan,
                Reference(near, flow.energy, model, frames),
                error[frames],
                prediction,
                sampled=sampled,
                executor=executor,
                workers=workers,
                progress=progress,
            )
            notes += found.notes
    report = Report(
        system=system.name,
        parameters=system.stored_parameters(),
        t=times,
        neurons=np.array(sizes),
        step_sizes=np.array(epsilons),
        limits=limits,
        risk=risk,
        distance=distance,
        laws=np.array([laws[s] for s in sorted(laws)]),
        limit_errors=errors,
        batch_size=batch,
        seconds={"limit": pde_seconds, "total": time.perf_counter() - began},
        output=off,
        control=np.broadcast_to(control, shape).copy(),
        rates=found,
        predicted=prediction.at(times),
        step=step,
        own=own,
        notes=notes,
    )
    if output is not None:
        report.save(output, overwrite=overwrite)
    return report


def _plan(
    system: System,
    sizes: Sequence[int],
    step: float,
    times: np.ndarray,
    batch: int,
    constants: dict[str, float],
    widths: Sequence[int] | None,
    horizon: float | None,
    seeds: int,
) -> Plan:
    """The study of rates that is asked for."""
    chosen = (
        default_widths(max(sizes)) if widths is None else sorted(_each("widths", widths, _whole))
    )
    check_widths(chosen)
    until = default_horizon(times) if horizon is None else positive("horizon", horizon)
    if until > times[-1] * (1 + 1e-9):
        raise InputError(
            f"horizon = {until:g} lies beyond t_end = {times[-1]:g}: give an earlier one"
        )
    steps = default_steps(until, step)
    at = times_up_to(until, times)
    for e in steps:
        refuse_coinciding(e, np.array(at), float(at[-1]))
    count = check_count("rate_seeds", seeds, 4)
    return Plan(system, tuple(chosen), count, at, steps, batch, constants)


def _limit(
    flow: GradientFlow, system: System, kind: str, n: int | None, times: np.ndarray, end: float
) -> tuple[Solution, np.ndarray]:
    """The limit on a kind of measure, and the error of its risk by a second one on half as many cells or particles.

    |R_n − R_{n/2}| is the error of R_n at first order, of R_{n/2} at higher ones: no less than it should be.
    """
    start = system.initial(kind, n)
    fine = solve(flow, start, (0.0, end), t_eval=times)
    _refuse_failed(fine, kind)
    count = start.weights().size
    size = count if kind == "particles" else round(count ** (1 / start.dimension))
    about = fine.attributes
    method = get_method(about["method"], about["method_options"]).coarser()
    start = system.initial(kind, max(1, size // 2))
    coarse = solve(flow, start, (0.0, end), t_eval=times, method=method)
    _refuse_failed(coarse, kind)
    return fine, np.abs(fine.risk - coarse.risk)


def _refuse_failed(limit: Solution, kind: str) -> None:
    if not limit.success:
        raise ComputationError(f"the limit on {kind} failed: {limit.message}")


def _whole(value: Any) -> int:
    return check_count("neurons", value)


def _each(name: str, values: Any, check: Callable[[Any], T]) -> list[T]:
    """Check every entry of a list; none may stand there twice."""
    checked = [check(v) for v in check_list(name, values, "numbers")]
    if not checked or len(set(checked)) != len(checked):
        raise InputError(f"{name} {checked}: give at least one, each once")
    return checked
