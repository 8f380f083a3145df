r"""Stochastic gradient descent of a two-layer network, one sample a step, exactly, by blocks of K steps.

.. math:: f(x) = \frac1N \sum_i a_i\,\sigma(\langle w_i, x\rangle + b_i), \qquad
          \theta_i \leftarrow (1 - s_k\lambda)\,\theta_i
          + s_k\, r_k\, \nabla_{\theta_i}\bigl[a_i\,\sigma(\langle w_i, x_k\rangle + b_i)\bigr]

with :math:`r = y - f(x)` (square loss) or :math:`r = \tfrac12 y/(1+e^{yf(x)})` (logistic loss, y = ±1). The
step sizes s_k carry every factor of two. The weights move along the samples only, so K steps need them only
through the products :math:`P = XW^T` and :math:`G = XX^T` (without ridge):

.. math:: \langle w_i, x_k\rangle \text{ at step } k = P_{ki} + \sum_{j<k} G_{kj} c_{ji}, \qquad
          c_{ji} = s_j r_j a_i \sigma'(z_{ji}), \qquad w_i \leftarrow w_i + \sum_{j<K} c_{ji}\, x_j .

Step by step, W passes through memory twice a sample; here it does once a block, in matrix products that run
at the speed of the processor. The sum over j < k is taken in sub-blocks of ROWS steps, again as products.
Ridge scales G_kj by the decays of the steps between j and k. Nothing is approximated: the result is that of
:func:`sgd_plain` up to rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit
from wflow.kernels.memory import kernel_floats
from wflow.kernels.sgd.network import (
    Network,
    Rule,
    Samples,
    check_shapes,
    make_rule,
    residual,
)
from wflow.kernels.sgd.plain import sgd_plain
from wflow.kernels.tile import (
    PANEL,
    ROWS,
    any_in_panel,
    multiply,
    multiply_add,
    multiply_add_chosen,
)
from wflow.kernels.vectors import dot

__all__ = ["block_size", "sgd", "sgd_plain"]


def block_size(n_neurons: int, dimension: int) -> int:
    """The number K of steps that :func:`sgd` takes together.

    A function of N and d alone. Cutting a stream of samples into several calls does not change one bit of the
    result as long as every cut falls on a multiple of K from the start of the stream.

    >>> block_size(800, 320) % 16
    0
    """
    # Measured at N from 100 to 6400: larger blocks spend more on the sum over j < k, about N K products a step
    # against 2 N d, smaller ones on passes over the weights. 16 wins up to d = 100, 32 from d = 300 on.
    return 16 if dimension < 160 else 32


def sgd(
    x: np.ndarray,
    y: np.ndarray,
    steps: np.ndarray,
    weights: np.ndarray,
    charges: np.ndarray,
    offsets: np.ndarray | None,
    activation: Any,
    params: np.ndarray,
    *,
    train_charges: bool = False,
    train_offsets: bool = False,
    logistic: bool = False,
    ridge: tuple[float, float, float] = (0.0, 0.0, 0.0),
    block: int | None = None,
) -> np.ndarray:
    """Take m steps of SGD, one sample a step, in place; return the m predictions made before each step.

    Parameters
    ----------
    x, y : (m, d) and (m,) samples; y = ±1 with the logistic loss
    steps : (m,) step sizes s_k
    weights : (N, d), changed in place
    charges : (N,), changed in place if trained
    offsets : (N,) or None, changed in place if trained
    activation, params : the map and constants of a :class:`wflow.energies.features.activations.Activation`
    ridge : λ on weights, charges and offsets; where these are not trained it does nothing
    block : steps taken together, a multiple of 16; by default :func:`block_size`

    Raises
    ------
    ValueError
        for shapes that do not fit, or arrays that cannot be changed in place
    """
    m, d = x.shape
    n = weights.shape[0]
    k = block_size(n, d) if block is None else block
    if k < 1 or k % 16:
        raise ValueError(f"block of {k} steps: expected a multiple of 16")
    network = Network(weights, charges, np.empty(0) if offsets is None else offsets)
    rule = make_rule(network, train_charges, train_offsets, logistic, ridge)
    check_shapes(x, y, steps, steps.size, network)
    panels = -(-n // PANEL)
    width = -(-d // ROWS) * ROWS
    # Rows a multiple of 4 KiB apart would all compete for one set of the first-level cache.
    row = panels * PANEL + (PANEL if panels * PANEL % 512 == 0 else 0)
    work = _Workspace(
        panels=_aligned(panels * width * PANEL),
        z=_aligned(k * row),
        c=_aligned(k * row),
        left=_aligned(k * width),
        right=_aligned(k * width),
        columns=_aligned(-(-k // PANEL) * width * PANEL),
        gram=_aligned(k * k),
        value=_aligned(n),
        slope=_aligned(n),
        before=np.ones(k),
        after=np.ones(k),
        ones=np.ones(k),
        moving=np.zeros(k, dtype=np.intp),
    )
    predictions = np.empty(m)
    samples = Samples(kernel_floats(x), kernel_floats(y), kernel_floats(steps))
    _run(
        samples, network, activation, kernel_floats(params), rule, work, k, row, width, predictions
    )
    return predictions


class _Workspace(NamedTuple):
    panels: np.ndarray  # the weights (N/PANEL, padded d, PANEL), which the products read in order
    z: np.ndarray  # pre-activations (K, row)
    c: np.ndarray  # coefficients (K, row)
    left: np.ndarray  # samples (K, padded d) of this block, times the decays before each step
    right: np.ndarray  # samples (K, padded d) of the last block, times the decays after each step
    columns: np.ndarray  # samples in panels (K/PANEL, padded d, PANEL)
    gram: np.ndarray  # (K, K)
    value: np.ndarray  # (N,)
    slope: np.ndarray  # (N,)
    before: np.ndarray  # decays (K,)
    after: np.ndarray  # decays (K,)
    ones: np.ndarray  # (K,)
    moving: np.ndarray  # steps of the last block that move a panel, as integers (K,)


def _aligned(size: int) -> np.ndarray:
    """Zeros that start on a cache line, so that no vector straddles two."""
    buffer = np.zeros(size + 8)
    return buffer[(-buffer.ctypes.data % 64) // 8 :][:size]


@jit(fastmath=FUSED)
def _run(
    samples: Samples,
    network: Network,
    activation: Any,
    params: np.ndarray,
    rule: Rule,
    work: _Workspace,
    block: int,
    row: int,
    width: int,
    predictions: np.ndarray,
) -> None:
    """All blocks. ``row`` is the stride of z and c, ``width`` the padded number of inputs."""
    x, y, steps = samples
    m = x.shape[0]
    weights, charges, offsets = network
    n = charges.size
    panels = (n + PANEL - 1) // PANEL
    size = width * PANEL
    packed, z, c = work.panels, work.z, work.c
    left, right, gram = work.left, work.right, work.gram
    value, slope, before, after = work.value, work.slope, work.before, work.after
    # Not a plain 0: numba would compile the helpers a second time, for the literal.
    start = block - block
    last = start
    keep_last = 1.0
    _repack(weights, packed, width, start == 0)
    while start < m or last > 0:
        count = min(block, m - start)
        _load(x, start, count, left, width, work.ones)
        _gram(left, steps, start, count, work.columns, gram, block, width, rule)
        keep = _decay(steps, start, count, rule.ridge_w, before, after)
        if rule.ridge_w != 0.0:
            _load(x, start, count, left, width, before)
        # One pass over the weights, panel by panel: what the last block adds to them (its samples are
        # still in `right`), then their products with the samples of this one.
        for p in range(panels):
            if last > 0:
                if keep_last != 1.0:
                    for i in range(p * size, (p + 1) * size):
                        packed[i] *= keep_last
                # Steps at which no neuron of the panel has a slope add nothing: half of them where a ramp sorts.
                moving = 0
                for k in range(last):
                    work.moving[moving] = k
                    moving += any_in_panel(c, k * row + p * PANEL)
                for j in range(0, width, ROWS):
                    multiply_add_chosen(
                        packed, p * size + j * PANEL,
                        right, j, width,
                        c, p * PANEL, row, work.moving, moving,
                    )  # fmt: skip
            for k in range(0, count, ROWS):
                multiply(
                    z, k * row + p * PANEL, row,
                    left, k * width, width, 1,
                    packed, p * size, PANEL, width,
                )  # fmt: skip
        _load(x, start, count, right, width, after)
        keep_last = keep
        keep = _decay(steps, start, count, rule.ridge_b, before, after)
        for k in range(count):
            first = k // ROWS * ROWS
            if k == first and k > 0:
                for p in range(panels):
                    multiply_add(
                        z, k * row + p * PANEL, row,
                        gram, k * block, block, 1,
                        c, p * PANEL, row, k,
                    )  # fmt: skip
            z_k = z[k * row : k * row + n]
            c_k = c[k * row : k * row + n]
            _add_rows(z_k, c[first * row :], row, gram[k * block + first : k * block + k])
            if offsets.size > 0:
                for i in range(n):
                    z_k[i] += before[k] * offsets[i]
            activation(z_k, params, value, slope)
            f = dot(charges, value) / n
            predictions[start + k] = f
            s = steps[start + k]
            g = s * residual(y[start + k], f, rule.cross_entropy)
            for i in range(n):
                c_k[i] = g * (charges[i] * slope[i])
            if rule.train_charges:
                decay = 1.0 - s * rule.ridge_a
                for i in range(n):
                    charges[i] = decay * charges[i] + g * value[i]
        if rule.train_offsets:
            for i in range(n):
                offsets[i] *= keep
            _add_rows(offsets, c, row, after[:count])
        last = count
        start += count
    _repack(weights, packed, width, m == 0)


@jit(fastmath=FUSED)
def _repack(weights: np.ndarray, packed: np.ndarray, width: int, into: bool) -> None:
    """Copy weights (N, d) to panels (N/PANEL, padded d, PANEL), which the products read in order, or back."""
    n, d = weights.shape
    for i in range(n):
        base = i // PANEL * width * PANEL + i % PANEL
        for j in range(d):
            if into:
                packed[base + j * PANEL] = weights[i, j]
            else:
                weights[i, j] = packed[base + j * PANEL]


@jit(fastmath=FUSED)
def _load(
    x: np.ndarray, start: int, count: int, out: np.ndarray, width: int, factor: np.ndarray
) -> None:
    """The samples of a block times factors; zeros stay after the last coordinate."""
    for k in range(count):
        for j in range(x.shape[1]):
            out[k * width + j] = factor[k] * x[start + k, j]


@jit(fastmath=FUSED)
def _decay(
    steps: np.ndarray, start: int, count: int, rate: float, before: np.ndarray, after: np.ndarray
) -> float:
    """Products of 1 - s_l * rate over the steps before k, and after k; returns that over the block."""
    rest = 1.0
    for k in range(count - 1, -1, -1):
        after[k] = rest
        rest *= 1.0 - steps[start + k] * rate
    product = 1.0
    for k in range(count):
        before[k] = product
        product *= 1.0 - steps[start + k] * rate
    return product


@jit(fastmath=FUSED)
def _gram(
    rows: np.ndarray,
    steps: np.ndarray,
    start: int,
    count: int,
    columns: np.ndarray,
    gram: np.ndarray,
    block: int,
    width: int,
    rule: Rule,
) -> None:
    """How the step j acts on the pre-activations of the step k > j, in units of c_j.

    It is <x_k, x_j> times the decays of the steps between; a trained offset adds the same with the input 1.
    Whole tiles are computed; what they hold for j >= k is not read.
    """
    for k in range(count):
        base = k // PANEL * width * PANEL + k % PANEL
        for j in range(width):
            columns[base + j * PANEL] = rows[k * width + j]
    for q in range(0, count, PANEL):
        for k in range(q, count, ROWS):
            multiply(
                gram, k * block + q, block,
                rows, k * width, width, 1,
                columns, q * width, PANEL, width,
            )  # fmt: skip
    if rule.ridge_w == 0.0 and not rule.train_offsets:
        return
    for k in range(1, count):
        w = 1.0
        b = 1.0 if rule.train_offsets else 0.0
        for j in range(k - 1, -1, -1):
            gram[k * block + j] = gram[k * block + j] * w + b
            w *= 1.0 - steps[start + j] * rule.ridge_w
            b *= 1.0 - steps[start + j] * rule.ridge_b


@jit(fastmath=FUSED)
def _add_rows(out: np.ndarray, c: np.ndarray, row: int, factor: np.ndarray) -> None:
    """out += sum_j factor_j c_j, four rows at a time."""
    n = out.size
    j = 0
    while j + 4 <= factor.size:
        c0 = c[j * row : j * row + n]
        c1 = c[(j + 1) * row : (j + 1) * row + n]
        c2 = c[(j + 2) * row : (j + 2) * row + n]
        c3 = c[(j + 3) * row : (j + 3) * row + n]
        f0 = factor[j]
        f1 = factor[j + 1]
        f2 = factor[j + 2]
        f3 = factor[j + 3]
        for i in range(n):
            out[i] = out[i] + f0 * c0[i] + f1 * c1[i] + f2 * c2[i] + f3 * c3[i]
        j += 4
    while j < factor.size:
        c0 = c[j * row : j * row + n]
        f0 = factor[j]
        for i in range(n):
            out[i] += f0 * c0[i]
        j += 1
