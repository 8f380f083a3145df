"""Targets of a risk as its loss takes them: numbers (Q,), rows of K outputs (Q, K), or labels of K classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.features.losses import Loss
from wflow.errors import InputError
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count

MANY = 1000
"""Up to so many classes need not have a sample each."""


def one_hot(labels: np.ndarray, classes: int | None = None, name: str = "targets") -> np.ndarray:
    """Rows of 0 and a 1 in the place of the label, (Q, K), from labels 0 … K−1; K is one more than the largest if None.

    Raises
    ------
    InputError
        for what is no whole number from 0 on, and for labels of K and more

    >>> one_hot(np.array([2.0, 0.0])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    largest = float(labels.max(initial=1.0))
    if classes is None and largest >= max(MANY, labels.size):
        raise InputError(
            f"{name} has {labels.size} labels up to {largest:g}: number the classes 0, 1, 2 ... without gaps"
        )
    count = int(largest) + 1 if classes is None else classes
    wrong = np.flatnonzero((labels < 0) | (labels >= count) | (labels % 1 != 0))
    if wrong.size:
        raise InputError(
            f"{name}[{wrong[0]}] is {labels[wrong[0]]:g}: labels of {count} classes are the whole numbers 0 ... "
            f"{count - 1}"
        )
    rows = np.zeros((labels.size, count))
    rows[np.arange(labels.size), labels.astype(np.intp)] = 1.0
    return rows


def as_targets(targets: Any, loss: Loss, outputs: int | None = None) -> np.ndarray:
    """Check and return targets, finite: (Q,) for one output, (Q, K) for K ≥ 2 of them.

    A loss that is of several outputs takes labels (Q,) of ``outputs`` classes as well; one column is one output.
    """
    if targets is None:
        raise InputError("targets missing: give an array (Q,) of numbers, one a node")
    if outputs is not None:
        check_count("outputs", outputs)
    y = as_floats("targets", targets)
    if y.ndim == 2 and y.shape[1] == 1:
        y = np.ascontiguousarray(y[:, 0])
    if y.ndim not in (1, 2) or y.size == 0:
        raise InputError(
            f"targets of shape {y.shape}: expected (Q,), one entry a node, or (Q, K) for K outputs"
        )
    if y.ndim == 1 and loss.outputs == "several":
        y = one_hot(y, outputs)
    found = 1 if y.ndim == 1 else y.shape[1]
    if outputs not in (None, found):
        raise InputError(
            f"targets of shape {y.shape} with outputs = {outputs}: give one column an output, or leave outputs out"
        )
    loss.refuse_outputs(found)
    loss.check_targets(y)
    y.setflags(write=False)
    return y


def refuse_misfit(targets: np.ndarray, nodes: int, outputs: int) -> None:
    """Refuse targets that are not one a node and output."""
    if targets.shape[0] != nodes:
        wanted = f"({nodes},)" if targets.ndim == 1 else f"({nodes}, {targets.shape[1]})"
        raise InputError(f"targets of shape {targets.shape}: expected {wanted}, one entry a node")
    if targets.size != nodes * outputs:
        raise InputError(
            f"targets of shape {targets.shape} for features with outputs = {outputs}: give one column an output"
        )
