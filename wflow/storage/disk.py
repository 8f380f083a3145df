"""Locking, whole-file replacement, and what the system's errors mean.

A file is only ever created or replaced whole: written under a temporary name in the same folder, synced, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py

from wflow.errors import BusyError, StorageError
from wflow.storage.raw_file import SteadyFile

HDF5_FORMAT = ("v108", "v108")
"""The oldest format whose metadata bear checksums, and the newest that every reader since 2008 opens."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HDF5_ERRORS = (OSError, RuntimeError)
"""What h5py raises when libhdf5 or the system under it fails."""


def open_locked(raw: SteadyFile, path: Path) -> h5py.File:
    """The file, open for writing, locked against a second writer.

    The lock is ours, not HDF5's: that one would keep plain readers out of a live file, which they may read, since its
    metadata do not change.
    """
    if not _lock(raw.fileno()):
        raw.close()
        raise BusyError(f"{path} is being written by another run: wait for it or stop it first")
    try:
        return h5py.File(raw, "r+", libver=HDF5_FORMAT)
    except BaseException:
        raw.close()
        raise


def being_written(path: Path) -> bool:
    """Whether a live run has the file open for writing."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the writer's lock; True also where the file system has no locks."""
    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            # Of the open file, not of the process: a reader that closes the file must not release it.
            whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno not in (errno.EAGAIN, errno.EACCES)
    return True


@contextlib.contextmanager
def replacement(final: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside ``final``; what the block writes there takes its place, whole, or leaves no trace."""
    temporary = final.with_name(f"{_stem(final)}{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        _sync_path(temporary)
        if overwrite and final.exists():
            shutil.copymode(final, temporary)
        if overwrite:
            os.replace(temporary, final)
        else:
            _rename_new(temporary, final)
        _sync_path(final.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def remove_leftovers(final: Path) -> None:
    """Remove the temporary files that killed writers of ``final`` left behind."""
    for path in final.parent.glob(f"{_stem(final)}*.tmp"):
        if not _alive(int(path.name.removeprefix(_stem(final)).split("-")[0])):
            with contextlib.suppress(OSError):
                path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stem(final: Path) -> str:
    # A digest, since the name itself may already be as long as the file system allows.
    return f".wflow-{hashlib.blake2b(os.fsencode(final.name), digest_size=6).hexdigest()}-"


def _rename_new(temporary: Path, final: Path) -> None:
    try:
        os.link(temporary, final)  # unlike rename, fails where a file has appeared meanwhile
    except FileExistsError:
        raise exists(final) from None
    except OSError:
        if final.exists():
            raise exists(final) from None
        os.replace(temporary, final)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_place(path: Path, overwrite: bool) -> None:
    """Refuse a path that exists, is a folder, or lies where nothing can be written."""
    if path.is_dir():
        raise StorageError(f"{path} is a folder: give the name of a file in it, run.h5 say")
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is a device or a pipe: give the name of a file, run.h5 say")
    if not path.parent.is_dir():
        raise StorageError(f"the folder {path.parent} does not exist: make it first (mkdir -p)")
    if path.exists():
        if not overwrite:
            raise exists(path)
        if being_written(path):
            raise BusyError(
                f"{path} is being written by another run: stop it first, or choose another name"
            )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StorageError(f"the folder {path.parent} is not writable: choose another place")


def check_room(path: Path, needed: int, remedy: str) -> None:
    """Refuse to begin what the disk has no room for."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise StorageError(
            f"{path} needs {_size(needed)} and its disk has {_size(free)} free: {remedy}"
        )


def is_file(path: Path, descriptor: int) -> bool:
    """Whether ``path`` names the very file that is open as ``descriptor``."""
    ours = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def exists(path: Path) -> StorageError:
    """The refusal to overwrite."""
    return StorageError(
        f"{path} exists and is not overwritten: choose another name, resume it, or pass overwrite=True"
    )


def explain(error: BaseException) -> str:
    """One short line for an error of the system or of libhdf5."""
    code = getattr(error, "errno", None)
    if code is None and (found := re.search(r"errno = (\d+)", str(error))):
        code = int(found.group(1))
    if code in FULL:
        return f"the disk is full ({os.strerror(code)})"
    if code is not None:
        return os.strerror(code).lower()
    return " ".join(str(error).split())[:200] or type(error).__name__


def _size(n: int) -> str:
    power = min((len(str(n)) - 1) // 3, 4)
    return f"{n / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
