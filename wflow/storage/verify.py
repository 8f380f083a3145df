"""Holding all of a file against its checksums, and naming every part that came to harm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from wflow.storage import checksums
from wflow.storage.attributes import read_attributes
from wflow.storage.build import blocks
from wflow.storage.checkpoint import any_sealed, read_newest
from wflow.storage.entries import layout_of
from wflow.storage.layout import CHECKSUM, Layout
from wflow.storage.reader import opened


@dataclass(frozen=True)
class Verification:
    """What a file's checksums say.

    Attributes
    ----------
    n_frames, n_steps : how many were checked
    checked : False for a file of format 1, which has none
    damage : the damaged parts, a phrase each
    """

    n_frames: int
    n_steps: int
    checked: bool
    damage: tuple[str, ...]


def verify(path: str | os.PathLike[str]) -> Verification:
    """Read all of a run's file and compare it with its checksums.

    Raises
    ------
    DamageError
        when so much is lost that the rest cannot be found
    StorageError
        when the file is missing, another program's, or of a newer wflow
    """
    with opened(path) as file:
        if found := checksums.damaged_description(file, path):
            return Verification(0, 0, True, tuple(found))
        attributes = read_attributes(file, path)
        layout = layout_of(file, attributes, path)
        n_frames, n_steps = int(file["n_frames"][()]), int(file["steps/n_steps"][()])
        loose = attributes.get("status") == "running"
        damage = list(_damage(file, layout, n_frames, n_steps, loose, path))
        return Verification(n_frames, n_steps, CHECKSUM in file, tuple(damage))


def _damage(
    file: h5py.File,
    layout: Layout,
    n_frames: int,
    n_steps: int,
    loose: bool,
    path: str | os.PathLike[str],
) -> Iterator[str]:
    room, step_room = file["t"].size, file["steps/step"].size
    # A finished file has no room to spare, one that is ``loose`` has.
    if not (0 <= n_frames <= room and (loose or n_frames == room)):
        yield f"the count of frames ({n_frames} of {room})"
    if not (0 <= n_steps <= step_room and (loose or n_steps == step_room)):
        yield f"the count of steps ({n_steps} of {step_room})"
    yield from checksums.damaged_description(file, path, start=True)
    columns = [["t", *layout.series], *([name] for name in layout.fields)]
    for k, names in enumerate(columns):
        bad = _bad_rows(file, names, min(n_frames, room), k)
        if bad.size:
            yield f"{checksums.spoken('frame', bad)} ({checksums.parts(layout)[k]})"
    bad = _bad_rows(file["steps"], list(layout.step_series), min(n_steps, step_room), None)
    if bad.size:
        yield checksums.spoken("step", bad)
    # While a run goes on, the older slot is the one that counts until the newer is whole.
    if any_sealed(file) and read_newest(file, layout.checkpoint) is None:
        yield "the checkpoint"


def _bad_rows(group: h5py.Group, names: list[str], n: int, column: int | None) -> np.ndarray:
    row = 8 * sum(int(np.prod(group[name].shape[1:])) for name in names)
    found = [checksums.checked(group, names, rows, column)[1] for rows in blocks(n, row)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])
