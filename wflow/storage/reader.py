"""Reading a run's file: finished, still going, or left behind by a killed process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wflow.errors import BusyError, DamageError, InputError, StorageError
from wflow.storage import checksums
from wflow.storage.attributes import read_attributes
from wflow.storage.build import FORMAT, FORMAT_VERSION
from wflow.storage.contained import has, member, open_hdf5, written_here
from wflow.storage.disk import HDF5_ERRORS, explain
from wflow.storage.entries import layout_of
from wflow.storage.layout import CHECKSUM, START, Axis, Layout

SIGNATURE = b"\x89HDF\r\n\x1a\n"
OUR_OWN = ("format", "format_version", "layout", checksums.DESCRIPTION)


@dataclass
class StoredRun:
    """A run as its file has it: series and steps in memory, fields read a frame at a time.

    Attributes
    ----------
    path : the file
    attributes : what the run was created with, and ``status``, ``message``, ``stats``
    t, series : one entry a frame
    steps : one entry an accepted step
    n_frames, n_steps : the valid counts
    axes, coordinates : of the grid, or of the particles
    fields : what :meth:`read_field` knows, and the names of its dimensions
    """

    path: str
    attributes: dict[str, Any]
    t: np.ndarray
    series: dict[str, np.ndarray]
    steps: dict[str, np.ndarray]
    n_frames: int
    n_steps: int
    axes: dict[str, Axis]
    coordinates: tuple[str, ...]
    fields: dict[str, tuple[str, ...]]

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields, in order."""
        return tuple(self.fields)

    @property
    def status(self) -> str:
        """``running``, ``done``, ``failed`` or ``interrupted``; a killed run stays ``running``."""
        return str(self.attributes.get("status", "running"))

    def read_field(self, name: str, frame: int) -> np.ndarray:
        """One field of one frame; negative frames count from the end.

        Raises
        ------
        StorageError
            for an unknown field or frame, or a file that is gone; a :class:`DamageError` for a frame whose checksum is
        wrong
        """
        if name not in self.field_names:
            known = ", ".join(self.field_names) or "none"
            raise StorageError(f"{self.path} has no field '{name}': it has {known}")
        if not -self.n_frames <= frame < self.n_frames:
            raise StorageError(f"frame {frame} of {self.path}: it has {self.n_frames}")
        i = frame % self.n_frames
        with opened(self.path) as file:
            for entry in (name, CHECKSUM):
                if has(file, entry):
                    member(file, entry, self.path)
            column = 1 + self.field_names.index(name)
            found, bad = checksums.checked(file, [name], slice(i, i + 1), column)
        if bad.size:
            raise damage(self.path, f"{name} of frame {i}")
        return np.asarray(found[name][0])

    def read_start(self) -> dict[str, np.ndarray]:
        """The arrays of the state that the run started from.

        Raises
        ------
        StorageError
            for a file written before starts were kept, or one that is gone
        """
        return self._beside(self.field_names)

    def read_given(self, name: str) -> np.ndarray:
        """An array that the run was given beside its start; raises as :meth:`read_start` does."""
        found = self._beside([name])
        if name not in found:
            raise StorageError(f"{self.path} does not hold the '{name}' of its run: run it anew")
        return found[name]

    def _beside(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Those arrays that are kept with the start."""
        with opened(self.path) as file:
            if not has(file, START):
                raise StorageError(
                    f"{self.path} does not hold what the run started from: it can be read, not carried on; run it anew"
                )
            if bad := checksums.damaged_description(file, self.path, start=True):
                raise damage(self.path, ", ".join(bad))
            kept = [k for k in names if has(file, f"{START}/{k}")]
            start = {k: member(file, f"{START}/{k}", self.path) for k in kept}
            return {name: np.asarray(value[()]) for name, value in start.items()}

    def known_start(self) -> dict[str, np.ndarray]:
        """The start; of a file from before starts were kept its first frame if that is the start, and else nothing."""
        with opened(self.path) as file:
            kept = has(file, START)
        if kept:
            return self.read_start()
        if self.n_frames and self.t[0] == self.attributes["t_span"][0]:
            return {name: self.read_field(name, 0) for name in self.field_names}
        return {}


def read_run(path: str | os.PathLike[str]) -> StoredRun:
    """Read a run's file, whatever its state.

    Raises
    ------
    StorageError
        when the file is missing, not HDF5, torn, another program's, or of a newer wflow; a :class:`DamageError` that
        names the frame, step or attribute whose checksum is wrong (fields are checked when they are read)
    """
    with opened(path) as file:
        return stored_run(file, path)[0]


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A run's file, open for reading; what goes wrong inside is a :class:`StorageError`."""
    check_signature(path)
    with reading(path), open_hdf5(path) as file:
        check_format(file, path)
        yield file


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what h5py raises over a torn file into a :class:`StorageError`."""
    try:
        yield
    except InputError:
        raise
    except (
        *HDF5_ERRORS,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as e:
        if written_here(path):
            raise held_open(path) from e
        if isinstance(e, PermissionError):
            raise StorageError(f"{path} may not be opened: check its permissions") from e
        if "truncated" in str(e):
            raise DamageError(
                f"{path} is cut short: copy it again from where it came, or run anew"
            ) from e
        raise DamageError(f"{path} is damaged ({explain(e)}): run anew, or restore a copy") from e


def held_open(path: str | os.PathLike[str]) -> BusyError:
    """The refusal of a file that another part of this process is changing."""
    return BusyError(f"{path} is open for writing in this process (h5py): close it there first")


def damage(path: str | os.PathLike[str], what: str) -> DamageError:
    """The refusal to read numbers that are not those written."""
    return DamageError(f"{path} is damaged: {what} (wrong checksum): restore a copy, or run anew")


def check_signature(path: str | os.PathLike[str]) -> None:
    """Refuse what is missing or not HDF5."""
    place = Path(path)
    if place.is_dir():
        raise StorageError(f"{path} is a folder: name a run's HDF5 file")
    if place.exists() and not place.is_file():
        raise StorageError(f"{path} is a device or a pipe: name a run's HDF5 file")
    try:
        with place.open("rb") as raw:
            start = raw.read(len(SIGNATURE))
    except FileNotFoundError:
        raise StorageError(f"there is no file {path}: check the name") from None
    except OSError as e:
        raise StorageError(f"{path} cannot be read ({explain(e)})") from e
    if start != SIGNATURE:
        what = "is empty" if not start else "is not an HDF5 file"
        raise StorageError(f"{path} {what}: name a file that wflow has written")


def check_format(file: h5py.File, path: str | os.PathLike[str]) -> None:
    """Refuse HDF5 of another program, or of a newer wflow."""
    if file.attrs.get("format") != FORMAT:
        ours = str(file.attrs.get("format")).startswith("wflow-")
        raise StorageError(
            f"{path} is no run of wflow: it holds the numbers of a picture beside it, which 'wflow info' tells"
            if ours
            else f"{path} is HDF5, but no run of wflow: name a file that wflow has written"
        )
    version = int(file.attrs["format_version"])
    if version > FORMAT_VERSION:
        raise StorageError(
            f"{path} has format version {version}, and this wflow reads up to {FORMAT_VERSION}: update wflow"
        )


def stored_run(file: h5py.File, path: str | os.PathLike[str]) -> tuple[StoredRun, Layout]:
    """The content of an open file, and its layout."""
    if bad := checksums.damaged_description(file, path):
        raise damage(path, ", ".join(bad))
    attributes = read_attributes(file, path)
    layout = layout_of(file, attributes, path)
    n_frames, n_steps = int(file["n_frames"][()]), int(file["steps/n_steps"][()])
    if not (0 <= n_frames <= file["t"].size and 0 <= n_steps <= file["steps/step"].size):
        raise DamageError(f"{path} is damaged (its counts are out of range): restore a copy")
    frames = _rows(file, ["t", *layout.series], n_frames, 0, path, "frame")
    steps = _rows(file["steps"], list(layout.step_series), n_steps, None, path, "step")
    run = StoredRun(
        path=os.fspath(path),
        attributes={k: v for k, v in attributes.items() if k not in OUR_OWN},
        t=frames.pop("t"),
        series=frames,
        steps=steps,
        n_frames=n_frames,
        n_steps=n_steps,
        axes=layout.axes,
        coordinates=layout.coordinates,
        fields={name: spec.dims for name, spec in layout.fields.items()},
    )
    return run, layout


def _rows(
    group: h5py.Group,
    names: list[str],
    n: int,
    column: int | None,
    path: str | os.PathLike[str],
    what: str,
) -> dict[str, np.ndarray]:
    """The first ``n`` rows of some datasets, held against their checksums."""
    values, bad = checksums.checked(group, names, slice(0, n), column)
    if bad.size:
        raise damage(path, checksums.spoken(what, bad))
    return values
