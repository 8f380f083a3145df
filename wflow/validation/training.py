"""Networks to train, as jobs that know nothing of each other, and who carries them out.

A job is plain data: it pickles, and :func:`train` is found by its name, so that any executor of
:mod:`concurrent.futures`' interface can carry it out, on this machine or on another.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import ComputationError
from wflow.kernels.parallel import one_blas_thread
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.run.trackers import Fail
from wflow.solvers.networks.problem import started
from wflow.systems.catalogue import System
from wflow.tools.checks import check_count
from wflow.tools.memory import check_held
from wflow.validation.progress import meter

JOB = 64
"""Floats that a job and what it leaves take at least."""


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


@dataclass(frozen=True)
class Job:
    """One network: where its numbers belong (``place``), and how it is trained.

    With ``start_seed`` its neurons start from the draw of that seed, whatever ``seed`` its samples have.
    """

    place: tuple[Any, ...]
    system: System
    n_neurons: int
    step_size: float
    n_steps: int
    t_eval: tuple[float, ...]
    seed: int
    batch_size: int = 1
    start_seed: int | None = None
    flow: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """In updates of a neuron."""
        return float(self.n_neurons) * self.n_steps


@dataclass(frozen=True)
class Trained:
    """What a job leaves: risks (T,) and neurons (T, N, D) at the saved times."""

    job: Job
    risk: np.ndarray
    neurons: np.ndarray


def check_seeds(seeds: int, least: int = 1) -> int:
    """How many networks of a kind are trained, where memory holds their jobs."""
    return check_held("seeds", check_count("seeds", seeds, least), JOB)


def train(job: Job, halt: Halt | None = None) -> Trained:
    """Train the network of a job.

    Raises
    ------
    ComputationError
        when SGD fails
    """
    start = None
    if job.start_seed is not None:
        start = Particles(started(job.system.network(), job.n_neurons, job.start_seed))
    network = sgd(
        job.system,
        n_neurons=job.n_neurons,
        step_size=job.step_size,
        n_steps=job.n_steps,
        batch_size=job.batch_size,
        seed=job.seed,
        t_eval=list(job.t_eval),
        initial=start,
        trackers=[] if halt is None else [halt],
        **job.flow,
    )
    if not network.success:
        raise ComputationError(
            f"SGD with N = {job.n_neurons}, step size {job.step_size:g} failed: {network.message}"
        )
    neurons = np.array([m.points() for m in network.measures])
    return Trained(job, np.array(network.risk), neurons)


def trained(
    jobs: Sequence[Job],
    executor: Executor | None,
    workers: int | None,
    progress: bool,
    what: str = "",
) -> Generator[Trained, None, None]:
    """The networks of all jobs, as they are ready; by threads of one's own unless an executor is given.

    ``what`` they are for is said beside how far they have come.
    """
    longest_first = sorted(jobs, key=lambda job: -job.cost)
    halt = Halt()
    local = executor is None
    bar = meter(progress, f"{len(jobs)} networks{what}", sum(job.cost for job in jobs))
    with contextlib.ExitStack() as stack:
        if executor is None:
            stack.enter_context(one_blas_thread())
            threads = check_count("workers", os.cpu_count() or 1 if workers is None else workers)
            executor = stack.enter_context(ThreadPoolExecutor(threads))
        waiting: list[Future[Trained]] = []
        try:
            # A halt reaches threads alone: another process has a copy of its own.
            given = (halt,) if local else ()
            waiting = [executor.submit(train, job, *given) for job in longest_first]
            for done in as_completed(waiting):
                network = done.result()
                yield network
                if bar is not None:
                    bar.update(network.job.cost)
        except BaseException:
            # Ctrl-C, or one network that failed: the pool waits for its threads, so end them first.
            halt.asked = True
            if local:
                executor.shutdown(wait=False, cancel_futures=True)
            else:
                for one in waiting:
                    one.cancel()
            raise
        finally:
            if bar is not None:
                bar.close()
