"""What a worker does with a run: begins it, or carries it on, and puts its file where finished runs lie.

It may be called for the same run as often as one likes, from several processes at once: one of them writes, and the
others wait for what it lands.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from wflow.errors import BusyError, StorageError, WriteError
from wflow.sweeps.folder import Folder
from wflow.sweeps.jobs import Job

POLL = 0.2
"""Seconds between two looks at a run that another process has taken up."""


def carry_out(about: Mapping[str, Any], folder: str) -> str | None:
    """Do a run of a sweep; None when it has landed, or why it failed.

    Parameters
    ----------
    about : the run, as in the plan
    folder : the sweep's, as this process sees it

    Raises
    ------
    StorageError
        when nothing can be written there, which is no failure of the run
    """
    job, place = Job(about), Folder(folder)
    while not place.settled(job):
        try:
            lock = place.lock(job)
        except BusyError:
            time.sleep(POLL)
            continue
        try:
            if not place.settled(job) and (reason := _alone(job, place)) is not None:
                place.fail(job, reason)
        except BusyError:  # somebody resumes the file by hand
            time.sleep(POLL)
        finally:
            lock.release()
    return place.reason(job)


def _alone(job: Job, place: Folder) -> str | None:
    """Do it while nobody else has it; None when it has landed, or why it failed."""
    draft = place.draft(job)
    try:
        try:
            solution = job.carry_out(draft)
        except StorageError as e:
            if isinstance(e, BusyError | WriteError) or not draft.exists():
                raise
            draft.unlink()  # torn: it cannot be carried on
            solution = job.carry_out(draft)
    except Exception as e:
        # Whatever a run ends in, the others are none the worse. What cannot be written is no failure of the run: a
        # file that was not even begun, say, on a full disk.
        begun = draft.exists() or not isinstance(e, StorageError)
        if isinstance(e, BusyError | WriteError | OSError) or not begun:
            raise
        return str(e) if isinstance(e, ValueError | RuntimeError) else f"{type(e).__name__}: {e}"
    if not solution.success:
        return solution.message
    place.land(job)
    return None
