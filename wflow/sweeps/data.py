"""What a plan reads of data sets: each file once for all runs, and again for the next plan."""

from __future__ import annotations

import json
from functools import cache

from wflow.errors import InputError
from wflow.systems.runs import stored_system


def forget_data() -> None:
    """Files are read again: they may have been written anew."""
    for known in (data_digest, n_samples):
        known.cache_clear()


@cache
def data_digest(system: str, parameters: str) -> str | None:
    """The digest of a system's data."""
    return stored_system({"system": system, "parameters": json.loads(parameters)}).data_digest()


@cache
def n_samples(system: str, parameters: str, asked: str) -> int:
    """The size of a system's data set."""
    model = stored_system({"system": system, "parameters": json.loads(parameters)}).network()
    if not hasattr(model, "n_samples"):
        raise InputError(
            f"{asked}: system '{system}' draws fresh samples; only data sets are passed over"
        )
    return int(model.n_samples)
