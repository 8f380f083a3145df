"""What goes to other processes: objects that say in one line which of their functions cannot follow.

A pickle holds functions and classes by module and name, so a lambda, or what is made inside a function, has no address
there.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType, MethodType
from typing import Any

from wflow.errors import InputError

CARRIES_CODE = {"cloudpickle", "dill"}
"""Packages whose pickles hold a function's code: what they write needs no name."""


class Portable:
    """An object that pickles, or says which function in it does not.

    >>> import pickle
    >>> class Well(Portable):
    ...     def __init__(self, potential):
    ...         self.potential = potential
    >>> pickle.dumps(Well(lambda x: x))
    Traceback (most recent call last):
    wflow.errors.InputError: Well holds '<lambda>', which another process cannot find by name: write it with def ...
    """

    def __getstate__(self) -> Any:
        if (name := _nameless(self)) and not _carries_code():
            raise InputError(
                f"{type(self).__name__} is of class '{name}', which another process cannot find by name: "
                "write it with class at the top of a module"
            )
        # The functions in tuples too: a pair (value, derivative).
        for value in self.__dict__.values():
            for one in value if isinstance(value, tuple) else (value,):
                if (name := _nameless(one)) and not _carries_code():
                    raise InputError(
                        f"{type(self).__name__} holds '{name}', which another process cannot find by name: "
                        f"write it with {_keyword(one)} at the top of a module"
                    )
        return self.__dict__


def travels(value: Any) -> bool:
    """Whether a value, with all that its portable parts hold, can follow to another process.

    >>> travels((len, 3)), travels(lambda x: x)
    (True, False)
    """
    if isinstance(value, Portable):
        try:
            value = list(value.__getstate__().values())
        except InputError:
            return False
    if isinstance(value, list | tuple):
        return all(map(travels, value))
    return not _nameless(value)


def _nameless(value: Any) -> str:
    """The name of a function, or of the class of anything else, that no module has under this name; else nothing."""
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__self__
    if not isinstance(value, FunctionType):
        name: str = type(value).__qualname__
        return name if "<locals>" in name else ""
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return "" if found is value else value.__qualname__


def _keyword(value: Any) -> str:
    return "def" if isinstance(value, FunctionType | functools.partial) else "class"


def _carries_code() -> bool:
    """Whether the pickle under way is one of those that hold code."""
    frame = sys._getframe(1)
    while frame is not None:
        if CARRIES_CODE & set(str(frame.f_globals.get("__name__")).split(".")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
