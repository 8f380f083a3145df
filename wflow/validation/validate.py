"""``wflow.validate``: the limit on a grid and as particles, SGD networks over N, step size and seeds beside it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.measures import Particles, wasserstein_2
from wflow.networks import sgd
from wflow.results.labelled import check_free
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.run.times import check_times
from wflow.run.trackers import Fail
from wflow.solvers.method import get_method
from wflow.solvers.step_size import Clock
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_flag, check_list, positive
from wflow.validation.report import Report

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
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Report:
    """Hold a system's limit against SGD.

    The flow is solved on a grid and as particles (whichever the system has); for every number of neurons N, step size
    ε and seed a network is trained by online SGD from i.i.d. starts of its own. The report has the risk's mean, band
    and sup-norm gap, the W2 distance of the law of the neurons to the limit's, and the fitted slope in N. A second
    solution on half as many cells or particles tells the error of the limit itself; it and the seeds' scatter are the
    error bars that a gap is held against.

    Parameters
    ----------
    system : a system or its name
    neurons, step_sizes : networks to train; by default the published size and a sixteenth of it, at the published ε
    seeds : networks for each size
    t_end, t_eval : on the system's clock, t = kε
    temperature, ridge, decay : the same for the flow and SGD
    n_grid, n_particles : sizes of the two solutions of the limit
    output : HDF5 file for the report
    workers : networks trained side by side, by default one a core

    Raises
    ------
    InputError
        for a system without a network, or sizes that are not positive
    ComputationError
        when the limit or a network fails
    """
    system = as_system(system)
    model = system.network()
    sizes = sorted(
        _each("neurons", system.validation_neurons() if neurons is None else neurons, _whole)
    )
    if step_sizes is None:
        step_sizes = [system.sgd["step_size"]]
    epsilons = _each("step_sizes", step_sizes, lambda value: positive("step_size", value))
    batch = check_count(
        "batch_size", system.sgd.get("batch_size", 1) if batch_size is None else batch_size
    )
    check_count("seeds", seeds, 2)  # a band needs two
    check_flag("progress", progress)
    check_free(output, check_flag("overwrite", overwrite))
    end = positive("t_end", system.t_end if t_end is None else t_end)
    if t_eval is None:
        t_eval = system.saved_times(end)
    times = check_times(t_eval, (0.0, end))
    for e in epsilons:
        check_count("n_steps", math.ceil(min(end / e, 2.0**63)))
        if Clock(e).times(times, (0.0, end)).size < times.size:
            raise InputError(
                f"step size {e:g} is too long for the saved times {times.tolist()}: two fall on one step"
            )
    side_by_side = check_count("workers", os.cpu_count() or 1 if workers is None else workers)
    flow = system.flow(temperature=temperature, ridge=ridge, decay=decay)
    began = time.perf_counter()
    limits: dict[str, Solution] = {}
    errors: dict[str, np.ndarray] = {}
    for kind, n in (("grid", n_grid), ("particles", n_particles)):
        # Particles with noise, or from a random start, are a sample: they stand in only where there is no grid.
        sampled = temperature > 0 or system.random_particles
        if kind in system.measures and not (kind == "particles" and sampled and limits):
            limits[kind], errors[kind] = _limit(flow, system, kind, n, times, end)
    pde_seconds = time.perf_counter() - began
    jobs = [(n, e, s) for n in sizes for e in epsilons for s in range(seeds)]
    jobs.sort(key=lambda job: -job[0] / job[1])
    shape = (len(sizes), len(epsilons), seeds, times.size)
    risk, distance = np.full(shape, np.nan), np.full(shape, np.nan)
    reference = limits.get("particles", limits.get("grid"))
    assert reference is not None
    laws: dict[int, np.ndarray] = {}

    halt = Halt()

    def train(job: tuple[int, float, int]) -> tuple[tuple[int, float, int], Solution]:
        n, e, s = job
        return job, sgd(
            system,
            n_neurons=n,
            step_size=e,
            n_steps=math.ceil(end / e - 1e-9),
            batch_size=batch,
            seed=s,
            t_eval=times,
            temperature=temperature,
            ridge=ridge,
            decay=decay,
            trackers=[halt],
        )

    from threadpoolctl import threadpool_limits

    bar = _bar(progress, jobs)
    with threadpool_limits(1), ThreadPoolExecutor(side_by_side) as pool:
        try:
            for done in as_completed([pool.submit(train, job) for job in jobs]):
                (n, e, s), network = done.result()
                if not network.success:
                    raise ComputationError(
                        f"SGD with N = {n}, step size {e:g} failed: {network.message}"
                    )
                where = (sizes.index(n), epsilons.index(e), s)
                risk[where] = network.risk
                one_dimensional = reference.measures[0].dimension == 1
                for k in range(times.size):
                    reduced = model.reduce(network.measures[k].points())
                    if one_dimensional:
                        limit = reference.measures[k]
                        distance[(*where, k)] = wasserstein_2(Particles(reduced), limit)
                    if n == max(sizes) and e == min(epsilons):
                        laws.setdefault(s, np.empty((times.size, *reduced.shape)))[k] = reduced
                if bar is not None:
                    bar.update(n / e)
        except BaseException:
            # Ctrl-C, or one network that failed: the pool waits for its threads, so end them first.
            halt.asked = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            if bar is not None:
                bar.close()
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
    )
    if output is not None:
        report.save(output, overwrite=overwrite)
    return report


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


class Halt:
    """A tracker that ends every run it watches once ``asked`` is set, from whatever thread."""

    name = "halt"
    asked = False

    def handle(self, t: float, observed: dict[str, float]) -> Fail | None:
        return Fail(f"halted at t = {t:g}") if self.asked else None

    def state(self) -> list[float]:
        return []

    def restore(self, state: list[float]) -> None:
        """There is nothing to remember."""


def _whole(value: Any) -> int:
    return check_count("neurons", value)


def _each(name: str, values: Any, check: Callable[[Any], T]) -> list[T]:
    """Check every entry of a list; none may stand there twice."""
    checked = [check(v) for v in check_list(name, values, "numbers")]
    if not checked or len(set(checked)) != len(checked):
        raise InputError(f"{name} {checked}: give at least one, each once")
    return checked


def _bar(progress: bool, jobs: list[tuple[int, float, int]]) -> Any:
    if not (progress and sys.stderr.isatty()):
        return None
    from tqdm import tqdm

    total = sum(n / e for n, e, _ in jobs)
    shown = "SGD networks {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    return tqdm(total=total, bar_format=shown, leave=False)
