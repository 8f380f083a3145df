"""What a sweep will cost, from the first steps of a few of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wflow.run.forecast import peak_memory
from wflow.sweeps.jobs import Job

TRIED = 6
"""So many runs are tried, and two of each system and kind at least."""


@dataclass(frozen=True)
class Cost:
    """The cost of all runs together.

    Attributes
    ----------
    tried : runs whose first steps were taken to know it
    seconds : of computing, on one core, without compiling
    memory : bytes of this process at its peak; None where the system does not tell
    files : most bytes that the run files will take
    """

    tried: int
    seconds: float
    memory: int | None
    files: int


def reckon(jobs: Sequence[Job]) -> Cost:
    """Try some runs, some of each system and kind; the others are taken to cost as much, networks by N t/ε.

    Raises
    ------
    ComputationError
        when the first steps of one of them fail

    >>> from wflow.sweeps.plan import read_plan
    >>> plan = read_plan({"system": "isotropic-gaussians", "run": "limit", "t_end": 0.1,
    ...                   "parameters": {"d": [2, 3], "n": 50}})
    >>> found = reckon(plan.jobs)
    >>> found.tried, found.seconds > 0, found.files > 0
    (2, True, True)
    """
    alike: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.about["system"], job.about["run"]), []).append(job)
    seconds, files, tried = 0.0, 0, 0
    for group in alike.values():
        group.sort(key=lambda job: job.weight)
        some = min(len(group), max(2, TRIED // len(alike)))
        picked = [group[k] for k in np.linspace(0, len(group) - 1, some).astype(int)]
        spent, sizes = zip(*(job.trial() for job in picked), strict=True)
        weights = [job.weight for job in group]
        seconds += sum(spent) / sum(job.weight for job in picked) * sum(weights)
        files += max(sizes) * len(group)
        tried += some
    return Cost(tried, seconds, peak_memory(), files)
