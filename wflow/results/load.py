"""``wflow.load``: the Solution in a run's file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wflow.equation import Predicts
from wflow.errors import damaged
from wflow.results.solution import Solution
from wflow.storage import StoredRun, demand, read_run
from wflow.storage.disk import being_written
from wflow.storage.reader import reading
from wflow.tools.checks import check_path
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

    >>> import tempfile, wflow
    >>> flow = wflow.GradientFlow(wflow.energies.PairEnergy(lambda x: 0.5 * x[..., 0] ** 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sol = wflow.solve(flow, wflow.Particles([1.0]), (0, 1), output=folder + "/run.h5")
    ...     again = load(folder + "/run.h5")
    ...     again.status, bool((again.risk == sol.risk).all())
    ('done', True)
    """
    stored = read_run(check_path("path", path))
    attributes = dict(stored.attributes)
    stats = attributes.pop("stats", {})
    status, message = attributes.pop("status", "running"), attributes.pop("message", "")
    if status == "running":
        status, message = _under_way(stored)
    return Solution(
        t=stored.t,
        series=stored.series,
        steps=stored.steps,
        frames=StoredFrames(stored),
        view=stored_view(stored),
        success=status == "done",
        message=message or status,
        status=status,
        stats=stats,
        attributes=attributes,
        path=str(path),
        energy=energy,
    )


def _under_way(stored: StoredRun) -> tuple[str, str]:
    """Status and message of a run that has not said how it ended: it goes on, or was cut off."""
    reached = max([*stored.t[-1:], *stored.steps.get("t", [])[-1:]], default=math.nan)
    _, end = stored.attributes.get("t_span", (math.nan, math.nan))
    if being_written(Path(stored.path)):
        return "running", f"running: at t = {reached:g} of {end:g}"
    return "stopped", f"stopped at t = {reached:g} of {end:g}: wflow.resume goes on from there"


def stored_view(stored: StoredRun) -> View:
    """The view of the states in a file."""
    demand(stored.attributes, "measure")
    about = stored.attributes["measure"]
    edges = {name: axis.edges for name, axis in stored.axes.items()}
    with reading(stored.path):
        view = VIEWS[about["kind"]].rebuild(about, edges)
        known = {name: tuple(field.dims) for name, field in view.fields.items()}
    own = () if view.axes else view.coordinates
    if known != stored.fields or tuple(own) != stored.coordinates:
        raise damaged(stored.path, f"its arrays are not those of {about['kind']}")
    return view
