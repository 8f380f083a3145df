r"""How long the next step is: an object that the method makes, the request clips and a checkpoint holds whole.

For an error estimate that shrinks like h^q, :class:`Adaptive` takes after an accepted step

.. math:: h_{n+1} = h_n\,\mathrm{clip}\bigl(0.9\,e_n^{-0.7/q}\,e_{n-1}^{0.4/q},\ 0.2,\ 5\bigr)

(a PI controller: the second factor damps the saw-tooth of a stability-limited step), and after a rejected one the
plain :math:`0.9\,e^{-1/q}`. :class:`Stability` goes up to the limit that the method names, :class:`Fixed` keeps its
step, and :class:`Clock` counts its fixed steps from the start, so that they end on multiples of a tick.
Source: Hairer & Wanner, Solving ODEs II, IV.2, with k_I + k_P = 0.7, k_P = 0.4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from wflow.errors import InputError, shown
from wflow.tools.checks import positive

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
SMALLEST = 1e-14
"""The least step, relative to the time since the start, or to the span where that is less, or to 1."""


def steps_to(t: float, h: float) -> int:
    """The number of steps of h after which t is reached; what is short of it by rounding counts as there.

    >>> steps_to(0.3, 0.1), steps_to(0.31, 0.1)
    (3, 4)
    """
    return math.ceil(t / h - 1e-9)


class StepSize(ABC):
    """The length ``h`` of the next step, and what it is made from."""

    fixed: ClassVar[bool] = False
    """Whether a step that fails ends the run, there being no shorter one to try."""
    own_clock: ClassVar[bool] = False
    """Whether a run saves at the ends of whole ticks only."""
    memory: ClassVar[Sequence[str]] = ("h",)
    """Names of the numbers that a checkpoint holds: all that the steps to come depend on."""
    h: float
    asked: float | None = None
    """The step that the user asked for, by the name ``step_size``."""

    @abstractmethod
    def clip(self, first: float | None, longest: float) -> None:
        """Take the request's first and longest step; InputError where they mean nothing."""

    @abstractmethod
    def first(self, suggested: Callable[[], float], span: float) -> None:
        """Set the first step of a run over ``span``; ``suggested`` asks the method."""

    def end(self, elapsed: float, taken: int) -> float:
        """Where the next step ends, of a run that has ``taken`` some and come so far from its start."""
        return elapsed + self.h

    def taken(self, elapsed: float, accepted: int) -> int:
        """How many steps of the method a run is long, that has come so far from its start in ``accepted`` of ours."""
        return accepted

    @abstractmethod
    def accept(self, error: float, limit: float) -> None:
        """Set the next step after an accepted one, of error ``error``; no longer than ``limit``."""

    @abstractmethod
    def reject(self, error: float) -> bool:
        """Shrink after a step whose error was above the tolerance, or not a number; False if nothing shrinks."""

    @abstractmethod
    def refuse(self, limit: float) -> bool:
        """Take the limit that a method named when it refused the step; False if nothing shrinks."""

    def least(self, elapsed: float, span: float) -> float:
        """The length below which a step has failed that begins so long after the start of a run over ``span``."""
        return 0.0

    def times(self, times: np.ndarray, span: tuple[float, float]) -> np.ndarray:
        """When frames asked for at ``times`` are saved, in ``span``."""
        return times

    def since(self, times: np.ndarray, start: float) -> np.ndarray:
        """How long after the start frames saved at ``times`` are."""
        return np.asarray(times - start)

    def span(self, t0: float, t1: float) -> float:
        """How far from t0 a run to t1 comes."""
        return t1 - t0

    def state(self) -> np.ndarray:
        """Everything, for a checkpoint."""
        return np.array([getattr(self, name) for name in self.memory], dtype=np.float64)

    def restore(self, state: np.ndarray) -> None:
        """Back to what :meth:`state` gave."""
        for name, value in zip(self.memory, state.tolist(), strict=True):
            setattr(self, name, value)

    def is_own(self) -> bool:
        """Whether what was restored can be of a run with the steps that the method asks for."""
        return True


class Stability(StepSize):
    """As long as the method's own limit lets it; grows towards it by no more than a factor a step.

    >>> size = Stability()
    >>> size.clip(None, 0.5)
    >>> size.first(lambda: 0.3, 10.0)
    >>> size.accept(0.0, 0.4)
    >>> size.h
    0.4
    >>> size.refuse(0.1), size.h
    (True, 0.1)
    """

    memory: ClassVar[Sequence[str]] = ("h", "longest")

    def __init__(self) -> None:
        self.longest = math.inf
        self._first: float | None = None

    def clip(self, first: float | None, longest: float) -> None:
        self._first = None if first is None else positive("first_step", first)
        self.longest = positive("max_step", longest, finite=False)

    def first(self, suggested: Callable[[], float], span: float) -> None:
        h = suggested() if self._first is None else self._first
        self.h = min(h, self.longest, span)

    def accept(self, error: float, limit: float) -> None:
        self.h = min(self.h * self.growth(error), limit, self.longest)

    def growth(self, error: float) -> float:
        """The factor that the error of an accepted step allows."""
        return GROW

    def reject(self, error: float) -> bool:
        self.h *= 0.25
        return True

    def refuse(self, limit: float) -> bool:
        self.h = min(0.9 * self.h, limit) if math.isfinite(limit) else 0.5 * self.h
        return True

    def least(self, elapsed: float, span: float) -> float:
        return SMALLEST * max(elapsed, min(1.0, span))


class Adaptive(Stability):
    """Also as long as an error estimate of ``order`` (the power of h it shrinks with) lets it.

    >>> size = Adaptive(2)
    >>> size.first(lambda: 1.0, 10.0)
    >>> size.accept(1.0, math.inf)
    >>> size.h
    0.9
    """

    memory = ("h", "longest", "previous_error")

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order
        self.previous_error = 1.0

    def growth(self, error: float) -> float:
        e = max(error, 1e-10)
        factor = SAFETY * e ** (-0.7 / self.order) * self.previous_error ** (0.4 / self.order)
        self.previous_error = e
        return float(min(GROW, max(SHRINK, factor)))

    def reject(self, error: float) -> bool:
        if not math.isfinite(error):
            return super().reject(error)
        self.h *= max(0.1, min(0.9, SAFETY * error ** (-1.0 / self.order)))
        return True


class Fixed(StepSize):
    """Always ``h``, the method's option ``step_size``.

    >>> Fixed(0.1).clip(None, 0.05)
    Traceback (most recent call last):
    wflow.errors.InputError: first_step = None and max_step = 0.05 with a fixed step: give ...
    """

    fixed = True

    def __init__(self, h: float) -> None:
        self.h = self.asked = h

    def clip(self, first: float | None, longest: float) -> None:
        if first is not None or longest != math.inf:
            raise InputError(
                f"first_step = {shown(first)} and max_step = {shown(longest)} with a fixed step: give "
                "method_options={'step_size': …} instead"
            )

    def first(self, suggested: Callable[[], float], span: float) -> None:
        pass

    def accept(self, error: float, limit: float) -> None:
        pass

    def reject(self, error: float) -> bool:
        return False

    def refuse(self, limit: float) -> bool:
        return False


class Clock(Fixed):
    """Fixed steps of whole ticks, ending on multiples of the step after the start.

    For noise, whose increments belong to steps, and for clocks that count: a step is ``block`` ticks, or as many blocks
    as make some ``rows`` steps a run.

    >>> Clock(0.1).times(np.array([0.0, 0.24, 0.26]), (0.0, 0.29)).round(3).tolist()
    [0.0, 0.2]
    >>> clock = Clock(1.0, block=4, rows=10)
    >>> clock.first(lambda: math.nan, 100.0)
    >>> clock.h
    8.0
    """

    own_clock = True
    memory = ("h", "tick")

    def __init__(self, tick: float, block: int = 1, rows: int | None = None) -> None:
        super().__init__(block * tick)
        self.tick = self.asked = tick
        self._block, self._rows = block, rows

    def first(self, suggested: Callable[[], float], span: float) -> None:
        if self._rows is not None:
            blocks = round(span / self.tick) // (self._rows * self._block)
            self.h = self._block * max(1, blocks) * self.tick

    def end(self, elapsed: float, taken: int) -> float:
        return (taken + 1) * self.h

    def taken(self, elapsed: float, accepted: int) -> int:
        """Its ticks."""
        return round(elapsed / self.tick)

    def times(self, times: np.ndarray, span: tuple[float, float]) -> np.ndarray:
        """The nearest ticks in ``span`` = (t0, t1), each once; a time after the last whole tick takes that one."""
        ticks = np.minimum(self.since(times, span[0]), self.span(*span))
        return np.asarray(span[0] + np.unique(ticks))

    def is_own(self) -> bool:
        return self.tick == self.asked and self.h >= self.tick

    def since(self, times: np.ndarray, start: float) -> np.ndarray:
        """As multiples of the tick, of which times far from 0 have lost the digits."""
        return np.asarray(np.rint((times - start) / self.tick) * self.tick)

    def span(self, t0: float, t1: float) -> float:
        """Whole ticks; of times far from 0 as many as their rounding leaves room for."""
        room = t1 - t0 + (2.0 * math.ulp(max(abs(t0), abs(t1))) if t0 != 0 else 0.0)
        return math.floor(room / self.tick + 1e-9) * self.tick
