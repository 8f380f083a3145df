"""Checkpoints: two slots written in turn, each sealed by a digest, so that one is always whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from wflow.errors import StorageError
from wflow.storage.attributes import to_json
from wflow.storage.put import put

SLOTS = ("checkpoint_a", "checkpoint_b")
META_ROOM = 64 * 1024
DIGEST_SIZE = 32

Specification = Mapping[str, tuple[tuple[int, ...], str]]


@dataclass
class Checkpoint:
    """State to go on from, with the counts of frames and steps at that moment."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    n_frames: int
    n_steps: int
    sequence: int


def specification(arrays: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, dtype) of arrays."""
    pairs = ((name, np.asarray(a)) for name, a in arrays.items())
    return {name: (a.shape, a.dtype.str) for name, a in pairs}


def create_slots(file: h5py.File, declared: Specification) -> None:
    """Two empty slots (sequence 0) with room for the arrays, allocated now."""
    for slot in SLOTS:
        group = file.create_group(slot)
        group.attrs["meaning"] = (
            "state to resume the run from; header: sequence, frames, steps, length of meta"
        )
        allocate(group, "header", (4,), "<i8")
        allocate(group, "digest", (DIGEST_SIZE,), "u1")
        allocate(group, "meta", (META_ROOM,), "u1")
        arrays = group.create_group("arrays")
        for name, (shape, kind) in declared.items():
            allocate(arrays, name, shape, kind)


def encode_meta(meta: Mapping[str, Any]) -> bytes:
    """Meta data as JSON bytes.

    Raises
    ------
    StorageError
        when longer than 64 KiB
    """
    text = to_json(meta, "the checkpoint's meta").encode()
    if len(text) > META_ROOM:
        raise StorageError(
            f"a checkpoint's meta takes {len(text)} bytes of JSON and has room for {META_ROOM}: put numbers into arrays"
        )
    return text


def write_slot(file: h5py.File, checkpoint: Checkpoint) -> None:
    """Fill the slot that is due (the sequence's parity), which leaves the newest older one untouched."""
    group = file[SLOTS[checkpoint.sequence % 2]]
    text = encode_meta(checkpoint.meta)
    header = np.array(
        [checkpoint.sequence, checkpoint.n_frames, checkpoint.n_steps, len(text)], dtype=np.int64
    )
    arrays = group["arrays"].id
    for name, value in checkpoint.arrays.items():
        put(h5py.h5d.open(arrays, name.encode()), value)
    # At full length: a part of the buffer would be a selection, which costs more than it saves.
    put(
        h5py.h5d.open(group.id, b"meta"),
        np.frombuffer(text.ljust(META_ROOM, b"\0"), dtype=np.uint8),
    )
    put(h5py.h5d.open(group.id, b"header"), header)
    put(h5py.h5d.open(group.id, b"digest"), _digest(header, text, checkpoint.arrays))


def read_newest(file: h5py.File, declared: Specification) -> Checkpoint | None:
    """The newest checkpoint whose digest is right; None if there is none."""
    headers = [file[slot]["header"][()] for slot in SLOTS]
    for i in sorted((0, 1), key=lambda i: -int(headers[i][0])):
        sequence, n_frames, n_steps, length = map(int, headers[i])
        if sequence < 1 or not 0 <= length <= META_ROOM:
            continue
        group = file[SLOTS[i]]
        stored = group["arrays"]
        arrays = {name: np.asarray(stored[name][()]) for name in declared}
        text = group["meta"][()].tobytes()[:length]
        if np.array_equal(group["digest"][()], _digest(headers[i], text, arrays)):
            return Checkpoint(arrays, json.loads(text), n_frames, n_steps, sequence)
    return None


def any_sealed(file: h5py.File) -> bool:
    """Whether a slot was ever filled: the digest comes last, so a kill within the first checkpoint leaves none."""
    return any(file[slot]["digest"][()].any() for slot in SLOTS)


def _digest(header: np.ndarray, text: bytes, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Digest over all of a checkpoint: counts, meta, and name, type, shape and bytes of each array."""
    seal = hashlib.blake2b(header.astype("<i8").tobytes() + text, digest_size=DIGEST_SIZE)
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        seal.update(f"{name} {value.dtype.str} {np.shape(arrays[name])};".encode())
        seal.update(value.reshape(-1).view(np.uint8).data)
    return np.frombuffer(seal.digest(), dtype=np.uint8)


def allocate(group: h5py.Group, name: str, shape: tuple[int, ...], kind: str) -> h5py.Dataset:
    """A contiguous dataset whose space is taken, and zeroed, now."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    kind_id = h5py.h5t.py_create(np.dtype(kind), logical=True)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind_id, space, properties))
