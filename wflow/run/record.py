"""What is written down of a run, in memory or in a file: frames, step rows, checkpoints, a header; and how often."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from wflow.run.compiling import compile_seconds
from wflow.run.driver import State, step_row
from wflow.solvers.method import Arrays, Problem
from wflow.storage import Axis, FieldSpec, Layout, Quantity, RunWriter
from wflow.tools.checks import check_count, check_flag, check_path, non_negative
from wflow.views import Fields

LINES_APART = 30.0
"""Seconds between the lines of a run's progress in a log."""
SECONDS_AT_RISK = 1.0
"""Frames of so much time at most are lost to a kill: they wait for one another, since each commit costs two syncs."""

QUANTITIES = {
    "risk": Quantity("loss", "risk R = E l(y, f)"),
    "free_energy": Quantity("loss", "free energy F = R/2 + ridge + temperature * entropy"),
    "test_risk": Quantity("loss", "risk on the held-out samples"),
    "clean_risk": Quantity("loss", "risk of the noiseless labels at the inputs in training"),
    "accuracy": Quantity("1", "share of the samples whose class is told right"),
    "test_accuracy": Quantity("1", "share of the held-out samples whose class is told right"),
    "clean_accuracy": Quantity("1", "the same of the noiseless labels in training"),
    "entropy": Quantity("1", "integral of rho log rho, by the estimator that the method names"),
    "mass": Quantity("1", "total mass"),
    "minimum": Quantity("1", "smallest density or weight"),
    "second_moment": Quantity("parameter^2", "integral of |theta|^2"),
    "transport_dissipation": Quantity(
        "loss/time", "integral of |grad Phi|^2, without the schedule"
    ),
    "kinetic_energy": Quantity("loss", "kinetic energy, half the integral of |p|^2"),
    "friction_dissipation": Quantity(
        "loss/time", "friction times the integral of |p|^2, without the schedule"
    ),
    "reaction_dissipation": Quantity("loss/time", "reaction_rate * Var Phi, without the schedule"),
    "loss": Quantity("loss", "mean loss of the training samples since the last step row"),
    "t": Quantity("time", "time, t = k * step_size for SGD"),
    "h": Quantity("time", "step size"),
    "error": Quantity("tolerance", "estimated error of the step in units of the tolerance"),
}


def quantity(name: str) -> Quantity:
    """Unit and meaning of a series."""
    unnamed = Quantity("loss" if name.endswith("_risk") else "1", name)
    return QUANTITIES.get(name, unnamed)


@dataclass
class Settings:
    """How a run is carried out; nothing of what it computes."""

    output: str | os.PathLike[str] | None = None
    overwrite: bool = False
    progress: bool = False
    checkpoint_every: float = 30.0
    max_steps: int = 10_000_000
    compiled_before: float = field(default_factory=compile_seconds)

    def __post_init__(self) -> None:
        if self.output is not None:
            check_path("output", self.output)
        check_flag("overwrite", self.overwrite)
        check_flag("progress", self.progress)
        non_negative("checkpoint_every", self.checkpoint_every, finite=False)
        check_count("max_steps", self.max_steps)


class RunRecorder:
    """Frames, step rows and checkpoints, into memory and, if there is one, into the file."""

    def __init__(self, writer: RunWriter | None, settings: Settings, span: tuple[float, float]):
        self.times: list[float] = []
        self.series: list[dict[str, float]] = []
        self.frames: list[Fields] = []
        self.rows: list[dict[str, float]] = []
        self._writer = writer
        if writer is not None:
            writer.at_risk = SECONDS_AT_RISK
        self._every = settings.checkpoint_every
        self._flushed = 0
        self._last = time.perf_counter()
        self._span = span
        self._bar = progress_bar(span) if settings.progress else None

    def frame(self, t: float, observed: dict[str, float], fields: Fields) -> None:
        self.times.append(t)
        self.series.append(observed)
        if self._writer is None:
            self.frames.append({k: np.array(v) for k, v in fields.items()})
        else:
            self.flush()
            self._writer.write_frame(t, observed, fields)

    def step(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        if self._writer is not None:
            self._writer.commit_if_due()

    def due(self) -> bool:
        return self._writer is not None and time.perf_counter() - self._last > self._every

    def checkpoint(self, arrays: Arrays) -> None:
        if self._writer is not None:
            self.flush()
            self._writer.write_checkpoint(arrays, {})
            self._last = time.perf_counter()

    def progress(self, t: float, row: dict[str, float]) -> None:
        if self._bar is not None:
            value = row.get("risk", row.get("loss", math.nan))
            self._bar.set_postfix_str(f"risk {value:.5g}", refresh=False)
            self._bar.update(max(0.0, min(t, self._span[1]) - self._bar.n - self._span[0]))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def flush(self) -> None:
        """Step rows to the file."""
        new = self.rows[self._flushed :]
        if new and self._writer is not None:
            self._writer.write_steps({k: np.array([r[k] for r in new]) for k in new[0]})
            self._flushed = len(self.rows)


def layout(
    problem: Problem, state: State, n_frames: int, given: Mapping[str, np.ndarray] | None = None
) -> Layout:
    """What a file of this run has room for, with what it is given beside its start."""
    observed = problem.observe(state.y, state.carry)
    view, arrays, saved = problem.view, state.arrays(), problem.fields(state.y)
    return Layout(
        n_frames=n_frames,
        series={k: quantity(k) for k in observed},
        step_series={k: quantity(k) for k in step_row(problem, state)}
        | {
            name: Quantity("time", f"time in the step at which {event.name}; NaN if it is not")
            for name, event in zip(state.watch.columns(), state.watch.events, strict=True)
        },
        fields={k: FieldSpec(saved[k].shape, *field) for k, field in view.fields.items()},
        axes={
            k: Axis(centers, edges, "parameter", f"cell centres along {k}")
            for k, (centers, edges) in view.axes.items()
        },
        coordinates=() if view.axes else view.coordinates,
        checkpoint={k: (v.shape, v.dtype.str) for k, v in arrays.items()},
        given={k: (v.shape, v.dtype.str) for k, v in (given or {}).items()},
    )


class ProgressLines:
    """How far a run has come where no bar can be drawn, in a log file say: a line now and then."""

    def __init__(self, span: tuple[float, float], where: str = "t = {} of {}") -> None:
        self.n, self._span, self._where, self._words = 0.0, span, where, ""
        self._began = self._last = time.monotonic()

    def set_postfix_str(self, words: str, refresh: bool) -> None:
        """What the next line says beside the time."""
        self._words = words

    def update(self, more: float) -> None:
        """So much nearer to the end."""
        self.n += more
        now = time.monotonic()
        if now - self._last < LINES_APART:
            return
        self._last, spent = now, now - self._began
        start, end = self._span
        left = spent * ((end - start) / self.n - 1) if self.n > 0 else math.inf
        where = self._where.format(f"{start + self.n:.4g}", f"{end:.4g}")
        line = f"{where}, {self._words}, {spent:.0f} s, about {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """There is nothing to clear away."""


def progress_bar(span: tuple[float, float], where: str = "t = {} of {}") -> Any:
    """A bar, or lines where none can be drawn, that are told how much nearer to the end they are."""
    # A log file wants no carriage returns; a notebook takes them.
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return ProgressLines(span, where)
    from tqdm import tqdm

    at = where.format("{n:.4g}", "{total:.4g}")
    shown = f"{{l_bar}}{{bar}}| {at} [{{elapsed}}<{{remaining}}] {{postfix}}"
    return tqdm(total=span[1] - span[0], bar_format=shown, leave=False)


def versions() -> dict[str, Any]:
    """What a run is computed with, and when, for its file's header."""
    import h5py
    import numba
    import scipy

    return {
        "wflow_version": version("wflow-meanfield"),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "numba": numba.__version__,
            "h5py": h5py.__version__,
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
