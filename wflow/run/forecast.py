"""What a run will cost, from its first steps: memory, steps, seconds, the size of its file."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

import numpy as np

from wflow.errors import ComputationError
from wflow.run.compiling import compile_seconds
from wflow.run.driver import advance
from wflow.run.execute import Underway
from wflow.run.record import RunRecorder, layout
from wflow.run.trackers import Stop

TRIAL = 2.0
"""Seconds that the steps tried may take."""
TRIED = "the trial is over"


@dataclass(frozen=True)
class Forecast:
    """The cost of a run.

    Attributes
    ----------
    tried : steps that were taken to know it
    step : the length of the last of them
    steps : steps of the whole run, if they stay as long
    growing : whether an error decides how long they are, so that they grow as the run comes to rest
    seconds : of the whole run, with a step more for each frame, without compiling
    compile_seconds : of kernels, spent already
    memory : bytes of the process at its peak so far; None where the system does not tell
    file : most bytes that the file will take
    """

    tried: int
    step: float
    steps: int
    growing: bool
    seconds: float
    compile_seconds: float
    memory: int | None
    file: int


class Patience:
    """A tracker that ends a trial when its time is over."""

    name = "patience"

    def __init__(self) -> None:
        self._until = math.inf

    def handle(self, t: float, observed: dict[str, float]) -> Stop | None:
        now = time.perf_counter()
        if self._until == math.inf:
            self._until = now + TRIAL
        return Stop(TRIED) if now > self._until else None

    def state(self) -> list[float]:
        return []

    def restore(self, state: list[float]) -> None:
        pass


def forecast(run: Underway) -> Forecast:
    """Try a run's first steps, and reckon from the last of them to its end.

    Raises
    ------
    ComputationError
        when one of them fails

    >>> import wflow
    >>> from wflow.run.record import Settings
    >>> from wflow.run.solve import flow_run
    >>> system = wflow.systems.get("isotropic-gaussians", d=10)
    >>> run = flow_run(system.flow(), system.initial("grid", 50), (0, 0.1), settings=Settings())
    >>> found = forecast(run)
    >>> found.tried == found.steps  # it came to the end
    True
    """
    problem, method, _ = run.task
    state = run.state
    state.trackers = [*state.trackers, Patience()]
    began, compiled = time.perf_counter(), compile_seconds()
    recorder = RunRecorder(None, run.settings, (state.start, run.t_end))
    outcome = advance(
        problem, method, state, run.t_end, np.array([]), recorder, run.settings.max_steps
    )
    spent, compiled = time.perf_counter() - began, compile_seconds() - compiled
    tried, h = state.accepted, state.control.h
    if not outcome.success:
        raise ComputationError(outcome.reason)
    left = (run.t_end - state.t) / h if outcome.reason == TRIED else 0.0
    steps = tried + math.floor(left + 1e-6)
    seconds = (spent - compiled) / max(tried, 1) * (steps + run.t_eval.size)
    return Forecast(
        tried=tried,
        step=h,
        steps=steps,
        growing=left > 0 and method.error_order > 0,
        seconds=seconds,
        compile_seconds=compile_seconds() - run.settings.compiled_before,
        memory=peak_memory(),
        file=layout(problem, state, run.t_eval.size).bytes_needed(run.t_eval.size, steps),
    )


def peak_memory() -> int | None:
    """Bytes of this process at its peak so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
