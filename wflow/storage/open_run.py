"""A run's file, open for writing: its datasets at hand, failures explained, the whole file rewritten to grow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wflow.errors import StorageError, WriteError, damaged
from wflow.storage import disk as disks
from wflow.storage.build import Content, build
from wflow.storage.checkpoint import Checkpoint, read_newest
from wflow.storage.contained import written_here
from wflow.storage.layout import CHECKSUM, Layout
from wflow.storage.put import put
from wflow.storage.raw_file import RawFile, uninterrupted
from wflow.storage.reader import check_format, held_open, reading, stored_run

FIRST_STEP_ROOM = 4096


class OpenRun:
    """The state that all writing shares.

    Attributes
    ----------
    path : the file, as the user named it
    layout : what it holds
    frames_safe, steps_safe : how much is committed: on the disk, and counted
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        raw: Callable[[Path], RawFile] = RawFile,
        lock: disks.WriterLock | None = None,
    ) -> None:
        self.path = Path(path)
        # The working folder may change, and a link shall go on pointing to the run.
        self._target = Path(os.path.realpath(path))
        self._open_raw = raw
        self._failure: str | None = None
        self._file: h5py.File | None = None
        self._lock = lock or disks.WriterLock(self._target, path)
        try:
            if written_here(self._target):
                raise held_open(path)
            with reading(path):
                self._open_file()
                check_format(self._open(), path)
                stored, self.layout = stored_run(self._open(), path)
        except BaseException:
            self._let_go()
            raise
        self._attributes = dict(stored.attributes)
        self.frames_safe, self.steps_safe = stored.n_frames, stored.n_steps
        self._sequence = 0
        self._find_datasets()

    def _open_file(self) -> None:
        self._raw = self._open_raw(self._target)
        try:
            self._file = h5py.File(self._raw, "r+", libver=disks.HDF5_FORMAT)
        except BaseException:
            self._raw.close()
            raise

    def _find_datasets(self) -> None:
        """Looking a dataset up by name costs more than writing to it."""
        file = self._open()
        self._frame_data = {
            name: file[name] for name in ("t", *self.layout.series, *self.layout.fields)
        }
        self._step_data = {name: file["steps"][name] for name in self.layout.step_series}
        self._checksums = file.get(CHECKSUM), file["steps"].get(CHECKSUM)
        self._counts = file["n_frames"], file["steps/n_steps"]
        self._frame_room = int(file["t"].size)
        self._step_room = int(file["steps/step"].size)

    def _open(self) -> h5py.File:
        if self._file is None:
            if self._failure:
                raise WriteError(self._failure)
            raise StorageError(f"{self.path} is closed: resume it to write on")
        return self._file

    def _close_file(self) -> None:
        """Close, and report what could not be written even now."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
            self._raw.check()
        finally:
            self._raw.close()

    def _let_go(self) -> None:
        try:
            self._close_file()
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """After a failure the file is let go, and every later call repeats what happened."""
        self._open()
        with uninterrupted():
            try:
                yield
                self._raw.check()
            except disks.HDF5_ERRORS as e:
                with contextlib.suppress(*disks.HDF5_ERRORS):
                    self._let_go()  # fails likewise
                safe = f"{self.frames_safe} frames" if self.frames_safe else "no frame yet"
                self._failure = (
                    f"{self.path}: {disks.explain(e)}: {what} could not be written; "
                    f"the file keeps {safe}: make room, then resume"
                )
                raise WriteError(self._failure) from e

    def _sync(self) -> None:
        self._open().flush()
        self._raw.sync()

    def _set_counts(self, n_frames: int, n_steps: int) -> None:
        for dataset, value in zip(self._counts, (n_frames, n_steps), strict=True):
            put(dataset.id, np.array(value, dtype=np.int64))

    @uninterrupted()
    def _rewrite(
        self,
        what: str,
        *,
        layout: Layout | None = None,
        frame_room: int | None = None,
        step_room: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        checkpoint: Checkpoint | None = None,
        compress: bool = False,
        reopen: bool = True,
    ) -> None:
        """Write all that counts into a new file, and put that in the old one's place."""
        file = self._open()
        layout = layout or self.layout
        attributes = self._attributes | dict(attributes or {})
        with reading(self.path):
            checkpoint = checkpoint or read_newest(file, self.layout.checkpoint)
        if frame_room is None:
            frame_room = max(layout.n_frames, self.frames_safe)
        if step_room is None:
            step_room = max(FIRST_STEP_ROOM, self.steps_safe, self._step_room)
        ours = os.fstat(self._raw.fileno())
        before = ours.st_dev, ours.st_ino
        if disks.identity(self._target) != before:
            raise WriteError(
                f"{self.path} was moved, removed or replaced while it was written: put it back"
            )
        if not compress:
            try:
                room = layout.bytes_needed(frame_room, step_room)
                disks.check_room(self._target, room, f"{what} could not be written")
            except StorageError as e:
                raise WriteError(
                    f"{e}; the file keeps {self.frames_safe} frames: make room, then resume"
                ) from None
        content = Content(file, self.frames_safe, self.steps_safe, checkpoint)
        try:
            with disks.replacement(self._target, overwrite=True) as new:
                build(
                    new,
                    layout,
                    attributes,
                    content,
                    frame_room=frame_room,
                    step_room=step_room,
                    compress=compress,
                )
                with contextlib.suppress(*disks.HDF5_ERRORS):
                    self._close_file()  # an open file cannot be replaced everywhere
        except BaseException as e:
            if self._file is None and disks.identity(self._target) == before:
                self._open_file()
                self._find_datasets()
            if isinstance(e, disks.HDF5_ERRORS):
                if disks.unreadable(e):
                    raise damaged(self.path, f"it cannot be read ({disks.explain(e)})") from e
                raise WriteError(
                    f"{self.path}: {disks.explain(e)}: no new copy with {what} could be written; "
                    f"the file keeps {self.frames_safe} frames: make room, then resume"
                ) from e
            raise
        self.layout, self._attributes = layout, attributes
        self._sequence = checkpoint.sequence if checkpoint else 0
        if reopen:
            with reading(self.path):
                self._open_file()
                self._find_datasets()
        else:
            self._let_go()
