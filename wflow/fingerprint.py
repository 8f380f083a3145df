"""Digests by which a resumed run checks that the problem passed to it is the one that was running."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any


def of_function(function: Callable[..., Any] | None) -> str:
    """A digest of a function's compiled code, constants and captured plain values.

    Equal source gives equal digests in different processes of one Python version; it does not prove equality of
    what the function calls.

    >>> of_function(lambda x: x + 1) == of_function(lambda x: x + 1)
    True
    >>> of_function(lambda x: x + 1) == of_function(lambda x: x + 2)
    False
    """
    if function is None:
        return "none"
    function = getattr(function, "py_func", function)
    code = getattr(function, "__code__", None)
    h = hashlib.sha256()
    if code is None:
        h.update(repr(type(function)).encode())
        h.update(repr(sorted(getattr(function, "__dict__", {}).items())).encode())
        return h.hexdigest()[:16]
    h.update(code.co_code)
    h.update(repr([c for c in code.co_consts if not hasattr(c, "co_code")]).encode())
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            h.update(constant.co_code)
    for cell in getattr(function, "__closure__", None) or ():
        value = cell.cell_contents
        h.update(repr(value).encode() if isinstance(value, int | float | str | tuple) else b"?")
    return h.hexdigest()[:16]
