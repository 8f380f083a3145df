r"""Pieces of mass under the gradient of a quadratic spline: where they settle, and the cells that they then cover.

On a box of equal cells, B_j the product of quadratic B-splines around the centre of cell j and p = Σ c_j B_j, a piece
from x settles where

.. math:: z = \operatorname{argmin}_z\ \frac{|z-x|^2}{2h} + p(z), \qquad \frac{dz}{dx} = (1 + hD^2p)^{-1},

and lies there as a box, as much wider than its own as the map stretches. Positions are in cells from the box's corner.
A wall reflects (the spline is even there), a ring wraps; along an axis that does not move the spline is level in each
cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit

SETTLE = 40
"""Newton steps of one piece."""
CLOSE = 1e-10
"""Its last one, in cells."""
LEAST = 0.02
"""Least leading minors of 1 + hD²p that count as convex."""
THINNEST, WIDEST = 0.1, 2.0
"""Least stretch of a box, and its greatest width in cells."""


class Lattice(NamedTuple):
    """Three axes of equal cells, the first of them with one cell where the grid has less."""

    moves: np.ndarray  # (3,) bool
    periodic: np.ndarray  # (3,) bool
    widths: np.ndarray  # (3,)
    near0: np.ndarray  # the cells whose splines reach a cell (n0, 3); (n0, 1) if it does not move
    near1: np.ndarray
    near2: np.ndarray


@jit(fastmath=FUSED)
def _taps(z: float, n: int, moves: bool, w: np.ndarray, d: np.ndarray, b: np.ndarray) -> int:
    """The cell of z; values, slopes and bends there of the splines of it and its two neighbours."""
    i = min(max(int(z), 0), n - 1)
    if moves:
        t = z - i - 0.5
        w[0], w[1], w[2] = 0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2
        d[0], d[1], d[2] = t - 0.5, -2.0 * t, t + 0.5
        b[0], b[1], b[2] = 1.0, -2.0, 1.0
    else:
        w[0], d[0], b[0] = 1.0, 0.0, 0.0
    return i


@jit(fastmath=FUSED)
def _inverse(
    h00: float, h11: float, h22: float, h01: float, h02: float, h12: float, out: np.ndarray
) -> float:
    """The inverse of a symmetric matrix as (00, 11, 22, 01, 02, 12), and its determinant."""
    a00 = h11 * h22 - h12 * h12
    a01 = h02 * h12 - h01 * h22
    a02 = h01 * h12 - h02 * h11
    det = h00 * a00 + h01 * a01 + h02 * a02
    per = 1.0 / det
    out[0], out[3], out[4] = a00 * per, a01 * per, a02 * per
    out[1], out[5] = (h00 * h22 - h02 * h02) * per, (h01 * h02 - h00 * h12) * per
    out[2] = (h00 * h11 - h01 * h01) * per
    return det


@jit(fastmath=FUSED)
def settle(
    home: np.ndarray,
    c: np.ndarray,
    lattice: Lattice,
    h: float,
    first: int,
    last: int,
    z: np.ndarray,
    answer: np.ndarray,
) -> int:
    """Move z (P, 3) from where each piece of ``home`` is to where it settles; (1 + hD²p)⁻¹ there, (P, 6).

    The inverse is in cells, as (00, 11, 22, 01, 02, 12), over the squares of the widths. Returns how many have settled
    where z²/2 + hp is not convex.
    """
    moves, periodic, widths, near0, near1, near2 = lattice
    n0, n1, n2 = c.shape
    w, d, b = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    inverse, lost = np.empty(6), 0
    w00, w11, w22 = widths[0] ** 2, widths[1] ** 2, widths[2] ** 2
    for q in range(first, last):
        x0, x1, x2 = home[q, 0], home[q, 1], home[q, 2]
        y0, y1, y2 = z[q, 0], z[q, 1], z[q, 2]
        old0, old1, old2, best = y0, y1, y2, np.inf
        h00 = h11 = h22 = h01 = h02 = h12 = 0.0
        convex = False
        value = 0.0
        for _ in range(SETTLE):
            r0, r1, r2 = y0, y1, y2
            if periodic[0]:
                r0 -= n0 * np.floor(y0 / n0)
            if periodic[1]:
                r1 -= n1 * np.floor(y1 / n1)
            if periodic[2]:
                r2 -= n2 * np.floor(y2 / n2)
            i0 = _taps(r0, n0, moves[0], w[0], d[0], b[0])
            i1 = _taps(r1, n1, moves[1], w[1], d[1], b[1])
            i2 = _taps(r2, n2, moves[2], w[2], d[2], b[2])
            value = 0.0
            g0 = g1 = g2 = 0.0
            h00 = h11 = h22 = h01 = h02 = h12 = 0.0
            for k0 in range(near0.shape[1]):
                j0 = near0[i0, k0]
                for k1 in range(near1.shape[1]):
                    j1 = near1[i1, k1]
                    v = s = e = 0.0
                    for k2 in range(near2.shape[1]):
                        at = c[j0, j1, near2[i2, k2]]
                        v += w[2, k2] * at
                        s += d[2, k2] * at
                        e += b[2, k2] * at
                    u0, u1 = w[0, k0], w[1, k1]
                    d0, d1 = d[0, k0], d[1, k1]
                    value += u0 * u1 * v
                    g0 += d0 * u1 * v
                    g1 += u0 * d1 * v
                    g2 += u0 * u1 * s
                    h00 += b[0, k0] * u1 * v
                    h11 += u0 * b[1, k1] * v
                    h22 += u0 * u1 * e
                    h01 += d0 * d1 * v
                    h02 += d0 * u1 * s
                    h12 += u0 * d1 * s
            h00, h11, h22 = w00 + h * h00, w11 + h * h11, w22 + h * h22
            h01, h02, h12 = h * h01, h * h02, h * h12
            g0 = w00 * (y0 - x0) + h * g0
            g1 = w11 * (y1 - x1) + h * g1
            g2 = w22 * (y2 - x2) + h * g2
            far = w00 * (y0 - x0) ** 2 + w11 * (y1 - x1) ** 2 + w22 * (y2 - x2) ** 2
            value = 0.5 * far + h * value
            if value > best:
                # Too far across a knot: half of the way back.
                y0, y1, y2 = 0.5 * (y0 + old0), 0.5 * (y1 + old1), 0.5 * (y2 + old2)
                continue
            best, old0, old1, old2 = value, y0, y1, y2
            det = _inverse(h00, h11, h22, h01, h02, h12, inverse)
            convex = h00 > LEAST * w00 and h00 * h11 - h01 * h01 > LEAST * w00 * w11
            convex = convex and det > LEAST * w00 * w11 * w22
            if not convex:
                # Downhill all the same: the diagonal dominates.
                h00 = max(h00, 0.1 * w00 + abs(h01) + abs(h02))
                h11 = max(h11, 0.1 * w11 + abs(h01) + abs(h12))
                h22 = max(h22, 0.1 * w22 + abs(h02) + abs(h12))
                _inverse(h00, h11, h22, h01, h02, h12, inverse)
            s0 = inverse[0] * g0 + inverse[3] * g1 + inverse[4] * g2
            s1 = inverse[3] * g0 + inverse[1] * g1 + inverse[5] * g2
            s2 = inverse[4] * g0 + inverse[5] * g1 + inverse[2] * g2
            y0, y1, y2 = y0 - s0, y1 - s1, y2 - s2
            if not periodic[0]:
                y0 = min(max(y0, 0.0), float(n0))
            if not periodic[1]:
                y1 = min(max(y1, 0.0), float(n1))
            if not periodic[2]:
                y2 = min(max(y2, 0.0), float(n2))
            if abs(y0 - old0) + abs(y1 - old1) + abs(y2 - old2) < CLOSE:
                break
        if not convex:
            lost += 1
        z[q, 0], z[q, 1], z[q, 2] = y0, y1, y2
        for k in range(6):
            answer[q, k] = inverse[k]
    return lost


@jit(fastmath=FUSED)
def _cover(
    z: float, half: float, n: int, periodic: bool, moves: bool, w: np.ndarray, j: np.ndarray
) -> int:
    """The cells that [z − half, z + half] covers, and its share of each; what sticks out of a wall stays beside it."""
    if not moves:
        j[0], w[0] = int(z), 1.0
        return 1
    low, high, per = z - half, z + half, 0.5 / half
    first, last = int(np.floor(low)), int(np.floor(high))
    count = 0
    for i in range(first, last + 1):
        part = (min(high, i + 1.0) - max(low, float(i))) * per
        if part <= 0 and last > first:
            continue
        w[count] = part
        j[count] = i % n if periodic else min(max(i, 0), n - 1)
        count += 1
    return count


@jit(fastmath=FUSED)
def spread(
    z: np.ndarray,
    mass: np.ndarray,
    half: np.ndarray,
    answer: np.ndarray,
    lattice: Lattice,
    first: int,
    last: int,
    out: np.ndarray,
) -> None:
    """Add the pieces, boxes of half-widths ``half`` (P,) before they were stretched, to ``out`` (4, n0, n1, n2).

    Their mass, and their mass times the stretch along each axis; in the lines ``first`` to ``last`` of the last axis.
    """
    moves, periodic, widths, _, _, _ = lattice
    _, n0, n1, n2 = out.shape
    w, j = np.empty((3, 8)), np.empty((3, 8), dtype=np.int64)
    for q in range(z.shape[0]):
        t0 = answer[q, 0] * widths[0] ** 2
        t1 = answer[q, 1] * widths[1] ** 2
        t2 = answer[q, 2] * widths[2] ** 2
        b0 = min(half[q] * max(t0, THINNEST), 0.5 * WIDEST)
        b1 = min(half[q] * max(t1, THINNEST), 0.5 * WIDEST)
        b2 = min(half[q] * max(t2, THINNEST), 0.5 * WIDEST)
        c0 = _cover(z[q, 0], b0, n0, periodic[0], moves[0], w[0], j[0])
        c1 = _cover(z[q, 1], b1, n1, periodic[1], moves[1], w[1], j[1])
        c2 = _cover(z[q, 2], b2, n2, periodic[2], moves[2], w[2], j[2])
        for k0 in range(c0):
            for k1 in range(c1):
                if first <= j[0, k0] * n1 + j[1, k1] < last:
                    part = mass[q] * w[0, k0] * w[1, k1]
                    for k2 in range(c2):
                        m = part * w[2, k2]
                        at = j[2, k2]
                        out[0, j[0, k0], j[1, k1], at] += m
                        out[1, j[0, k0], j[1, k1], at] += m * t0
                        out[2, j[0, k0], j[1, k1], at] += m * t1
                        out[3, j[0, k0], j[1, k1], at] += m * t2
