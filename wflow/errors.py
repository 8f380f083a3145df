"""What can go wrong, in three kinds: the request, the file, the computation.

Every message is one line that names the thing, its value, what is allowed and the remedy.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BusyError",
    "ComputationError",
    "DamageError",
    "InputError",
    "StorageError",
    "WriteError",
]

LISTED = 230
"""Most characters of names in one message."""
SHOWN = 60
"""Most characters of a value in one message."""
LONGEST = 600
"""Most characters of a message."""


def printable(text: object) -> str:
    r"""Text whose control characters are escaped: what a file says moves no cursor and colours no terminal.

    >>> print(printable("a\x1b[31m\tb"))
    a\x1b[31m\tb
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


MISTAKES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a function of the user's raises where it is wrong, or asked out of its range."""


class InputError(ValueError):
    """The request is wrong: a value outside its range, a wrong shape, an unknown name.

    >>> import wflow
    >>> try:
    ...     wflow.systems.get("no-such")
    ... except InputError as e:
    ...     print(str(e).split(":")[0])
    unknown system 'no-such'
    """

    def __str__(self) -> str:
        text = printable(" ".join(Exception.__str__(self).splitlines()))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"


class StorageError(InputError):
    """A file cannot be written or read as asked: it exists, is foreign, torn, or the disk is full.

    >>> import wflow
    >>> try:
    ...     wflow.load("nowhere.h5")
    ... except StorageError as e:
    ...     print(e)
    there is no file nowhere.h5: check the name
    """


class BusyError(StorageError):
    """Another run is writing the file.

    >>> issubclass(BusyError, StorageError)
    True
    """


class DamageError(StorageError):
    """A file is not as it was written: a part of it was lost, or its checksum is wrong.

    >>> raise damaged("run.h5", "'t' is missing")
    Traceback (most recent call last):
    wflow.errors.DamageError: run.h5 is damaged: 't' is missing: restore a copy
    """


class WriteError(StorageError):
    """What was computed cannot be written, although the request was in order: the disk is full, or the file is gone.

    >>> issubclass(WriteError, StorageError)
    True
    """


class ComputationError(RuntimeError):
    """The computation could not be carried on, although the request was well posed.

    A run of ``wflow.solve`` that fails raises nothing: its ``success`` is False, and ``message`` says why.

    >>> issubclass(ComputationError, RuntimeError)
    True
    """

    __str__ = InputError.__str__


def damaged(path: object, what: str) -> DamageError:
    """The refusal of a file that is not as it was written.

    >>> print(damaged("run.h5", "'t' is missing"))
    run.h5 is damaged: 't' is missing: restore a copy
    """
    return DamageError(f"{path} is damaged: {what}: restore a copy")


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, of 60 characters at most.

    >>> shown("one\\ntwo"), len(shown(list(range(1000))))
    ("'one\\\\ntwo'", 60)
    """
    try:
        text = " ".join(repr(value).split())
        return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]} …"
    except Exception:  # noqa: BLE001  (a number of more digits than Python prints, a class of the caller's)
        return f"a {type(value).__name__} that cannot be printed"


def first_line(e: Exception) -> str:
    r"""What an exception of another library says first, or its name where it says nothing.

    >>> first_line(ValueError("no such device\nsee the manual")), first_line(KeyError())
    ('no such device', 'KeyError')
    """
    return (str(e).strip().splitlines() or [type(e).__name__])[0][:200]


def unknown(
    kind: str, name: object, known: object, remedy: str = "", *, of: str = ""
) -> InputError:
    """An :class:`InputError` for a name that is not in a catalogue, ``of`` something, with the nearest known name.

    >>> print(unknown("method", "muscle", ["muscl", "upwind"]))
    unknown method 'muscle': did you mean 'muscl'? Known: muscl, upwind.
    >>> print(unknown("option", "beta1", [], of="optimizer 'sgd'"))
    unknown option 'beta1' of optimizer 'sgd', which has none: leave it out
    """
    import difflib
    import textwrap

    names = sorted(str(n) for n in known)  # type: ignore[attr-defined]
    listed = textwrap.shorten(", ".join(names), LISTED, placeholder=" …")
    tail = f" Known: {listed}.{f' {remedy}' if remedy else ''}"
    whose = f" of {of}" if of else ""
    if not isinstance(name, str):
        return InputError(f"{kind} {shown(name)}{whose}: give a name.{tail}")
    head = f"unknown {kind} '{name[:SHOWN]}'{whose}"
    if not names:
        return InputError(f"{head}, which has none: leave it out")
    near = difflib.get_close_matches(name[:SHOWN], names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return InputError(f"{head}:{hint}{tail}")
