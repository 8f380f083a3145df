"""From a prepared problem to a Solution: records, the file, progress, the clock.

Flows (:mod:`wflow.run.solve`) and finite networks (:mod:`wflow.networks`) both run through :func:`execute`, and
:func:`carry_on` takes either up again from its file.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.results.load import load
from wflow.results.solution import Solution
from wflow.run.compiling import compile_seconds
from wflow.run.driver import State, advance
from wflow.run.trackers import Tracker
from wflow.solvers.method import Arrays, Method, Problem
from wflow.solvers.step_size import StepSize
from wflow.storage import Axis, FieldSpec, Layout, Quantity, RunWriter, StoredRun
from wflow.tools.checks import check_count
from wflow.views import Fields

QUANTITIES = {
    "risk": Quantity("loss", "risk R = E l(y, f)"),
    "free_energy": Quantity("loss", "free energy F = R/2 + ridge + temperature * entropy"),
    "mass": Quantity("1", "total mass"),
    "minimum": Quantity("1", "smallest density or weight"),
    "second_moment": Quantity("parameter^2", "integral of |theta|^2"),
    "transport_dissipation": Quantity(
        "loss/time", "integral of |grad Phi|^2, without the schedule"
    ),
    "reaction_dissipation": Quantity("loss/time", "reaction_rate * Var Phi, without the schedule"),
    "loss": Quantity("loss", "mean loss of the training samples since the last step row"),
    "t": Quantity("time", "time, t = k * step_size for SGD"),
    "h": Quantity("time", "step size"),
    "error": Quantity("tolerance", "estimated error of the step in units of the tolerance"),
}


@dataclass
class Settings:
    """How a run is carried out; nothing of what it computes."""

    output: str | os.PathLike[str] | None = None
    overwrite: bool = False
    progress: bool = False
    checkpoint_every: float = 30.0
    max_steps: int = 10_000_000
    compress: bool = True
    compiled_before: float = field(default_factory=compile_seconds)

    def __post_init__(self) -> None:
        every = self.checkpoint_every
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise InputError(f"checkpoint_every = {every!r}: give seconds >= 0")
        check_count("max_steps", self.max_steps)


class RunRecorder:
    """Frames, step rows and checkpoints, into memory and, if there is one, into the file."""

    def __init__(self, writer: RunWriter | None, settings: Settings, span: tuple[float, float]):
        self.times: list[float] = []
        self.series: list[dict[str, float]] = []
        self.frames: list[Fields] = []
        self.rows: list[dict[str, float]] = []
        self._writer = writer
        self._every = settings.checkpoint_every
        self._flushed = 0
        self._last = time.perf_counter()
        self._span = span
        self._bar = _progress_bar(span) if settings.progress else None

    def frame(self, t: float, observed: dict[str, float], fields: Fields) -> None:
        self.times.append(t)
        self.series.append(observed)
        if self._writer is None:
            self.frames.append({k: np.array(v) for k, v in fields.items()})
        else:
            self._flush_rows()
            self._writer.write_frame(t, observed, fields)

    def step(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def due(self) -> bool:
        return self._writer is not None and time.perf_counter() - self._last > self._every

    def checkpoint(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        if self._writer is not None:
            self._flush_rows()
            self._writer.write_checkpoint(arrays, meta)
            self._last = time.perf_counter()

    def progress(self, t: float, row: dict[str, float]) -> None:
        if self._bar is not None:
            value = row.get("risk", row.get("loss", math.nan))
            self._bar.set_postfix_str(f"risk {value:.5g}", refresh=False)
            self._bar.update(max(0.0, min(t, self._span[1]) - self._bar.n - self._span[0]))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _flush_rows(self) -> None:
        new = self.rows[self._flushed :]
        if new and self._writer is not None:
            self._writer.write_steps({k: np.array([r[k] for r in new]) for k in new[0]})
            self._flushed = len(self.rows)


def execute(
    problem: Problem,
    method: Method,
    *,
    t_span: tuple[float, float],
    t_eval: np.ndarray,
    control: StepSize,
    trackers: Sequence[Tracker],
    attributes: dict[str, Any],
    settings: Settings,
) -> Solution:
    """Run a problem from its start."""
    started = _versions() | attributes
    carry = method.init(problem, t_span[0], problem.initial)
    if not all(np.isfinite(np.asarray(v)).all() for v in carry.values()):
        raise InputError(
            "the energy is not finite at the start: check the initial measure and the data"
        )
    control.first(
        lambda: method.first_step(problem, t_span[0], problem.initial, carry),
        t_span[1] - t_span[0],
    )
    state = State(t_span[0], problem.initial, carry, control, trackers=trackers, start=t_span[0])
    writer = None
    if settings.output is not None:
        layout = _layout(problem, state, t_eval.size)
        started |= {"t_eval": t_eval.tolist(), "t_span": list(t_span)}
        started["measure"] = problem.view.describe()
        writer = RunWriter.create(
            settings.output,
            layout,
            started,
            overwrite=settings.overwrite,
            checkpoint=state.arrays(),
        )
    return _finish(
        problem,
        method,
        state,
        t_span[1],
        t_eval,
        writer,
        settings,
        started,
    )


def carry_on(
    writer: RunWriter,
    stored: StoredRun,
    checkpoint: Arrays,
    problem: Problem,
    method: Method,
    *,
    t_end: float,
    t_eval: np.ndarray,
    trackers: Sequence[Tracker],
    settings: Settings,
) -> Solution:
    """Take a run up from its checkpoint; the bits are those of a run that was never cut."""
    state = State(0.0, {}, {}, method.control(problem), trackers=trackers)
    state.restore(checkpoint)
    return _finish(problem, method, state, t_end, t_eval, writer, settings, stored.attributes)


def _finish(
    problem: Problem,
    method: Method,
    state: State,
    t_end: float,
    t_eval: np.ndarray,
    writer: RunWriter | None,
    settings: Settings,
    attributes: dict[str, Any],
) -> Solution:
    recorder = RunRecorder(writer, settings, (state.start, t_end))
    try:
        outcome = advance(problem, method, state, t_end, t_eval, recorder, settings.max_steps)
    except BaseException:
        if writer is not None:
            writer.close()
        raise
    finally:
        recorder.close()
    stats = {
        "steps": state.accepted,
        "rejections": state.rejected,
        "seconds": state.seconds,
        "compile_seconds": compile_seconds() - settings.compiled_before,
    }
    if writer is not None:
        status = "done" if outcome.success else "failed"
        path = str(writer.path)
        writer.finish(status, outcome.reason, stats, compress=settings.compress)
        writer.close()
        return load(path)
    names = recorder.series[0].keys() if recorder.series else ()
    per_step = ("t", "h", "error", *problem.monitor(state.y, state.carry))
    return Solution(
        t=np.array(recorder.times),
        series={k: np.array([s[k] for s in recorder.series]) for k in names},
        steps={k: np.array([r[k] for r in recorder.rows]) for k in per_step},
        frames=recorder.frames,
        view=problem.view,
        success=outcome.success,
        message=outcome.reason,
        stats=stats,
        attributes=attributes,
    )


def _layout(problem: Problem, state: State, n_frames: int) -> Layout:
    observed = problem.observe(state.y, state.carry)
    rows = {"t": 0.0, "h": 0.0, "error": 0.0} | problem.monitor(state.y, state.carry)
    view, arrays, saved = problem.view, state.arrays(), problem.fields(state.y)
    return Layout(
        n_frames=n_frames,
        series={k: QUANTITIES.get(k, Quantity("1", k)) for k in observed},
        step_series={k: QUANTITIES.get(k, Quantity("1", k)) for k in rows},
        fields={k: FieldSpec(saved[k].shape, *field) for k, field in view.fields.items()},
        axes={
            k: Axis(centers, edges, "parameter", f"cell centres along {k}")
            for k, (centers, edges) in view.axes.items()
        },
        coordinates=() if view.axes else view.coordinates,
        checkpoint={k: (v.shape, v.dtype.str) for k, v in arrays.items()},
    )


def _progress_bar(span: tuple[float, float]) -> Any:
    from tqdm import tqdm

    # On a terminal only: a log file wants no carriage returns.
    shown = "{l_bar}{bar}| t={n:.4g}/{total:.4g} [{elapsed}<{remaining}] {postfix}"
    return tqdm(
        total=span[1] - span[0], bar_format=shown, disable=not sys.stderr.isatty(), leave=False
    )


def _versions() -> dict[str, Any]:
    import h5py
    import numba
    import scipy

    from wflow import __version__

    return {
        "wflow_version": __version__,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "numba": numba.__version__,
            "h5py": h5py.__version__,
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
