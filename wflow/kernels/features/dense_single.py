r"""The contractions of :mod:`wflow.kernels.features.dense` in float32, for one output and for K.

.. math:: f_{qk} = \sum_i e_{ik}\,\sigma(z_{qi}), \qquad z_{qi} = \langle w_i, x_q\rangle, \qquad
          \sum_q c_{qk}\,\sigma(z_{qi}), \qquad \sum_q p_{qi}\,\sigma'(z_{qi})\,x_q

An offset is the weight of an input that is 1. Products and activations are float32; sums are formed in float32 over
CHUNK samples, or PANEL GROUP neurons in PANEL lanes, and added up in float64.

Sums run over fixed blocks in a fixed order: threads change no bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.tile_single import (
    PANEL,
    ROWS,
    add_weighted,
    multiply,
    multiply_add,
    multiply_into,
    multiply_row_into,
    on_line,
)

CHUNK = 96
"""Samples taken together, a multiple of ROWS; so many terms of a sum over samples are added in float32."""
GROUP = 16
"""Panels of neurons that are added in float32."""


class SingleLayer(NamedTuple):
    """Neurons on samples, both with the offset's column first where there is one."""

    nodes: np.ndarray
    """Samples (padded Q, D) in float32."""
    samples: int
    weights: np.ndarray
    """Neurons (n, D) in float32."""


def padded_rows(rows: int, multiple: int = ROWS) -> int:
    """The least multiple that is no less."""
    return -(-rows // multiple) * multiple


def in_panels(columns: np.ndarray, rows: int) -> np.ndarray:
    """Columns (Q, D) as float32 panels (padded D/ROWS, ``rows``, ROWS), zeros added, flat."""
    q, d = columns.shape
    out = np.zeros((padded_rows(d), rows), np.float32)
    out[:d, :q] = columns.T
    return np.ascontiguousarray(out.reshape(-1, ROWS, rows).transpose(0, 2, 1)).reshape(-1)


def block_rows(n: int, samples: int, d: int) -> int:
    """Neurons in a block, a multiple of PANEL, from the shape of the problem alone: as in float64."""
    blocks = max(1, min(32, n * samples >> 15))
    panels = max(1, min(n // (blocks * PANEL), (1 << 16) // (PANEL * d)))
    return panels * PANEL


@jit(fastmath=FUSED)
def _pack(weights: np.ndarray, panel: int, stop: int, packed: np.ndarray, at: int) -> None:
    """Weights (D, PANEL) of one panel; the last neuron fills a panel that is not full."""
    for v in range(PANEL):
        i = min(panel + v, stop - 1)
        for j in range(weights.shape[1]):
            packed[at + j * PANEL + v] = weights[i, j]


@jit(fastmath=FUSED)
def _activated(
    flat: np.ndarray, first: int, count: int, d: int, packed: np.ndarray, at: int,
    activation: Any, params: np.ndarray, z: np.ndarray, value: np.ndarray, slope: np.ndarray,
) -> None:  # fmt: skip
    """z, σ(z) and σ'(z) of ``count`` samples and one panel."""
    for q in range(0, count, ROWS):
        multiply(z, q * PANEL, PANEL, flat, (first + q) * d, d, 1, packed, at, PANEL, d)
    cells = count * PANEL
    activation(z[:cells], params, value[:cells], slope[:cells])


@jit(fastmath=FUSED)
def predict_rows(
    layer: SingleLayer,
    activation: Any,
    params: np.ndarray,
    effective: np.ndarray,
    part: tuple[int, int],
    out: np.ndarray,
) -> None:
    """out_qk += Σ_i e_ik σ(z_qi) over the neurons ``part``, start ≤ i < stop; e is (padded n, 1 or padded K)."""
    widest()
    nodes, _, weights = layer
    start, stop = part
    rows, d = nodes.shape
    wide = effective.shape[1]
    flat, size = nodes.reshape(-1), d * PANEL
    panels = (stop - start + PANEL - 1) // PANEL
    packed = on_line(panels * size)
    for p in range(panels):
        _pack(weights, start + p * PANEL, stop, packed, p * size)
    e = effective.reshape(-1)
    z, value, slope = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    columns = max(wide, PANEL)
    total = on_line(CHUNK * columns)
    samples = out.shape[0]
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        for group in range(0, panels, GROUP):
            total[:] = np.float32(0.0)
            for p in range(group, min(group + GROUP, panels)):
                _activated(
                    flat, first, count, d, packed, p * size, activation, params, z, value, slope
                )
                here = (start + p * PANEL) * wide
                if wide == 1:
                    add_weighted(total, e, here, value, count)
                    continue
                for q in range(0, count, ROWS):
                    for k in range(0, wide, PANEL):
                        multiply_add(
                            total, q * wide + k, wide, value, q * PANEL, PANEL, 1,
                            e, here + k, wide, PANEL,
                        )  # fmt: skip
            for q in range(min(count, samples - first)):
                if wide == 1:
                    s = 0.0
                    for v in range(PANEL):
                        s += np.float64(total[q * PANEL + v])
                    out[first + q, 0] += s
                else:
                    for k in range(out.shape[1]):
                        out[first + q, k] += np.float64(total[q * wide + k])


@jit(fastmath=FUSED)
def gradient_rows(
    layer: SingleLayer,
    activation: Any,
    params: np.ndarray,
    charges: np.ndarray,
    columns: np.ndarray,
    sums_of: np.ndarray,
    pulls: np.ndarray,
    part: tuple[int, int],
    sums: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Rows ``part`` of Σ_q c_qk σ(z_qi), (n, K), and unless ``slopes`` is empty of Σ_q p_qi σ'(z_qi) x_q, (n, D).

    ``pulls`` are the samples :func:`in_panels`, times c_q for one output; for K of them p_qi = Σ_k c_qk a_ik is formed
    here, of the ``columns`` c (padded Q, K) and the ``charges`` a (n, K). ``sums_of`` is c in panels, or flat for one.
    """
    widest()
    nodes, _, weights = layer
    start, stop = part
    rows, d = nodes.shape
    outputs = sums.shape[1]
    flat, c = nodes.reshape(-1), columns.reshape(-1)
    width, tall = (d + ROWS - 1) // ROWS * ROWS, (outputs + ROWS - 1) // ROWS * ROWS
    packed, a = on_line(d * PANEL), on_line(outputs * PANEL)
    z, value, slope = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    into_sums, into_slopes = np.empty(tall * PANEL), np.empty(width * PANEL)
    with_slopes = slopes.size > 0
    for panel in range(start, stop, PANEL):
        _pack(weights, panel, stop, packed, 0)
        if outputs > 1 and with_slopes:
            _pack(charges, panel, stop, a, 0)
        into_sums[:] = 0.0
        into_slopes[:] = 0.0
        for first in range(0, rows, CHUNK):
            count = min(CHUNK, rows - first)
            _activated(flat, first, count, d, packed, 0, activation, params, z, value, slope)
            if outputs == 1:
                multiply_row_into(into_sums, 0, PANEL, sums_of, first, 0, 1, value, 0, PANEL, count)
            else:
                for k in range(0, tall, ROWS):
                    multiply_into(
                        into_sums, k * PANEL, PANEL, sums_of, k * rows + first * ROWS, 1, ROWS,
                        value, 0, PANEL, count,
                    )  # fmt: skip
            if not with_slopes:
                continue
            if outputs > 1:
                for q in range(0, count, ROWS):
                    multiply(
                        z, q * PANEL, PANEL, c, (first + q) * outputs, outputs, 1,
                        a, 0, PANEL, outputs,
                    )  # fmt: skip
                for cell in range(count * PANEL):
                    slope[cell] *= z[cell]
            for j in range(0, width, ROWS):
                multiply_into(
                    into_slopes, j * PANEL, PANEL, pulls, j * rows + first * ROWS, 1, ROWS,
                    slope, 0, PANEL, count,
                )  # fmt: skip
        for v in range(min(PANEL, stop - panel)):
            for k in range(outputs):
                sums[panel + v, k] = into_sums[k * PANEL + v]
            if with_slopes:
                for j in range(d):
                    slopes[panel + v, j] = into_slopes[j * PANEL + v]
