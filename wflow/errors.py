"""What can go wrong, in three kinds: the request, the file, the computation.

Every message is one line that names the thing, its value, what is allowed and the remedy.
"""

from __future__ import annotations

LISTED = 230
"""Most characters of names in one message."""


def printable(text: object) -> str:
    r"""Text whose control characters are escaped: what a file says moves no cursor and colours no terminal.

    >>> print(printable("a\x1b[31m\tb"))
    a\x1b[31m\tb
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


class InputError(ValueError):
    """The request is wrong: a value outside its range, a wrong shape, an unknown name."""

    def __str__(self) -> str:
        return printable(" ".join(Exception.__str__(self).splitlines()))


class StorageError(InputError):
    """A file cannot be written or read as asked: it exists, is foreign, torn, or the disk is full."""


class BusyError(StorageError):
    """Another run is writing the file."""


class DamageError(StorageError):
    """A file is not as it was written: a part of it was lost, or its checksum is wrong."""


class WriteError(StorageError):
    """What was computed cannot be written, although the request was in order: the disk is full, or the file is gone."""


class ComputationError(RuntimeError):
    """The computation could not be carried on, although the request was well posed."""

    __str__ = InputError.__str__


def unknown(kind: str, name: object, known: object, remedy: str = "") -> InputError:
    """An :class:`InputError` for a name that is not in a catalogue, with the nearest known name.

    >>> print(unknown("method", "muscle", ["muscl", "upwind"]))
    unknown method 'muscle': did you mean 'muscl'? Known: muscl, upwind.
    """
    import difflib
    import textwrap

    names = sorted(str(n) for n in known)  # type: ignore[attr-defined]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    tail = f" {remedy}" if remedy else ""
    listed = textwrap.shorten(", ".join(names), LISTED, placeholder=" …")
    return InputError(f"unknown {kind} '{name}':{hint} Known: {listed}.{tail}")
