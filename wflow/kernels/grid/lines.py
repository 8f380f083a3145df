"""Lines of a box side by side in tiles that the cache has, one line a lane: copied, eliminated and written back.

A block of lines is (base, step, across, m, n): cells of one lie ``step`` apart in memory, its m lines ``across``, of n
cells each. The elimination is that of ``tridiagonal``.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.axes import PER_WIDTH
from wflow.kernels.jit import FUSED, jit

LINES = 32
"""Lines side by side: four cache lines of each row, and more chains of divisions than one waits for."""
TILE = 32
"""Cells of a line that are taken at a time."""
Place = tuple[int, int, int, int, int]
"""Where a block of lines is in a flat array."""


@jit(apart=True)
def gather(
    field: np.ndarray,
    place: Place,
    first: int,
    count: int,
    tile: np.ndarray,
) -> None:
    """Cells first … first + count − 1 of a block of lines, round the ring; lanes without a line repeat the last."""
    base, step, across, m, n = place
    # What lies behind the last cell is the first. Numbers without a sign need no look at where they are below 0.
    inside = min(count, n - first)
    for part in range(2):
        begin, end, shift = (0, inside, first) if part == 0 else (inside, count, first - n)
        if across == 1 and m == LINES:
            for c in range(begin, end):
                at = np.uint64(base + (c + shift) * step)
                for k in range(LINES):
                    tile[c, k] = field[at + np.uint64(k)]
        else:
            for k in range(0, LINES, 4):
                at0 = np.uint64(base + shift * step + min(k, m - 1) * across)
                at1 = np.uint64(base + shift * step + min(k + 1, m - 1) * across)
                at2 = np.uint64(base + shift * step + min(k + 2, m - 1) * across)
                at3 = np.uint64(base + shift * step + min(k + 3, m - 1) * across)
                for c in range(begin, end):
                    ahead = np.uint64(c * step)
                    tile[c, k] = field[at0 + ahead]
                    tile[c, k + 1] = field[at1 + ahead]
                    tile[c, k + 2] = field[at2 + ahead]
                    tile[c, k + 3] = field[at3 + ahead]


@jit(apart=True)
def scatter(lines: np.ndarray, axis: np.ndarray, place: Place, out: np.ndarray) -> None:
    """Write μ'/w."""
    base, step, across, m, n = place
    if across == 1:
        for i in range(n):
            per_width, at = axis[PER_WIDTH, i], np.uint64(base + i * step)
            for k in range(m):
                out[at + np.uint64(k)] = per_width * lines[i, k]
    else:
        for first in range(0, n, TILE):
            last = min(first + TILE, n)
            for k in range(m):
                at = np.uint64(base + k * across)
                for i in range(first, last):
                    out[at + np.uint64(i)] = axis[PER_WIDTH, i] * lines[i, k]


@jit(apart=True)
def open_ring(mass: np.ndarray, up: np.ndarray, down: np.ndarray, state: np.ndarray) -> None:
    """What ties the first cell of a ring to its last."""
    for k in range(LINES):
        state[2, k] = down[0, k]
        state[3, k] = up[0, k]
        state[4, k] = 1.0
        state[5, k] = mass[0, k]


@jit(fastmath=FUSED, apart=True)
def eliminate(
    mass: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    face: int,
    count: int,
    lines: np.ndarray,
    leak: np.ndarray,
    state: np.ndarray,
) -> None:
    """Take out the cells below ``count`` faces; the pivot is what stays and what flows on, both positive."""
    for c in range(count):
        i = face + c
        for k in range(LINES):
            ahead, back = up[c, k], down[c, k]
            per_pivot = 1.0 / (state[0, k] + ahead)
            settled = state[1, k] * per_pivot
            lines[i, k] = settled
            leak[i, k] = back * per_pivot
            state[1, k] = mass[c + 1, k] + ahead * settled
            state[0, k] = 1.0 + back * (state[0, k] * per_pivot)


@jit(fastmath=FUSED, apart=True)
def eliminate_ring(
    mass: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    face: int,
    count: int,
    lines: np.ndarray,
    leak: np.ndarray,
    tie: np.ndarray,
    state: np.ndarray,
) -> None:
    """The same on a ring, where every cell is tied to the last one as well."""
    n = lines.shape[0]
    for c in range(count):
        i = face + c
        # The last but one cell has both its neighbours in the last.
        apart = 1.0 if i < n - 2 else 0.0
        for k in range(LINES):
            ahead, back = up[c, k], down[c, k]
            away, home = state[2, k], state[3, k]
            per_pivot = 1.0 / (state[0, k] + ahead + away)
            settled = state[1, k] * per_pivot
            tied = home + (1.0 - apart) * back
            lines[i, k] = settled
            leak[i, k] = apart * back * per_pivot
            tie[i, k] = tied * per_pivot
            state[4, k] += tied * (state[0, k] * per_pivot)
            state[5, k] += (away + (1.0 - apart) * ahead) * settled
            state[1, k] = mass[c + 1, k] + ahead * settled
            state[0, k] = 1.0 + back * (state[0, k] * per_pivot)
            state[2, k] = back * (away * per_pivot)
            state[3, k] = home * (ahead * per_pivot)


@jit(fastmath=FUSED, apart=True)
def substitute(
    periodic: bool,
    n: int,
    lines: np.ndarray,
    leak: np.ndarray,
    tie: np.ndarray,
    state: np.ndarray,
) -> None:
    """From the last cell back to the first."""
    stays, carried = (4, 5) if periodic else (0, 1)
    for k in range(LINES):
        lines[n - 1, k] = state[carried, k] / state[stays, k]
    for i in range(n - 2, -1, -1):
        for k in range(LINES):
            lines[i, k] += leak[i, k] * lines[i + 1, k]
        if periodic:
            for k in range(LINES):
                lines[i, k] += tie[i, k] * lines[n - 1, k]
