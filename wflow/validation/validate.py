"""``wflow.validate``: the limit on a grid and as particles, SGD networks over N, step size and seeds beside it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.evolve import check_times, solve
from wflow.measures import Particles, wasserstein_2
from wflow.networks import sgd
from wflow.solution import Solution
from wflow.systems import System, get
from wflow.validation.report import Report, check_free


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
    and sup-norm gap, the W2 distance of the law of the neurons to the limit's, and the fitted slope in N.

    Parameters
    ----------
    system : a system or its name
    neurons, step_sizes : networks to train; by default the published size with two smaller ones, and the published ε
    seeds : networks for each size
    t_end, t_eval : on the system's clock, t = kε
    temperature, ridge : the same for the flow and SGD
    n_grid, n_particles : sizes of the two solutions of the limit
    output : HDF5 file for the report
    workers : networks trained side by side, by default one a core

    Raises
    ------
    InputError
        for a system without a network, or sizes that are not positive
    """
    if isinstance(system, str):
        system = get(system)
    model = system.network()
    sizes = _sizes(neurons or system.validation_neurons())
    epsilons = [float(e) for e in (step_sizes or [system.sgd["step_size"]])]
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise InputError(f"seeds = {seeds!r}: a band needs at least 2")
    check_free(output, overwrite)
    end = float(system.t_end if t_end is None else t_end)
    if t_eval is None:
        t_eval = system.saved_times(end)
    times = check_times(t_eval, (0.0, end))
    flow = system.flow(temperature=temperature, ridge=ridge)
    began = time.perf_counter()
    limits: dict[str, Solution] = {}
    for kind, n in (("grid", n_grid), ("particles", n_particles)):
        if kind in system.measures and not (kind == "particles" and temperature > 0):
            limits[kind] = solve(flow, system.initial(kind, n), (0.0, end), t_eval=times)
            if not limits[kind].success:
                raise InputError(f"the limit on {kind} failed: {limits[kind].message}")
    pde_seconds = time.perf_counter() - began
    jobs = [(n, e, s) for n in sizes for e in epsilons for s in range(seeds)]
    jobs.sort(key=lambda job: -job[0] / job[1])
    shape = (len(sizes), len(epsilons), seeds, times.size)
    risk, distance = np.full(shape, np.nan), np.full(shape, np.nan)
    reference = limits.get("particles", limits.get("grid"))
    assert reference is not None
    laws: dict[int, np.ndarray] = {}

    def train(job: tuple[int, float, int]) -> tuple[tuple[int, float, int], Solution]:
        n, e, s = job
        return job, sgd(
            system,
            n_neurons=n,
            step_size=e,
            n_steps=round(end / e),
            batch_size=batch_size or system.sgd.get("batch_size", 1),
            seed=s,
            t_eval=times,
            temperature=temperature,
            ridge=ridge,
        )

    from threadpoolctl import threadpool_limits

    bar = _bar(progress, jobs)
    with threadpool_limits(1), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done in as_completed([pool.submit(train, job) for job in jobs]):
            (n, e, s), network = done.result()
            if not network.success:
                raise InputError(f"SGD with N = {n}, step size {e:g} failed: {network.message}")
            where = (sizes.index(n), epsilons.index(e), s)
            risk[where] = network.risk
            one_dimensional = reference.measures[0].dimension == 1
            for k in range(times.size):
                reduced = model.reduce(network.measures[k].points())
                if one_dimensional:
                    limit = reference.measures[k]
                    distance[(*where, k)] = wasserstein_2(Particles(reduced), limit)
                if n == max(sizes) and e == epsilons[0]:
                    laws.setdefault(s, np.empty((times.size, *reduced.shape)))[k] = reduced
            if bar is not None:
                bar.update(n / e)
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
        seconds={"limit": pde_seconds, "total": time.perf_counter() - began},
    )
    if output is not None:
        report.save(output, overwrite=overwrite)
    return report


def _sizes(neurons: Sequence[int]) -> list[int]:
    sizes = []
    for n in neurons:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"neurons = {n!r}: give positive integers")
        sizes.append(int(n))
    if len(set(sizes)) != len(sizes):
        raise InputError(f"neurons {sizes}: a size is named twice")
    return sorted(sizes)


def _bar(progress: bool, jobs: list[tuple[int, float, int]]) -> Any:
    if not (progress and sys.stderr.isatty()):
        return None
    from tqdm import tqdm

    total = sum(n / e for n, e, _ in jobs)
    shown = "SGD networks {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    return tqdm(total=total, bar_format=shown, leave=False)
