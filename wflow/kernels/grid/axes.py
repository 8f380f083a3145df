"""A box of cells (n0, n1, n2) as the kernels of grids see it; axes that are missing have one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

GAP, SPAN, HALF, PER_WIDTH = 0, 1, 2, 3
"""Rows of an axis's geometry: 1/δ of face f at f + 1, 1/(δ + δ') and w/2 of cell i at i + 1, 1/w of cell i at i."""

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]
"""One array an axis."""


class Axes(NamedTuple):
    """The three axes: their geometries, and one truth value an axis (3,)."""

    geometry: Triple
    moves: np.ndarray
    periodic: np.ndarray

    @classmethod
    def of(cls, edges: Sequence[np.ndarray], moves: np.ndarray, periodic: np.ndarray) -> Axes:
        """The axes with these edges of cells."""
        one, two, three = map(axis_geometry, edges, periodic.tolist())
        return cls((one, two, three), moves, periodic)


def axis_geometry(edges: np.ndarray, periodic: bool) -> np.ndarray:
    """The numbers (4, n + 3) that a sweep along one axis needs, with ghosts.

    >>> axis_geometry(np.array([0.0, 0.5, 1.0]), False)[GAP].tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    widths = np.diff(edges)
    n = widths.size
    # Behind a wall the ghost cells repeat the last cell: all differences across it are 0.
    padded = np.pad(widths, 2, mode="wrap" if periodic else "edge")
    gaps = 0.5 * (padded[1:] + padded[:-1])  # faces -1 … n + 1
    table = np.zeros((4, n + 3))
    table[GAP] = 1.0 / gaps
    table[SPAN, : n + 2] = 1.0 / (gaps[1:] + gaps[:-1])
    table[HALF, : n + 2] = 0.5 * padded[1:-1]
    table[PER_WIDTH, :n] = 1.0 / widths
    return table
