"""A data set of the user's own from NPZ, CSV or HDF5."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from wflow.errors import InputError, unknown
from wflow.systems.catalogue import system
from wflow.systems.shared.data import NETWORK_PARAMETERS, DataSystem, standardise
from wflow.tools.parameters import Parameter


@system
class Dataset(DataSystem):
    """Any inputs and targets: arrays x, y of an NPZ or HDF5 file, or a CSV whose last column is the target."""

    name = "dataset"
    title = "a data set of your own: NPZ, CSV or HDF5"
    source = "the user's file"
    parameters = (
        Parameter(
            "path",
            None,
            "NPZ or HDF5 with arrays x (Q, d) and y (Q,), or CSV with the target last",
            str,
        ),
        Parameter(
            "scaled",
            "yes",
            "centre the inputs and scale them to E|x|^2 = d",
            str,
            choices=("yes", "no"),
        ),
        *NETWORK_PARAMETERS,
    )

    def check(self) -> None:
        if self.path is None:
            raise InputError("system 'dataset' needs path=, an NPZ, CSV or HDF5 file")

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        path = Path(self.path)
        readers = {
            ".npz": _read_npz,
            ".csv": _read_csv,
            ".h5": _read_hdf5,
            ".hdf5": _read_hdf5,
        }
        if path.suffix.lower() not in readers:
            raise unknown("file type", path.suffix or path.name, readers)
        if not path.is_file():
            raise InputError(f"path {path}: no such file")
        x, y = readers[path.suffix.lower()](path)
        if x.ndim == 1:
            x = x[:, None]
        if x.ndim == 2 and self.scaled == "yes":
            x = standardise(x)
        return x, y


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            if isinstance(held, np.ndarray):
                raise InputError(
                    f"{path} holds one array without a name: write np.savez(path, x=x, y=y)"
                )
            return _pick(path, {k: held[k] for k in held.files})
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"{path} cannot be read as NPZ: {e}") from None


def _read_hdf5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as f:
            return _pick(path, {k: f[k][...] for k in f if isinstance(f[k], h5py.Dataset)})
    except OSError as e:
        raise InputError(f"{path} cannot be read as HDF5: {e}") from None


def _read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers separated by commas; one line of column names at the top is allowed."""
    try:
        text = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 text: {e}") from None
    start = 0
    if text and not _is_numbers(text[0]):
        start = 1
    rows = []
    for number, line in enumerate(text[start:], start + 1):
        if not line.strip():
            continue
        if not _is_numbers(line):
            raise InputError(
                f"{path}, line {number}: '{line[:40]}' is not numbers separated by commas"
            )
        rows.append([float(v) for v in line.split(",")])
        if len(rows[-1]) != len(rows[0]):
            raise InputError(
                f"{path}, line {number}: {len(rows[-1])} columns where others have {len(rows[0])}"
            )
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{path}: expected rows of at least one input and the target")
    table = np.array(rows)
    return table[:, :-1], table[:, -1]


def _is_numbers(line: str) -> bool:
    try:
        [float(v) for v in line.split(",")]
    except ValueError:
        return False
    return True


def _pick(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    for name in ("x", "y"):
        if name not in arrays:
            raise InputError(
                f"{path} has no array '{name}': it holds {', '.join(arrays) or 'nothing'}"
            )
        if arrays[name].dtype.kind not in "fiu":
            raise InputError(
                f"{path}: array '{name}' has type {arrays[name].dtype}; expected numbers"
            )
    y = arrays["y"]
    return arrays["x"], y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
