"""Several directions at a time that are worth more than a level: exact pricing is asked where none is left."""

from __future__ import annotations

import numpy as np

from wflow.spaces.pricing import ascended, sums

AT_A_TIME = 8
"""Directions that enter in one round."""


def worth_more(z: np.ndarray, c: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Directions (m, D) where |Σ_i c_i⟨θ, z_i⟩₊| ends above a level by ascent, best first, one a cell of the sphere.

    >>> z = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> rng = np.random.default_rng(0)
    >>> worth_more(z, np.array([3.0, 4.0]), 4.9, rng).round(6).tolist()
    [[0.6, 0.8]]
    >>> len(worth_more(z, np.array([3.0, 4.0]), 5.1, rng))
    0
    """
    on = c != 0.0
    z, c = z[on], c[on]
    if not len(c):
        return np.zeros((0, z.shape[1]))
    theta = ascended(z, c, rng)
    value = np.abs(sums(z, c, theta))
    order = np.argsort(-value)
    order = order[value[order] > level]
    _, first = np.unique(theta[order] @ z.T > 0.0, axis=0, return_index=True)
    return np.asarray(theta[order[np.sort(first)[:AT_A_TIME]]])
