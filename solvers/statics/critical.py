r"""Where an outcome changes as a parameter does: a bracket by bisection, with the last state carried on if asked.

A start that learns or fails, a law of one shell or of several, is a word, not a number: nothing better than halving the
interval can be done, and what it leaves is a bracket [low, high] with different outcomes at its ends. What the outcome
itself depends on (particles, grids, times) is not in the bracket: repeat it with others, and see whether they overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wflow.errors import InputError, shown
from wflow.tools.checks import check_count, check_function, number

Outcome = Callable[..., Any]


@dataclass(frozen=True, repr=False, eq=False)
class Bracket:
    """An interval in which an outcome changes.

    Attributes
    ----------
    low, high : its ends
    below, above : the outcomes there
    tried : all parameters and their outcomes, in the order of the calls
    success : whether it is as narrow as asked for
    """

    low: float
    high: float
    below: Any
    above: Any
    tried: list[tuple[float, Any]] = field(repr=False)
    success: bool

    @property
    def middle(self) -> float:
        """The middle of the bracket."""
        return 0.5 * self.low + 0.5 * self.high

    def overlaps(self, other: Bracket) -> bool:
        """Whether both hold a common value.

        Raises
        ------
        InputError
            for what is no bracket
        """
        if not isinstance(other, Bracket):
            raise InputError(f"other is {shown(other)}: give another Bracket")
        return self.low <= other.high and other.low <= self.high

    def __repr__(self) -> str:
        wide = "" if self.success else ", wider than asked for"
        return (
            f"Bracket({self.low:.8g} … {self.high:.8g}: {shown(self.below)} below, {shown(self.above)} above, "
            f"{len(self.tried)} calls{wide})"
        )


def critical(
    outcome: Outcome,
    low: float,
    high: float,
    *,
    digits: int = 3,
    max_calls: int = 60,
    start: Any = None,
) -> Bracket:
    """The parameter at which an outcome changes, by bisection to a number of digits.

    Parameters
    ----------
    outcome : a function of the parameter whose value is compared by ==: a word, a flag, a count; with ``start`` a
        function of the parameter and a state, which returns the outcome and the state that it found
    low, high : parameters of different outcomes, low < high
    digits : the bracket is no wider than half a unit of that digit of its middle
    max_calls : of ``outcome``
    start : a state that ``outcome`` is handed at ``low``; afterwards it is handed the one found at the lower end of the
        bracket, so that a branch of states is followed from there to where it ends

    Raises
    ------
    InputError
        for equal outcomes at both ends, a low that is not below high, fewer than three calls or no digits

    A third outcome inside counts as ``above``: what is found is where that of ``low`` ends.

    >>> critical(lambda x: x**2 > 2, 1.0, 2.0, digits=4)
    Bracket(1.4140625 … 1.4145508: False below, True above, 13 calls)
    >>> def root(c, x):                          # the positive root of x² = c, followed by Newton's method
    ...     for _ in range(50): x -= (x * x - c) / (2 * x)
    ...     return x > 3, x
    >>> critical(root, 1.0, 16.0, start=1.0).overlaps(critical(lambda c: c > 9, 1.0, 16.0))
    True
    """
    check_function("outcome", outcome, "a parameter")
    a, b = number("low", low), number("high", high)
    if not a < b:
        raise InputError(f"low = {a:g} and high = {b:g}: give low < high")
    digits, calls = check_count("digits", digits), check_count("max_calls", max_calls, 3)
    tried: list[tuple[float, Any]] = []

    def ask(x: float, state: Any) -> tuple[Any, Any]:
        found = outcome(x) if start is None else outcome(x, state)
        if start is not None:
            if not (isinstance(found, tuple) and len(found) == 2):
                raise InputError(
                    f"outcome({x:g}, state) returned {shown(found)}: with a start give a pair (outcome, state)"
                )
            found, state = found
        tried.append((x, found))
        return found, state

    below, state = ask(a, start)
    above, _ = ask(b, state)
    if _same(below, above):
        raise InputError(
            f"the outcome is {shown(below)} at both {a:g} and {b:g}: give ends between which it changes"
        )
    while wide := _wide(a, b, digits):
        x = 0.5 * a + 0.5 * b
        if len(tried) >= calls or not a < x < b:
            break
        found, new = ask(x, state)
        if _same(found, below):
            a, state = x, new
        else:
            b, above = x, found
    return Bracket(a, b, below, above, tried, not wide)


def _wide(low: float, high: float, digits: int) -> bool:
    """Whether an interval is wider than half a unit of the given digit of its middle."""
    middle = abs(0.5 * low + 0.5 * high)
    if middle == 0.0:
        return True
    return high - low > 0.5 * 10.0 ** (math.floor(math.log10(middle)) + 1 - digits)


def _same(one: Any, other: Any) -> bool:
    """Whether two outcomes are equal, as one truth.

    Raises
    ------
    InputError
        for arrays and what else has no single truth
    """
    try:
        # No number is an outcome as well, and equal to itself.
        return bool(one == other or (one != one and other != other))
    except Exception:  # noqa: BLE001  a user's own objects may raise anything
        raise InputError(
            f"outcomes {shown(one)} and {shown(other)} cannot be compared: return a word, a flag or a number"
        ) from None
