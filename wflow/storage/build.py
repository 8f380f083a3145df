"""A complete file of a run, written in one go: new, grown, or trimmed and compressed.

Everything is allocated and filled with NaN here, so that writing a frame later changes numbers only, never metadata.
Frame series and fields hang on the scale ``t``, step series on ``steps/step``: xarray and netCDF read them by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wflow.storage.attributes import write_attributes
from wflow.storage.checkpoint import Checkpoint, create_slots, write_slot
from wflow.storage.disk import HDF5_FORMAT
from wflow.storage.layout import COORDINATE, START, FieldSpec, Layout, Quantity
from wflow.storage.raw_file import SteadyFile

FORMAT = "wflow-run"
FORMAT_VERSION = 1
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
    raw = SteadyFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        with h5py.File(raw, "w", libver=HDF5_FORMAT) as file:
            _fill(file, raw, layout, attributes, content, (frame_room, step_room), compress)
        raw.check()
    finally:
        raw.close()


def _fill(
    file: h5py.File,
    raw: SteadyFile,
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
    create_slots(file, layout.checkpoint)
    _count(file, "n_frames", content.n_frames, "frames written; later entries are NaN")
    _count(steps, "n_steps", content.n_steps, "steps written; later entries are NaN")
    _create_start(file, content)
    if content.file is not None:
        names = ["t", *layout.series, *layout.fields]
        _copy(content.file, file, names, content.n_frames, raw)
        _copy(content.file["steps"], steps, layout.step_series, content.n_steps, raw)
    if content.checkpoint is not None:
        write_slot(file, content.checkpoint)


def _create_start(file: h5py.File, content: Content) -> None:
    """What the run started from: a method may lay it out otherwise than its frames, and is prepared with it again."""
    if content.file is not None and START in content.file:
        content.file.copy(START, file)
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
        text = h5py.string_dtype()
        scale = file.create_dataset(COORDINATE, data=list(layout.coordinates), dtype=text)
        scale.attrs["meaning"] = scale.attrs["long_name"] = "names of the particle coordinates"
        scale.make_scale(COORDINATE)
        scales[COORDINATE] = scale
    for name, n in layout.dimensions().items():
        if name not in scales:
            scales[name] = _index(file, name, n, f"index of the {name}")
    return scales


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
    h5py.h5d.create(group.id, name.encode(), kind, space, properties)
    return group[name]


def _index(group: h5py.Group, name: str, n: int, meaning: str) -> h5py.Dataset:
    scale = group.create_dataset(name, data=np.arange(n, dtype=np.int64))
    _describe(scale, "1", meaning)
    scale.make_scale(name)
    return scale


def _count(group: h5py.Group, name: str, value: int, meaning: str) -> None:
    _describe(group.create_dataset(name, data=np.int64(value)), "1", meaning)


def _describe(dataset: h5py.Dataset, unit: str, meaning: str) -> None:
    dataset.attrs["units"] = unit
    dataset.attrs["meaning"] = dataset.attrs["long_name"] = meaning


def _attach(dataset: h5py.Dataset, i: int, name: str, scale: h5py.Dataset) -> None:
    dataset.dims[i].label = name
    dataset.dims[i].attach_scale(scale)


def _copy(
    source: h5py.Group, target: h5py.Group, names: Iterable[str], n: int, raw: SteadyFile
) -> None:
    for name in names:
        old, new = source[name], target[name]
        for block in _blocks(n, 8 * int(np.prod(old.shape[1:]))):
            new[block] = old[block]
            raw.check()


def _blocks(n: int, row: int) -> Iterator[slice]:
    step = max(BLOCK // max(row, 1), 1)
    return (slice(i, min(i + step, n)) for i in range(0, n, step))


def layout_of(file: h5py.File, attributes: Mapping[str, Any]) -> Layout:
    """The layout that a file was built with."""
    return Layout.from_json(attributes["layout"], file)
