"""Writing a run's file so that a kill, a power cut or a full disk never costs what was acknowledged.

A frame: its numbers, sync; then the count, sync. A checkpoint: the older of two slots, with a digest, sync.
Whatever changes the file's shape (more steps, more frames, the end) writes a new file and renames it into place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from wflow.errors import StorageError
from wflow.storage import disk as disks
from wflow.storage.build import Content, build
from wflow.storage.checkpoint import (
    Checkpoint,
    encode_meta,
    read_newest,
    specification,
    write_slot,
)
from wflow.storage.layout import Layout
from wflow.storage.reader import (
    OUR_OWN,
    StoredRun,
    check_format,
    check_signature,
    reading,
    stored_run,
)

FIRST_STEP_ROOM = 4096
SET_BY_US = frozenset({*OUR_OWN, "status", "message", "stats", "json_attributes"})
STATUSES = ("done", "failed", "interrupted")


class RunWriter:
    """A run's file, open for writing: made by :meth:`create` or :meth:`resume`.

    The constructor takes a file that is whole and open already, with its content as read from it.
    """

    def __init__(
        self, path: Path, file: h5py.File, stored: StoredRun, layout: Layout, disk: disks.Disk
    ) -> None:
        self.path = path
        self.layout = layout
        self.n_frames = stored.n_frames
        self.n_steps = stored.n_steps
        self._target = Path(os.path.realpath(path))
        self._file: h5py.File | None = file
        self._disk = disk
        self._attributes = dict(stored.attributes)
        self._sequence = 0
        self._unsynced_steps = False
        self._failure: str | None = None

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        layout: Layout,
        attributes: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> RunWriter:
        """A new file with room for the whole run; it appears under its name complete or not at all.

        Parameters
        ----------
        path : where; its folder must exist
        layout : what the file will hold
        attributes : text, numbers, lists and dicts that describe the run
        overwrite : take the place of an existing file

        Raises
        ------
        StorageError
            when the file exists, the folder is missing or not writable, or the disk has no room
        """
        if taken := sorted(SET_BY_US & set(attributes)):
            raise StorageError(f"attribute '{taken[0]}' is set by the file itself: call it otherwise")
        target = Path(os.path.realpath(path))
        disks.check_place(target, overwrite)
        room = layout.bytes_needed(layout.n_frames, FIRST_STEP_ROOM)
        disks.check_room(target, room, "save fewer frames (t_eval), or write to another disk")
        everything = {**attributes, "status": "running", "message": "", "stats": {}}
        try:
            with disks.replacement(target, overwrite=overwrite) as temporary:
                build(
                    temporary,
                    layout,
                    everything,
                    Content(),
                    frame_room=layout.n_frames,
                    step_room=FIRST_STEP_ROOM,
                )
        except disks.HDF5_ERRORS as e:
            raise StorageError(
                f"{path} cannot be created: {disks.explain(e)}: choose another place or make room"
            ) from e
        return cls._reopen(Path(path), disks.Disk())

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], *, disk: disks.Disk | None = None
    ) -> tuple[RunWriter, Checkpoint | None, StoredRun]:
        """Take a file up again from its newest valid checkpoint; frames and steps after that are dropped.

        Without a valid checkpoint the second entry is None and the file is left as it is. A finished file is
        given the room of its plan again; see :meth:`extend` for more.

        Raises
        ------
        StorageError
            for what :func:`read_run` refuses, a file that is read-only, or one that is being written
        """
        check_signature(path)
        writer = cls._reopen(Path(path), disk or disks.Disk())
        try:
            with reading(path):
                checkpoint = read_newest(writer._open(), writer.layout.checkpoint)
            if checkpoint is not None:
                writer._go_back_to(checkpoint)
                disks.remove_leftovers(writer._target)
            with reading(path):
                stored, _ = stored_run(writer._open(), path)
        except BaseException:
            writer.close()
            raise
        return writer, checkpoint, stored

    @classmethod
    def _reopen(cls, path: Path, disk: disks.Disk) -> RunWriter:
        with reading(path):
            file = disk.open(path)
        try:
            with reading(path):
                check_format(file, path)
                stored, layout = stored_run(file, path)
        except BaseException:
            disks.close_quietly(file)
            raise
        return cls(path, file, stored, layout, disk)

    def write_frame(
        self, t: float, series: Mapping[str, float], fields: Mapping[str, np.ndarray]
    ) -> None:
        """Append a frame; on return it, and all step rows before it, are on the disk.

        Raises
        ------
        StorageError
            for names or shapes that are not the layout's, and when the disk is full
        """
        file = self._open()
        _check_same("series", series, self.layout.series)
        _check_same("field", fields, self.layout.fields)
        for name, spec in self.layout.fields.items():
            if np.shape(fields[name]) != spec.shape:
                raise StorageError(
                    f"field '{name}' has shape {np.shape(fields[name])} and the file has room for {spec.shape}"
                )
        if self.n_frames == file["t"].size:
            self.extend(max(2 * self.n_frames, 1))
            file = self._open()
        i = self.n_frames
        with self._writing(f"frame {i}"):
            file["t"][i] = t
            for name, value in series.items():
                file[name][i] = value
            for name, array in fields.items():
                file[name][i] = array
            self._disk.sync(file)
            self._set_counts(file, i + 1, self.n_steps)
            self._disk.sync(file)
        self.n_frames = i + 1
        self._unsynced_steps = False

    def write_steps(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append step rows, arrays of one length; they count from the next frame, checkpoint or close on.

        Raises
        ------
        StorageError
            for names that are not the layout's, unequal lengths, and when the disk is full
        """
        file = self._open()
        _check_same("step series", rows, self.layout.step_series)
        lengths = {np.shape(values) for values in rows.values()}
        if len(lengths) > 1 or any(len(shape) != 1 for shape in lengths):
            raise StorageError(f"step rows have shapes {sorted(lengths)}: give 1-D arrays of one length")
        count = lengths.pop()[0] if lengths else 0
        if count == 0:
            return
        total, room = self.n_steps + count, int(file["steps/step"].size)
        if total > room:
            while room < total:
                room = 2 * max(room, 1)
            self._rewrite("more steps", step_room=room)
            file = self._open()
        with self._writing(f"steps {self.n_steps} to {total - 1}"):
            for name, values in rows.items():
                file["steps"][name][self.n_steps : total] = values
        self.n_steps = total
        self._unsynced_steps = True

    def write_checkpoint(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write a checkpoint of the run as it stands; on return it, and all step rows, are on the disk.

        Arrays of other names, shapes or types than the layout's cost a rewrite of the file.

        Raises
        ------
        StorageError
            for meta that are not JSON or longer than 64 KiB, and when the disk is full
        """
        file = self._open()
        encode_meta(meta)
        checkpoint = Checkpoint(
            {name: np.asarray(value) for name, value in arrays.items()},
            dict(meta),
            self.n_frames,
            self.n_steps,
            self._sequence + 1,
        )
        declared = specification(checkpoint.arrays)
        if declared != self.layout.checkpoint:
            self._rewrite(
                "a checkpoint", layout=replace(self.layout, checkpoint=declared), checkpoint=checkpoint
            )
            return
        with self._writing("a checkpoint"):
            if self._unsynced_steps:
                self._disk.sync(file)  # before the checkpoint that counts them
            self._set_counts(file, self.n_frames, self.n_steps)
            write_slot(file, checkpoint)
            self._disk.sync(file)
        self._sequence = checkpoint.sequence
        self._unsynced_steps = False

    def extend(self, n_frames: int, attributes: Mapping[str, Any] | None = None) -> None:
        """Make room for ``n_frames`` in all, and set the attributes that change with that."""
        layout = replace(self.layout, n_frames=max(n_frames, self.n_frames))
        self._rewrite("more frames", layout=layout, attributes=attributes or {})

    def finish(
        self, status: str, message: str, stats: Mapping[str, Any], *, compress: bool = True
    ) -> None:
        """End the run: unused rows are trimmed, the rest compressed, status and cost set, the file closed.

        The newest checkpoint stays, so that the run can be extended. When the disk has no room for the new file, the
        old one stays as it is, ready to resume.

        Raises
        ------
        StorageError
            for an unknown status, and when the disk is full
        """
        if status not in STATUSES:
            raise StorageError(f"status '{status}': must be one of {', '.join(STATUSES)}")
        self._rewrite(
            "the finished file",
            frame_room=self.n_frames,
            step_room=self.n_steps,
            attributes={"status": status, "message": message, "stats": dict(stats)},
            compress=compress,
            reopen=False,
        )

    def close(self) -> None:
        """Close the file; step rows not yet on the disk are brought there first."""
        if self._file is None:
            return
        file = self._file
        if self._unsynced_steps:
            with self._writing("step rows"):
                self._disk.sync(file)
                self._set_counts(file, self.n_frames, self.n_steps)
                self._disk.sync(file)
            self._unsynced_steps = False
        with self._writing("the end of the file"):
            file.close()
        self._file = None

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> h5py.File:
        if self._file is None:
            raise StorageError(self._failure or f"{self.path} is closed: resume it to write on")
        return self._file

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """After a failure the file is let go, and every later call repeats what happened."""
        try:
            yield
        except disks.HDF5_ERRORS as e:
            file, self._file = self._file, None
            disks.close_quietly(file)
            safe = f"{self.n_frames} frames are safe in it" if self.n_frames else "it has no frame yet"
            self._failure = (
                f"{self.path}: {disks.explain(e)}: {what} could not be written, {safe}: make room, then resume"
            )
            raise StorageError(self._failure) from e

    def _set_counts(self, file: h5py.File, n_frames: int, n_steps: int) -> None:
        file["n_frames"][()] = n_frames
        file["steps/n_steps"][()] = n_steps

    def _go_back_to(self, checkpoint: Checkpoint) -> None:
        """Drop what came after the checkpoint; a finished file becomes a running one."""
        file = self._open()
        former, self.n_frames = self.n_frames, min(self.n_frames, checkpoint.n_frames)
        # Rows were on the disk before the checkpoint that counts them; the count itself may have been cut off.
        self.n_steps = min(checkpoint.n_steps, int(file["steps/step"].size))
        self._sequence = checkpoint.sequence
        if self._attributes["status"] != "running":
            running = {"status": "running", "message": "", "stats": {}}
            self._rewrite("a resumed run", attributes=running, checkpoint=checkpoint)
            return
        with self._writing("a resumed run"):
            self._set_counts(file, self.n_frames, self.n_steps)
            self._disk.sync(file)
            torn = slice(self.n_frames, min(former + 1, file["t"].size))
            for name in ("t", *self.layout.series, *self.layout.fields):
                file[name][torn] = np.nan
            for name in self.layout.step_series:
                file["steps"][name][self.n_steps :] = np.nan
            self._disk.sync(file)

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
        checkpoint = checkpoint or read_newest(file, self.layout.checkpoint)
        frame_room = max(layout.n_frames, self.n_frames) if frame_room is None else frame_room
        step_room = (
            max(FIRST_STEP_ROOM, self.n_steps, int(file["steps/step"].size))
            if step_room is None
            else step_room
        )
        self._check_still_there(file)
        try:
            with disks.replacement(self._target, overwrite=True) as temporary:
                build(
                    temporary,
                    layout,
                    attributes,
                    Content(file, self.n_frames, self.n_steps, checkpoint),
                    frame_room=frame_room,
                    step_room=step_room,
                    compress=compress,
                )
        except disks.HDF5_ERRORS as e:
            raise StorageError(
                f"{self.path}: {disks.explain(e)}: no new copy with {what} could be written; "
                f"the old file with {self.n_frames} frames is untouched: make room, then resume"
            ) from e
        self._file = None
        disks.close_quietly(file)
        self.layout, self._attributes = layout, attributes
        self._sequence = checkpoint.sequence if checkpoint else 0
        self._unsynced_steps = False
        if reopen:
            with reading(self.path):
                self._file = self._disk.open(self._target)

    def _check_still_there(self, file: h5py.File) -> None:
        """The name must still mean our file: another run may have taken it, or someone moved it."""
        ours = os.fstat(file.id.get_vfd_handle())
        try:
            there = os.stat(self._target)
        except FileNotFoundError:
            raise StorageError(f"{self.path} was moved or removed while it was written: put it back") from None
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise StorageError(f"{self.path} was replaced by another file while it was written: rename that one")


def _check_same(kind: str, given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    if given.keys() != declared.keys():
        odd = sorted(given.keys() ^ declared.keys())[0]
        how = "is not in the file's layout" if odd in given else "is missing"
        raise StorageError(f"{kind} '{odd}' {how}: the layout has {', '.join(sorted(declared)) or 'none'}")
