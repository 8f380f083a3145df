"""Locking, whole-file replacement, and what the system's errors mean.

A file is only ever created or replaced whole: written under a temporary name in the same folder, synced, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wflow.errors import BusyError, StorageError
from wflow.tools.memory import size

HDF5_FORMAT = ("v108", "v108")
"""The oldest format whose metadata bear checksums, and the newest that every reader since 2008 opens."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HDF5_ERRORS = (OSError, RuntimeError)
"""What h5py raises when libhdf5 or the system under it fails."""


class WriterLock:
    """Held by the one process that writes a run's file, from its creation to its close.

    The lock is ours, not HDF5's: that one would keep plain readers out of a live file, which they may read, since its
    metadata do not change. It lies on a file of its own, because some systems lock out readers too, and because a
    rewrite puts another file under the run's name.

    Raises
    ------
    BusyError
        when another run holds it
    """

    def __init__(self, final: Path, shown: str | os.PathLike[str]) -> None:
        from filelock import FileLock, Timeout

        self._lock = FileLock(_lock_file(final), thread_local=False)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise BusyError(
                f"{shown} is being written by another run: wait for it or stop it first"
            ) from None
        except OSError:
            pass  # the file system has no locks, or the folder takes no file: then nothing can be written either

    def release(self) -> None:
        """Let another run write."""
        if self._lock.is_locked:
            # Removed while it is held: who has opened it meanwhile sees that it is gone, and begins anew.
            with contextlib.suppress(OSError):
                os.unlink(self._lock.lock_file)
            self._lock.release()


def being_written(path: Path) -> bool:
    """Whether a live run has the file open for writing."""
    final = Path(os.path.realpath(path))
    if not _lock_file(final).exists():
        return False
    try:
        WriterLock(final, path).release()
    except BusyError:
        return True
    return False


@contextlib.contextmanager
def replacement(final: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside ``final``; what the block writes there takes its place, whole, or leaves no trace."""
    temporary = final.with_name(f"{_stem(final)}-{os.urandom(4).hex()}.tmp")
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
    """Remove what killed writers of ``final`` left behind; the caller holds the lock, so none of them lives."""
    for path in final.parent.glob(f"{_stem(final)}-*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def _lock_file(final: Path) -> Path:
    return final.with_name(f"{_stem(final)}.lock")


def _stem(final: Path) -> str:
    # A digest, since the name itself may already be as long as the file system allows.
    return f".wflow-{hashlib.blake2b(os.fsencode(final.name), digest_size=6).hexdigest()}"


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
    """Bring a file home, or the names in a folder."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # where folders cannot be opened, the system itself brings names home
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_place(path: Path, overwrite: bool) -> None:
    """Refuse a path that exists, is a folder, or lies where nothing can be written.

    Raises
    ------
    StorageError
        before any work is done
    """
    try:
        _check_place(path, overwrite)
        # Whether a file can be made there is known when one was.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise StorageError(f"{path} cannot be created: {explain(e)}: choose another place") from e


def _check_place(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise StorageError(f"{path} is a folder: give the name of a file in it, run.h5 say")
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is a device or a pipe: give the name of a file, run.h5 say")
    if not path.parent.is_dir():
        raise StorageError(f"the folder {path.parent} does not exist: make it first (mkdir -p)")
    if path.exists() and not overwrite:
        raise exists(path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StorageError(f"the folder {path.parent} is not writable: choose another place")


def check_room(path: Path, needed: int, remedy: str) -> None:
    """Refuse to begin what the disk has no room for."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise StorageError(
            f"{path} needs {size(needed)} and its disk has {size(free)} free: {remedy}"
        )


def identity(path: Path) -> tuple[int, int] | None:
    """Which file bears the name; None if none does."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino


def exists(path: Path) -> StorageError:
    """The refusal to overwrite."""
    return StorageError(
        f"{path} exists and is not overwritten: choose another name, resume it, or pass overwrite=True"
    )


def unreadable(error: BaseException) -> bool:
    """Whether libhdf5 makes nothing of bytes that are there, which no room on the disk would change.

    >>> unreadable(OSError("Can't synchronously read data (filter returned failure during read)"))
    True
    >>> unreadable(OSError(28, "No space left on device"))
    False
    """
    said = str(error)
    return getattr(error, "errno", None) is None and "read data" in said and "errno" not in said


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
