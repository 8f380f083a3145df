"""``wflow.load``: the Solution in a run's file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wflow.results.kinds import Predicts
from wflow.results.solution import Solution
from wflow.storage import StoredRun, read_run
from wflow.views import VIEWS, Fields, View


class StoredFrames(Sequence[Fields]):
    """The frames in a file, each read when asked for."""

    def __init__(self, stored: StoredRun) -> None:
        self._stored = stored

    def __getstate__(self) -> dict[str, Any]:
        # Another process may stand in another folder.
        return {"_stored": replace(self._stored, path=os.path.abspath(self._stored.path))}

    def __len__(self) -> int:
        return self._stored.n_frames

    def __getitem__(self, i: Any) -> Any:
        frame = range(len(self))[i]  # an IndexError past the end is what ends an iteration
        return {name: self._stored.read_field(name, frame) for name in self._stored.field_names}


def load(path: str | os.PathLike[str], energy: Predicts | None = None) -> Solution:
    """The Solution in a file, finished or not; measures are read when asked for.

    Parameters
    ----------
    path : the run's HDF5 file
    energy : of the flow, for predictions; a system's is made anew when it is needed

    Raises
    ------
    StorageError
        when the file is missing, torn, or not one of ours
    """
    stored = read_run(path)
    attributes = dict(stored.attributes)
    stats = attributes.pop("stats", {}) or {}
    status = str(attributes.pop("status", "unknown"))
    message = str(attributes.pop("message", "")) or {
        "running": "the run did not end: wflow.resume goes on from its checkpoint",
    }.get(status, status)
    return Solution(
        t=stored.t,
        series=stored.series,
        steps=stored.steps,
        frames=StoredFrames(stored),
        view=stored_view(stored),
        success=status == "done",
        message=message,
        stats=stats,
        attributes=attributes,
        path=str(path),
        energy=energy,
    )


def stored_view(stored: StoredRun) -> View:
    """The view of the states in a file."""
    about = stored.attributes["measure"]
    edges = {name: axis.edges for name, axis in stored.axes.items()}
    return VIEWS[about["kind"]].rebuild(about, edges)
