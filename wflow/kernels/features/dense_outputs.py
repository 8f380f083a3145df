r"""A layer of neurons with K outputs on all samples, contracted over neurons or over samples.

.. math:: f_{qk} = \sum_i e_{ik}\,\sigma(z_{qi}), \qquad g_{qi} = \sigma'(z_{qi}) \sum_k c_{qk}\,a_{ik}, \qquad
          \sum_q \bigl(c_{qk}\,\sigma(z_{qi}),\ g_{qi},\ g_{qi}\,x_q\bigr)

As in :mod:`wflow.kernels.features.dense`, CHUNK samples times PANEL neurons stay in the first-level cache. What was a
product with a number a neuron is a matrix product here: f, c aᵀ and cᵀσ are tiles too, of K rounded up to ROWS or
PANEL, and the charges cannot wait until the sum over samples is done.

Sums run over fixed blocks in a fixed order: neither threads nor keeping changes one bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.kernels.features.dense import CHUNK, Kept, Layer, fetched_beside, pack, products
from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.tile import (
    PANEL,
    QUARTER,
    ROWS,
    multiply,
    multiply_add,
    multiply_add_broad,
    multiply_add_half,
    multiply_add_middling,
    multiply_add_narrow,
    multiply_add_quarter,
    multiply_add_row,
    on_line,
    prefetch,
)

PARTIAL_SUMS = 1 << 22
"""Numbers that the predictions of all blocks take at most (32 MiB), unless fewer than 8 blocks are left."""


def by_rows(values: np.ndarray, rows: int, multiple: int) -> np.ndarray:
    """A matrix (m, K) with rows of zeros up to ``rows``, and columns of zeros up to a ``multiple``."""
    m, k = values.shape
    out = np.zeros((rows, -(-k // multiple) * multiple))
    out[:m, :k] = values
    return out


def block_rows(rows: int, n: int, predictions: int) -> int:
    """Neurons that add up to one array of predictions, a multiple of the ``rows`` whose weights fit the cache."""
    blocks = max(8, min(64, PARTIAL_SUMS // predictions))
    return rows * max(1, -(-n // (rows * blocks)))


@jit(fastmath=FUSED)
def predict_rows(
    layer: Layer,
    activation: Any,
    params: np.ndarray,
    effective: np.ndarray,
    kept: Kept,
    rows: int,
    part: tuple[int, int],
    out: np.ndarray,
) -> None:
    """out_qk += Σ e_ik σ(z_qi) over the neurons ``part``, begin ≤ i < end, ``rows`` at a time, all multiples of PANEL.

    ``effective`` and ``out`` have zeros in rows and columns added: n up to PANEL, K up to QUARTER, Q up to ROWS.
    """
    widest()
    nodes, samples, points, charges, offset = layer
    kept_value, kept_slope, filled, notes, coded = kept
    begin, end = part
    padded, width = nodes.shape
    columns = out.shape[1]
    head = charges + int(offset)
    d = points.shape[1] - head
    flat, totals, e = nodes.reshape(-1), out.reshape(-1), effective.reshape(-1)
    size = d * PANEL
    packed, offsets = on_line(rows * d), on_line(rows)
    z = on_line(CHUNK * PANEL)
    # What rows of a tile beyond the last sample hold goes into rows that nobody reads: 0 is a number.
    own_value, own_slope = np.zeros(CHUNK * PANEL), np.zeros(CHUNK * PANEL)
    for start in range(begin, end, rows):
        stop = min(start + rows, end)
        panels = (stop - start + PANEL - 1) // PANEL
        if not filled:
            for p in range(panels):
                pack(
                    points, head, offset, start + p * PANEL, stop,
                    packed, p * size, offsets, p * PANEL,
                )  # fmt: skip
        for first in range(0, samples, CHUNK):
            count = min(CHUNK, samples - first)
            cells = count * PANEL
            for p in range(panels):
                value, slope, at = own_value, own_slope[:cells], 0
                here, z_at, place = z, 0, ((start // PANEL + p) * padded + first) * PANEL
                if kept_value.size > 0:
                    value, slope, at = kept_value, kept_slope[place : place + cells], place
                elif notes.size > 0 and coded:
                    slope = notes[place : place + cells]
                elif notes.size > 0:
                    here, z_at = notes, place
                if not filled:
                    products(
                        flat, first, count, width, packed, p * size, d, offsets, p * PANEL,
                        here, z_at, notes, place,
                    )  # fmt: skip
                    activation(here[z_at : z_at + cells], params, value[at : at + cells], slope)
                for j in range(0, columns, PANEL):
                    here = (start + p * PANEL) * columns + j
                    _add_columns(
                        totals, first * columns + j, columns, value, at, e, here, count, columns - j
                    )


@jit(fastmath=FUSED)
def gradient_rows(
    layer: Layer,
    activation: Any,
    params: np.ndarray,
    node_weights: np.ndarray,
    pulls: np.ndarray,
    kept: Kept,
    part: tuple[int, int],
    potential: np.ndarray,
    out: np.ndarray,
) -> None:
    """Rows ``part`` = (start, stop) of the potential (n,) and, unless ``out`` is empty, of the gradient.

    ``node_weights`` (padded Q, K) has rows of zeros added; ``pulls`` are the nodes in panels of ROWS
    columns, flat (:func:`wflow.kernels.features.dense.weighted_nodes` with weights 1).
    """
    widest()
    nodes, samples, points, charges, offset = layer
    kept_value, kept_slope, filled, notes, _ = kept
    start, stop = part
    padded, width = nodes.shape
    head = charges + int(offset)
    d = points.shape[1] - head
    flat, c = nodes.reshape(-1), node_weights.reshape(-1)
    packed, offsets, a = on_line(d * PANEL), on_line(PANEL), on_line(charges * PANEL)
    z, g = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    own_value, own_slope = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    into_a, into_b, into_w = on_line(charges * PANEL), on_line(PANEL), on_line(width * PANEL)
    one = np.ones(1)
    with_gradient = out.size > 0
    share, at = fetched_beside(width), 0
    for panel in range(start, stop, PANEL):
        pack(points, head, offset, panel, stop, packed, 0, offsets, 0)
        for v in range(PANEL):
            for k in range(charges):
                a[k * PANEL + v] = points[min(panel + v, stop - 1), k]
        into_a[:] = 0.0
        into_b[:] = 0.0
        into_w[:] = 0.0
        for first in range(0, samples, CHUNK):
            count = min(CHUNK, samples - first)
            cells = count * PANEL
            value, slope = own_value[:cells], own_slope[:cells]
            if kept_value.size > 0:
                at = (panel // PANEL * padded + first) * PANEL
                value, slope = kept_value[at : at + cells], kept_slope[at : at + cells]
            if notes.size > 0:
                at = (panel // PANEL * padded + first) * PANEL
                activation(notes[at : at + cells], params, value, slope)
            elif not filled:
                products(flat, first, count, width, packed, 0, d, offsets, 0, z, 0, notes, 0)
                activation(z[:cells], params, value, slope)
            _add_rows(into_a, c, first * charges, charges, value, count)
            if not with_gradient:
                continue
            for k in range(0, count, ROWS):
                multiply(
                    g, k * PANEL, PANEL, c, (first + k) * charges, charges, 1,
                    a, 0, PANEL, charges,
                )  # fmt: skip
            for k in range(cells):
                g[k] *= slope[k]
            multiply_add_row(into_b, 0, PANEL, one, 0, 0, 0, g, 0, PANEL, count)
            for j in range(0, width, ROWS):
                if notes.size > 0:
                    prefetch(notes, at + cells + j // ROWS * share, share)
                multiply_add(
                    into_w, j * PANEL, PANEL,
                    pulls, j * padded + first * ROWS, 1, ROWS,
                    g, 0, PANEL, count,
                )  # fmt: skip
        for v in range(min(PANEL, stop - panel)):
            i = panel + v
            total = 0.0
            for k in range(charges):
                total += a[k * PANEL + v] * into_a[k * PANEL + v]
                if with_gradient:
                    out[i, k] = into_a[k * PANEL + v]
            potential[i] = total
            if with_gradient:
                if offset:
                    out[i, charges] = into_b[v]
                for j in range(d):
                    out[i, head + j] = into_w[j * PANEL + v]


@jit(fastmath=FUSED)
def _add_rows(
    out: np.ndarray, c: np.ndarray, start: int, rows: int, value: np.ndarray, count: int
) -> None:
    """out[k PANEL + v] += sum_q c[start + q rows + k] value[q PANEL + v] for k < rows, in tiles as tall as fit."""
    k = 0
    while k + ROWS <= rows:
        multiply_add(out, k * PANEL, PANEL, c, start + k, 1, rows, value, 0, PANEL, count)
        k += ROWS
    if k + ROWS // 2 <= rows:
        multiply_add_half(out, k * PANEL, PANEL, c, start + k, 1, rows, value, 0, PANEL, count)
        k += ROWS // 2
    while k + ROWS // 4 <= rows:
        multiply_add_quarter(out, k * PANEL, PANEL, c, start + k, 1, rows, value, 0, PANEL, count)
        k += ROWS // 4
    if k < rows:
        multiply_add_row(out, k * PANEL, PANEL, c, start + k, 1, rows, value, 0, PANEL, count)


@jit(fastmath=FUSED)
def _add_columns(
    out: np.ndarray,
    start: int,
    stride: int,
    value: np.ndarray,
    at: int,
    e: np.ndarray,
    here: int,
    count: int,
    columns: int,
) -> None:
    """out[start + q stride + k] += sum_v value[at + q PANEL + v] e[here + v stride + k], k < min(columns, PANEL)."""
    for q in range(0, count, ROWS):
        to, a = start + q * stride, at + q * PANEL
        if columns >= PANEL:
            multiply_add(out, to, stride, value, a, PANEL, 1, e, here, stride, PANEL)
        elif columns == 3 * QUARTER:
            multiply_add_broad(out, to, stride, value, a, PANEL, 1, e, here, stride, PANEL)
        elif columns == 2 * QUARTER:
            multiply_add_middling(out, to, stride, value, a, PANEL, 1, e, here, stride, PANEL)
        else:
            multiply_add_narrow(out, to, stride, value, a, PANEL, 1, e, here, stride, PANEL)
