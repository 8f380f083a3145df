"""The bytes under libhdf5, and nothing that interrupts it.

libhdf5 does not stand a write that fails: it prints, keeps the file open, and may crash the process when it closes. So
it writes through a :class:`RawFile`, which keeps the first failure to itself until asked. For the same reason Ctrl-C
waits until libhdf5 has finished, see :func:`uninterrupted`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Literal


class RawFile:
    """A file for h5py's ``fileobj`` driver, whose writes never fail; :meth:`check` tells what went wrong.

    Parameters
    ----------
    path : where
    mode : as of ``open``; ``x+b`` creates the file, which must not be there
    """

    def __init__(
        self, path: str | os.PathLike[str], mode: Literal["rb", "r+b", "x+b"] = "r+b"
    ) -> None:
        self._file = open(path, mode, buffering=0)  # noqa: SIM115  (closed by close)
        self._position = 0
        self._end = os.fstat(self.fileno()).st_size
        self._failure: OSError | None = None

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def sync(self) -> None:
        """Bring all that was written to the disk itself; raise what failed."""
        self.check()
        os.fsync(self.fileno())

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._file.close()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Where the next byte is read or written."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; what was never written, for lack of room, is zero."""
        done, wanted = 0, len(buffer)
        self._file.seek(self._position)
        while done < wanted:
            part = self._file.readinto(buffer[done:])
            if not part:
                buffer[done:] = bytes(wanted - done)
                part = wanted - done
            done += part
        self._position += wanted
        return done

    def read(self, size: int) -> bytes:
        """So many bytes."""
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def write(self, data: memoryview) -> int:
        """Write all of it, in as many calls as the system wants."""
        done, wanted = 0, len(data)
        try:
            if self._failure is None:
                self._file.seek(self._position)
            while done < wanted and self._failure is None:
                done += self._file.write(data[done:])
        except OSError as e:
            self._failure = e
        self._position += wanted
        self._end = max(self._end, self._position)
        return wanted

    def truncate(self, size: int) -> int:
        """Cut or lengthen the file."""
        try:
            if self._failure is None:
                self._file.truncate(size)
        except OSError as e:
            self._failure = e
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing is held back."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is done; then they do what they always do."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in the main thread only
        return
    waiting: list[int] = []

    def wait(number: int, _: FrameType | None) -> None:
        waiting.append(number)

    former = {}
    for which in (signal.SIGINT, signal.SIGTERM):
        # The default for SIGTERM ends the process at once, which costs nothing that was acknowledged.
        if callable(signal.getsignal(which)):
            former[which] = signal.signal(which, wait)
    try:
        yield
    finally:
        for which, handler in former.items():
            signal.signal(which, handler)
        for number in waiting:
            signal.raise_signal(number)
