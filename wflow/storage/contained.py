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
from typing import NoReturn

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
    found = within(group, name, path)
    if not isinstance(found, h5py.Dataset):
        raise damaged(path, f"'{name}' is no dataset")
    plan = found.id.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        _outside(name, path)
    if found.shape is None:
        raise damaged(path, f"'{name}' holds no numbers")
    claimed = math.prod(found.shape) * found.dtype.itemsize
    held = min(found.id.get_storage_size(), found.file.id.get_filesize())
    if claimed > SHRINKS * held:
        entries = f"{math.prod(found.shape)} entries ({size(claimed)})"
        raise damaged(path, f"'{name}' claims {entries}, and {size(held)} of them are there")
    return found


def within(
    group: h5py.Group, name: str, path: str | os.PathLike[str], hops: int = HOPS
) -> h5py.Group | h5py.Dataset:
    """The same for whatever has the name; so many soft links are followed."""
    here, parts = group, [part for part in name.split("/") if part not in ("", ".")]
    for i, part in enumerate(parts):
        if not (isinstance(here, h5py.Group) and has(here, part)):
            raise damaged(path, f"'{name}' is missing")
        kind = here.id.links.get_info(part.encode()).type
        if kind == h5py.h5l.TYPE_SOFT and hops:
            target = here.id.links.get_val(part.encode()).decode()
            start = here.file if target.startswith("/") else here
            return within(start, "/".join([target, *parts[i + 1 :]]), path, hops - 1)
        if kind != h5py.h5l.TYPE_HARD:
            _outside(name, path)
        here = here[part]
    return here


def _outside(name: str, path: str | os.PathLike[str]) -> NoReturn:
    raise StorageError(
        f"{path} points out of itself at '{name}' (an external link, external storage or a virtual dataset), which is "
        "not followed: copy the numbers into the file"
    )
