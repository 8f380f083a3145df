r"""A layer of neurons on all samples, contracted with weights over neurons or over samples.

.. math:: f_q = \sum_i e_i\,\sigma(z_{qi}), \qquad z_{qi} = \langle w_i, x_q\rangle + b_i, \qquad
          \sum_q c_q\,\bigl(\sigma(z_{qi}),\ \sigma'(z_{qi}),\ \sigma'(z_{qi})\,x_q\bigr)

A full-batch gradient written with whole arrays moves n Q activations through memory some ten times. Here CHUNK
samples times PANEL neurons are multiplied, activated and contracted while they are in the first-level cache; the
second pass finds one number of each pair noted, its pre-activation or what the activation makes of it, if there is
memory for that, and fetches it while it multiplies; otherwise it computes the pre-activations again. What is needed
many times (a grid: fixed neurons, new weights at every step) can be kept, in the order of the passes.

Sums run over fixed blocks in a fixed order: neither threads nor keeping changes one bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit, widest
from wflow.kernels.tile import (
    PANEL,
    ROWS,
    add_two_sums,
    add_weighted,
    multiply_above,
    multiply_add,
    multiply_add_row,
    on_line,
    prefetch,
    prefetch_to_write,
)

CHUNK = 64
"""Samples taken together, a multiple of ROWS: 64 x 16 numbers are 8 KiB, and three such arrays are in use."""


class Layer(NamedTuple):
    """Neurons on samples."""

    nodes: np.ndarray
    """Samples, :func:`padded`, of which the first ``samples`` rows are meant."""
    samples: int
    points: np.ndarray
    """Neurons [a], [b], w, (n, D)."""
    charges: int
    """Output weights of a neuron, which come first: none, one or K."""
    offset: bool


class Kept(NamedTuple):
    """Activations of all pairs in panels (n/PANEL, Q, PANEL), flat; empty where nothing is kept."""

    value: np.ndarray
    slope: np.ndarray
    filled: bool
    """From an earlier pass; to be filled by this one otherwise."""
    notes: np.ndarray
    """One number of each pair in panels (n/PANEL, padded Q, PANEL), which a prediction leaves to a gradient, flat."""
    coded: bool
    """These are second results of the activation, not its arguments."""


def padded(x: np.ndarray) -> np.ndarray:
    """Zero rows and columns added, to multiples of ROWS."""
    q, d = x.shape
    out = np.zeros((-(-q // ROWS) * ROWS, -(-d // ROWS) * ROWS))
    out[:q, :d] = x
    return out


def weighted_nodes(nodes: np.ndarray, node_weights: np.ndarray) -> np.ndarray:
    """The padded nodes, each times its weight, in panels (padded d/ROWS, padded Q, ROWS), flat."""
    q, width = nodes.shape
    out = np.zeros((width // ROWS, q, ROWS))
    used = node_weights.size
    by_sample = out.transpose(1, 0, 2)
    np.multiply(
        nodes.reshape(q, width // ROWS, ROWS)[:used],
        node_weights[:, None, None],
        out=by_sample[:used],
    )
    return out.reshape(-1)


def block_rows(n: int, samples: int, d: int) -> int:
    """Neurons in a block, a multiple of PANEL, from the shape of the problem alone.

    Some 32 blocks of at least 2^15 pairs, but never more weights in one than half of a usual cache holds.
    """
    blocks = max(1, min(32, n * samples >> 15))
    panels = max(1, min(n // (blocks * PANEL), (1 << 16) // (PANEL * d)))
    return panels * PANEL


@jit(fastmath=FUSED)
def predict_rows(
    layer: Layer,
    activation: Any,
    params: np.ndarray,
    effective: np.ndarray,
    kept: Kept,
    part: tuple[int, int],
    out: np.ndarray,
) -> None:
    """out_q += Σ e_i σ(z_qi) over the neurons ``part``, start ≤ i < stop; ``start`` is a multiple of PANEL."""
    widest()
    nodes, samples, points, charges, offset = layer
    kept_value, kept_slope, _, notes, coded = kept
    start, stop = part
    rows, width = nodes.shape
    head = int(charges) + int(offset)
    d = points.shape[1] - head
    flat = nodes.reshape(-1)
    panels = (stop - start + PANEL - 1) // PANEL
    size = d * PANEL
    packed = on_line(panels * size)
    offsets = on_line(panels * PANEL)
    e = np.zeros(panels * PANEL)
    for p in range(panels):
        pack(
            points, head, offset, start + p * PANEL, stop,
            packed, p * size, offsets, p * PANEL,
        )  # fmt: skip
    for i in range(stop - start):
        e[i] = effective[start + i]
    z = on_line(CHUNK * PANEL)
    own_value, own_slope = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    total = on_line(CHUNK * PANEL)
    for first in range(0, samples, CHUNK):
        count = min(CHUNK, samples - first)
        cells = count * PANEL
        total[:] = 0.0
        for p in range(panels):
            value, slope = own_value[:cells], own_slope[:cells]
            if kept_value.size > 0:
                at = ((start // PANEL + p) * samples + first) * PANEL
                value, slope = kept_value[at : at + cells], kept_slope[at : at + cells]
            here, z_at, at = z, 0, ((start // PANEL + p) * rows + first) * PANEL
            if notes.size > 0 and coded:
                slope = notes[at : at + cells]
            elif notes.size > 0:
                here, z_at = notes, at
            products(
                flat, first, count, width, packed, p * size, d, offsets, p * PANEL,
                here, z_at, notes, at,
            )  # fmt: skip
            activation(here[z_at : z_at + cells], params, value, slope)
            add_weighted(total, e, p * PANEL, value, 0, count)
        _lane_sums(total, first, count, out)


@jit(fastmath=FUSED)
def predict_kept(
    samples: int,
    kept_value: np.ndarray,
    effective: np.ndarray,
    start: int,
    stop: int,
    out: np.ndarray,
) -> None:
    """The same from kept activations."""
    panels = (stop - start + PANEL - 1) // PANEL
    e = np.zeros(panels * PANEL)
    for i in range(stop - start):
        e[i] = effective[start + i]
    total = on_line(CHUNK * PANEL)
    for first in range(0, samples, CHUNK):
        count = min(CHUNK, samples - first)
        total[:] = 0.0
        for p in range(panels):
            at = ((start // PANEL + p) * samples + first) * PANEL
            add_weighted(total, e, p * PANEL, kept_value, at, count)
        _lane_sums(total, first, count, out)


@jit(fastmath=FUSED)
def _lane_sums(total: np.ndarray, first: int, count: int, out: np.ndarray) -> None:
    for k in range(count):
        s = 0.0
        for v in range(PANEL):
            s += total[k * PANEL + v]
        out[first + k] += s


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
    """Rows ``part`` = (start, stop) of the potential (n,) without charges and, unless ``out`` is empty, the gradient.

    ``pulls`` are the :func:`weighted_nodes`.
    """
    widest()
    nodes, samples, points, charges, offset = layer
    kept_value, kept_slope, filled, notes, _ = kept
    start, stop = part
    rows, width = nodes.shape
    head = int(charges) + int(offset)
    d = points.shape[1] - head
    flat = nodes.reshape(-1)
    size = d * PANEL
    packed, offsets = on_line(size), on_line(PANEL)
    z = on_line(CHUNK * PANEL)
    own_value, own_slope = on_line(CHUNK * PANEL), on_line(CHUNK * PANEL)
    into_a, into_b, into_w = on_line(PANEL), on_line(PANEL), on_line(width * PANEL)
    with_gradient = out.size > 0
    share, at = fetched_beside(width), 0
    for panel in range(start, stop, PANEL):
        if not filled and notes.size == 0:
            pack(points, head, offset, panel, stop, packed, 0, offsets, 0)
        into_a[:] = 0.0
        into_b[:] = 0.0
        into_w[:] = 0.0
        for first in range(0, samples, CHUNK):
            count = min(CHUNK, samples - first)
            cells = count * PANEL
            value, slope = own_value[:cells], own_slope[:cells]
            if kept_value.size > 0:
                at = (panel // PANEL * samples + first) * PANEL
                value, slope = kept_value[at : at + cells], kept_slope[at : at + cells]
            if notes.size > 0:
                at = (panel // PANEL * rows + first) * PANEL
                activation(notes[at : at + cells], params, value, slope)
            elif not filled:
                products(flat, first, count, width, packed, 0, d, offsets, 0, z, 0, notes, 0)
                activation(z[:cells], params, value, slope)
            if not with_gradient:
                multiply_add_row(
                    into_a, 0, PANEL, node_weights, first, 0, 1, value, 0, PANEL, count
                )
                continue
            add_two_sums(into_a, into_b, node_weights, first, value, slope, count)
            for j in range(0, width, ROWS):
                if notes.size > 0:  # of the next samples, in equal shares
                    prefetch(notes, at + cells + j // ROWS * share, share)
                multiply_add(
                    into_w, j * PANEL, PANEL,
                    pulls, j * rows + first * ROWS, 1, ROWS,
                    slope, 0, PANEL, count,
                )  # fmt: skip
        for v in range(min(PANEL, stop - panel)):
            i = panel + v
            potential[i] = into_a[v]
            if with_gradient:
                a = points[i, 0] if charges else 1.0
                if charges:
                    out[i, 0] = into_a[v]
                if offset:
                    out[i, head - 1] = a * into_b[v]
                for j in range(d):
                    out[i, head + j] = a * into_w[j * PANEL + v]


@jit(fastmath=FUSED)
def potential_kept(
    samples: int,
    kept_value: np.ndarray,
    node_weights: np.ndarray,
    start: int,
    stop: int,
    potential: np.ndarray,
) -> None:
    """The potential from kept activations."""
    into_a = on_line(PANEL)
    for panel in range(start, stop, PANEL):
        into_a[:] = 0.0
        for first in range(0, samples, CHUNK):
            at = (panel // PANEL * samples + first) * PANEL
            multiply_add_row(
                into_a, 0, PANEL, node_weights, first, 0, 1,
                kept_value, at, PANEL, min(CHUNK, samples - first),
            )  # fmt: skip
        for v in range(min(PANEL, stop - panel)):
            potential[panel + v] = into_a[v]


@jit(fastmath=FUSED)
def pack(
    points: np.ndarray,
    head: int,
    offset: bool,
    panel: int,
    stop: int,
    packed: np.ndarray,
    at: int,
    offsets: np.ndarray,
    at_offset: int,
) -> None:
    """Weights (d, PANEL) and offsets (PANEL,) of one panel; the last neuron fills a panel that is not full."""
    for v in range(PANEL):
        i = min(panel + v, stop - 1)
        offsets[at_offset + v] = points[i, head - 1] if offset else 0.0
        for j in range(points.shape[1] - head):
            packed[at + j * PANEL + v] = points[i, head + j]


@jit(fastmath=FUSED)
def fetched_beside(width: int) -> int:
    """Notes to be fetched during one of the width/ROWS products with the samples, so that all bring a chunk."""
    return (CHUNK * PANEL * ROWS // width + 7) // 8 * 8


@jit(fastmath=FUSED)
def products(
    flat: np.ndarray,
    first: int,
    count: int,
    width: int,
    packed: np.ndarray,
    at: int,
    d: int,
    offsets: np.ndarray,
    at_offset: int,
    z: np.ndarray,
    z_at: int,
    notes: np.ndarray,
    at_notes: int,
) -> None:
    """Pre-activations (count, PANEL) of a chunk of samples and a panel of neurons; has the place of notes fetched."""
    for k in range(0, count, ROWS):
        if notes.size > 0:
            prefetch_to_write(notes, at_notes + k * PANEL, ROWS * PANEL)
        multiply_above(
            z, z_at + k * PANEL, offsets, at_offset,
            flat, (first + k) * width, width, packed, at, d,
        )  # fmt: skip
