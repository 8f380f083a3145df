"""Directions to begin with: those of a network that was trained for a while."""

from __future__ import annotations

import numpy as np

from wflow.kernels.parallel import one_blas_thread
from wflow.spaces.ascent import REACH, Ascent

NEURONS, STEPS = 300, 600
"""Where the margin is some 95% of what it comes to."""


def trained_directions(
    z: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Directions (m, D) of neurons and the signs of their charges, on samples z (n, D) with labels y."""
    d = z.shape[1]
    unit = float(np.sqrt((z**2).sum(axis=1).mean())) or 1.0
    theta = rng.standard_normal((NEURONS, d + 1))
    state = Ascent(z / unit, y, theta[:, d], theta[:, :d], True)
    with one_blas_thread():
        for _ in range(STEPS):
            _, _, size = state.measure()
            state.move(min(0.5, REACH / (size * state.scale)))
            state.shrink(size)
    length = np.linalg.norm(state.w, axis=1)
    mass = np.abs(state.a) * length
    order = np.argsort(-mass)
    return np.asarray(state.w[order] / length[order, None]), np.sign(state.a[order])
