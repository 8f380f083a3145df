"""Writing a run's file so that a kill, a power cut or a full disk never costs what was acknowledged.

A frame: its numbers, sync; then the count, sync. A checkpoint: the older of two slots, with a digest, sync.
Whatever changes the file's shape (more steps, more frames, the end) writes a new file and renames it into place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

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
from wflow.storage.open_run import FIRST_STEP_ROOM, OpenRun
from wflow.storage.raw_file import SteadyFile, uninterrupted
from wflow.storage.reader import OUR_OWN, StoredRun, check_signature, reading, stored_run

SET_BY_US = frozenset({*OUR_OWN, "status", "message", "stats", "json_attributes"})
STATUSES = ("done", "failed", "interrupted")


class RunWriter(OpenRun):
    """A run's file, open for writing: made by :meth:`create` or :meth:`resume`.

    Used as a context manager, it closes the file in the end; it does not call :meth:`finish`.

    >>> import tempfile
    >>> from wflow.storage import Quantity, read_run
    >>> plan = Layout(n_frames=2, series={"risk": Quantity("loss", "risk R")}, step_series={}, fields={}, axes={})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunWriter.create(f"{folder}/run.h5", plan, {"system": "example"}) as writer:
    ...         writer.write_frame(0.0, {"risk": 1.0}, {})
    ...         writer.write_frame(0.5, {"risk": 0.25}, {})
    ...         writer.finish("done", "reached t = 0.5", {"steps": 1})
    ...     run = read_run(f"{folder}/run.h5")
    >>> run.status, run.t.tolist(), run.series["risk"].tolist()
    ('done', [0.0, 0.5], [1.0, 0.25])
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        layout: Layout,
        attributes: Mapping[str, Any],
        *,
        overwrite: bool = False,
        checkpoint: Mapping[str, np.ndarray] | None = None,
        start: Mapping[str, np.ndarray] | None = None,
    ) -> RunWriter:
        """A new file with room for the whole run; it appears under its name complete or not at all.

        Parameters
        ----------
        path : where; its folder must exist
        layout : what the file will hold
        attributes : text, numbers, lists and dicts that describe the run
        overwrite : take the place of an existing file
        checkpoint : arrays of a first checkpoint, so that the file can be resumed from the moment it is there
        start : arrays of the state that the run starts from, kept as they are

        Raises
        ------
        StorageError
            when the file exists, the folder is missing or not writable, or the disk has no room
        """
        if taken := sorted(SET_BY_US & set(attributes)):
            raise StorageError(
                f"attribute '{taken[0]}' is set by the file itself: call it otherwise"
            )
        target = Path(os.path.realpath(path))
        room = layout.bytes_needed(layout.n_frames, FIRST_STEP_ROOM)
        room += sum(np.asarray(value).nbytes for value in (start or {}).values())
        everything = {**attributes, "status": "running", "message": "", "stats": {}}
        first = None
        if checkpoint is not None:
            arrays = {name: np.asarray(value) for name, value in checkpoint.items()}
            first = Checkpoint(arrays, {}, 0, 0, 1)
        try:
            disks.check_place(target, overwrite)
            disks.remove_leftovers(target)
            disks.check_room(target, room, "save fewer frames (t_eval), or write to another disk")
            with uninterrupted(), disks.replacement(target, overwrite=overwrite) as temporary:
                build(
                    temporary,
                    layout,
                    everything,
                    Content(checkpoint=first, start=start or {}),
                    frame_room=layout.n_frames,
                    step_room=FIRST_STEP_ROOM,
                )
        except disks.HDF5_ERRORS as e:
            raise StorageError(
                f"{path} cannot be created: {disks.explain(e)}: choose another place or make room"
            ) from e
        writer = cls(path)
        writer._sequence = first.sequence if first else 0
        return writer

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], *, raw: Callable[[Path], SteadyFile] = SteadyFile
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
        writer = cls(path, raw)
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

    def write_frame(
        self, t: float, series: Mapping[str, float], fields: Mapping[str, np.ndarray]
    ) -> None:
        """Append a frame; on return it, and all step rows before it, are on the disk.

        Raises
        ------
        StorageError
            for names or shapes that are not the layout's, and when the disk is full
        """
        self._open()
        self.layout.check_frame(series, fields)
        i = self.n_frames
        if i == self._frame_data["t"].size:
            self.extend(max(2 * i, 1))
        with self._writing(f"frame {i}"):
            for name, value in {"t": t, **series, **fields}.items():
                self._frame_data[name][i] = value
            self._sync()
            self._set_counts(i + 1, self.n_steps)
            self._sync()
        self.n_frames = i + 1
        self._unsynced_steps = False

    def write_steps(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append step rows, arrays of one length; they count from the next frame, checkpoint or close on.

        Raises
        ------
        StorageError
            for names that are not the layout's, unequal lengths, and when the disk is full
        """
        self._open()
        count = self.layout.check_steps(rows)
        if count == 0:
            return
        total, room = self.n_steps + count, max(self._step_room, 1)
        while room < total:
            room *= 2
        if room > self._step_room:
            self._rewrite("more steps", step_room=room)
        with self._writing(f"steps {self.n_steps} to {total - 1}"):
            for name, values in rows.items():
                self._step_data[name][self.n_steps : total] = values
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
                "a checkpoint",
                layout=replace(self.layout, checkpoint=declared),
                checkpoint=checkpoint,
            )
            return
        with self._writing("a checkpoint"):
            if self._unsynced_steps:
                self._sync()  # before the checkpoint that counts them
            self._set_counts(self.n_frames, self.n_steps)
            write_slot(file, checkpoint)
            self._sync()
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
        file = self._file
        if file is None:
            return
        with self._writing("the last step rows"):
            if self._unsynced_steps:
                self._sync()
                self._set_counts(self.n_frames, self.n_steps)
                self._sync()
                self._unsynced_steps = False
            self._let_go(file)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _go_back_to(self, checkpoint: Checkpoint) -> None:
        """Drop what came after the checkpoint; a finished file becomes a running one."""
        self._open()
        former, self.n_frames = self.n_frames, min(self.n_frames, checkpoint.n_frames)
        # Rows were on the disk before the checkpoint that counts them; the count itself may have been cut off.
        self.n_steps = min(checkpoint.n_steps, self._step_room)
        self._sequence = checkpoint.sequence
        if self._attributes["status"] != "running":
            running = {"status": "running", "message": "", "stats": {}}
            self._rewrite("a resumed run", attributes=running, checkpoint=checkpoint)
            return
        with self._writing("a resumed run"):
            self._set_counts(self.n_frames, self.n_steps)
            self._sync()
            for dataset in self._frame_data.values():
                dataset[self.n_frames : former + 1] = np.nan  # one more may have been begun
            for dataset in self._step_data.values():
                dataset[self.n_steps :] = np.nan
            self._sync()
