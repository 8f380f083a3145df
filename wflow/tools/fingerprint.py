"""Digests by which a resumed run checks that the problem passed to it is the one that was running.

A function is its code, its constants, and the values that it holds: its defaults, its closure, and what it reads in its
module by name. Modules, classes and functions of libraries count by their names alone: their insides are no part of
the problem, have no end, and may run code when they are looked at.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import numbers
import sys
from collections.abc import Callable, Iterator
from types import (
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

DEEPEST = 20
"""Levels of values inside values that are read."""
MOST_OBJECTS = 1000
"""Objects and functions that are read inside one function: one that reaches more than these reaches a library."""
NUMBERS = (numbers.Number, np.generic, str, range, type(None))
"""Values that their text tells apart."""


def of_function(function: Callable[..., Any] | None) -> str:
    """A digest of a function: its code, the names it uses, its defaults, and the values that it holds or reads.

    Equal source and equal values give equal digests in different processes of one Python version. What the function
    itself assigns (a counter of its calls) does not count.

    >>> of_function(lambda x: x + 1) == of_function(lambda x: x + 1)
    True
    >>> of_function(lambda x: np.sin(x)) == of_function(lambda x: np.cos(x))
    False
    """
    written: Any = function
    while issubclass(type(written), functools.partial | MethodType):
        written = written.func if issubclass(type(written), functools.partial) else written.__func__
    reader = _Reader(written.__module__ if issubclass(type(written), FunctionType) else None)
    reader.feed(function)
    return reader.hash.hexdigest()[:16]


def digest(*parts: object) -> str:
    """A digest of text, numbers and arrays, in their order.

    >>> digest("a", 1.0) == digest("a", 1.0), digest("a", 1.0) == digest("a", 2.0)
    (True, False)
    """
    h = hashlib.sha256()
    for part in parts:
        h.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return h.hexdigest()


class _Reader:
    """Feeds values' contents to a hash, never their addresses, so that digests agree between processes.

    It asks types and never objects, whose attributes may be answered by code.
    """

    def __init__(self, home: str | None) -> None:
        self.hash = hashlib.sha256()
        self._home = {"wflow", (home or "").partition(".")[0]}
        self._path: list[int] = []
        self._objects = MOST_OBJECTS

    def feed(self, value: Any) -> None:
        if not issubclass(type(value), NUMBERS):
            value = _held(value).get("py_func", value)  # compiled by numba
        kind = type(value)
        self.hash.update(kind.__name__.encode())
        if issubclass(kind, NUMBERS):
            self.hash.update(repr(value).encode())
        elif issubclass(kind, bytes):
            self.hash.update(value)
        elif len(self._path) <= DEEPEST and id(value) not in self._path:
            parts = self._parts(value, kind)
            self.hash.update(str(len(parts)).encode())
            self._path.append(id(value))
            for part in parts:
                self.feed(part)
            self._path.pop()

    def _parts(self, value: Any, kind: type) -> list[Any]:
        if issubclass(kind, CodeType):
            return [value.co_code, value.co_names, value.co_varnames, value.co_consts]
        if issubclass(kind, functools.partial):
            return [value.func, value.args, value.keywords]
        if issubclass(kind, np.ndarray):
            plain = value.tolist() if value.dtype.hasobject else value.tobytes()
            return [value.shape, value.dtype.str, plain]
        if issubclass(kind, list | tuple):
            return list(value)
        if issubclass(kind, frozenset | set):
            return sorted(map(repr, value))
        if issubclass(kind, dict):
            return [x for pair in sorted(value.items(), key=lambda p: str(p[0])) for x in pair]
        if issubclass(kind, MethodType):
            return [value.__func__, value.__self__]
        if issubclass(kind, ModuleType):
            return [_attribute(value, "__name__")]
        if issubclass(kind, type):
            return [value.__qualname__, MappingProxyType({})]
        if self._objects == 0:
            return []
        self._objects -= 1
        if issubclass(kind, FunctionType):
            return self._of_function(value)
        return self._of_object(value, kind)

    def _of_function(self, function: FunctionType) -> list[Any]:
        if self._foreign(function.__module__):
            return [function.__module__, function.__qualname__]
        code, known = function.__code__, function.__globals__
        names = set(_names(code))
        read, written = ({name for name, sets in names if sets is way} for way in (False, True))
        closure = zip(code.co_freevars, function.__closure__ or (), strict=True)
        cells = [_content(cell) for name, cell in closure if name not in written]
        parts = [code, function.__defaults__, function.__kwdefaults__, cells]
        if str(function.__module__).partition(".")[0] == "wflow":
            return parts
        values = {n: known[n] for n in read - written if n in known and self._tells(known[n])}
        return [*parts, values] if values else parts

    def _of_object(self, value: Any, kind: type) -> list[Any]:
        if hasattr(kind, "__dlpack__"):  # a tensor of another library
            try:
                return [np.asarray(value)]
            except Exception:  # noqa: BLE001  on a device, or part of a graph
                return []
        known = {name: made for base in kind.__mro__[::-1] for name, made in vars(base).items()}
        # What is worked out when it is first asked for follows from the rest.
        held = {
            name: v
            for name, v in _held(value).items()
            if type(known.get(name)) is not functools.cached_property
        }
        parts = [_attribute(value, "__qualname__"), held]
        if self._foreign(kind.__module__):
            parts[1] = {name: v for name, v in held.items() if self._tells(v)}
            return parts
        slots = (n for n, made in known.items() if type(made) is MemberDescriptorType)
        held |= {name: _attribute(value, name) for name in slots}
        call = known.get("__call__")
        return [*parts, call] if issubclass(type(call), FunctionType) else parts

    def _tells(self, value: Any) -> bool:
        """Whether a value says more than the name that it is found under."""
        value = _held(value).get("py_func", value)
        kind = type(value)
        if issubclass(kind, (*NUMBERS, bytes, np.ndarray, list, tuple, dict, set, frozenset)):
            return True
        if issubclass(kind, type | ModuleType):
            return False
        if issubclass(kind, functools.partial | MethodType) or hasattr(kind, "__dlpack__"):
            return True
        return not self._foreign(
            value.__module__ if issubclass(kind, FunctionType) else kind.__module__
        )

    def _foreign(self, module: Any) -> bool:
        """Whether a module belongs to Python or to a package that is installed, and not to who wrote the function."""
        root = str(module).partition(".")[0]
        if root in self._home:
            return False
        if root in sys.stdlib_module_names:
            return True
        file = _held(sys.modules.get(root)).get("__file__") or ""
        return "site-packages" in file or "dist-packages" in file


def _names(code: CodeType) -> Iterator[tuple[str, bool]]:
    """Names outside a function that its code reads (False) or assigns (True), with those of the functions inside."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "STORE_DEREF"):
            yield str(step.argval), step.opname.startswith("STORE")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _attribute(value: Any, name: str) -> Any:
    """An attribute that is there, "" for one that only code would answer."""
    try:
        return object.__getattribute__(value, name)
    except Exception:  # noqa: BLE001  answered by code
        return ""


def _held(value: Any) -> dict[str, Any]:
    """What an object holds by name."""
    held = _attribute(value, "__dict__")
    return dict(held) if type(held) is dict else {}
