"""A run's file, open for writing: its datasets at hand, failures explained, the whole file rewritten to grow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from wflow.errors import StorageError
from wflow.storage import disk as disks
from wflow.storage.build import Content, build
from wflow.storage.checkpoint import Checkpoint, read_newest
from wflow.storage.layout import Layout
from wflow.storage.raw_file import SteadyFile, uninterrupted
from wflow.storage.reader import check_format, reading, stored_run

FIRST_STEP_ROOM = 4096


class OpenRun:
    """The state that all writing shares.

    Attributes
    ----------
    path : the file, as the user named it
    layout : what it holds
    n_frames, n_steps : how much is written
    """

    def __init__(
        self, path: str | os.PathLike[str], raw: Callable[[Path], SteadyFile] = SteadyFile
    ) -> None:
        self.path = Path(path)
        # The working folder may change, and a link shall go on pointing to the run.
        self._target = Path(os.path.realpath(path))
        self._open_raw = raw
        self._failure: str | None = None
        self._file: h5py.File | None = None
        with reading(path):
            self._raw = raw(self._target)
            file = disks.open_locked(self._raw, self.path)
        try:
            with reading(path):
                check_format(file, path)
                stored, self.layout = stored_run(file, path)
        except BaseException:
            self._let_go(file)
            raise
        self._attributes = dict(stored.attributes)
        self.n_frames, self.n_steps = stored.n_frames, stored.n_steps
        self._sequence = 0
        self._unsynced_steps = False
        self._take(file)

    def _take(self, file: h5py.File) -> None:
        """Work on ``file``; looking a dataset up by name costs more than writing to it."""
        self._file = file
        self._frame_data = {
            name: file[name] for name in ("t", *self.layout.series, *self.layout.fields)
        }
        self._step_data = {name: file["steps"][name] for name in self.layout.step_series}
        self._counts = file["n_frames"], file["steps/n_steps"]
        self._step_room = int(file["steps/step"].size)

    def _open(self) -> h5py.File:
        if self._file is None:
            raise StorageError(self._failure or f"{self.path} is closed: resume it to write on")
        return self._file

    def _let_go(self, file: h5py.File) -> None:
        """Close, and report what could not be written even now."""
        self._file = None
        try:
            file.close()
            self._raw.check()
        finally:
            self._raw.close()

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """After a failure the file is let go, and every later call repeats what happened."""
        file = self._open()
        with uninterrupted():
            try:
                yield
                self._raw.check()
            except disks.HDF5_ERRORS as e:
                with contextlib.suppress(*disks.HDF5_ERRORS):
                    self._let_go(file)  # fails likewise
                safe = f"{self.n_frames} frames" if self.n_frames else "no frame yet"
                self._failure = (
                    f"{self.path}: {disks.explain(e)}: {what} could not be written; "
                    f"the file keeps {safe}: make room, then resume"
                )
                raise StorageError(self._failure) from e

    def _sync(self) -> None:
        self._open().flush()
        self._raw.sync()

    def _set_counts(self, n_frames: int, n_steps: int) -> None:
        for dataset, value in zip(self._counts, (n_frames, n_steps), strict=True):
            dataset[()] = value

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
            frame_room = max(layout.n_frames, self.n_frames)
        if step_room is None:
            step_room = max(FIRST_STEP_ROOM, self.n_steps, self._step_room)
        descriptor = self._raw.fileno()
        if not disks.is_file(self._target, descriptor):
            raise StorageError(
                f"{self.path} was moved, removed or replaced while it was written: put it back"
            )
        content = Content(file, self.n_frames, self.n_steps, checkpoint)
        self._file = None  # until it is settled which file bears the name
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
        except BaseException as e:
            if disks.is_file(self._target, descriptor):
                self._file = file
            if isinstance(e, disks.HDF5_ERRORS):
                raise StorageError(
                    f"{self.path}: {disks.explain(e)}: no new copy with {what} could be written; "
                    f"the file keeps {self.n_frames} frames: make room, then resume"
                ) from e
            raise
        with contextlib.suppress(*disks.HDF5_ERRORS):
            self._let_go(file)  # it has no name any more
        self.layout, self._attributes = layout, attributes
        self._sequence = checkpoint.sequence if checkpoint else 0
        self._unsynced_steps = False
        if reopen:
            with reading(self.path):
                self._raw = self._open_raw(self._target)
                self._take(disks.open_locked(self._raw, self.path))
