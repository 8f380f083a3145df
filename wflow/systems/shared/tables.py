"""Inputs and targets from a user's file: NPZ, CSV or HDF5; what is wrong is told with its place and its remedy."""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wflow.errors import InputError, unknown
from wflow.tools.arrays import as_floats
from wflow.tools.checks import read_number
from wflow.tools.memory import check_memory

MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")
"""How tables write that a value is missing, in lower case."""
NAMES = ("x", "X", "y", "Y")
"""What the inputs and the targets may be called."""
MARK = "\ufeff"
"""What spreadsheets begin UTF-8 with; a program that reads and writes it again may leave two."""
SEPARATORS = {";": "semicolons", "\t": "tabs", " ": "spaces"}
"""What stands between columns in place of commas."""


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets: arrays x and y (or X and Y) of an NPZ or HDF5 file, or a CSV with the target last.

    Raises
    ------
    InputError
        for a file that is missing or not of these kinds, and for values that are no numbers
    """
    readers = {".npz": _read_npz, ".csv": _read_csv, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    if path.suffix.lower() not in readers:
        raise unknown("file type", path.suffix or path.name, readers)
    if not path.is_file():
        raise InputError(f"path {path}: no such file")
    x, y = readers[path.suffix.lower()](path)
    return (x[:, None] if x.ndim == 1 else x), y


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with path.open("rb") as file:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                raise InputError(
                    f"{path} holds one array without a name: write np.savez(path, x=x, y=y)"
                )
            with zipfile.ZipFile(file) as packed:
                _check_sizes(path, packed)
            file.seek(0)
            return _pick(path, np.load(file, allow_pickle=False))
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
    ) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"{path} cannot be read as NPZ: {e}") from None


def _check_sizes(path: Path, packed: zipfile.ZipFile) -> None:
    """Refuse arrays that unpack to more than the memory, or say that they are larger than what there is of them."""
    for entry in packed.infolist():
        name = entry.filename.removesuffix(".npy")
        if name.lower() not in ("x", "y"):
            continue
        check_memory(
            f"array '{name}' of {path}", 2.0 * entry.file_size, "leave out what you do not need"
        )
        with packed.open(entry) as array:
            version = np.lib.format.read_magic(array)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(array)
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > entry.file_size:
            raise InputError(f"{path}: array '{name}' is cut short: it says {shape} of {dtype}")


def _read_hdf5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from wflow.storage.contained import member, open_hdf5
    from wflow.storage.disk import explain

    try:
        with open_hdf5(path) as f:
            arrays = {k: member(f, k, path) for k in f if k in NAMES}
            return _pick(path, dict.fromkeys(f) | arrays)
    except InputError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError) as e:
        raise InputError(f"{path} cannot be read as HDF5: {explain(e)}") from None


def _pick(path: Path, held: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The arrays called x and y, or X and Y; others are not looked at."""
    x, y = (_named(path, held, name) for name in ("x", "y"))
    return x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _named(path: Path, held: Mapping[str, Any], name: str) -> np.ndarray:
    found = next((k for k in (name, name.upper()) if k in held), None)
    if found is None:
        raise InputError(
            f"{path} has no array '{name}' (or '{name.upper()}'): it holds {', '.join(held) or 'nothing'}; "
            "call the inputs x and the targets y"
        )
    array = held[found]
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: array '{found}' has type {array.dtype}; expected numbers: write labels as -1 and +1, "
            "other categories as columns of 0 and 1"
        )
    check_memory(
        f"array '{found}' of {path}", 16.0 * math.prod(array.shape or ()), "give fewer samples"
    )
    return as_floats(f"{path}: array '{found}'", array, finite=False)


def _read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers separated by commas; one line of column names at the top is allowed."""
    try:
        # Spreadsheets begin UTF-8 with a mark, which would make a name of the first number.
        text = path.read_text(encoding="utf-8-sig").lstrip(MARK).splitlines()
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 text: {e}") from None
    lines = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    names = _names([line for _, line in lines[:2]])
    rows = lines[1:] if names else lines
    if len(rows) == 0 or (len(_cells(rows[0][1])) < 2 and _is_number(rows[0][1])):
        raise InputError(f"{path}: expected rows of at least one input and the target")
    try:
        # numpy reads what people do not write, 1_0 and digits of other scripts.
        odd = [line for _, line in rows if "_" in line or not line.isascii()]
        good = all(_is_number(cell) for line in odd for cell in _cells(line))
        table = np.loadtxt(
            [line for _, line in rows], delimiter=",", comments=None, quotechar='"', ndmin=2
        )
        good = good and bool(np.isfinite(table).all())
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{path}, {_fault(rows, names)}")
    return table[:, :-1], table[:, -1]


def _names(top: list[str]) -> list[str]:
    """The names in the first of two lines: it has a word over a number. Else none, and it is a row like the others.

    Of numbers, only those that pandas calls columns by are names: 0, 1, … before all words. A word beside any other
    is a value that is wrong, and its row is not dropped.
    """
    if not top:
        return []
    first, second = _cells(top[0]), _cells(top[-1])
    numbers = [cell for cell in first if _is_number(cell)]
    start = 0 if first[0] else 1
    if first[start : start + len(numbers)] != [str(k) for k in range(len(numbers))]:
        return []
    over = zip(first, second, strict=False)
    alone = len(top) == 1 and not numbers
    return first if alone or any(_is_word(a) and not _is_word(b) for a, b in over) else []


def _fault(rows: list[tuple[int, str]], names: list[str]) -> str:
    """The first line that is not numbers, what is wrong with it and what would be right."""
    width = len(_cells(rows[0][1]))
    for number, line in rows:
        cells = _cells(line)
        shown = f"line {number}: '{line[:40]}'"
        for mark, word in SEPARATORS.items():
            if mark in line and (mark == ";" or len(cells) == 1):
                return f"{shown} has its columns separated by {word}: write commas, and decimals with a point"
        for k, cell in enumerate(cells):
            if _is_number(cell):
                continue
            column = f"column {k + 1}" + (f" ({names[k]})" if k < len(names) else "")
            if _is_word(cell):
                return (
                    f"{shown} has '{cell[:20]}' in {column}, no number: write labels as -1 and +1, other "
                    "categories as columns of 0 and 1"
                )
            what = (
                f"'{cell}', which is NaN or infinity or stands for a missing value,"
                if cell
                else "nothing"
            )
            return f"{shown} has {what} in {column}: fill it in or leave the line out"
        if len(cells) != width:
            return f"line {number}: {len(cells)} columns where others have {width}"
    return "no line is wrong, and it cannot be read: write plain numbers separated by commas"


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    except csv.Error:  # a cell of more characters than the reader takes
        return [line]


def _is_number(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(read_number(cell))
    except ValueError:
        return False


def _is_word(cell: str) -> bool:
    """Whether a cell is no number, finite or not, and no mark of a missing one."""
    try:
        read_number(cell)
    except ValueError:
        return cell.lower() not in MISSING
    return False
