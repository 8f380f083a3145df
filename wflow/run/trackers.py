"""Watchers of a run: each sees every accepted step and may end it, with a reason.

A tracker answers ``handle(t, observed)`` with None to go on, :class:`Stop` to end well (a steady state) or
:class:`Fail` to end badly (mass lost). ``observed`` holds the scalars of the step, and −dF/dt as ``"dissipation"``,
and the state (a measure) as ``"state"``, each formed when it is asked for. ``state`` and ``restore`` carry its memory
through a checkpoint. A plain function f(t, rho) serves where there is nothing to remember: it answers None or False to
go on, True or a reason to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wflow.errors import InputError, shown
from wflow.tools.checks import check_list, non_negative, positive

ULP = 2.0**-52
"""The distance of 1 from the next number."""
UNSEEN = 8 * ULP
"""What a difference of two values cannot show, relative to them: each is a sum, rounded."""


@dataclass(frozen=True)
class Stop:
    """End the run, successfully.

    Its ``reason`` becomes the run's message.

    >>> Stop("at rest").reason
    'at rest'
    """

    reason: str


@dataclass(frozen=True)
class Fail:
    """End the run as failed.

    Its ``reason`` becomes the run's message.

    >>> Fail("lost").reason
    'lost'
    """

    reason: str


class Tracker(Protocol):
    """What the driver asks of a watcher."""

    name: str

    def handle(self, t: float, observed: dict[str, Any]) -> Stop | Fail | None: ...

    def state(self) -> list[float]: ...

    def restore(self, state: list[float]) -> None: ...


class _Memory:
    """State as a list of floats, NaN while nothing was seen."""

    def __init__(self) -> None:
        self._seen = [math.nan, math.nan]

    def state(self) -> list[float]:
        return list(self._seen)

    def restore(self, state: list[float]) -> None:
        self._seen = list(state)


class Mass(_Memory):
    """The mass stays what it was, to a relative ``tolerance`` and what rounding may add: an ulp a step.

    Raises
    ------
    InputError
        for a negative tolerance

    >>> Mass().handle(0.0, {"mass": 1.0}) is None
    True
    """

    name = "mass"

    def __init__(self, tolerance: float = 1e-12) -> None:
        super().__init__()
        self.tolerance = non_negative("tolerance", tolerance)

    def handle(self, t: float, observed: dict[str, float]) -> Fail | None:
        mass, (first, steps) = observed["mass"], self._seen
        if math.isnan(first):
            first = mass
        # A checkpoint of before steps were counted holds NaN.
        steps = 1.0 if math.isnan(steps) else steps + 1.0
        self._seen = [first, steps]
        if not abs(mass - first) <= (self.tolerance + ULP * steps) * abs(first):
            return Fail(f"mass went from {first:.15g} to {mass:.15g} at t = {t:g}")
        return None


class Positivity(_Memory):
    """No density or weight is negative.

    >>> Positivity().handle(1.0, {"minimum": -0.5})
    Fail(reason='negative density or weight -0.5 at t = 1')
    """

    name = "positivity"

    def handle(self, t: float, observed: dict[str, float]) -> Fail | None:
        if observed["minimum"] < 0:
            return Fail(f"negative density or weight {observed['minimum']:g} at t = {t:g}")
        return None


class EnergyDecay(_Memory):
    """The free energy never rises by more than a relative ``tolerance``.

    Raises
    ------
    InputError
        for a negative tolerance

    >>> watch = EnergyDecay()
    >>> [watch.handle(t, {"free_energy": f}) for t, f in ((0.0, 1.0), (1.0, 2.0))]
    [None, Fail(reason='free energy rose from 1 to 2 at t = 1')]
    """

    name = "energy"

    def __init__(self, tolerance: float = 1e-12) -> None:
        super().__init__()
        self.tolerance = non_negative("tolerance", tolerance)

    def handle(self, t: float, observed: dict[str, float]) -> Fail | None:
        free, last = observed["free_energy"], self._seen[0]
        self._seen[0] = free
        slack = self.tolerance * max(abs(free), abs(last)) + 1e-15
        if not math.isnan(last) and not free <= last + slack:
            return Fail(f"free energy rose from {last:.15g} to {free:.15g} at t = {t:g}")
        return None


class SteadyState(_Memory):
    """End the run when the free energy (else the risk) falls slower than ``rate`` a unit of time.

    Where a fall of ``rate`` over one step is below the rounding of the energy, as it is beside a large constant, the
    dissipation tells the slope, or, where there is none, a longer time does.

    Raises
    ------
    InputError
        for a rate that is not positive

    >>> SteadyState(1e-3).handle(0.0, {"risk": 1.0, "free_energy": 0.5}) is None
    True
    """

    name = "steady state"

    def __init__(self, rate: float = 1e-8) -> None:
        super().__init__()
        self.rate = positive("rate", rate)

    def handle(self, t: float, observed: dict[str, float]) -> Stop | None:
        value = observed.get("free_energy", math.nan)
        if math.isnan(value):
            value = observed.get("risk", math.nan)
        last_t, last = self._seen
        if math.isnan(last_t):
            self._seen = [t, value]
        if not t > last_t:
            return None
        if self.rate * (t - last_t) < UNSEEN * abs(value):
            slope = _dissipation(observed)
        else:
            slope = abs(value - last) / (t - last_t)
            self._seen = [t, value]
        if slope <= self.rate:
            return Stop(f"steady state: |dF/dt| <= {self.rate:g} at t = {t:g}")
        return None


def _dissipation(observed: dict[str, float]) -> float:
    """−dF/dt; NaN where it is not known."""
    try:
        return observed["dissipation"]
    except KeyError:
        return math.nan


class Function:
    """A plain function f(t, rho) as a watcher."""

    def __init__(self, f: Callable[[float, Any], Any]) -> None:
        self.f, self.name = f, getattr(f, "__name__", type(f).__name__)

    def handle(self, t: float, observed: dict[str, Any]) -> Stop | Fail | None:
        answer = self.f(t, observed["state"])
        if answer is None or isinstance(answer, Stop | Fail):
            return answer
        if isinstance(answer, str):
            return Stop(answer)
        if isinstance(answer, bool | np.bool_):
            return Stop(f"tracker '{self.name}' at t = {t:g}") if answer else None
        raise InputError(
            f"tracker '{self.name}' answered {shown(answer)} at t = {t:g}: None or False goes on, True or a reason ends"
        )

    def state(self) -> list[float]:
        return []

    def restore(self, state: list[float]) -> None:
        """There is nothing to remember."""


def check_trackers(given: Any) -> list[Tracker]:
    """The watchers of a request, each of which can watch.

    >>> check_trackers([1])
    Traceback (most recent call last):
    wflow.errors.InputError: trackers holds 1: give functions f(t, rho), or objects with ...
    """
    watchers: list[Tracker] = []
    for one in check_list("trackers", given, "trackers"):
        if all(callable(getattr(one, part, None)) for part in ("handle", "state", "restore")):
            watchers.append(one)
        elif callable(one) and not isinstance(one, type):
            watchers.append(Function(one))
        else:
            raise InputError(
                f"trackers holds {shown(one)}: give functions f(t, rho), or objects with handle(t, observed), state() "
                "and restore(state)"
            )
    return watchers


def default_trackers(preserves: frozenset[str]) -> list[Tracker]:
    """The watchers that a method's own declarations call for."""
    chosen: list[Tracker] = []
    if "mass" in preserves:
        chosen.append(Mass())
    if "positive" in preserves:
        chosen.append(Positivity())
    if "energy" in preserves:
        chosen.append(EnergyDecay())
    return chosen
