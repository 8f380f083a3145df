"""What systems on images of the ten digits share: which of them are to be told apart."""

from __future__ import annotations

import numpy as np

from wflow.energies.features.targets import one_hot
from wflow.errors import InputError
from wflow.systems.shared.data import DataSystem
from wflow.tools.parameters import Parameter

DIGITS = 10
TASKS = ("parity", "halves", *(str(k) for k in range(DIGITS)))
DIGIT_PARAMETERS = (
    Parameter(
        "classes",
        2,
        "2: the two sides of the task, as targets +1 and -1; 10: every digit, an output each",
        int,
        low=2,
        high=DIGITS,
    ),
    Parameter(
        "task",
        "parity",
        "parity: even (+1) against odd (-1); halves: 0-4 (+1) against 5-9 (-1); or a digit against the rest",
        str,
        choices=TASKS,
    ),
)
"""What is to be told apart of ten digits."""


class DigitSystem(DataSystem):
    """Base of the systems on images of the ten digits, told apart by a task of two classes or one by one."""

    def check(self) -> None:
        if self.classes not in (2, DIGITS):
            raise InputError(
                f"classes = {self.classes}: choose 2, the sides of the task, or {DIGITS}, an output for every digit"
            )
        if self.classes == DIGITS and self.task != "parity":
            raise InputError(
                f"task = {self.task} with classes = {DIGITS}: a task has two sides; leave one of the two out"
            )
        if (self.loss == "softmax") != (self.classes == DIGITS) and self.loss != "square":
            raise InputError(
                f"loss = {self.loss} with classes = {self.classes}: two classes take square or logistic, ten take "
                "square or softmax"
            )

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Targets from the digits that images show."""
        if self.classes == DIGITS:
            return one_hot(labels.astype(float), DIGITS, "labels")
        return labels_to_targets(labels, self.task)


def labels_to_targets(labels: np.ndarray, task: str) -> np.ndarray:
    """±1 targets from class labels: "parity" (even +1), "halves" (0–4 +1), or a digit "k" against the rest.

    >>> [labels_to_targets(np.array([3, 5, 4]), task).tolist() for task in ("parity", "halves")]
    [[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0]]
    """
    if task == "parity":
        return np.where(labels % 2 == 0, 1.0, -1.0)
    if task == "halves":
        return np.where(labels < DIGITS // 2, 1.0, -1.0)
    return np.where(labels == int(task), 1.0, -1.0)
