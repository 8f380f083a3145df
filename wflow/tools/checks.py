"""What a caller gives beside arrays: what is not in its range, or not of its kind, ends in one line."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wflow.errors import InputError, shown, unknown


def _real(name: str, value: Any, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} = {shown(value)}: {wanted}")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name} = {shown(value)}: too large for a float") from None


def number(name: str, value: Any, *, finite: bool = True) -> float:
    """The value as a float, finite unless said otherwise.

    >>> number("constant", -1)
    -1.0
    """
    x = _real(name, value, "give a number")
    if finite and not math.isfinite(x):
        raise InputError(f"{name} = {x:g}: must be finite")
    return x


def non_negative(name: str, value: Any, *, finite: bool = True) -> float:
    """The value as a float ≥ 0, finite unless said otherwise.

    >>> non_negative("temperature", 0)
    0.0
    """
    x = _real(name, value, "expected a number >= 0")
    if not x >= 0 or (finite and math.isinf(x)):
        raise InputError(f"{name} = {x:g}: must be {'finite and ' if finite else ''}not negative")
    return x


def positive(name: str, value: Any, *, finite: bool = True) -> float:
    """The value as a float > 0, finite unless said otherwise.

    >>> positive("max_step", float("inf"), finite=False)
    inf
    """
    x = _real(name, value, "give a positive number")
    if not x > 0 or (finite and math.isinf(x)):
        raise InputError(f"{name} = {x:g}: must be positive{' and finite' if finite else ''}")
    return x


def check_count(name: str, value: Any, least: int = 1) -> int:
    """The value as a whole number, ``least`` or more, that a file can hold.

    >>> check_count("cells", np.int64(3), least=2)
    3
    """
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or not least <= value < 2**63:
        most = " and below 2^63" if whole and value >= least else ""
        text = shown(int(value) if whole else value)
        raise InputError(f"{name} = {text}: give a whole number of at least {least}{most}")
    return int(value)


def check_place(name: str, value: Any, count: int) -> int:
    """The place of one of ``count`` things in a row, from 0 on or, below 0, from the end.

    >>> check_place("k", -1, 3)
    -1
    """
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or not -count <= value < count:
        raise InputError(f"{name} = {shown(value)}: give a whole number from 0 to {count - 1}")
    return int(value)


def check_counts(name: str, value: Any, axes: int) -> list[int]:
    """A whole number of at least 1 for each axis; one number serves all.

    >>> check_counts("n", 4, 2)
    [4, 4]
    """
    if isinstance(value, int | float | np.number):
        return [check_count(name, value)] * axes
    counts = [
        check_count(name, entry) for entry in check_list(name, value, "whole numbers, one an axis")
    ]
    if len(counts) != axes:
        raise InputError(
            f"{name} has {len(counts)} entries for {axes} axes: give one an axis, or one for all"
        )
    return counts


def check_seed(seed: Any) -> int:
    """A whole number in [0, 2^63), so that it fits any file."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"seed is {shown(seed)}: give a whole number of at least 0 and below 2^63")
    return int(seed)


def check_flag(name: str, value: Any) -> bool:
    """True or False; a word such as "no" would count as True.

    >>> check_flag("overwrite", np.bool_(True))
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} = {shown(value)}: give True or False")
    return bool(value)


def check_function(name: str, value: Any, of: str) -> Callable[..., Any]:
    """What can be called; ``of`` says with what, for the refusal.

    >>> check_function("V", 3, "points (n, D)")
    Traceback (most recent call last):
    wflow.errors.InputError: V = 3: give a function of points (n, D)
    """
    if not callable(value):
        raise InputError(f"{name} = {shown(value)}: give a function of {of}")
    return value  # type: ignore[no-any-return]


def check_word(name: str, value: Any, known: Iterable[str]) -> str:
    """One of the ``known`` words.

    >>> check_word("kernel", "gaussian", ["gaussian"])
    'gaussian'
    """
    if not isinstance(value, str) or value not in known:
        raise unknown(name, value, known)
    return value


def check_path(name: str, value: Any) -> Path:
    """The name of a file, as a path.

    >>> check_path("output", 3)
    Traceback (most recent call last):
    wflow.errors.InputError: output = 3: give the name of a file
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"{name} = {shown(value)}: give the name of a file")
    return Path(text)


def check_list(name: str, value: Any, of: str) -> list[Any]:
    """The entries of what can be listed, and is no text; ``of`` says what they are, for the refusal.

    >>> check_list("neurons", (100, 400), "whole numbers")
    [100, 400]
    """
    try:
        if isinstance(value, str | bytes | Mapping):
            raise TypeError
        return list(value)
    except TypeError:
        raise InputError(f"{name} is {shown(value)}: give a list of {of}") from None


def check_mapping(name: str, value: Any) -> dict[Any, Any]:
    """A copy of a table of values by their names; none is an empty one.

    >>> check_mapping("attributes", None)
    {}
    """
    if not isinstance(value, Mapping | None):
        raise InputError(f"{name} = {shown(value)}: give a dict, values by their names")
    return dict(value or {})


def check_kind(name: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Refuse a value that is not of the class that is wanted.

    >>> check_kind("flow", 3, str, "pass a wflow.GradientFlow")
    Traceback (most recent call last):
    wflow.errors.InputError: flow is a int: pass a wflow.GradientFlow
    """
    if not isinstance(value, kinds):
        raise InputError(f"{name} is a {type(value).__name__}: {wanted}")


def names_of(name: str, value: Any) -> tuple[str, ...]:
    """Names of coordinates; one may be given alone.

    >>> names_of("frozen", "a")
    ('a',)
    """
    given = [value] if isinstance(value, str) else check_list(name, value, "names")
    for entry in given:
        if not isinstance(entry, str):
            raise InputError(f"{name} holds {shown(entry)}: give names, as text")
    return tuple(given)


def read_number(text: str) -> float:
    """The number that a text is, as files and command lines write it; ValueError for any other text.

    Python's own ``float`` takes ``1_0`` for 10, and digits of every script.

    >>> read_number("1e-3")
    0.001
    >>> read_number("1_0")
    Traceback (most recent call last):
    ValueError: '1_0' is not a number
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{shown(text)} is not a number")
    return float(text)


def read_whole(text: str) -> int:
    """The same for whole numbers.

    >>> read_whole("10")
    10
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{shown(text)} is not a whole number")
    return int(text)
