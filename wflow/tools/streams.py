"""Random streams that are pure functions of (seed, purpose, counter): a run can be cut and resumed anywhere."""

from __future__ import annotations

import numpy as np

PURPOSES = {
    "labels": 1,
    "inputs": 2,
    "start": 3,
    "directions": 4,
    "noise": 5,
    "order": 6,
    "split": 7,
    "births": 8,
    "label_noise": 9,
}


def stream(seed: int, purpose: str, counter: int = 0) -> np.random.Generator:
    """The generator for one purpose at one count; streams of different keys are independent.

    SFC64 behind numpy's SeedSequence: the fastest normals numpy has, seeded in 10 microseconds.

    >>> stream(0, "noise", 3).random() == stream(0, "noise", 3).random()
    True
    """
    key = np.random.SeedSequence([seed, PURPOSES[purpose], counter])
    return np.random.Generator(np.random.SFC64(key))
