"""What a run's file really holds, against what its layout says: kind and shape of every entry, in one place.

A damaged file is told by its checksums, but anybody can make a file whose checksums are right. Nothing of an entry is
read, and nothing written, before all of them have been looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from wflow.errors import damaged
from wflow.storage.checkpoint import DIGEST_SIZE, META_ROOM, SLOTS
from wflow.storage.contained import has, member, numbers, within
from wflow.storage.layout import CHECKSUM, START, Layout
from wflow.tools.memory import check_memory

Kind = tuple[tuple[int, ...], str]
"""Shape and type."""


def layout_of(
    file: h5py.File, attributes: Mapping[str, Any], path: str | os.PathLike[str]
) -> Layout:
    """The layout that a file was built with, once every entry has been found to be of it.

    Raises
    ------
    StorageError
        for an entry that lies elsewhere, a :class:`DamageError` for one that is missing, or of another kind or shape
    InputError
        for more numbers than there is memory for
    """
    told = attributes["layout"]
    labels = [label for name in told["axes"] for label in (name, f"{name}_edges")]
    axes = {label: member(file, label, path) for label in labels}
    for name in told["axes"]:
        n = axes[name].size
        _refuse_other(axes[name], name, ((n,), "<f8"), path)
        _refuse_other(axes[f"{name}_edges"], f"{name}_edges", ((n + 1,), "<f8"), path)
    layout = Layout.from_json(told, axes)
    frames, steps = (member(file, name, path) for name in ("t", "steps/step"))
    entries = dict(_entries(layout, frames.size, steps.size))
    if attributes["format_version"] > 1 or has(file, CHECKSUM):
        entries[CHECKSUM] = (frames.size, 1 + len(layout.fields)), "<u4"
        entries[f"steps/{CHECKSUM}"] = (steps.size,), "<u4"
    for name, kind in entries.items():
        _refuse_other(numbers(file, name, path), name, kind, path)
    if has(file, START):
        _check_start(file, layout, path)
    at_once = 8 * (frames.size * (1 + len(layout.series)) + steps.size * len(layout.step_series))
    check_memory(f"reading {path}", at_once, "use a machine with more memory")
    return layout


def _entries(layout: Layout, frames: int, steps: int) -> Iterator[tuple[str, Kind]]:
    yield from (("n_frames", ((), "<i8")), ("steps/n_steps", ((), "<i8")))
    yield "steps/step", ((steps,), "<i8")
    for name in ("t", *layout.series):
        yield name, ((frames,), "<f8")
    for name in layout.step_series:
        yield f"steps/{name}", ((steps,), "<f8")
    for name, spec in layout.fields.items():
        yield name, ((frames, *spec.shape), "<f8")
    for slot in SLOTS:
        yield f"{slot}/header", ((4,), "<i8")
        yield f"{slot}/digest", ((DIGEST_SIZE,), "|u1")
        yield f"{slot}/meta", ((META_ROOM,), "|u1")
        for name, kind in layout.checkpoint.items():
            yield f"{slot}/arrays/{name}", kind


def _check_start(file: h5py.File, layout: Layout, path: str | os.PathLike[str]) -> None:
    """The start has arrays of a frame; their lengths are its own, and what shows states looks at them. Others that the
    run was given are laid out.
    """
    found = set(within(file, START, path)) - set(layout.given)
    for name, kind in layout.given.items():
        _refuse_other(numbers(file, f"{START}/{name}", path), f"{START}/{name}", kind, path)
    if odd := sorted(found - set(layout.fields)):
        raise damaged(path, f"'{START}/{odd[0]}' is not in the file's layout")
    for name in found:
        array = numbers(file, f"{START}/{name}", path)
        lengths = array.shape if len(array.shape) == len(layout.fields[name].dims) else ()
        _refuse_other(array, f"{START}/{name}", (lengths, "<f8"), path)


def _refuse_other(entry: Any, name: str, kind: Kind, path: str | os.PathLike[str]) -> None:
    shape, wanted = kind[0], np.dtype(kind[1])
    # Numbers of the other byte order are the same numbers.
    told = entry.dtype
    if entry.shape != shape or (told.kind, told.itemsize) != (wanted.kind, wanted.itemsize):
        found = f"'{name}' is {told} of shape {entry.shape}"
        raise damaged(path, f"{found}, and the file's layout says {wanted} of shape {shape}")
