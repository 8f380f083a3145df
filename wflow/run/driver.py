"""The one loop that steps through time.

It knows a problem only as named arrays. Saving does not bend the path: a frame inside a step is a branch of the length
that is missing, taken from the start of the step and then forgotten, so the path, its checkpoint and its bits do not
depend on the times asked for, nor on events, which are located likewise. Methods with noise or an integer clock save on
their own clock.

The clock of a run counts from its start: t itself, at 1e11 say, has no digits left for the sum of many small steps. It
is formed where time is looked at: in a schedule, in a frame, in words.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from wflow.errors import InputError
from wflow.run.events import Found, Watch
from wflow.run.times import rounding, told
from wflow.run.trackers import Fail, Stop, Tracker
from wflow.solvers.method import AnyMethod, Arrays, Problem, Step
from wflow.solvers.step_size import StepSize
from wflow.tools.arrays import all_finite

NOT_A_NUMBER = "the energy is not a number"
ANOTHER_RUN = "the checkpoint is of another run than the file says: run it anew"


class Recorder(Protocol):
    """Where frames, step rows and checkpoints go."""

    def frame(self, t: float, observed: dict[str, float], fields: Arrays) -> None: ...

    def step(self, row: dict[str, float]) -> None: ...

    def checkpoint(self, arrays: Arrays) -> None: ...

    def due(self) -> bool: ...

    def progress(self, t: float, row: dict[str, float]) -> None: ...


@dataclass
class State:
    """All that a run needs to go on."""

    elapsed: float
    y: Arrays
    carry: Arrays
    control: StepSize
    accepted: int = 0
    rejected: int = 0
    saved: int = 0
    seconds: float = 0.0
    trackers: Sequence[Tracker] = field(default_factory=list)
    start: float = 0.0
    watch: Watch = field(default_factory=Watch)
    unclaimed: list[float] = field(default_factory=list)
    """What watchers remembered that a resumed run does without."""

    @property
    def t(self) -> float:
        """The time."""
        return self.start + self.elapsed

    def arrays(self) -> Arrays:
        """Everything as arrays, for a checkpoint."""
        packed = {f"y.{k}": np.asarray(v) for k, v in self.y.items()}
        packed |= {f"carry.{k}": np.asarray(v) for k, v in self.carry.items()}
        packed["step_size"] = self.control.state()
        packed["clock"] = np.array([self.t, self.start, self.seconds, self.elapsed])
        packed["counts"] = np.array([self.accepted, self.rejected, self.saved], dtype=np.int64)
        packed["events"] = self.watch.met
        memory = [x for tracker in self.trackers for x in tracker.state()]
        packed["trackers"] = np.array([*memory, *self.unclaimed])
        return packed

    def restore(self, arrays: Arrays) -> None:
        """Back to what ``arrays`` packed, from a state at the run's start.

        Raises
        ------
        InputError
            for arrays of another run
        """
        own = self.arrays()
        fits = arrays.keys() == own.keys() and all(
            (found.dtype, found.ndim) == (own[name].dtype, own[name].ndim)
            # A carry may grow, trackers may have been more, and the clock held t before it counted from the start.
            and (found.shape == own[name].shape or name.startswith(("carry.", "trackers", "clock")))
            for name, found in arrays.items()
        )
        fits = fits and arrays["clock"].size in (3, 4)
        if not (fits and np.isfinite(arrays["clock"]).all() and arrays["counts"].min() >= 0):
            raise InputError(ANOTHER_RUN)
        self.y = {k[2:]: v for k, v in arrays.items() if k.startswith("y.")}
        self.carry = {k[6:]: v for k, v in arrays.items() if k.startswith("carry.")}
        self.control.restore(arrays["step_size"])
        if not self.control.is_own():
            raise InputError(ANOTHER_RUN)
        t, self.start, self.seconds, *elapsed = map(float, arrays["clock"])
        self.elapsed = elapsed[0] if elapsed else t - self.start
        self.accepted, self.rejected, self.saved = map(int, arrays["counts"])
        self.watch.met = arrays["events"]
        memory = arrays["trackers"].tolist()
        for tracker in self.trackers:
            n = len(tracker.state())
            tracker.restore(memory[:n])
            memory = memory[n:]
        self.unclaimed = memory


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and the events in the step that was left unfinished there."""

    success: bool
    reason: str
    late: Sequence[tuple[float, int]] = ()
    steps: int = 0
    """Those of the method, many in a stretch of SGD, with those beside the path that its end asked for."""


class Ended(Exception):
    """There is no next step, or no state at a time that was asked for."""


def step_row(
    problem: Problem, state: State, h: float = 0.0, error: float = 0.0, found: Sequence[Found] = ()
) -> dict[str, float]:
    """What is written down of the step of h that ended in ``state``."""
    row = {"t": state.t, "h": h, "error": error, **problem.monitor(state.y, state.carry)}
    return row | state.watch.columns(found) if state.watch.events else row


def advance(
    problem: Problem,
    method: AnyMethod,
    state: State,
    t_end: float,
    t_eval: np.ndarray,
    recorder: Recorder,
    max_steps: int,
) -> Outcome:
    """Step from ``state`` to ``t_end``, saving at ``t_eval``; ``state`` is left ready to go on."""
    began, control, watch = time.perf_counter() - state.seconds, state.control, state.watch
    span = control.span(state.start, t_end)
    eps = 1e-13 * span
    path = _Path(problem, method, state, span, t_eval, control.since(t_eval, state.start), recorder)
    seen = _Seen(problem, method, state)
    outcome, found, within, late = None, [], [], []
    final: tuple[float, Step] | None = None
    rest: Step | None = None
    try:
        watch.begin(problem, state.start, state.elapsed, state.y, state.carry)
        path.save(state.elapsed, Step(state.y, state.carry))
        if state.accepted == 0:
            outcome = seen.judged(problem.monitor(state.y, state.carry))
        while outcome is None and state.elapsed < span - eps:
            if state.accepted >= max_steps:
                raise Ended(f"{max_steps} steps taken at {path.at()}: raise max_steps")
            if control.own_clock and path.next_end() > span + eps:
                # The path's next step ends beyond t_end: its ticks before that are taken beside the path.
                rest = path.attempt(span - state.elapsed)
                path.save(span, rest)
                break
            step, h, end = path.attempt(), control.h, path.next_end()
            if watch.events:
                branch = None if control.own_clock else path.branch
                found = watch.inside(state.elapsed, end, step, branch)
                within = [event for event in found if event[0] <= span]
            if within and (last := watch.last(within)) is not None:
                # The run ends inside the step, which a resumed run takes anew and ends in alike.
                at = step if last[0] == end else path.branch(last[0])
                path.save(last[0], at)
                final = last[0], at
                late = within[: within.index(last) + 1]
                name = watch.events[last[1]].name
                outcome = Outcome(True, f"event '{name}' at {path.at(last[0])}")
                break
            path.save(end, step)
            if end > span + eps:
                late = within
                break  # the path's own step ends beyond t_end: it is left for a resumed run
            control.accept(step.error, step.limit)
            state.elapsed, state.y, state.carry = end, step.y, step.carry
            state.accepted += 1
            watch.keep(found)
            row = step_row(problem, state, h, step.error, found)
            recorder.step(row)
            recorder.progress(row["t"], row)
            outcome = seen.judged(row)
            state.seconds = time.perf_counter() - began
            if recorder.due():
                recorder.checkpoint(state.arrays())
    except Ended as e:
        outcome = Outcome(False, str(e))
    finally:
        state.seconds = time.perf_counter() - began
        recorder.checkpoint(state.arrays())
    ended = state
    # The rest is told after the checkpoint, so that a resumed run takes the whole step in its place.
    if rest is not None and outcome is None:
        ended = replace(state, elapsed=span, y=rest.y, carry=rest.carry)
        row = step_row(problem, ended, span - state.elapsed)
        recorder.step(row)
        recorder.progress(row["t"], row)
        outcome = _Seen(problem, method, ended).judged(row)
    # A steady state stands for all later times, an event for itself: their one frame is the time they were found,
    # unless that was saved already. It comes after the checkpoint and takes no slot of t_eval, so a resumed run drops
    # it and goes on without.
    if final is None and outcome is not None and outcome.success and state.saved < t_eval.size:
        final = state.elapsed, Step(state.y, state.carry)
    if final is not None and not (state.saved and abs(path.due[state.saved - 1] - final[0]) <= eps):
        path.frame(state.start + final[0], final[1])
    if outcome is None:
        short = state.start + span < t_end - rounding(state.start, t_end)
        before = f", the last whole step before {told(t_end, span)}" if short else ""
        outcome = Outcome(True, f"reached {path.at(span)}{before}")
    taken = control.taken(ended.elapsed, state.accepted)
    return replace(outcome, late=watch.at(late), steps=taken)


@dataclass(frozen=True)
class _Path:
    """The way on from a state: its next step, branches that leave it and are forgotten, and the frames due on it."""

    problem: Problem
    method: AnyMethod
    state: State
    span: float
    t_eval: np.ndarray
    due: np.ndarray
    """When after the start the frames of ``t_eval`` are."""
    recorder: Recorder

    def at(self, elapsed: float | None = None) -> str:
        """A time in words, the state's if none is given."""
        elapsed = self.state.elapsed if elapsed is None else elapsed
        return f"t = {told(self.state.start + elapsed, self.span)}"

    def next_end(self) -> float:
        """Where the next step ends."""
        return self.state.control.end(self.state.elapsed, self.state.accepted)

    def attempt(self, part: float | None = None) -> Step:
        """The next step, shrunk as often as needed; or a part of one, on a clock of its own."""
        state, control, reason, where = self.state, self.state.control, "", ""
        while True:
            if control.h < (least := control.least(state.elapsed, self.span)):
                method, small = self.method, f"step size fell below {least:.1e}"
                remedies = ["loosen rtol"] if method.error_order else []
                remedies += ["refine the grid"] if method.acts_on == "grid" else []
                what = f"{small} at {self.at()} ({reason or 'stability'})"
                if reason == NOT_A_NUMBER:
                    what = f"{reason} at {self.at()}{where} ({small})"
                raise Ended(
                    f"{what}: {', '.join([*remedies, 'or check the energy' if remedies else 'check the energy'])}"
                )
            reason = where = ""
            try:
                h = control.h if part is None else part
                step = self.method.step(self.problem, state.t, h, state.y, state.carry)
                finite = _finite(step)
            except FloatingPointError as e:
                step, finite, reason = Step(state.y, state.carry, error=math.nan), False, str(e)
            if step.status == "ok" and finite and step.error <= 1.0:
                return step
            state.rejected += 1
            if step.status == "refused":
                reason, shorter = step.reason, control.refuse(step.limit)
            elif not finite or not math.isfinite(step.error):
                # Where the state is whole, the energy at the end of the step is not.
                view = self.problem.view
                where = view.lost(state.y, step.y) or view.lost(step.y, step.carry)
                reason, shorter = reason or NOT_A_NUMBER, control.reject(math.nan)
            else:
                reason, shorter = "error above the tolerance", control.reject(step.error)
            if not shorter:
                raise Ended(
                    f"{reason} at {self.at()}{where}: take a smaller step_size than {control.asked or control.h:g}"
                )

    def branch(self, elapsed: float) -> Step:
        """A side step to a time after the start, in pieces where the whole is refused."""
        state = self.state
        for pieces in (1,) if state.control.own_clock else (1, 2, 4, 8, 16, 64, 256):
            h = (elapsed - state.elapsed) / pieces
            step = Step(state.y, state.carry)
            for i in range(pieces):
                step = self.method.step(self.problem, state.t + i * h, h, step.y, step.carry)
                if step.status != "ok" or not all(np.isfinite(v).all() for v in step.y.values()):
                    break
            else:
                return step
        remedy = "tighten rtol" if self.method.error_order else "give a shorter max_step"
        if state.control.fixed:
            remedy = "take a smaller step_size"
        raise Ended(
            f"no step from {self.at()} to a frame or an event at {self.at(elapsed)}: {remedy}"
        )

    def save(self, reach: float, step: Step | None) -> None:
        """Save the frames due until ``reach`` after the start, where ``step`` ends if it is given."""
        state, due, eps = self.state, self.due, 1e-13 * self.span
        while state.saved < due.size and due[state.saved] <= reach + eps:
            elapsed = float(due[state.saved])
            here = (
                step if step is not None and abs(elapsed - reach) <= eps else self.branch(elapsed)
            )
            self.frame(float(self.t_eval[state.saved]), here)
            state.saved += 1

    def frame(self, t: float, at: Step) -> None:
        """Save one."""
        observed = self.problem.observe(at.y, at.carry)
        self.recorder.frame(t, observed, self.problem.fields(at.y))


def _finite(step: Step) -> bool:
    """Whether a step's arrays are numbers; its carry, too: the energy at its end."""
    return all(map(all_finite, step.y.values())) and all(map(all_finite, step.carry.values()))


class _Seen(dict[str, Any]):
    """What watchers see: the scalars of the present row; the state and its dissipation where one asks for them."""

    def __init__(self, problem: Problem, method: AnyMethod, state: State) -> None:
        super().__init__()
        self._problem, self._method, self._state = problem, method, state
        self._formed: dict[str, Any] = {}

    def __missing__(self, name: str) -> Any:
        problem, state, formed = self._problem, self._state, self._formed
        if name not in formed:
            if name == "state":
                formed[name] = problem.view.show(problem.fields(state.y))
            elif name == "dissipation":
                formed[name] = self._method.dissipation(problem, state.t, state.y, state.carry)
            else:
                raise KeyError(name)
        return formed[name]

    def judged(self, row: dict[str, float]) -> Outcome | None:
        """How the run ends here, if a watcher says so."""
        self.update(row)
        self._formed.clear()
        for tracker in self._state.trackers:
            verdict = tracker.handle(self._state.t, self)
            if isinstance(verdict, Fail):
                return Outcome(False, verdict.reason)
            if isinstance(verdict, Stop):
                return Outcome(True, verdict.reason)
        return None
