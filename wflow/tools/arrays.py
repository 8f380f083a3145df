"""What a caller gives as an array, turned into floats in one place: rightly, or refused in one line.

Alone, numpy drops masks and imaginary parts without a word, takes None for NaN, reads text and counts dates in their
units; and an array from an HDF5 or netCDF file is what is stored there, which need not be what is meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wflow.errors import InputError, shown

LARGEST = 1e150
"""Largest size of an entry: squares, and sums of a million of them, are still floats."""
MISSING = ("_FillValue", "missing_value")
"""Attributes of an array in a file that say which of its values stand for none (CF Conventions, 2.5.1)."""
UNWRITTEN = float.fromhex("0x1.ep+122")
"""What netCDF fills an array of floats with before anything is written to it."""
WORDS = {
    "M": "dates",
    "m": "spans of time",
    "U": "text",
    "S": "text",
    "T": "text",
    "c": "complex numbers",
    "b": "True and False",
    "V": "records",
}


def as_floats(
    what: str, value: Any, *, finite: bool = True, truth: bool = False
) -> NDArray[np.float64]:
    """A float64 copy, in C order, of real numbers: at most 1e150 in size unless they need not be finite.

    Arrays of HDF5 and netCDF files, open or read by xarray, are unpacked as their attributes say.

    Parameters
    ----------
    what : the name of the argument, for refusals
    finite : whether NaN, infinity and numbers whose squares are no floats are refused
    truth : whether True and False count as 1 and 0, as the values of an indicator function do

    Raises
    ------
    InputError
        for what is masked, missing, complex, text, a date, or no number at all, by its place

    >>> as_floats("positions", [1, 2])
    array([1., 2.])
    >>> as_floats("positions", np.ma.masked_equal([1.0, -999.0], -999.0))
    Traceback (most recent call last):
    wflow.errors.InputError: positions[1] is masked: fill it in or leave it out
    """
    read = value if type(value) is np.ndarray else _read(what, value)
    if read.dtype.kind == "O":
        read = _numbers(what, read)
    if read.dtype.kind not in ("fiub" if truth else "fiu"):
        held = WORDS.get(read.dtype.kind, str(read.dtype))
        raise _no_numbers(what, f"it holds {held}")
    with np.errstate(over="ignore"):
        array = np.array(read, dtype=np.float64, order="C")
    if finite:
        check_size(what, array)
    return array


def all_finite(v: NDArray[Any]) -> bool:
    """Whether an array holds numbers only.

    A finite sum of squares proves it in one pass that writes nothing; squares that overflow need the second look.

    >>> all_finite(np.array([1e300, 1.0])), all_finite(np.array([np.nan, 1.0]))
    (True, False)
    """
    if v.size == 1:
        return math.isfinite(v.item())
    # A product of BLAS sets no flags that numpy would look at.
    if v.dtype == np.float64 and v.flags.c_contiguous and math.isfinite(np.vdot(v, v)):
        return True
    return bool(np.isfinite(v).all())


def check_size(what: str, array: NDArray[np.float64]) -> None:
    """Refuse NaN, infinity and numbers whose squares are no floats, by their place."""
    with np.errstate(invalid="ignore"):
        if not array.size or (array.min() >= -LARGEST and array.max() <= LARGEST):
            return
    where, at = position(~(np.abs(array) <= LARGEST))
    if np.isfinite(array[at]):
        raise InputError(
            f"{what}{where} is {array[at]:g}: its square is too large for a float; give at most "
            f"{LARGEST:g}, in other units"
        )
    raise InputError(f"{what}{where} is {array[at]:g}: finite values only; clean the data first")


def position(bad: NDArray[np.bool_]) -> tuple[str, tuple[int, ...]]:
    """The first true entry, as text ``[i, j]`` and as an index."""
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    return (f"[{', '.join(map(str, at))}]" if at else ""), at


def _no_numbers(what: str, why: str) -> InputError:
    return InputError(
        f"{what} is not an array of real numbers, {why}: give numbers in a regular shape"
    )


def _read(what: str, value: Any) -> NDArray[Any]:
    """The array that a value is, with nothing masked or missing in it, unpacked."""
    try:
        if isinstance(value, list | tuple) and any(isinstance(e, np.ma.MaskedArray) for e in value):
            value = np.ma.array(value)
        # Not asarray, which would drop the mask of what is masked only once it is read.
        array = np.asanyarray(value)
    except Exception as e:  # noqa: BLE001  (tensors that require a gradient, closed files, ragged lists)
        raise _no_numbers(what, f"numpy cannot read this {type(value).__name__} ({e})") from None
    if isinstance(array, np.ma.MaskedArray):
        _refuse_missing(what, np.ma.getmaskarray(array), "masked")
    array = np.asarray(array)
    about = getattr(value, "attrs", None)
    return _unpacked(what, array, about) if isinstance(about, Mapping) else array


def _refuse_missing(what: str, missing: NDArray[np.bool_], word: str) -> None:
    if missing.any():
        raise InputError(f"{what}{position(missing)[0]} is {word}: fill it in or leave it out")


def _unpacked(what: str, array: NDArray[Any], about: Mapping[str, Any]) -> NDArray[Any]:
    """scale_factor · stored + add_offset, with no value among those that stand for none (CF Conventions, 8.1)."""
    if array.dtype.kind not in "fiu":
        return array
    if array.dtype.kind == "i" and str(about.get("_Unsigned", "")).lower() == "true":
        array = array.view(f"u{array.dtype.itemsize}")
    for key in MISSING:
        for mark in np.ravel(about.get(key, ())):
            with np.errstate(all="ignore"):
                marked = array == np.asarray(mark).astype(array.dtype, casting="unsafe")
            _refuse_missing(
                what, marked, f"{shown(mark.item())}, the {key} that stands for a missing value"
            )
    if array.dtype.kind == "f":
        _refuse_missing(what, array == UNWRITTEN, f"{UNWRITTEN:g}, which was never written")
    scale, offset = (
        as_floats(f"{key} of {what}", about.get(key, default))
        for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if scale.size != 1 or offset.size != 1:
        raise InputError(f"{what} has several scale factors or offsets: unpack it first")
    if scale.item() == 1.0 and offset.item() == 0.0:
        return array
    return np.asarray(array * scale.item() + offset.item())


def _numbers(what: str, array: NDArray[Any]) -> NDArray[np.float64]:
    """Floats from an array of objects: each must be one real number."""
    out = np.empty(array.shape)
    for at in np.ndindex(array.shape):
        entry = array[at]
        try:
            if isinstance(entry, bool | np.bool_) or not isinstance(entry, Real | Decimal):
                raise TypeError
            out[at] = float(entry)
        except (TypeError, ValueError, OverflowError) as e:
            where = f"[{', '.join(map(str, at))}]" if at else "it"
            too = "too large a number" if isinstance(e, OverflowError) else "no number"
            raise _no_numbers(what, f"{where} is {shown(entry)}, {too}") from None
    return out
