"""Writing a run's file so that a kill, a power cut or a full disk never costs what was acknowledged.

A commit: the numbers of the frames that wait, sync; then their count, sync. So a frame is whole or it is not there. As
two syncs cost milliseconds, frames that come faster wait for one another, :attr:`RunWriter.at_risk` seconds at most; a
checkpoint, the end of the run and an interruption commit whatever waits. A checkpoint: the older of two slots, with a
digest, sync. Whatever changes the file's shape (more steps, more frames, the end) writes a new file and renames it
into place.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from wflow.errors import StorageError
from wflow.storage import checksums
from wflow.storage import disk as disks
from wflow.storage.build import BLOCK, Content, build
from wflow.storage.checkpoint import (
    Checkpoint,
    encode_meta,
    read_newest,
    specification,
    write_slot,
)
from wflow.storage.layout import Layout
from wflow.storage.open_run import FIRST_STEP_ROOM, OpenRun
from wflow.storage.put import put_rows
from wflow.storage.raw_file import RawFile, uninterrupted
from wflow.storage.reader import OUR_OWN, StoredRun, check_signature, reading, stored_run

SET_BY_US = frozenset({*OUR_OWN, "status", "message", "stats", "json_attributes"})
STATUSES = ("done", "failed", "interrupted")


class RunWriter(OpenRun):
    """A run's file, open for writing: made by :meth:`create` or :meth:`resume`.

    Used as a context manager, it closes the file in the end; it does not call :meth:`finish`.

    Attributes
    ----------
    at_risk : seconds that a frame may wait in memory for others to be committed with it, where a kill costs it; 0
        commits each frame before :meth:`write_frame` returns

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

    at_risk = 0.0

    def __init__(
        self,
        path: str | os.PathLike[str],
        raw: Callable[[Path], RawFile] = RawFile,
        lock: disks.WriterLock | None = None,
    ) -> None:
        super().__init__(path, raw, lock)
        self._frames: list[list[np.ndarray]] = []
        self._rows: list[list[np.ndarray]] = []
        self._committed = -math.inf  # the time of the last commit
        # That many may wait, and a kill in the middle of a commit leaves no more of them begun.
        self._most_frames = BLOCK // self.layout.bytes_needed(1, 0)

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
        lock = None
        try:
            disks.check_place(target, overwrite)
            lock = disks.WriterLock(target, path)
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
        except BaseException as e:
            if lock is not None:
                lock.release()
            if isinstance(e, disks.HDF5_ERRORS):
                raise StorageError(
                    f"{path} cannot be created: {disks.explain(e)}: choose another place or make room"
                ) from e
            raise
        writer = cls(path, lock=lock)
        writer._sequence = first.sequence if first else 0
        return writer

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], *, raw: Callable[[Path], RawFile] = RawFile
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

    @property
    def n_frames(self) -> int:
        """Frames given, those that wait included."""
        return self.frames_safe + len(self._frames)

    @property
    def n_steps(self) -> int:
        """Step rows given, those that wait included."""
        return self.steps_safe + sum(len(columns[0]) for columns in self._rows)

    def write_frame(
        self, t: float, series: Mapping[str, float], fields: Mapping[str, np.ndarray]
    ) -> None:
        """Append a frame; it, and all step rows before it, are on the disk within :attr:`at_risk` seconds.

        Raises
        ------
        StorageError
            for names or shapes that are not the layout's
        WriteError
            when the disk is full
        """
        self._open()
        self.layout.check_frame(series, fields)
        i = self.n_frames
        if i == self._frame_room:
            self.extend(max(2 * i, 1))
        given = {"t": t, **series, **fields}
        frame = [np.asarray(given[name], dtype=np.float64) for name in self._frame_data]
        self._frames.append(frame)
        if not self._due():
            self._frames[-1] = [value.copy() for value in frame]  # the caller goes on with its own
            return
        try:
            self.commit()
        except BaseException:
            self._frames = self._frames[: i - self.frames_safe]  # as it was before the call
            raise

    def write_steps(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append step rows, arrays of one length; they count from the next commit on.

        Raises
        ------
        StorageError
            for names that are not the layout's, and unequal lengths
        WriteError
            when the disk is full
        """
        self._open()
        count = self.layout.check_steps(rows)
        if count == 0:
            return
        total, room = self.n_steps + count, max(self._step_room, 1)
        while room < total:
            room *= 2
        if room > self._step_room:
            self.commit()
            self._rewrite("more steps", step_room=room)
        self._rows.append([np.array(rows[name], dtype=np.float64) for name in self._step_data])

    def commit_if_due(self) -> None:
        """Commit if frames have waited long enough."""
        if self._frames and self._due():
            self.commit()

    def _due(self) -> bool:
        late = time.monotonic() - self._committed >= self.at_risk
        return late or len(self._frames) > self._most_frames

    def commit(self) -> None:
        """Bring all frames and step rows to the disk; on return they count.

        Raises
        ------
        WriteError
            when the disk is full
        """
        self._open()
        if not self._frames and not self._rows:
            return
        if any(dataset is None for dataset in self._checksums):
            self._rewrite("checksums")  # the file is of an older format
        frames = [_stack(values) for values in zip(*self._frames, strict=True)]
        rows = [np.concatenate(values) for values in zip(*self._rows, strict=True)]
        new, new_rows = slice(self.frames_safe, self.n_frames), slice(self.steps_safe, self.n_steps)
        what = checksums.spoken("frame", range(new.start, new.stop))
        with self._writing(what if frames else "the last step rows"):
            _fill(self._frame_data.values(), frames, new)
            _fill(self._step_data.values(), rows, new_rows)
            if frames:
                series = 1 + len(self.layout.series)
                parts = [frames[:series], *([field] for field in frames[series:])]
                sums = np.stack([checksums.of_rows(part) for part in parts], axis=1)
                put_rows(self._checksums[0].id, new.start, sums)
            if rows:
                put_rows(self._checksums[1].id, new_rows.start, checksums.of_rows(rows))
            self._sync()
            self._set_counts(new.stop, new_rows.stop)
            self._sync()
        self.frames_safe, self.steps_safe = new.stop, new_rows.stop
        self._frames, self._rows = [], []
        self._committed = time.monotonic()

    def write_checkpoint(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Write a checkpoint of the run as it stands; on return it, and all step rows, are on the disk.

        Arrays of other names, shapes or types than the layout's cost a rewrite of the file.

        Raises
        ------
        StorageError
            for meta that are not JSON or longer than 64 KiB
        WriteError
            when the disk is full
        """
        encode_meta(meta)
        self.commit()  # before the checkpoint that counts it
        file = self._open()
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
            write_slot(file, checkpoint)
            self._sync()
        self._sequence = checkpoint.sequence

    def extend(self, n_frames: int, attributes: Mapping[str, Any] | None = None) -> None:
        """Make room for ``n_frames`` in all, and set the attributes that change with that."""
        self.commit()
        layout = replace(self.layout, n_frames=max(n_frames, self.frames_safe))
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
            for an unknown status
        WriteError
            when the disk is full
        """
        if status not in STATUSES:
            raise StorageError(f"status '{status}': must be one of {', '.join(STATUSES)}")
        self.commit()
        self._rewrite(
            "the finished file",
            frame_room=self.frames_safe,
            step_room=self.steps_safe,
            attributes={"status": status, "message": message, "stats": dict(stats)},
            compress=compress,
            reopen=False,
        )

    @uninterrupted()
    def close(self) -> None:
        """Close the file; what waits is brought to the disk first."""
        if self._file is None:
            return
        self.commit()
        with self._writing("the end of the file"):
            self._let_go()

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
        begun = self.frames_safe + self._most_frames + 1
        self.frames_safe = min(self.frames_safe, checkpoint.n_frames)
        # Rows were on the disk before the checkpoint that counts them; the count itself may have been cut off.
        self.steps_safe = min(checkpoint.n_steps, self._step_room)
        self._sequence = checkpoint.sequence
        if self._attributes.get("status", "running") != "running":
            running = {"status": "running", "message": "", "stats": {}}
            self._rewrite("a resumed run", attributes=running, checkpoint=checkpoint)
            return
        with self._writing("a resumed run"):
            self._set_counts(self.frames_safe, self.steps_safe)
            self._sync()
            for dataset in self._frame_data.values():
                dataset[self.frames_safe : begun] = np.nan
            for dataset in self._step_data.values():
                dataset[self.steps_safe :] = np.nan
            self._sync()


def _stack(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(values) if len(values) > 1 else values[0][None]  # one, however large, as it is


def _fill(datasets: Iterable[h5py.Dataset], values: list[np.ndarray], rows: slice) -> None:
    for dataset, value in zip(datasets, values, strict=False):  # no values: nothing waited
        put_rows(dataset.id, rows.start, value)
