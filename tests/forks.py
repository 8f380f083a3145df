"""Work in a fork of the process that tests: a process of its own whose packages are loaded and kernels compiled."""

import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def fork(work: Callable[[], Any]) -> int:
    """Begin ``work`` in a child, and go on; its exit status is 0 if the work is done, 1 if it fails.

    ``SystemExit`` ends it with its own status, as it ends a process.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # noqa: BLE001  there is nobody above to tell
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)
    return child


class Fork:
    """A child that is heard: what it prints is kept apart, and it begins as a fresh process does.

    Its warnings are errors, its floating-point errors those of numpy's defaults. The methods are named after those of
    ``subprocess.Popen``.

    Parameters
    ----------
    work : what it does; a ``SystemExit`` gives its exit status
    folder : where it works; by default here
    """

    def __init__(self, work: Callable[[], Any], folder: Path | None = None) -> None:
        self._heard = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  (communicate closes)
        self.returncode: int | None = None

        def begin() -> None:
            for stream, file in enumerate(self._heard, start=1):
                os.dup2(file.fileno(), stream)
            sys.stdout = os.fdopen(1, "w", closefd=False, encoding="utf-8")
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, encoding="utf-8")
            if folder is not None:
                os.chdir(folder)
            np.seterr(divide="warn", over="warn", invalid="warn", under="ignore")
            warnings.resetwarnings()
            warnings.simplefilter("error")
            work()

        self.pid = fork(begin)

    def poll(self) -> int | None:
        """The exit status if it has ended; minus the number of the signal that ended it."""
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def said(self) -> tuple[str, str]:
        """What it has printed so far, on stdout and on stderr."""
        sizes = [os.fstat(file.fileno()).st_size for file in self._heard]
        pairs = zip(self._heard, sizes, strict=True)
        out, err = (os.pread(file.fileno(), size, 0).decode() for file, size in pairs)
        return out, err

    def first_line(self, timeout: float = 120.0) -> str:
        """Wait for the first line on stdout; what there is if it ends before."""
        end = time.monotonic() + timeout
        while "\n" not in self.said()[0] and self.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        return "".join(self.said()[0].splitlines(keepends=True)[:1])

    def communicate(self, timeout: float = 120.0) -> tuple[str, str]:
        """Wait for its end; what it has printed. To be called once."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
                raise subprocess.TimeoutExpired("a fork", timeout, *self.said())
            time.sleep(0.005)
        heard = self.said()
        for file in self._heard:
            file.close()
        return heard
