r"""Sums over bumps: compactly supported units on nodes, visited only where they overlap.

.. math:: K^\delta(z) = \delta^{-d}\,C\,(1-|z|^2/\delta^2)_+^3, \qquad
          \nabla K^\delta(z) = -6\,C\,\delta^{-d-2}\,(1-|z|^2/\delta^2)_+^2\,z

Nodes on a lattice are reached through the box of indices within δ of a point; scattered nodes are few (a batch of
samples), and all are visited. Lattices of one or two axes carry axes of a single point in front.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.kernels.jit import REORDERED, jit


@jit
def box(x: float, origin: float, spacing: float, count: int, width: float) -> tuple[int, int]:
    """First index, and one past the last, of the lattice points within ``width`` of x."""
    first = max(0, math.ceil((x - width - origin) / spacing))
    last = min(count - 1, math.floor((x + width - origin) / spacing))
    return first, last + 1


@jit(fastmath=REORDERED)
def scatter(
    points: np.ndarray,
    weights: np.ndarray,
    origin: np.ndarray,
    spacing: np.ndarray,
    width: float,
    peak: float,
    out: np.ndarray,
) -> None:
    """Add Σ_i w_i K(x_q − w_i) to ``out`` (n1, n2, n3); ``points`` (n, 3), ``peak`` is C δ^{-d}."""
    inverse = 1.0 / (width * width)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        a0, a1 = box(x, origin[0], spacing[0], out.shape[0], width)
        b0, b1 = box(y, origin[1], spacing[1], out.shape[1], width)
        c0, c1 = box(z, origin[2], spacing[2], out.shape[2], width)
        charge = peak * weights[i]
        for a in range(a0, a1):
            u = origin[0] + a * spacing[0] - x
            for b in range(b0, b1):
                v = origin[1] + b * spacing[1] - y
                room = 1.0 - (u * u + v * v) * inverse
                if room <= 0.0:
                    continue
                for c in range(c0, c1):
                    s = origin[2] + c * spacing[2] - z
                    q = max(room - s * s * inverse, 0.0)
                    out[a, b, c] += charge * q * q * q


@jit(fastmath=REORDERED)
def gather(
    points: np.ndarray,
    coefficients: np.ndarray,
    origin: np.ndarray,
    spacing: np.ndarray,
    width: float,
    peak: float,
    value: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Write Σ_q c_q K(x_q − w_i) to ``value`` (n,) and Σ_q c_q ∇_w K(x_q − w_i) to ``slope`` (n, 3)."""
    inverse = 1.0 / (width * width)
    shape = coefficients.shape
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        a0, a1 = box(x, origin[0], spacing[0], shape[0], width)
        b0, b1 = box(y, origin[1], spacing[1], shape[1], width)
        c0, c1 = box(z, origin[2], spacing[2], shape[2], width)
        total, along0, along1, along2 = 0.0, 0.0, 0.0, 0.0
        for a in range(a0, a1):
            u = origin[0] + a * spacing[0] - x
            for b in range(b0, b1):
                v = origin[1] + b * spacing[1] - y
                room = 1.0 - (u * u + v * v) * inverse
                if room <= 0.0:
                    continue
                row, row2 = 0.0, 0.0
                for c in range(c0, c1):
                    s = origin[2] + c * spacing[2] - z
                    q = max(room - s * s * inverse, 0.0)
                    pull = coefficients[a, b, c] * q * q
                    total += pull * q
                    row += pull
                    row2 += pull * s
                along0 += row * u
                along1 += row * v
                along2 += row2
        value[i] = peak * total
        scale = 6.0 * peak * inverse
        slope[i, 0] = scale * along0
        slope[i, 1] = scale * along1
        slope[i, 2] = scale * along2


@jit(fastmath=REORDERED)
def scatter_nodes(
    points: np.ndarray,
    weights: np.ndarray,
    nodes: np.ndarray,
    width: float,
    peak: float,
    out: np.ndarray,
) -> None:
    """Write Σ_i w_i K(x_q − w_i) to ``out`` (Q,), for scattered nodes (Q, d)."""
    inverse = 1.0 / (width * width)
    for q in range(nodes.shape[0]):
        total = 0.0
        for i in range(points.shape[0]):
            room = 1.0
            for k in range(nodes.shape[1]):
                z = nodes[q, k] - points[i, k]
                room -= z * z * inverse
            room = max(room, 0.0)
            total += weights[i] * room * room * room
        out[q] = peak * total


@jit(fastmath=REORDERED)
def gather_nodes(
    points: np.ndarray,
    coefficients: np.ndarray,
    nodes: np.ndarray,
    width: float,
    peak: float,
    value: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Write Σ_q c_q K(x_q − w_i) to ``value`` (n,) and its gradient in w_i to ``slope`` (n, d)."""
    inverse = 1.0 / (width * width)
    scale = 6.0 * peak * inverse
    for i in range(points.shape[0]):
        total = 0.0
        slope[i] = 0.0
        for q in range(nodes.shape[0]):
            room = 1.0
            for k in range(nodes.shape[1]):
                z = nodes[q, k] - points[i, k]
                room -= z * z * inverse
            if room > 0.0:
                pull = coefficients[q] * room * room
                total += pull * room
                for k in range(nodes.shape[1]):
                    slope[i, k] += scale * pull * (nodes[q, k] - points[i, k])
        value[i] = peak * total
