"""The folder of a sweep: its plan, and one file a run, which is where it belongs only when it is whole.

=================  ==========================================================================================
``plan.json``      every run by all that it depends on, and the axes
``unfinished/``    runs under way or cut off: run files that are carried on from their checkpoints
``runs/``          finished runs, each moved here in one go under the digest of what it depends on
``failed/``        why a run failed, and what it has left
=================  ==========================================================================================

Nobody counts: a run is done if its file is there. So it does not matter how often a run is begun, nor who is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wflow.errors import StorageError, damaged
from wflow.storage.disk import WriterLock, check_place, explain, replacement
from wflow.sweeps.jobs import Job
from wflow.sweeps.plan import Plan
from wflow.tools.checks import check_path

FORMAT = "wflow-sweep-1"
PARTS = ("runs", "unfinished", "failed")


class Folder:
    """The folder at a path, which may not be there yet."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_path("output", path)
        self._plan = self.path / "plan.json"

    def run(self, job: Job) -> Path:
        """Where a finished run lies."""
        return self.path / "runs" / f"{job.digest}.h5"

    def draft(self, job: Job) -> Path:
        """Where a run is written."""
        return self.path / "unfinished" / f"{job.digest}.h5"

    def remains(self, job: Job) -> Path:
        """Where a failed run lies, if it has come to a file."""
        return self.path / "failed" / f"{job.digest}.h5"

    @contextlib.contextmanager
    def held(self, plan: Plan) -> Iterator[tuple[Job, ...]]:
        """The folder for a plan, made or extended; nobody else sweeps into it meanwhile. Answers with what is new.

        Raises
        ------
        StorageError
            for a folder of something else, of another plan, or one that cannot be made
        """
        self._make()
        lock = WriterLock(Path(os.path.realpath(self._plan)), self.path)
        try:
            known = self.plan() if self._plan.exists() else Plan((), ())
            asked = {job.digest for job in plan.jobs}
            left_out = [job for job in known.jobs if job.digest not in asked]
            if left_out:
                raise StorageError(
                    f"{self.path} holds a sweep of {len(known.jobs)} runs, {len(left_out)} of which this plan leaves "
                    f"out (the first: {_all_that_differs(left_out[0], plan)}): give another folder, or a plan that "
                    "adds to it"
                )
            held = {job.digest for job in known.jobs}
            new = tuple(job for job in plan.jobs if job.digest not in held)
            axes = tuple(dict.fromkeys((*known.axes, *plan.axes)))
            if new or axes != known.axes:
                self._write(Plan((*known.jobs, *new), axes))
            yield new
        finally:
            lock.release()

    def plan(self) -> Plan:
        """The plan that the folder holds.

        Raises
        ------
        StorageError
            where there is none, or it was damaged
        """
        try:
            text = json.loads(self._plan.read_text(encoding="utf-8"))
        except OSError as e:
            raise StorageError(
                f"{self.path} is no folder of a sweep: {self._plan.name}: {explain(e)}"
            ) from None
        except (ValueError, RecursionError):
            raise damaged(self._plan, "it is no JSON") from None
        try:
            if text["format"] != FORMAT:
                raise StorageError(f"{self._plan} has format {text['format']!r}: {FORMAT} expected")
            plan = Plan(tuple(Job(about) for about in text["runs"]), tuple(map(str, text["axes"])))
            for job in plan.jobs:
                _ = job.places, job.weight, [float(t) for t in job.about["t_eval"]]
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            if isinstance(e, StorageError):
                raise
            raise damaged(self._plan, "an entry is missing or no sweep's") from None
        return plan

    def statuses(self, jobs: Sequence[Job]) -> list[str]:
        """``done``, ``failed``, ``begun`` or ``missing``, for each job."""
        there = {part: _names(self.path / part) for part in PARTS}
        words = (
            ("runs", ".h5", "done"),
            ("failed", ".json", "failed"),
            ("unfinished", ".h5", "begun"),
        )
        return [
            next((word for part, end, word in words if job.digest + end in there[part]), "missing")
            for job in jobs
        ]

    def settled(self, job: Job) -> bool:
        """Whether a run has landed or failed."""
        return self.run(job).exists() or self._why(job).exists()

    def lock(self, job: Job) -> WriterLock:
        """Held by whoever carries a run out.

        Raises
        ------
        BusyError
            when another one does
        """
        return WriterLock(
            Path(os.path.realpath(self.draft(job).with_suffix(".job"))), self.draft(job)
        )

    def land(self, job: Job) -> None:
        """A finished run to its place."""
        os.replace(self.draft(job), self.run(job))

    def fail(self, job: Job, reason: str) -> None:
        """A failed run out of the way, with why."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.draft(job), self.remains(job))
        self._say(self._why(job), {"reason": reason, **job.about})

    def reason(self, job: Job) -> str | None:
        """Why a run failed, if it did."""
        try:
            return str(json.loads(self._why(job).read_text(encoding="utf-8"))["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "its reason cannot be read"

    def forget(self, job: Job) -> None:
        """A run that failed, or whose file was damaged, may be tried again."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.run(job), self.remains(job))
        self._why(job).unlink(missing_ok=True)

    def _why(self, job: Job) -> Path:
        return self.path / "failed" / f"{job.digest}.json"

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"{self.path} is a file: give a folder for the sweep")
        if not self.path.parent.is_dir():
            raise StorageError(
                f"the folder {self.path.parent} does not exist: make it first (mkdir -p)"
            )
        # Its own folders are those of a sweep that was killed before it could write its plan.
        if not self._plan.exists() and _names(self.path) - set(PARTS):
            raise StorageError(f"{self.path} holds other files: give a new folder for the sweep")
        try:
            for part in PARTS:
                (self.path / part).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(
                f"{self.path} cannot be made: {explain(e)}: give another folder"
            ) from None
        check_place(self._plan, overwrite=True)

    def _write(self, plan: Plan) -> None:
        self._say(
            self._plan,
            {
                "format": FORMAT,
                "wflow_version": version("wflow-meanfield"),
                "axes": plan.axes,
                "runs": [job.about for job in plan.jobs],
            },
        )

    def _say(self, path: Path, content: dict[str, Any]) -> None:
        with replacement(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _all_that_differs(job: Job, plan: Plan) -> str:
    """What a run has that the plan's own are nearest to having."""
    nearest = min((_differences(job, other) for other in plan.jobs), key=len)
    return ", ".join(f"{name} = {job.about.get(name, job.places.get(name))}" for name in nearest)


def _differences(job: Job, other: Job) -> list[str]:
    one, two = ({**j.places, "t_eval": j.about["t_eval"]} for j in (job, other))
    return [name for name in one if one[name] != two.get(name)]


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
