"""What fits and margins are given: inputs with their bias, and one number or label for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import InputError
from wflow.tools.arrays import as_floats, check_size


def with_bias(x: np.ndarray, bias: bool) -> np.ndarray:
    """z = (x, 1), or x, (Q, D)."""
    return np.concatenate([x, np.ones((len(x), 1))], axis=1) if bias else x


def values_at(x: Any, y: Any, bias: bool) -> tuple[np.ndarray, np.ndarray]:
    """z (Q, D) and y (Q,).

    Raises
    ------
    InputError
        for values of another number, and what is not finite
    """
    z, values = as_inputs(x, name="x"), as_floats("y", y)
    if values.shape != (len(z),):
        raise InputError(f"y of shape {values.shape}: give one number for each of {len(z)} inputs")
    check_size("y", values)
    return with_bias(z, bias), values


def labelled(x: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (Q, d) and labels (Q,).

    Raises
    ------
    InputError
        for labels that are not ±1, or of another number
    """
    z, y = as_inputs(x, name="x"), as_floats("labels", labels)
    if y.shape != (len(z),) or not (np.abs(y) == 1.0).all():
        raise InputError(f"labels of shape {y.shape}: give 1 or -1 for each of the {len(z)} inputs")
    return z, y


def scale_of(values: np.ndarray) -> float:
    """Their largest size, 1 where all are 0: programmes know absolute tolerances."""
    return float(np.abs(values).max(initial=0.0)) or 1.0
