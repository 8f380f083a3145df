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
from wflow.tools.memory import check_memory

MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")
"""How tables write that a value is missing, in lower case."""
NAMES = ("x", "X", "y", "Y")
"""What the inputs and the targets may be called."""
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
            held = np.load(file, allow_pickle=False)
            if isinstance(held, np.ndarray):
                raise InputError(
                    f"{path} holds one array without a name: write np.savez(path, x=x, y=y)"
                )
            return _pick(path, held)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as e:
        if isinstance(e, InputError):
            raise
        raise InputError(f"{path} cannot be read as NPZ: {e}") from None


def _read_hdf5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from wflow.storage.contained import member, open_hdf5
    from wflow.storage.disk import explain

    try:
        with open_hdf5(path) as f:
            arrays = {k: member(f, k, path) for k in f if k in NAMES}
            for name, array in arrays.items():
                check_memory(f"'{name}' of {path}", array.nbytes, "give fewer samples")
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
    array = np.asarray(held[found][...])
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: array '{found}' has type {array.dtype}; expected numbers: write labels as -1 and +1, "
            "other categories as columns of 0 and 1"
        )
    return array


def _read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers separated by commas; one line of column names at the top is allowed."""
    try:
        # Spreadsheets begin UTF-8 with a mark, which would make a name of the first number.
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 text: {e}") from None
    lines = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    names = _names([line for _, line in lines[:2]])
    rows = lines[1:] if names else lines
    if len(rows) == 0 or (len(_cells(rows[0][1])) < 2 and _is_number(rows[0][1])):
        raise InputError(f"{path}: expected rows of at least one input and the target")
    try:
        table = np.loadtxt(
            [line for _, line in rows], delimiter=",", comments=None, quotechar='"', ndmin=2
        )
        good = bool(np.isfinite(table).all())
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{path}, {_fault(rows, names)}")
    return table[:, :-1], table[:, -1]


def _names(top: list[str]) -> list[str]:
    """The names in the first of two lines: it has a word over a number. Else none, and it is a row like the others."""
    if len(top) < 2:
        return _cells(top[0]) if top and not any(map(_is_number, _cells(top[0]))) else []
    first, second = map(_cells, top)
    over = zip(first, second, strict=False)
    return first if any(_is_word(a) and not _is_word(b) for a, b in over) else []


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
    return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]


def _is_number(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _is_word(cell: str) -> bool:
    """Whether a cell is no number, finite or not, and no mark of a missing one."""
    try:
        float(cell)
    except ValueError:
        return cell.lower() not in MISSING
    return False
