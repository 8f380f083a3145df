"""``wflow.sweep``: all runs of a plan, each into a file of its own, on the cores of this machine or on a cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, as_completed
from typing import Any

from wflow.errors import ComputationError, InputError
from wflow.run.record import progress_bar
from wflow.sweeps.folder import Folder
from wflow.sweeps.jobs import Job
from wflow.sweeps.plan import Plan, read_plan
from wflow.sweeps.result import Sweep
from wflow.sweeps.work import carry_out
from wflow.tools.checks import check_count, check_flag
from wflow.tools.workers import cores, executor, lost_its_workers

WAIT = 60.0
"""Seconds that a scheduler may be gone."""

Told = Callable[[Job, str | None], None]
"""What is told of a run that has landed (None), or failed for a reason."""


def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    output: str | os.PathLike[str],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: bool = False,
) -> Sweep:
    """Carry out all runs of a plan.

    Every run lands in the folder as it finishes. Called again, with the same plan or one that adds to it, the sweep
    goes on with what is missing: runs that were cut off from their checkpoints, nothing twice. Failed runs are left
    alone unless ``retry_failed``. At the end ``table.csv`` and ``sweep.h5`` stand there, too.

    Parameters
    ----------
    plan : a TOML file, or a dict of the same entries (docs/sweeps.md)
    output : the folder
    scheduler : address of a Dask scheduler; the folder must be there for its workers, under the same name
    workers : processes on this machine, by default one a core; 1 computes here, and needs no Dask
    retry_failed : whether runs that have failed are tried again
    progress : a bar on a terminal, a line every half minute elsewhere

    Returns
    -------
    Sweep
        with the runs that failed, which raise nothing

    Raises
    ------
    InputError
        for a plan that is not allowed, before anything is run; for a folder of another plan
    ComputationError
        when the scheduler is gone for longer than a minute; what has landed stays

    >>> import tempfile
    >>> plan = {"system": "isotropic-gaussians", "run": "network", "t_end": 0.1, "t_eval": [0, 0.1], "step_size": 1e-3,
    ...         "n_neurons": [5, 10], "seeds": 3}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep(plan, folder, workers=1)
    ...     found.arrays()["risk"].dims, found.arrays()["risk"].values.shape
    (('n_neurons', 'seed', 't'), (2, 3, 2))
    """
    asked = read_plan(plan)
    check_flag("retry_failed", retry_failed)
    check_flag("progress", progress)
    count = None if workers is None else check_count("workers", workers)
    folder = Folder(output)
    with folder.held(asked) as new:
        if progress and 0 < len(new) < len(asked.jobs):
            runs = "1 run" if len(new) == 1 else f"{len(new)} runs"
            _say(f"{folder.path} is extended by {runs}: {_news(asked, new)}")
        if retry_failed:
            known = Sweep(folder.path)
            for job, state in zip(known.jobs, known.status, strict=True):
                if state in ("failed", "damaged"):
                    folder.forget(job)
        states = folder.statuses(asked.jobs)
        left = [
            j for j, state in zip(asked.jobs, states, strict=True) if state in ("begun", "missing")
        ]
        told = _Progress(len(asked.jobs) - len(left), len(asked.jobs), progress)
        try:
            if left:
                _carry_out(folder, left, scheduler, count, told)
        finally:
            told.close()
        result = Sweep(folder.path)
        result.write()
    return result


def _carry_out(
    folder: Folder, jobs: Sequence[Job], scheduler: str | None, workers: int | None, told: Told
) -> None:
    path = os.path.abspath(folder.path)
    if scheduler is None and (workers or cores()) == 1:
        for job in jobs:
            told(job, carry_out(job.about, path))
        return
    # The longest first, so that the last ones to end are short; of limits that is not known.
    order = sorted(jobs, key=lambda job: (job.about["run"] != "limit", -job.weight))
    left = {job.digest: job for job in order}
    gone = 0.0
    while left:
        try:
            with executor(workers, scheduler) as pool:
                calls = {pool.submit(carry_out, job.about, path): job for job in left.values()}
                for done in as_completed(calls):
                    job = calls[done]
                    try:
                        reason = done.result()
                    except CancelledError:
                        raise
                    except Exception as e:
                        if not lost_its_workers(e):
                            raise
                        reason = "every worker that took it up was lost: out of memory, say"
                        folder.fail(job, reason)
                    gone = 0.0
                    del left[job.digest]
                    told(job, reason)
        except (CancelledError, InputError) as e:
            if isinstance(e, InputError) and not gone:
                raise
            if gone and time.monotonic() - gone > WAIT:
                landed = folder.statuses(jobs).count("done")
                raise ComputationError(
                    f"scheduler {scheduler} is gone: {landed} of {len(jobs)} runs have landed; start it and run the "
                    "same again to go on"
                ) from None
            if not gone:
                gone = time.monotonic()
                _say(f"scheduler {scheduler} is gone: waiting for it")


class _Progress:
    """Counts runs, on a bar or in lines."""

    def __init__(self, done: int, total: int, shown: bool) -> None:
        self._failed = 0
        self._bar = progress_bar((done, total), "{} of {} runs") if shown else None

    def __call__(self, job: Job, reason: str | None) -> None:
        self._failed += reason is not None
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._bar.update(1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _news(plan: Plan, new: Sequence[Job]) -> str:
    """What the new runs have on the axes that the others have not."""
    names = {job.digest for job in new}
    held = [job for job in plan.jobs if job.digest not in names]
    words = []
    for name in plan.axes:
        known = {job.places.get(name) for job in held}
        values = dict.fromkeys(str(j.places[name]) for j in new if j.places.get(name) not in known)
        words += [f"{name} = {', '.join(values)}"] if values else []
    return "; ".join(words) or f"{new[0].at(plan.axes)} the first of them"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
