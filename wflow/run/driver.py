"""The one loop that steps through time.

It knows a problem only as named arrays. Saving does not bend the path: a frame inside a step is a branch of the length
that is missing, taken from the start of the step and then forgotten, so the path, its checkpoint and its bits do not
depend on the times asked for. Methods with noise or an integer clock save on their own clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from wflow.run.trackers import Fail, Stop, Tracker
from wflow.solvers.method import Arrays, Method, Problem, Step
from wflow.solvers.step_size import StepSize


class Recorder(Protocol):
    """Where frames, step rows and checkpoints go."""

    def frame(self, t: float, observed: dict[str, float], fields: Arrays) -> None: ...

    def step(self, row: dict[str, float]) -> None: ...

    def checkpoint(self, arrays: Arrays, meta: dict[str, Any]) -> None: ...

    def due(self) -> bool: ...

    def progress(self, t: float, row: dict[str, float]) -> None: ...


@dataclass
class State:
    """All that a run needs to go on."""

    t: float
    y: Arrays
    carry: Arrays
    control: StepSize
    accepted: int = 0
    rejected: int = 0
    saved: int = 0
    seconds: float = 0.0
    trackers: Sequence[Tracker] = field(default_factory=list)
    start: float = 0.0
    unclaimed: list[float] = field(default_factory=list)
    """What watchers remembered that a resumed run does without."""

    def arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint."""
        packed = {f"y.{k}": np.asarray(v) for k, v in self.y.items()}
        packed |= {f"carry.{k}": np.asarray(v) for k, v in self.carry.items()}
        packed["step_size"] = self.control.state()
        packed["clock"] = np.array([self.t, self.start, self.seconds])
        packed["counts"] = np.array([self.accepted, self.rejected, self.saved], dtype=np.int64)
        memory = [x for tracker in self.trackers for x in tracker.state()]
        packed["trackers"] = np.array([*memory, *self.unclaimed])
        return packed

    def restore(self, arrays: Arrays) -> None:
        """Back to what ``arrays`` packed."""
        self.y = {k[2:]: v for k, v in arrays.items() if k.startswith("y.")}
        self.carry = {k[6:]: v for k, v in arrays.items() if k.startswith("carry.")}
        self.control.restore(arrays["step_size"])
        self.t, self.start, self.seconds = map(float, arrays["clock"])
        self.accepted, self.rejected, self.saved = map(int, arrays["counts"])
        memory = arrays["trackers"].tolist()
        for tracker in self.trackers:
            n = len(tracker.state())
            tracker.restore(memory[:n])
            memory = memory[n:]
        self.unclaimed = memory


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    success: bool
    reason: str


def advance(
    problem: Problem,
    method: Method,
    state: State,
    t_end: float,
    t_eval: np.ndarray,
    recorder: Recorder,
    max_steps: int,
) -> Outcome:
    """Step from ``state`` to ``t_end``, saving at ``t_eval``; ``state`` is left ready to go on."""
    began, control = time.perf_counter() - state.seconds, state.control
    eps = 1e-13 * max(abs(t_end), abs(state.start), 1e-300)
    outcome: Outcome | None = None
    while state.saved < t_eval.size and t_eval[state.saved] <= state.t + eps:
        _frame(problem, recorder, state, float(t_eval[state.saved]), state.y, state.carry)
    if state.accepted == 0:
        outcome = _watch(state, problem.monitor(state.y, state.carry))
    try:
        while outcome is None and state.t < t_end - eps:
            if state.accepted >= max_steps:
                outcome = Outcome(
                    False, f"{max_steps} steps taken at t = {state.t:g}: raise max_steps"
                )
                break
            h, t_new = control.h, control.end(state.t, state.start, state.accepted)
            if control.own_clock and t_new > t_end + eps:
                # The path's next step ends beyond t_end: only the frames before it are wanted.
                outcome = _save_inside(problem, method, state, t_end, None, t_eval, recorder, eps)
                break
            step = _attempt(problem, method, state, h)
            if isinstance(step, Outcome):
                outcome = step
                break
            h, t_new = control.h, control.end(state.t, state.start, state.accepted)
            outcome = _save_inside(problem, method, state, t_new, step, t_eval, recorder, eps)
            if outcome is not None or t_new > t_end + eps:
                break  # the path's own step ends beyond t_end: it is left for a resumed run
            control.accept(step.error, step.limit)
            state.t, state.y, state.carry = t_new, step.y, step.carry
            state.accepted += 1
            row = problem.monitor(step.y, step.carry)
            recorder.step({"t": t_new, "h": h, "error": step.error} | row)
            recorder.progress(t_new, row)
            outcome = _watch(state, row)
            state.seconds = time.perf_counter() - began
            if recorder.due():
                recorder.checkpoint(state.arrays(), {})
    finally:
        state.seconds = time.perf_counter() - began
        recorder.checkpoint(state.arrays(), {})
    if outcome is not None and outcome.success and state.saved < t_eval.size:
        # A steady state stands for all later times: its one frame is the time it was found. It comes after the
        # checkpoint and takes no slot of t_eval, so a resumed run drops it and goes on as if it were not there.
        recorder.frame(state.t, problem.observe(state.y, state.carry), problem.fields(state.y))
    return outcome or Outcome(True, f"reached t = {t_end:g}")


def _attempt(problem: Problem, method: Method, state: State, h: float) -> Step | Outcome:
    """One accepted step, shrinking it as often as needed; or why there is none."""
    control, reason = state.control, ""
    while True:
        if control.h < (least := control.least(state.t)):
            return Outcome(
                False,
                f"step size fell below {least:.1e} at t = {state.t:g} ({reason or 'stability'}): "
                "loosen rtol, refine the grid, or check the energy",
            )
        try:
            step = method.step(problem, state.t, control.h, state.y, state.carry)
            finite = _finite(step)
        except FloatingPointError as e:
            step, finite, reason = Step(state.y, state.carry, error=math.nan), False, str(e)
        if step.status == "ok" and finite and step.error <= 1.0:
            return step
        if step.status == "refused":
            reason = step.reason
        elif not finite or not math.isfinite(step.error):
            reason = reason or "not a number"
        else:
            reason = "error above the tolerance"
        state.rejected += 1
        if step.status == "refused":
            shorter = control.refuse(step.limit)
        else:
            shorter = control.reject(step.error if finite else math.nan)
        if not shorter:
            return Outcome(
                False, f"{reason} at t = {state.t:g}: take a smaller step_size than {h:g}"
            )


def _save_inside(
    problem: Problem,
    method: Method,
    state: State,
    t_new: float,
    step: Step | None,
    t_eval: np.ndarray,
    recorder: Recorder,
    eps: float,
) -> Outcome | None:
    """Save the frames due in (t, t_new], where ``step`` ends if it is given; or why one cannot be had."""
    while state.saved < t_eval.size and t_eval[state.saved] <= t_new + eps:
        t = float(t_eval[state.saved])
        branch: Step | None = step
        if step is None or abs(t - t_new) > eps:
            branch = _branch(problem, method, state, t)
        if branch is None:
            return Outcome(
                False, f"no step from t = {state.t:g} to the frame at {t:g}: tighten rtol"
            )
        _frame(problem, recorder, state, t, branch.y, branch.carry)
    return None


def _branch(problem: Problem, method: Method, state: State, t: float) -> Step | None:
    """A side step from the state to time t, in pieces where the whole is refused; None if none will do."""
    for pieces in (1,) if state.control.own_clock else (1, 2, 4, 8, 16):
        h = (t - state.t) / pieces
        step = Step(state.y, state.carry)
        for i in range(pieces):
            step = method.step(problem, state.t + i * h, h, step.y, step.carry)
            if step.status != "ok" or not all(np.isfinite(v).all() for v in step.y.values()):
                break
        else:
            return step
    return None


def _finite(step: Step) -> bool:
    """Whether a step's arrays are numbers; its carry, too: the energy at its end."""
    return all(_numbers(v) for v in (*step.y.values(), *step.carry.values()))


def _numbers(v: np.ndarray) -> bool:
    """A finite sum of squares proves it in one pass that writes nothing; squares that overflow need the second look."""
    if v.dtype == np.float64 and v.size > 1 and v.flags.c_contiguous:
        with np.errstate(over="ignore", invalid="ignore"):
            flat = v.reshape(-1)
            if math.isfinite(flat @ flat):
                return True
    return bool(np.isfinite(v).all())


def _frame(
    problem: Problem, recorder: Recorder, state: State, t: float, y: Arrays, carry: Arrays
) -> None:
    recorder.frame(t, problem.observe(y, carry), problem.fields(y))
    state.saved += 1


def _watch(state: State, row: dict[str, float]) -> Outcome | None:
    for tracker in state.trackers:
        verdict = tracker.handle(state.t, row)
        if isinstance(verdict, Fail):
            return Outcome(False, verdict.reason)
        if isinstance(verdict, Stop):
            return Outcome(True, verdict.reason)
    return None
