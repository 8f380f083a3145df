r"""Events: when a function of the state, or a series less a level, passes through zero.

A step that ends on the other side holds the event; where, Brent's method finds on branches of the step, each a shorter
step from the same state that is then forgotten. So events do not bend the path, and as the whole step brackets them
even where the run ends inside it, a run that is cut and carried on finds each once, to the same bit.
Source: Shampine, Gladwell & Brankin, ACM Trans. Math. Softw. 17 (1991) 11, for events of a solution known in steps;
Brent, Algorithms for Minimization without Derivatives (1973), chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, shown, unknown
from wflow.solvers.method import Arrays, Problem, Step
from wflow.tools.checks import check_count, number
from wflow.tools.fingerprint import of_function

CLOSE = 1e-10
"""How closely an event is located, relative to the step that holds it."""

Found = tuple[float, int]
"""When an event is, since the start of the run, and its place among those asked for."""


@dataclass(frozen=True)
class Event:
    """Where ``of`` less ``level`` passes through zero.

    Parameters
    ----------
    of : a function of the time and the state (a GridDensity or Particles), or the name of a series, such as "risk"
    level : the value that counts as zero
    terminal : True ends the run at the first event, a number n at the n-th
    direction : 1 counts passages upwards only, -1 downwards only, 0 both

    Raises
    ------
    InputError
        for anything else

    >>> import wflow
    >>> flow = wflow.GradientFlow(wflow.energies.PairEnergy(lambda x: 0.5 * x[..., 0] ** 2))
    >>> half = Event(lambda t, rho: rho.mean()[0], level=0.5, terminal=True)
    >>> sol = wflow.solve(flow, wflow.Particles([1.0]), (0, 5), events=[half], rtol=1e-10)
    >>> sol.t_events[0].round(6).tolist()
    [0.693147]
    """

    of: str | Callable[[float, Any], float]
    level: float = 0.0
    terminal: bool | int = False
    direction: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.of, str) and not callable(self.of):
            raise InputError(
                f"event {shown(self.of)}: give a function of t and the state, or (name of a series, level)"
            )
        number("level", self.level)
        number("direction", self.direction)
        if not isinstance(self.terminal, bool):
            check_count("terminal", self.terminal, 0)

    @property
    def name(self) -> str:
        """In words."""
        of = self.of if isinstance(self.of, str) else getattr(self.of, "__name__", "function")
        return f"{of} = {self.level}" if self.level or isinstance(self.of, str) else of

    def describe(self) -> dict[str, Any]:
        """All that tells it from another, as JSON; a function by its digest."""
        return {
            "name": self.name,
            "series": self.of if isinstance(self.of, str) else None,
            "function": None if isinstance(self.of, str) else of_function(self.of),
            "level": float(self.level),
            "terminal": int(self.terminal),
            "direction": float(self.direction),
        }


def as_events(given: Any) -> list[Event]:
    """Events as ``solve`` takes them: one or several of functions with scipy's attributes, pairs and :class:`Event`.

    >>> as_events(("risk", 0.1))[0].name
    'risk = 0.1'
    """
    if given is None:
        return []
    pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)
    several = given if isinstance(given, list | tuple) and not pair else [given]
    events = []
    for one in several:
        if isinstance(one, Event):
            events.append(one)
        elif isinstance(one, tuple) and len(one) == 2:
            events.append(Event(*one))
        else:
            terminal, direction = (getattr(one, k, 0) for k in ("terminal", "direction"))
            events.append(Event(one, terminal=terminal, direction=direction))
    return events


def stored_events(described: Sequence[Mapping[str, Any]], given: Any, path: str) -> list[Event]:
    """The events of a stored run; those that are functions come from ``given``, which must be all of them again."""
    if given is not None:
        events = as_events(given)
        if [e.describe() for e in events] != [dict(d) for d in described]:
            names = ", ".join(d["name"] for d in described) or "none"
            raise InputError(
                f"events= are not those that {path} was run with ({names}): pass the same"
            )
        return events
    if own := [d["name"] for d in described if d["series"] is None]:
        raise InputError(
            f"{path} watches for '{own[0]}', a function of your own: pass all of its events again, as events="
        )
    return [Event(d["series"], d["level"], d["terminal"], d["direction"]) for d in described]


class Watch:
    """The events of a run on its way: the values at the present state, and how often each has been met."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.events = tuple(events)
        self.met = np.zeros(len(self.events), dtype=np.int64)
        self._values = self._next = np.zeros(len(self.events))
        self._levels = np.array([event.level for event in self.events])

    def begin(
        self, problem: Problem, start: float, elapsed: float, y: Arrays, carry: Arrays
    ) -> None:
        """Look at the state that the run stands at, ``elapsed`` after its start."""
        self._problem, self._start = problem, start
        cheap = problem.monitor(y, carry) if self.events else {}
        known = {**cheap, **problem.observe(y, carry)} if self.events else {}
        for event in self.events:
            if isinstance(event.of, str) and event.of not in known:
                raise unknown("series", event.of, known, "Events may watch these, or be functions.")
        # Only what is asked for beyond the scalars of every step is observed as for a frame.
        self._dear = any(isinstance(e.of, str) and e.of not in cheap for e in self.events)
        self._values = self._look(elapsed, y, carry)

    def inside(
        self, t0: float, t1: float, step: Step, branch: Callable[[float], Step] | None
    ) -> list[Found]:
        """The events in (t0, t1], in order: ``step`` goes from t0 to t1, ``branch`` to times between them.

        All are counted from the start: far from 0 a time has no digits left for where in a step an event is.
        """
        self._next = self._look(t1, step.y, step.carry)
        found = []
        for i, event in enumerate(self.events):
            before, after = self._values[i], self._next[i]
            up, down = before < 0 <= after, before > 0 >= after
            if (up and event.direction >= 0) or (down and event.direction <= 0):
                found.append((self._locate(i, t0, t1, branch), i))
        return sorted(found)

    def last(self, found: Sequence[Found]) -> Found | None:
        """The one that ends the run, if one does."""
        met = self.met.copy()
        for t, i in found:
            met[i] += 1
            if 0 < self.events[i].terminal <= met[i]:
                return t, i
        return None

    def keep(self, found: Sequence[Found]) -> None:
        """The step is taken, and its events with it."""
        for _, i in found:
            self.met[i] += 1
        self._values = self._next

    def at(self, found: Sequence[Found]) -> list[tuple[float, int]]:
        """The same by the clock of the run."""
        return [(self._start + elapsed, i) for elapsed, i in found]

    def columns(self, found: Sequence[Found] = ()) -> dict[str, float]:
        """For the row of a step: the time of each event in it, NaN where there is none."""
        times = {i: t for t, i in self.at(found)}
        return {f"event_{i}": times.get(i, math.nan) for i in range(len(self.events))}

    def _look(self, elapsed: float, y: Arrays, carry: Arrays) -> np.ndarray:
        if not self.events:
            return self._values
        t = self._start + elapsed
        problem, state = self._problem, None
        series = (problem.observe if self._dear else problem.monitor)(y, carry)
        values = np.empty(len(self.events))
        for i, event in enumerate(self.events):
            if isinstance(event.of, str):
                value = series[event.of]
            else:
                state = problem.view.show(problem.fields(y)) if state is None else state
                value = event.of(t, state)
            try:
                values[i] = float(value) if np.ndim(value) == 0 else math.nan
            except (TypeError, ValueError):
                values[i] = math.nan
            if not math.isfinite(values[i]):
                raise InputError(
                    f"event '{event.name}' is {shown(value)} at t = {t:g}: it must be one finite number"
                )
        values -= self._levels
        return values

    def _locate(
        self, i: int, t0: float, t1: float, branch: Callable[[float], Step] | None
    ) -> float:
        if branch is None or self._next[i] == 0:
            return t1
        from scipy.optimize import brentq

        ends = {t0: self._values[i], t1: self._next[i]}

        def value(t: float) -> float:
            if t in ends:
                return float(ends[t])
            there = branch(t)
            return float(self._look(t, there.y, there.carry)[i])

        return float(brentq(value, t0, t1, xtol=CLOSE * (t1 - t0), rtol=8.9e-16))
