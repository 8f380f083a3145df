r"""Labels that are not the target: y = f*(x) + noise, and classes told wrong, for every system that has samples.

.. math:: y = f_*(x) + s\,g, \quad g \sim N(0, 1) \qquad\text{or}\qquad
          P(y = k) = \frac p{K - 1} \quad\text{of each class } k \ne f_*(x)

Numbers, each output by itself, take the first, with s the standard deviation; labels ±1 and rows with one 1 the second,
with p the probability that the label is another class than the true one: symmetric noise, in which two labels flip.
What is held out, and the population risk of systems that have one, stay free of noise: they say what was learned of f*.
Sources: y = f*(x) + ε of Hastie, Tibshirani & Friedman (2009), section 2.6; symmetric noise of classes as in Natarajan,
Dhillon, Ravikumar & Tewari, NIPS 2013.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

from wflow.errors import InputError
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

T = TypeVar("T")
AMOUNT = Parameter(
    "label_noise",
    0.0,
    "noise of the labels in training: standard deviation of numbers, or probability of another class",
    low=0,
)
LABEL_NOISE = (AMOUNT, Parameter("label_seed", 0, "key of the labels' noise", int, low=0))
"""Parameters of a system whose samples are a fixed set; one that draws them anew has the first alone."""


def noisy(y: np.ndarray, amount: float, classes: bool, seed: int, counter: int = 0) -> np.ndarray:
    """Targets (Q,) or (Q, K) with noise: a pure function of them and of the key.

    Raises
    ------
    InputError
        for a probability above 1

    >>> noisy(np.array([1.0, -1.0]), 1.0, True, seed=0).tolist()
    [-1.0, 1.0]
    """
    if classes and amount > 1:
        raise InputError(
            f"label_noise = {amount:g}: the targets are classes, and it is the probability of another one; give one "
            "of 0 to 1"
        )
    if amount == 0:
        return y
    rng = stream(seed, "label_noise", counter)
    if not classes:
        return np.asarray(y + amount * rng.standard_normal(y.shape))
    wrong = rng.random(len(y)) < amount
    if y.ndim == 1:
        return np.where(wrong, -y, y)
    # Another class: 1 … K − 1 places on, evenly.
    count = y.shape[1]
    ahead = np.where(wrong, rng.integers(1, max(count, 2), len(y)), 0)
    return np.asarray(np.eye(count)[(y.argmax(axis=1) + ahead) % count])


class NoisyLabels:
    """A network whose fresh samples have noisy targets; the risk that it reports has none."""

    def __init__(self, network: Any, amount: float) -> None:
        self._network, self._amount = network, amount

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._network.samples(seed, first, count)
        return x, noisy(y, self._amount, False, seed, first)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._network, name)


def with_noise(network: T, amount: float) -> T:
    """The network on samples y = f*(x) + amount · g; itself without noise."""
    return cast(T, NoisyLabels(network, amount)) if amount else network
