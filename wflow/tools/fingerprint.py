"""Digests by which a resumed run checks that the problem passed to it is the one that was running."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numpy as np


def of_function(function: Callable[..., Any] | None) -> str:
    """A digest of a function: its code, the names it uses, its defaults and what it closes over.

    Equal source gives equal digests in different processes of one Python version; it does not prove equality of
    the global names that the function looks up.

    >>> of_function(lambda x: x + 1) == of_function(lambda x: x + 1)
    True
    >>> of_function(lambda x: np.sin(x)) == of_function(lambda x: np.cos(x))
    False
    """
    h = hashlib.sha256()
    _feed(h, function, 0)
    return h.hexdigest()[:16]


def digest(*parts: object) -> str:
    """A digest of text, numbers and arrays, in their order.

    >>> digest("a", 1.0) == digest("a", 1.0), digest("a", 1.0) == digest("a", 2.0)
    (True, False)
    """
    h = hashlib.sha256()
    for part in parts:
        h.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return h.hexdigest()


def _feed(h: Any, value: Any, depth: int) -> None:
    """Feed a value's content, never its address, so that digests agree between processes."""
    value = getattr(value, "py_func", value)
    h.update(type(value).__name__.encode())
    if depth > 20:
        return
    if isinstance(value, FunctionType):
        cells = [c.cell_contents for c in value.__closure__ or ()]
        inside: list[Any] = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
    elif isinstance(value, CodeType):
        inside = [value.co_code, value.co_names, value.co_varnames, value.co_consts]
    elif isinstance(value, functools.partial):
        inside = [value.func, value.args, value.keywords]
    elif isinstance(value, np.ndarray):
        inside = [value.shape, value.dtype.str, value.tobytes()]
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif isinstance(value, frozenset | set):
        inside = sorted(map(repr, value))
    elif isinstance(value, dict):
        inside = [x for pair in sorted(value.items(), key=lambda p: str(p[0])) for x in pair]
    elif isinstance(value, bytes):
        h.update(value)
        return
    elif isinstance(value, int | float | complex | str | bool | np.generic | type(None)):
        h.update(repr(value).encode())
        return
    elif hasattr(value, "__self__") and hasattr(value, "__func__"):
        inside = [value.__func__, value.__self__]
    else:
        inside = [getattr(value, "__qualname__", ""), getattr(value, "__dict__", {})]
    h.update(str(len(inside)).encode())
    for part in inside:
        _feed(h, part, depth + 1)
