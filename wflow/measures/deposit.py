"""Particles laid onto a grid: each one's mass goes to the cell that holds it, or to the nearest centres."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.measures.base import FloatArray
from wflow.measures.tensor_grid import TensorGrid
from wflow.tools.checks import check_word


def deposit(
    positions: FloatArray, weights: FloatArray, grid: TensorGrid, method: str
) -> FloatArray:
    """Cell averages whose masses are the particles'.

    ``histogram`` puts all of a particle into its cell. ``linear`` (cloud in cell) shares it between the centres on
    either side of it, as the hat functions of the centres, and so keeps the mean too, but for the half cell at a
    wall. A periodic axis wraps; on an axis with walls a particle outside is refused.
    """
    check_word("deposition", method, ("histogram", "linear"))
    per_axis = [_axis(grid, k, positions[:, k], method) for k in range(grid.dimension)]
    masses = np.zeros(int(np.prod(grid.shape)))
    for corner in itertools.product(*per_axis):
        cells = np.ravel_multi_index([index for index, _ in corner], grid.shape)
        shares = weights * np.prod([share for _, share in corner], axis=0)
        masses += np.bincount(cells, weights=shares, minlength=masses.size)
    density: FloatArray = masses.reshape(grid.shape) / grid.volumes
    return density


def _axis(grid: TensorGrid, k: int, x: FloatArray, method: str) -> list[tuple[Any, FloatArray]]:
    """Pairs of cell indices along an axis and the shares they receive."""
    edges, centers, n = grid.edges[k], grid.centers[k], grid.shape[k]
    period = float(edges[-1] - edges[0])
    if grid.periodic[k]:
        # Rounding may carry the sum past the end.
        x = np.minimum(edges[0] + np.mod(x - edges[0], period), edges[-1])
    outside = (x < edges[0]) | (x > edges[-1])
    if outside.any():
        i = int(np.argmax(outside))
        raise InputError(
            f"particle {i} has {grid.names[k]} = {x[i]:g}, outside [{edges[0]:g}, {edges[-1]:g}]: widen the bounds"
        )
    if method == "histogram" or n == 1:
        cell = np.minimum(np.searchsorted(edges, x, side="right") - 1, n - 1)
        return [(cell, np.ones_like(x))]
    below = np.searchsorted(centers, x, side="right") - 1
    if grid.periodic[k]:
        low, high = below % n, (below + 1) % n
        start = np.where(below < 0, centers[-1] - period, centers[low])
        stop = np.where(below == n - 1, centers[0] + period, centers[high])
    else:
        low = np.clip(below, 0, n - 2)
        high = low + 1
        start, stop = centers[low], centers[high]
    share = np.clip((x - start) / (stop - start), 0.0, 1.0)
    return [(low, 1 - share), (high, share)]
