"""A register of named things that enter themselves: methods, systems, figures, evaluators, kinds of run.

Each stands in a file of its own, so adding one changes no list. The folders are read once, at the first question, and
never inside a step; what a user's own script enters later counts as well.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from wflow.errors import InputError, unknown
from wflow.tools.checks import check_mapping

T = TypeVar("T")
E = TypeVar("E")


class UnknownName(InputError, KeyError):
    """A name that a register does not hold; a KeyError too, so that ``in`` and ``get`` work as of any mapping."""


class Register(Mapping[str, T]):
    """Things by their ``name``, in alphabetical order.

    Parameters
    ----------
    what : the word for one of them, for refusals
    packages : names of packages whose modules enter something when they are imported; folders inside them stay unseen
    remedy : a sentence at the end of the refusal of an unknown name

    >>> shapes = Register("shape")
    >>> @shapes.enter
    ... class Disc:
    ...     name = "disc"
    >>> list(shapes), shapes["disc"] is Disc, "cube" in shapes
    (['disc'], True, False)
    >>> shapes["disk"]
    Traceback (most recent call last):
    wflow.tools.register.UnknownName: unknown shape 'disk': did you mean 'disc'? Known: disc.
    """

    def __init__(self, what: str, *packages: str, remedy: str = "") -> None:
        self._what, self._packages, self._remedy = what, packages, remedy
        self._held: dict[str, Any] = {}
        self._unread = bool(packages)
        self._reading = threading.RLock()

    def enter(self, thing: E) -> E:
        """Enter a thing under its ``name``; a decorator.

        Raises
        ------
        InputError
            when another one holds the name; the same file read again replaces its own
        """
        name = thing.name  # type: ignore[attr-defined]
        if name in self._held and _origin(self._held[name]) != _origin(thing):
            raise InputError(f"two {self._what}s are called '{name}': rename one")
        self._held = dict(sorted({**self._held, name: thing}.items()))
        return thing

    def _all(self) -> dict[str, T]:
        if self._unread:
            with self._reading:
                for name in self._packages if self._unread else ():
                    package = importlib.import_module(name)
                    for found in pkgutil.iter_modules(package.__path__):
                        importlib.import_module(f"{name}.{found.name}")
                self._unread = False
        return self._held

    def __getitem__(self, name: str) -> T:
        held = self._all()
        if not isinstance(name, str) or name not in held:
            raise UnknownName(*unknown(self._what, name, held, self._remedy).args)
        return held[name]

    def make(self, name: str, options: Mapping[str, Any] | None) -> Any:
        """The dataclass of this name, with these of its fields; InputError for what neither knows."""
        made: Any = self[name]
        given, known = (
            check_mapping(f"{self._what}_options", options),
            {f.name for f in fields(made)},
        )
        for key in given:
            if key not in known:
                raise unknown("option", key, known, of=f"{self._what} '{name}'")
        return made(**given)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def _origin(thing: Any) -> tuple[str, str]:
    """Where a class or function is written; for an object, where its class is."""
    home = thing if hasattr(thing, "__qualname__") else type(thing)
    return home.__module__, home.__qualname__
