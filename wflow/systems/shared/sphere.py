"""Directions: orthonormal frames, and points moved to a sphere."""

from __future__ import annotations

import math

import numpy as np

from wflow.tools.streams import stream


def frames(d: int, count: int) -> np.ndarray:
    """At least ``count`` directions in orthonormal frames, then their opposites; shape (2m, d)."""
    rng = stream(0, "directions")
    size = min(d, count)
    rows = [np.linalg.qr(rng.standard_normal((d, size)))[0].T for _ in range(-(-count // size))]
    u = np.concatenate(rows)
    return np.concatenate([u, -u])


def on_sphere(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length √d."""
    return np.asarray(x * (math.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)))
