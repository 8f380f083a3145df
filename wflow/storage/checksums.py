"""Checksums, by which damage is found and named: CRC-32, the one of zip and gzip.

``checksum`` has a row a frame and a column for each part that is read on its own: ``t`` with the series, then every
field. ``steps/checksum`` has one entry a step row. Each is over the numbers as little-endian float64, in the layout's
order. The attribute ``checksums`` has one for each attribute of the file, each axis, and each array of the start.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import h5py
import numpy as np

from wflow.errors import DamageError
from wflow.storage.contained import member
from wflow.storage.layout import CHECKSUM, START, Layout

DESCRIPTION = "checksums"
SERIES = "t and series"


def parts(layout: Layout) -> list[str]:
    """What the columns of ``checksum`` stand for."""
    return [SERIES, *layout.fields]


def of_rows(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The checksum of each row of arrays that share their first axis.

    >>> of_rows([np.zeros(2), np.ones((2, 3))])
    array([3261591596, 3261591596], dtype=uint32)
    """
    n = len(columns[0])
    flat = [np.asarray(c, dtype="<f8").reshape(n, math.prod(np.shape(c)[1:])) for c in columns]
    rows = np.ascontiguousarray(np.concatenate(flat, axis=1) if len(flat) > 1 else flat[0])
    width, data = rows.nbytes // max(n, 1), rows.reshape(-1).view(np.uint8).data
    return np.array([crc32(data[i * width : (i + 1) * width]) for i in range(n)], dtype="<u4")


def checked(
    group: h5py.Group, names: Sequence[str], rows: slice, column: int | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows of some datasets, and the indices of those that do not fit their checksums or do not unpack at all.

    A file without checksums gives all the benefit of the doubt.
    """
    try:
        values = {name: np.asarray(group[name][rows]) for name in names}
    except (
        OSError,
        RuntimeError,
    ):  # a compressed block is damaged: which of its rows cannot be had?
        if rows.stop - rows.start == 1:
            return {}, np.array([rows.start])
        singly = (slice(i, i + 1) for i in range(rows.start, rows.stop))
        return {}, np.concatenate([checked(group, names, one, column)[1] for one in singly])
    if not values or CHECKSUM not in group:
        return values, np.zeros(0, dtype=np.int64)
    sums = group[CHECKSUM][rows] if column is None else group[CHECKSUM][rows, column]
    return values, rows.start + np.flatnonzero(of_rows(list(values.values())) != sums)


def write_description(file: h5py.File, layout: Layout) -> None:
    """Seal attributes, axes and the start; nothing changes them after this."""
    attrs = file.attrs
    sums = {name: _of_attribute(attrs[name]) for name in attrs if name != DESCRIPTION}
    axes = [f"/{label}" for name in layout.axes for label in (name, f"{name}_edges")]
    start = [f"/{START}/{name}" for name in file.get(START, ())]
    attrs[DESCRIPTION] = json.dumps(sums | {n: _of_array(file[n]) for n in axes + start})


def damaged_description(
    file: h5py.File, path: str | os.PathLike[str], *, start: bool = False
) -> list[str]:
    """Attributes and axes that do not fit their checksums, and arrays of the start if asked; what others have added
    is theirs.
    """
    attrs = file.attrs
    if DESCRIPTION not in attrs:
        return []
    bad = []
    for name, expected in json.loads(attrs[DESCRIPTION]).items():
        is_array, of_start = name.startswith("/"), name.startswith(f"/{START}/")
        if of_start and not start:
            continue
        try:
            found = _of_array(member(file, name, path)) if is_array else _of_attribute(attrs[name])
        except (OSError, RuntimeError, KeyError, DamageError):
            found = None
        if found != expected:
            what = "the start's" if of_start else "axis" if is_array else "attribute"
            bad.append(f"{what} '{name.rsplit('/', 1)[-1]}'")
    return bad


def _of_array(dataset: h5py.Dataset) -> int:
    value = np.asarray(dataset[()])
    return crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)


def _of_attribute(value: Any) -> int:
    plain = value.item() if isinstance(value, np.generic) else value
    return crc32(repr(plain).encode("utf-8", "surrogatepass"))


def spoken(what: str, rows: Iterable[int]) -> str:
    """Indices as one reads them.

    >>> spoken("frame", [3]), spoken("frame", [3, 17, 40, 41, 42])
    ('frame 3', 'frames 3, 17 and 40 to 42')
    """
    runs: list[list[int]] = []
    for i in map(int, rows):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    if not runs:
        return f"no {what}"
    words = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs]
    more = len(words) - 6
    if more > 0:
        words = [*words[:6], f"{more} more ranges"]
    listed = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    return f"{what}{'' if len(runs) == 1 and runs[0][0] == runs[0][1] else 's'} {listed}"
