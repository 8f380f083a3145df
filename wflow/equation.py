"""What ``wflow.solve`` asks of an equation: a clock, a start it can check, and what its file says of it.

A gradient flow of measures (:class:`wflow.GradientFlow`) is one kind of equation, the flow of a multilayer network's
ensemble (:class:`wflow.multilayer.Flow`) another. An equation advances nothing.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from wflow.errors import MISTAKES, InputError, shown
from wflow.tools.checks import check_mapping, non_negative
from wflow.tools.portable import Portable

Schedule = float | Callable[[float], float]


class Predicts(Protocol):
    """What knows the outputs of a network from its state."""

    def predict(self, measure: Any, x: Any) -> np.ndarray:
        """The outputs (m,), or (m, K), at inputs x (m, d)."""


class Equation(Portable, ABC):
    """An evolution equation as data, with its clock ξ(t)."""

    run: ClassVar[str]
    """The kind of its runs, which files bear and :data:`wflow.results.kinds.KINDS` holds."""

    def __init__(self, schedule: Schedule) -> None:
        if not callable(schedule):
            schedule = non_negative("schedule", schedule)
            if schedule == 0:
                raise InputError(
                    "schedule 0: nothing would move; give a positive number or function"
                )
        self._schedule = schedule
        self.origin: dict[str, object] = {}
        """Which system and parameters this flow came from, written into its files; empty for a user's own."""

    def schedule(self, t: float) -> float:
        """ξ(t)."""
        if not callable(self._schedule):
            return self._schedule
        try:
            value = float(self._schedule(t))
        except MISTAKES as e:
            raise InputError(
                f"schedule({t:g}) failed ({e}): it must exist a little past the end too"
            ) from None
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"schedule({t:g}) = {value}: must be finite and not negative")
        return value

    @property
    def clock(self) -> Schedule:
        """ξ as it was given: a number, or a function of time."""
        return self._schedule

    @property
    @abstractmethod
    def predictor(self) -> Predicts:
        """What knows the outputs of the network at a state."""

    @abstractmethod
    def refuse_start(self, what: str, start: Any) -> None:
        """Refuse a start, called ``what``, that is no state of this equation."""

    @abstractmethod
    def check(self, start: Any) -> None:
        """Refuse a state whose numbers this equation cannot do with."""

    def refuse_method(self, name: str, reacts: bool) -> None:
        """Refuse a method that leaves a part of the equation out."""

    @abstractmethod
    def constants(self) -> dict[str, Any]:
        """What a file's header says of it beside its fingerprint."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the whole equation and of what is observed."""


def check_observations(given: Any, fits: Callable[[Any], bool], wanted: str) -> dict[str, Any]:
    """What is reported beside the risk, by the name of its series, which ends in ``_risk``.

    Parameters
    ----------
    given : a mapping, or None
    fits : whether something can be observed where this equation's states are
    wanted : what can, for the refusal
    """
    observations = check_mapping("observations", given)
    for name, other in observations.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*_risk", name):
            raise InputError(
                f"observation {shown(name)}: a series of its own needs a name in lower case that ends in _risk, "
                "test_risk say"
            )
        if not fits(other):
            raise InputError(f"observation '{name}' is {shown(other)}: give {wanted}")
    return observations
