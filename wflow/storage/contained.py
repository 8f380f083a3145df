"""Entries that lie in an HDF5 file itself, and no more of them than its bytes can hold.

HDF5 lets a name lead into another file (external links), and a dataset keep its numbers in any file of the user
(external storage) or gather them from others (virtual datasets). Followed, a stranger's file would show what its
reader may read, and a run carried on would write there. And a few hundred bytes may claim 10^12 numbers. Whoever reads
HDF5 here asks :func:`member` for its datasets, which refuses all this before a number is read or written.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any, NoReturn

import h5py

from wflow.errors import StorageError, damaged
from wflow.storage.raw_file import RawFile
from wflow.tools.memory import size

SHRINKS = 1032
"""Times that deflate, the stronger of HDF5's own compressions, makes its input smaller at the very most."""
HOPS = 8
"""Soft links within a file that one name may follow."""


def written_here(path: str | os.PathLike[str]) -> bool:
    """Whether this very process has the file open for writing, through h5py and not through us.

    What it has not flushed, no other reader sees; what it flushes later lands in the middle of what others wrote.
    """
    for held in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        with contextlib.suppress(OSError):
            if held.get_intent() & h5py.h5f.ACC_RDWR and os.path.samefile(held.name, path):
                return True
    return False


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A file for reading, whoever holds it open: libhdf5 would not have one twice in a process, locked otherwise."""
    raw = RawFile(path, "rb")
    try:
        with h5py.File(raw, "r") as file:
            yield file
    finally:
        raw.close()


def has(group: h5py.Group, name: str) -> bool:
    """Whether a group has the name, wherever that leads; ``in`` would follow it."""
    return bool(group.id.links.exists(name.encode()))


def member(group: h5py.Group, name: str, path: str | os.PathLike[str]) -> h5py.Dataset:
    """The dataset of a name, which may lead through groups and soft links within the file at ``path``.

    Raises
    ------
    StorageError
        where its numbers lie outside the file; a :class:`DamageError` where there is no such dataset, or where it is
        more than the file can hold
    """
    return h5py.Dataset(numbers(group, name, path), readonly=group.file.mode == "r")


def numbers(group: h5py.Group, name: str, path: str | os.PathLike[str]) -> Any:
    """The same as libhdf5 has it, with a shape and a type: h5py's own object costs more than to look at it."""
    found = _found(group, name, path, HOPS)
    if not isinstance(found, h5py.h5d.DatasetID):
        raise damaged(path, f"'{name}' is no dataset")
    plan = found.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        _outside(name, path)
    if found.shape is None:
        raise damaged(path, f"'{name}' holds no numbers")
    claimed = math.prod(found.shape) * found.get_type().get_size()
    held = min(found.get_storage_size(), h5py.h5i.get_file_id(found).get_filesize())
    if claimed > SHRINKS * held:
        entries = f"{math.prod(found.shape)} entries ({size(claimed)})"
        raise damaged(path, f"'{name}' claims {entries}, and {size(held)} of them are there")
    return found


def within(group: h5py.Group, name: str, path: str | os.PathLike[str]) -> h5py.Group | h5py.Dataset:
    """The same for whatever has the name."""
    found = _found(group, name, path, HOPS)
    return h5py.Group(found) if isinstance(found, h5py.h5g.GroupID) else h5py.Dataset(found)


def _found(group: h5py.Group, name: str, path: str | os.PathLike[str], hops: int) -> Any:
    """What has the name, as libhdf5 has it; so many soft links are followed."""
    here, parts = group.id, [part for part in name.split("/") if part not in ("", ".")]
    for i, part in enumerate(parts):
        step = part.encode()
        links = here.links if isinstance(here, h5py.h5g.GroupID) else None
        if links is None or not links.exists(step):
            raise damaged(path, f"'{name}' is missing")
        kind = links.get_info(step).type
        if kind == h5py.h5l.TYPE_SOFT and hops:
            target = links.get_val(step).decode()
            start = group.file if target.startswith("/") else h5py.Group(here)
            return _found(start, "/".join([target, *parts[i + 1 :]]), path, hops - 1)
        if kind != h5py.h5l.TYPE_HARD:
            _outside(name, path)
        here = h5py.h5o.open(here, step)
    return here


def _outside(name: str, path: str | os.PathLike[str]) -> NoReturn:
    raise StorageError(
        f"{path} points out of itself at '{name}' (an external link, external storage or a virtual dataset), which is "
        "not followed: copy the numbers into the file"
    )
