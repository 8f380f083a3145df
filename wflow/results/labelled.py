"""Labelled arrays in one HDF5 file: results that are no run, readable by xarray."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, damaged, printable
from wflow.storage.disk import HDF5_ERRORS, check_place, replacement
from wflow.tools.checks import check_flag, check_path

REPORT, FIGURE, SWEEP = "wflow-report-1", "wflow-figure-1", "wflow-sweep-1"
STUDY, LAYERS = "wflow-study-1", "wflow-layers-1"
KINDS = {
    REPORT: "limit against SGD",
    FIGURE: "a published figure",
    SWEEP: "a sweep",
    STUDY: "a study of one quantity",
    LAYERS: "a limit of many layers against SGD",
}
"""What files of labelled arrays may be, by the attribute ``format``."""


@dataclass(frozen=True)
class Labelled:
    """An array with the names of its axes, its unit and its meaning."""

    values: np.ndarray
    dims: tuple[str, ...]
    unit: str = "1"
    meaning: str = ""


def xarray_package() -> Any:
    """xarray, or the refusal that says how to get it."""
    try:
        import xarray
    except ImportError:
        raise InputError("to_xarray needs xarray: python -m pip install xarray h5netcdf") from None
    return xarray


def check_free(path: str | os.PathLike[str] | None, overwrite: bool) -> None:
    """Refuse a path that exists or whose folder does not, before any work is done."""
    if path is not None:
        check_place(check_path("output", path), check_flag("overwrite", overwrite))


def write_labelled(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Labelled],
    attributes: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays with their axes as HDF5 dimension scales; attributes that are no text or number become JSON.

    An array with the name of its only axis is that axis' scale; an axis without one is numbered. The file appears
    whole or not at all.

    Raises
    ------
    StorageError
        when the file exists and ``overwrite`` is not set, or cannot be written
    """
    import h5py

    target = check_path("path", path)
    check_free(target, overwrite)
    scales = dict(_scales(arrays))
    try:
        with (
            replacement(target, overwrite=overwrite) as temporary,
            h5py.File(temporary, "x") as f,
        ):
            for key, value in attributes.items():
                f.attrs[key] = value if isinstance(value, str | int | float) else json.dumps(value)
            for name, scale in scales.items():
                f[name] = scale.values
                f[name].make_scale(name)
                _describe(f[name], scale)
            for name, array in arrays.items():
                if name in scales:
                    continue
                compressed = {"compression": "gzip", "shuffle": True} if array.dims else {}
                f.create_dataset(name, data=array.values, **compressed)
                _describe(f[name], array)
                for k, dim in enumerate(array.dims):
                    f[name].dims[k].attach_scale(f[dim])
                    f[name].dims[k].label = dim
    except OSError as e:
        raise StorageError(f"{target} could not be written: {e}") from None


def kind_of_file(path: str | os.PathLike[str]) -> str | None:
    """The ``format`` of such a file; None for any other."""
    from wflow.storage.contained import open_hdf5

    try:
        with open_hdf5(path) as f:
            kind = f.attrs.get("format")
    except InputError:
        raise
    except HDF5_ERRORS:
        return None
    return kind if isinstance(kind, str) and kind in KINDS else None


def read_labelled(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file of one kind, by name, and its attributes as they stand.

    Raises
    ------
    StorageError
        for a file that is missing, damaged, or of another kind
    """
    from wflow.storage.contained import member, open_hdf5

    source = check_path("path", path)
    try:
        with open_hdf5(source) as f:
            about = dict(f.attrs)
            if about.get("format") != kind:
                raise StorageError(f"{source} is no {kind} file: it is not {KINDS[kind]}")
            return {name: member(f, name, source)[()] for name in f}, about
    except InputError:
        raise
    except HDF5_ERRORS as e:
        raise damaged(source, f"it cannot be read ({e})") from None


def told(path: str | os.PathLike[str]) -> str | None:
    """What such a file holds, in words; None for any other."""
    from wflow.storage.contained import member, open_hdf5

    try:
        with open_hdf5(path) as f:
            kind = f.attrs.get("format")
            if not isinstance(kind, str) or kind not in KINDS:
                return None
            lines = [f"{KINDS[kind]}, {kind}"]
            for name in sorted(set(f.attrs) - {"format", "summary"}):
                lines.append(f"{printable(name):>16}: {printable(f.attrs[name])}")
            for name in f:
                array = member(f, name, path)
                axes = zip(array.dims, array.shape, strict=True)
                shape = " x ".join(f"{dim.label} {n}".strip() for dim, n in axes)
                about = array.attrs.get("long_name", ""), array.attrs.get("units", "1")
                lines.append(
                    printable(f"{name:>16}: {shape or 'a number'} [{about[1]}] {about[0]}").rstrip()
                )
            if isinstance(summary := f.attrs.get("summary"), str):
                lines += map(printable, summary.splitlines())
            return "\n".join(lines)
    except InputError:
        raise
    except (*HDF5_ERRORS, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None  # not HDF5, or made by hand


def _scales(arrays: Mapping[str, Labelled]) -> list[tuple[str, Labelled]]:
    found: dict[str, Labelled] = {}
    for name, array in arrays.items():
        if array.values.ndim != len(array.dims):
            raise ValueError(f"{name} has {array.values.ndim} axes and {len(array.dims)} names")
        for dim, size in zip(array.dims, array.values.shape, strict=True):
            own = arrays.get(dim)
            found.setdefault(dim, own or Labelled(np.arange(size), (dim,)))
            if found[dim].values.size != size:
                raise ValueError(
                    f"axis {dim} of {name} has {size} entries, not {found[dim].values.size}"
                )
    return list(found.items())


def _describe(dataset: Any, array: Labelled) -> None:
    dataset.attrs["units"] = array.unit
    if array.meaning:
        dataset.attrs["long_name"] = array.meaning
