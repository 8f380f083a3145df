"""Makes every interpreter that finds this on its path as poor as one on Windows, as far as a POSIX machine can be.

The modules and functions of POSIX are gone, folders cannot be opened, and open files can be neither replaced nor
removed. The lock is the one that needs no system call, since Windows' own cannot be had here.
"""

import contextlib
import os
import subprocess  # noqa: F401  (needs what is taken away below; Windows has its own way)
import sys
import tempfile  # noqa: F401
from typing import Any

import filelock

filelock.FileLock = filelock.SoftFileLock

for module in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules[module] = None  # type: ignore[assignment]

for name in (
    *("fork", "forkpty", "register_at_fork", "setsid", "killpg", "getpgid", "nice", "wait", "wait3", "wait4"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_SYNC", "O_NOCTTY"),
    *("pread", "preadv", "pwrite", "pwritev", "posix_fallocate", "posix_fadvise", "fdatasync", "sync"),
    *("chown", "fchown", "lchown", "lockf", "mkfifo", "sched_getaffinity", "sched_setaffinity", "sched_yield"),
    *("getgid", "getegid", "getgroups", "sysconf"),
):  # fmt: skip
    with contextlib.suppress(AttributeError):
        delattr(os, name)


def _is_open(path: Any) -> bool:
    """Whether this process has the file open."""
    with contextlib.suppress(OSError, TypeError):
        there = os.stat(path)
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(int(descriptor)), there):
                    return True
    return False


def _unless_open(function: Any, which: int) -> Any:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if _is_open(arguments[which]):
            raise PermissionError(13, "The process cannot access the file", arguments[which])
        return function(*arguments, **options)

    return wrapped


def _open(path: Any, *arguments: Any, **options: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return _posix_open(path, *arguments, **options)


_posix_open = os.open
os.replace = _unless_open(os.replace, 1)
os.unlink = os.remove = _unless_open(os.unlink, 0)
