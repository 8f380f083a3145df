"""A complete file of a run, written in one go: new, grown, or trimmed and compressed.

Everything is allocated and filled with NaN here, so that writing a frame later changes numbers only, never metadata.
Frame series and fields hang on the scale ``t``, step series on ``steps/step``: xarray and netCDF read them by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wflow.storage import checksums
from wflow.storage.attributes import write_attributes
from wflow.storage.checkpoint import Checkpoint, allocate, create_slots, write_slot
from wflow.storage.disk import HDF5_FORMAT
from wflow.storage.layout import (
    CHECKSUM,
    CHECKSUM_OF,
    COORDINATE,
    START,
    FieldSpec,
    Layout,
    Quantity,
)
from wflow.storage.raw_file import RawFile

FORMAT = "wflow-run"
FORMAT_VERSION = 2
"""2 added checksums; files of version 1 are read, unchecked."""
BLOCK = 16 * 2**20
CHUNK = 256 * 2**10
TIME = Quantity("time", "time of the frame")


@dataclass(frozen=True)
class Content:
    """What a new file takes over from an older one."""

    file: h5py.File | None = None
    n_frames: int = 0
    n_steps: int = 0
    checkpoint: Checkpoint | None = None
    start: Mapping[str, np.ndarray] = field(default_factory=dict)


def build(
    path: Path,
    layout: Layout,
    attributes: Mapping[str, Any],
    content: Content,
    *,
    frame_room: int,
    step_room: int,
    compress: bool = False,
) -> None:
    """Write a file with room for so many frames and steps, and ``content`` in it."""
    raw = RawFile(path, "x+b")
    try:
        with h5py.File(raw, "w", libver=HDF5_FORMAT) as file:
            _fill(file, raw, layout, attributes, content, (frame_room, step_room), compress)
        raw.check()
    finally:
        raw.close()


def _fill(
    file: h5py.File,
    raw: RawFile,
    layout: Layout,
    attributes: Mapping[str, Any],
    content: Content,
    room: tuple[int, int],
    compress: bool,
) -> None:
    frame_room, step_room = room
    write_attributes(
        file,
        {"format": FORMAT, "format_version": FORMAT_VERSION}
        | dict(attributes)
        | {"layout": layout.to_json()},
    )
    scales = _create_scales(file, layout, frame_room)
    for name, quantity in layout.series.items():
        _create(file, name, FieldSpec((), (), quantity.unit, quantity.meaning), scales, compress)
    for name, spec in layout.fields.items():
        _create(file, name, spec, scales, compress)
        raw.check()
    steps = file.create_group("steps")
    index = _index(steps, "step", step_room, "index of the accepted step")
    for name, quantity in layout.step_series.items():
        dataset = _dataset(steps, name, (step_room,), compress)
        _describe(dataset, quantity.unit, quantity.meaning)
        _attach(dataset, 0, "step", index)
        if name != "t" and "t" in layout.step_series:
            dataset.attrs["coordinates"] = "t"  # CF: the time of each step, beside its index
    _create_checksums(file, steps, scales, index, layout)
    create_slots(file, layout.checkpoint)
    _count(file, "n_frames", content.n_frames, "frames written; later entries are NaN")
    _count(steps, "n_steps", content.n_steps, "steps written; later entries are NaN")
    _create_start(file, content)
    if content.file is not None:
        columns = [["t", *layout.series], *([name] for name in layout.fields)]
        _copy(content.file, file, columns, content.n_frames, raw)
        rows = [list(layout.step_series)] if layout.step_series else []
        _copy(content.file["steps"], steps, rows, content.n_steps, raw)
    if content.checkpoint is not None:
        write_slot(file, content.checkpoint)
    checksums.write_description(file, layout)


def _create_start(file: h5py.File, content: Content) -> None:
    """What the run started from: a method may lay it out otherwise than its frames, and is prepared with it again."""
    if content.file is not None and START in content.file:
        content.file.copy(content.file[START], file, START)
    elif content.start:
        group = file.create_group(START)
        group.attrs["meaning"] = "the state that the run started from, as it was given"
        for name, value in content.start.items():
            group.create_dataset(name, data=value)


def _create_scales(file: h5py.File, layout: Layout, frame_room: int) -> dict[str, h5py.Dataset]:
    time = _dataset(file, "t", (frame_room,), False)
    _describe(time, TIME.unit, TIME.meaning)
    time.make_scale("t")
    scales = {"t": time}
    if layout.axes:
        file.create_group("grid")
    for name, axis in layout.axes.items():
        labels = {name: axis.centers, f"{name}_edges": axis.edges}
        for label, values in labels.items():
            scale = file.create_dataset(label, data=np.asarray(values, dtype=np.float64))
            _describe(scale, axis.unit, axis.meaning if label == name else f"edges of {name}")
            scale.make_scale(label)
            scales[label] = scale
            file["grid"][label] = scale  # a hard link: the axes together
    if layout.coordinates:
        meaning = "names of the particle coordinates"
        scales[COORDINATE] = _texts(file, COORDINATE, layout.coordinates, meaning)
    for name, n in layout.dimensions().items():
        if name not in scales:
            scales[name] = _index(file, name, n, f"index of the {name}")
    return scales


def _create_checksums(
    file: h5py.File,
    steps: h5py.Group,
    scales: Mapping[str, h5py.Dataset],
    index: h5py.Dataset,
    layout: Layout,
) -> None:
    names = _texts(file, CHECKSUM_OF, checksums.parts(layout), "what a checksum is of")
    shape = (scales["t"].size, names.size)
    frames = allocate(file, CHECKSUM, shape, "<u4")
    rows = allocate(steps, CHECKSUM, (index.size,), "<u4")
    for dataset, what in ((frames, "part of the frame"), (rows, "step")):
        _describe(dataset, "1", f"CRC-32 of this {what}'s numbers as little-endian float64")
    _attach(frames, 0, "t", scales["t"])
    _attach(frames, 1, CHECKSUM_OF, names)
    _attach(rows, 0, "step", index)


def _create(
    file: h5py.File, name: str, spec: FieldSpec, scales: Mapping[str, h5py.Dataset], compress: bool
) -> None:
    dataset = _dataset(file, name, (scales["t"].shape[0], *spec.shape), compress)
    _describe(dataset, spec.unit, spec.meaning)
    for i, dim in enumerate(("t", *spec.dims)):
        _attach(dataset, i, dim, scales[dim])


def _dataset(group: h5py.Group, name: str, shape: tuple[int, ...], compress: bool) -> h5py.Dataset:
    """Float64, filled with NaN: contiguous and allocated now, or chunked and compressed."""
    if compress and 0 not in shape:
        frame = 8 * int(np.prod(shape[1:]))
        rows = min(max(CHUNK // frame, 1), shape[0])
        # Frames too long for one chunk each are left to h5py's guess.
        chunks = (rows, *shape[1:]) if frame <= BLOCK else True
        return group.create_dataset(
            name,
            shape,
            dtype="<f8",
            chunks=chunks,
            shuffle=True,
            compression="gzip",
            compression_opts=1,
            fillvalue=np.nan,
        )
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    properties.set_fill_value(np.array(np.nan))
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.IEEE_F64LE
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, properties))


def _index(group: h5py.Group, name: str, n: int, meaning: str) -> h5py.Dataset:
    scale = group.create_dataset(name, data=np.arange(n, dtype=np.int64))
    _describe(scale, "1", meaning)
    scale.make_scale(name)
    return scale


def _texts(group: h5py.Group, name: str, values: Sequence[str], meaning: str) -> h5py.Dataset:
    scale = group.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
    scale.attrs["meaning"] = scale.attrs["long_name"] = meaning
    scale.make_scale(name)
    return scale


def _count(group: h5py.Group, name: str, value: int, meaning: str) -> None:
    _describe(group.create_dataset(name, data=np.int64(value)), "1", meaning)


def _describe(dataset: h5py.Dataset, unit: str, meaning: str) -> None:
    attributes = dataset.attrs
    attributes["units"] = unit
    attributes["meaning"] = attributes["long_name"] = meaning


def _attach(dataset: h5py.Dataset, i: int, name: str, scale: h5py.Dataset) -> None:
    dimension = dataset.dims[i]
    dimension.label = name
    dimension.attach_scale(scale)


def _copy(
    source: h5py.Group, target: h5py.Group, columns: Sequence[list[str]], n: int, raw: RawFile
) -> None:
    """The first ``n`` rows of all datasets with their checksums: those of the source, which tell what came to harm."""
    for k, names in enumerate(columns):
        for block in blocks(n, 8 * sum(int(np.prod(source[name].shape[1:])) for name in names)):
            values = [source[name][block] for name in names]
            for name, value in zip(names, values, strict=True):
                target[name][block] = value
            place = block if target[CHECKSUM].ndim == 1 else (block, k)
            old = source.get(CHECKSUM)
            target[CHECKSUM][place] = checksums.of_rows(values) if old is None else old[place]
            raw.check()


def blocks(n: int, row: int) -> Iterator[slice]:
    """``n`` rows of so many bytes each, in pieces that fit into memory."""
    step = max(BLOCK // max(row, 1), 1)
    return (slice(i, min(i + step, n)) for i in range(0, n, step))
