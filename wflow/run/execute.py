"""From a prepared task to a Solution: begun at its start, or taken up from a file, and then carried out in one way.

Flows (:mod:`wflow.run.solve`), finite networks (:mod:`wflow.networks`) and runs taken up again
(:mod:`wflow.run.resume`) all go through :func:`execute`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.kernels.parallel import one_blas_thread
from wflow.results.kinds import Task
from wflow.results.load import load
from wflow.results.solution import Solution
from wflow.run.compiling import compile_seconds
from wflow.run.driver import State, advance, step_row
from wflow.run.events import Event, Watch
from wflow.run.record import RunRecorder, Settings, layout, versions
from wflow.run.times import check_times
from wflow.run.trackers import Tracker, check_trackers, default_trackers
from wflow.storage import RunWriter
from wflow.storage.writer import SET_BY_US
from wflow.tools.checks import check_mapping

RESERVED = SET_BY_US | {
    *("events", "measure", "method", "run", "seed", "t_eval", "t_eval_asked", "t_span"),
    *("system", "parameters", "decay", "n_neurons", "replayed"),
}
"""Entries of a header that some runs have, and that whoever reads a file takes for theirs."""


@dataclass
class Underway:
    """A run that can go on: what is computed, where it stands, where it shall end, and its file if it has one."""

    task: Task
    state: State
    t_end: float
    t_eval: np.ndarray
    attributes: dict[str, Any]
    settings: Settings
    writer: RunWriter | None = None


def begin(
    task: Task,
    start: Any,
    *,
    t_span: tuple[float, float],
    t_eval: Any,
    first_step: float | None = None,
    max_step: float = math.inf,
    trackers: Sequence[Tracker] = (),
    events: Sequence[Event] = (),
    attributes: Mapping[str, Any],
    further: Mapping[str, Any] | None = None,
    given: Mapping[str, np.ndarray] | None = None,
    settings: Settings,
) -> Underway:
    """A run at its start; with an output, its file is there and can be taken up from now on.

    Parameters
    ----------
    task : of the kind that ``attributes["run"]`` names
    start : what the task was prepared with, as its view shows states
    t_span, t_eval, first_step, max_step, trackers, events : as in ``wflow.solve``
    attributes : what the kind of run needs to rebuild the task
    further : what else the header shall say, in the user's words
    given : arrays that the task reads beside its start, kept in the file
    """
    problem, method, _ = task
    control = method.control(problem)
    control.clip(first_step, max_step)
    asked = check_times(t_eval, t_span)
    times, span = control.times(asked, t_span), control.span(*t_span)
    if span == 0:
        raise InputError(
            f"step_size = {control.asked or control.h:g} is longer than t_span = ({t_span[0]:g}, {t_span[1]:g}): "
            "no step would be taken; give a shorter one"
        )
    carry = method.init(problem, t_span[0], problem.initial)
    if not all(np.isfinite(np.asarray(v)).all() for v in carry.values()):
        where = problem.view.lost(problem.initial, carry)
        raise InputError(
            f"the energy is not finite at the start{where}: check the initial measure and the data"
        )
    control.first(
        lambda: method.first_step(problem, t_span[0], problem.initial, carry),
        span,
    )
    watchers = [*default_trackers(method.preserves), *check_trackers(trackers)]
    state = State(0.0, problem.initial, carry, control, trackers=watchers, start=t_span[0])
    state.watch = Watch(events)
    state.watch.begin(problem, state.start, 0.0, state.y, state.carry)
    about = versions() | {"method": method.name, "method_options": method.options()}
    about |= {"events": [event.describe() for event in events]} if events else {}
    about |= attributes
    about |= others(further, about)
    run = Underway(task, state, t_span[1], times, about, settings)
    if settings.output is not None:
        about |= {"t_eval": times.tolist(), "t_span": list(t_span)}
        if not np.array_equal(asked, times):  # a clock of its own saves at its ticks
            about["t_eval_asked"] = asked.tolist()
        about["measure"] = problem.view.describe()
        run.writer = RunWriter.create(
            settings.output,
            layout(problem, state, times.size, given),
            about,
            overwrite=settings.overwrite,
            checkpoint=state.arrays(),
            start=problem.view.store(start) | dict(given or {}),
        )
    return run


def others(further: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a user wants the header to say beside the run's own entries, which a resumed run is rebuilt from."""
    given: dict[str, Any] = check_mapping("attributes", further)
    for name in given:
        if not isinstance(name, str) or not name:
            raise InputError(f"attributes has the name {name!r}: names are text")
        if name in own or name in RESERVED:
            raise InputError(
                f"attributes: '{name}' is what the run says of itself: call it otherwise, 'my_{name}' say"
            )
    return given


def execute(run: Underway) -> Solution:
    """Carry a run out to its end; the bits do not depend on where it was cut before."""
    problem, method, energy = run.task
    state, settings, writer = run.state, run.settings, run.writer
    recorder = RunRecorder(writer, settings, (state.start, run.t_end))
    try:
        # A step's products are short: a second thread of BLAS spins longer than they take, and two runs side by side
        # would wait for each other's. Long ones are shared out by our own pool.
        with one_blas_thread():
            outcome = advance(
                problem, method, state, run.t_end, run.t_eval, recorder, settings.max_steps
            )
    except BaseException:
        if writer is not None:
            writer.close()
        raise
    finally:
        recorder.close()
    stats: dict[str, Any] = {
        "steps": outcome.steps,
        "rejections": state.rejected,
        "seconds": state.seconds,
        "compile_seconds": compile_seconds() - settings.compiled_before,
    }
    if state.watch.events:
        stats["late_events"] = [list(found) for found in outcome.late]
    if writer is not None:
        recorder.flush()
        writer.finish("done" if outcome.success else "failed", outcome.reason, stats)
        writer.close()
        return load(writer.path, energy)
    names = recorder.series[0].keys() if recorder.series else ()
    return Solution(
        t=np.array(recorder.times),
        series={k: np.array([s[k] for s in recorder.series]) for k in names},
        steps={k: np.array([r[k] for r in recorder.rows]) for k in step_row(problem, state)},
        frames=recorder.frames,
        view=problem.view,
        success=outcome.success,
        message=outcome.reason,
        stats=stats,
        attributes=run.attributes,
        energy=energy,
    )
