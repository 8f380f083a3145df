"""Attributes of a file: text and numbers as HDF5 has them, everything else as JSON text.

What is JSON is written down by name in ``json_attributes``, so that reading gives back what was stored: a string that
looks like JSON stays a string. No pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from wflow.errors import StorageError, damaged
from wflow.storage.shapes import HEADER, misfit

JSON_NAMES = "json_attributes"


def to_json(value: Any, what: str) -> str:
    """JSON text of ``value``; numpy scalars and arrays become numbers and lists."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError) as e:
        raise StorageError(
            f"{what} cannot be stored as JSON ({e}): use text, numbers, lists and dicts"
        ) from e


def write_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Set attributes of an h5py object."""
    as_json, attrs = [], target.attrs
    for name, value in attributes.items():
        stored = _native(value)
        if stored is None:
            stored = to_json(value, f"attribute '{name}'")
            as_json.append(name)
        attrs[name] = stored
    attrs[JSON_NAMES] = json.dumps(as_json)


def read_attributes(source: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    """All attributes of the file at ``path``, as they were given.

    Raises
    ------
    DamageError
        for a known one that is not of its shape
    """
    attrs = source.attrs
    as_json = set(json.loads(attrs[JSON_NAMES]))
    result: dict[str, Any] = {}
    for name in attrs:
        value = attrs[name]
        if name in as_json:
            value = json.loads(value)
        elif isinstance(value, np.generic):
            value = value.item()
        if name != JSON_NAMES:
            result[name] = value
    if (place := misfit(result, HEADER)) is not None:
        raise damaged(path, f"attribute '{place[1:]}' is not of its kind")
    return result


def demand(attributes: Mapping[str, Any], *names: str) -> None:
    """Refuse to go on from a file that does not say all of these."""
    for name in names:
        if name not in attributes:
            raise StorageError(
                f"the run's file does not say its '{name}', so it cannot be carried on: run it anew"
            )


def _native(value: Any) -> Any:
    """The value as an HDF5 attribute holds it, or None if that cannot be told apart from another type."""
    if isinstance(value, str):
        # HDF5 strings end at the first NUL and are UTF-8; a path may hold surrogates.
        whole = "\0" not in value and value.encode("utf-8", "replace").decode() == value
        return str(value) if whole else None
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)):
        return np.int64(value) if -(2**63) <= int(value) < 2**63 else None
    if isinstance(value, (float, np.floating)):
        return np.float64(value)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}")
