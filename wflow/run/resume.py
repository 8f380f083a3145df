"""``wflow.resume``: a run from its file, carried on."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wflow.equation import Equation
from wflow.errors import InputError, StorageError
from wflow.results.kinds import kind_of
from wflow.results.load import load, stored_view
from wflow.results.solution import Solution
from wflow.run.driver import State
from wflow.run.events import Watch, stored_events
from wflow.run.execute import Underway, execute
from wflow.run.record import Settings
from wflow.run.times import check_times
from wflow.run.trackers import Tracker, check_trackers, default_trackers
from wflow.solvers.options import stored_options
from wflow.storage import RunWriter, demand, read_run
from wflow.storage.reader import reading
from wflow.tools.checks import check_path, number


def resume(
    path: str | os.PathLike[str],
    flow: Equation | None = None,
    t_end: float | None = None,
    *,
    t_eval: Any = None,
    trackers: Sequence[Tracker] = (),
    events: Any = None,
    method_options: Mapping[str, Any] | None = None,
    progress: bool = False,
    checkpoint_every: float = 30.0,
) -> Solution:
    """Carry a run on from its last checkpoint, to its own end or to ``t_end``.

    The path is that of a run which was never cut, bit for bit on the same machine and thread count.

    Parameters
    ----------
    path : the run's HDF5 file
    flow : the user's own flow, checked by its fingerprint; a system's flow is rebuilt from the file
    t_end : new end of the run
    t_eval : further times to save at, after the old end; by default ``t_end`` alone, and none where it is empty
    trackers : the run's own watchers once more, in their order: they go on from what they remembered
    events : the run's own events once more, where some are functions; those of series are in the file
    method_options : the method's own options once more, where some are functions; all others are in the file
    progress, checkpoint_every : as of :func:`wflow.solve`

    Raises
    ------
    InputError
        for a flow or options that are not the file's, or a t_end before the file's end
    StorageError
        for a file that cannot be carried on

    >>> import tempfile, wflow
    >>> system = wflow.systems.get("isotropic-gaussians", d=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, start = folder + "/run.h5", system.initial("particles", 20)
    ...     sol = wflow.solve(system.flow(), start, (0, 1), t_eval=[0, 1], output=path)
    ...     resume(path, t_end=2.0).t.tolist()
    [0.0, 1.0, 2.0]
    """
    stored, watching = read_run(check_path("path", path)), check_trackers(trackers)
    about = stored.attributes
    demand(about, "measure", "t_span", "t_eval", "method_options")
    end = float(about["t_span"][1])
    if t_end is not None and number("t_end", t_end) < end:
        raise InputError(
            f"t_end = {t_end:g}: the run in {path} already goes to {end:g}; ask for more"
        )
    if t_eval is not None and (t_end is None or t_end == end):
        raise InputError(f"t_eval without a later t_end: {path} keeps its own times up to {end:g}")
    if stored.status == "done" and (t_end is None or t_end == end):
        return load(path)
    view = stored_view(stored)
    with reading(path):
        watch = Watch(stored_events(about.get("events", ()), events, str(path)))
        options = stored_options(about["method_options"], method_options, str(path))
        start = view.show(stored.read_start())
    stored = replace(stored, attributes=about | {"method_options": options})
    # What a flow of the user's own raises is the user's to see.
    with reading(path) if flow is None else contextlib.nullcontext():
        task = kind_of(about).rebuild(stored, start, flow)
    control = task.method.control(task.problem)
    times, longer = np.array(about["t_eval"], dtype=np.float64), {}
    if t_end is not None and t_end > end:
        further = [t_end] if t_eval is None else t_eval
        asked = check_times(further, (end, t_end)) if np.size(further) else np.array([])
        later = control.times(asked, (float(about["t_span"][0]), t_end))
        times = np.concatenate([times, later[later > times.max(initial=-math.inf)]])
        end = t_end
        longer = {"t_eval": times.tolist(), "t_span": [about["t_span"][0], end]}
        if "t_eval_asked" in about or not np.array_equal(asked, later):
            known = about.get("t_eval_asked", about["t_eval"])
            longer["t_eval_asked"] = [*known, *asked.tolist()]
    writer, checkpoint, now = RunWriter.resume(path)
    if checkpoint is None:
        writer.close()
        raise StorageError(f"{path} has no valid checkpoint: run it anew with overwrite=True")
    if now.attributes["t_eval"] != about["t_eval"]:
        writer.close()
        raise StorageError(f"{path} was carried on by another run meanwhile: try again")
    if longer:
        writer.extend(times.size, longer)
    watchers = [*default_trackers(task.method.preserves), *watching]
    problem = task.problem
    control.restore(np.ones(len(control.memory)))  # until the checkpoint says how large
    carry = task.method.init(problem, float(about["t_span"][0]), problem.initial)
    state = State(0.0, problem.initial, carry, control, trackers=watchers, watch=watch)
    try:
        state.restore(checkpoint.arrays)
    except BaseException:
        writer.close()
        raise
    settings = Settings(path, False, progress, checkpoint_every)
    return execute(Underway(task, state, end, times, about, settings, writer))
