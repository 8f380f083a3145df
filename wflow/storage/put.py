"""Numbers into datasets that are there, past h5py's reckoning of what is selected: it costs more than short writes."""

from __future__ import annotations

import h5py
import numpy as np


def put(dataset: h5py.h5d.DatasetID, value: np.ndarray) -> None:
    """Write all of a dataset, as libhdf5 has it.

    Raises
    ------
    ValueError
        for a value of another shape
    """
    if dataset.shape != value.shape:
        raise ValueError(f"an array of shape {value.shape} for a dataset of shape {dataset.shape}")
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.asarray(value, order="C"))


def put_rows(dataset: h5py.h5d.DatasetID, start: int, value: np.ndarray) -> None:
    """Write consecutive rows, which must lie in the dataset and be of its shape.

    Raises
    ------
    ValueError
        for rows of another shape
    """
    if dataset.shape[1:] != value.shape[1:] or start + len(value) > dataset.shape[0]:
        raise ValueError(f"rows {value.shape} from {start} on for a dataset of {dataset.shape}")
    if value.size:
        where = dataset.get_space()
        where.select_hyperslab((start,) + (0,) * (value.ndim - 1), value.shape)
        dataset.write(h5py.h5s.create_simple(value.shape), where, np.asarray(value, order="C"))
