"""Named parameters of a system: one schema for Python, ``-p NAME=VALUE``, files and ``wflow show``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, shown, unknown
from wflow.tools.checks import read_number


@dataclass(frozen=True)
class Parameter:
    """A parameter: default, meaning, published value, and what is allowed.

    ``kind`` is float, int, str, "dimension" (an integer ≥ 1 or inf) or "share" (a number in (0, 1), or a file's path).
    """

    name: str
    default: Any
    meaning: str
    kind: type | str = float
    published: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: Sequence[str] = ()
    open_low: bool = False

    def parse(self, value: Any) -> Any:
        """Check a value, or a text from the command line; return it in the parameter's type.

        >>> Parameter("delta", 0.8, "spread", low=0, high=1).parse("0.5")
        0.5
        """
        if value is None and self.default is None:
            return None
        if self.kind is str or (self.kind == "share" and not _is_number(value)):
            return self._choice(value)
        number = self._number(value)
        if self.kind == "dimension":
            # number % 1 is NaN, hence not 0, for NaN and -inf.
            if number != math.inf and not (number >= 1 and number % 1 == 0):
                raise self._refuse(value, "an integer >= 1 or inf")
            return number if number == math.inf else int(number)
        if self.kind == "share" and not 0 < number < 1:
            raise self._refuse(value, self.allowed())
        if self.kind is int:
            if not abs(number) < 2**53 or number != int(number):
                raise self._refuse(value, "an integer below 2^53")
            number = int(number)
        elif not math.isfinite(number):
            raise self._refuse(value, "a finite number")
        below = number <= self.low if self.open_low else number < self.low
        if below or number > self.high:
            raise self._refuse(value, f"in {self.allowed()}")
        return number

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return " or ".join(f'"{c}"' for c in self.choices)
        if self.kind == "dimension":
            return "integer >= 1 or inf"
        if self.kind == "share":
            return "a number in (0, 1) or a path"
        if self.kind is str:
            return "text"
        left = "(" if self.open_low or self.low == -math.inf else "["
        right = ")" if self.high == math.inf else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"

    def _number(self, value: Any) -> float:
        if isinstance(value, bool):
            raise self._refuse(value, "a number")
        try:
            return _float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refuse(value, "a number") from None

    def _choice(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self._refuse(value, "text")
        if self.choices and value not in self.choices:
            raise self._refuse(value, self.allowed())
        return value

    def _refuse(self, value: Any, wanted: str) -> InputError:
        return InputError(
            f"parameter {self.name} = {shown(value)}: expected {wanted} ({self.meaning})"
        )


def _is_number(value: Any) -> bool:
    try:
        _float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _float(value: Any) -> float:
    """A number, or a text that is one; nothing else that Python would turn into one."""
    if isinstance(value, str):
        return read_number(value)
    if not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError
    return float(value)


def read_parameters(
    owner: str, schema: Sequence[Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Defaults overlaid with checked values.

    Raises
    ------
    InputError
        for an unknown name or a value that is not allowed
    """
    by_name = {p.name: p for p in schema}
    for name in given:
        if name not in by_name:
            raise unknown("parameter", name, by_name, of=owner)
    return {
        name: p.parse(given[name]) if name in given else p.default for name, p in by_name.items()
    }
