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

import math
from typing import Any, NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit
from wflow.kernels.tile import PANEL, ROWS, multiply, multiply_add


def block_size(n_neurons: int, dimension: int) -> int:
    """The number K of steps that :func:`sgd` takes together.

    A function of N and d alone. Cutting a stream of samples into several calls does not change one bit of the
    result as long as every cut falls on a multiple of K from the start of the stream.

    >>> block_size(800, 320) % 16
    0
    """
    return 32 if dimension < 128 else 64


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
    activation, params : the map and constants of a :class:`wflow.energies.activations.Activation`
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
    network = _Network(weights, charges, np.empty(0) if offsets is None else offsets)
    rule = _rule(network, train_charges, train_offsets, logistic, ridge)
    _check(x, y, steps, x.shape[0], network)
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
    )
    predictions = np.empty(m)
    _run(
        *_as_floats(x, y, steps), network, activation, params, rule, work, k, row, width, predictions
    )
    return predictions


def sgd_plain(
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
    batch: int = 1,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """The same, one step after another, for any batch size and with noise; return all predictions.

    Parameters as in :func:`sgd`, and

    x, y : (m, d) and (m,) samples of all batches, m = batch * number of steps
    steps : (m / batch,) step sizes; a step takes the mean of the gradients over its batch
    noise : (m / batch, N, D), added to the parameters after each step, or None; the coordinates of a
        neuron are its charge and its offset, where trained, then its d weights
    """
    network = _Network(weights, charges, np.empty(0) if offsets is None else offsets)
    rule = _rule(network, train_charges, train_offsets, logistic, ridge)
    if batch < 1:
        raise ValueError(f"batch of {batch} samples: expected at least 1")
    _check(x, y, steps, batch * steps.size, network)
    n, d = weights.shape
    free = int(rule.train_charges) + int(rule.train_offsets) + d
    if noise is None:
        noise = np.empty((0, n, free))
    elif noise.shape != (steps.size, n, free):
        raise ValueError(f"noise {noise.shape}: expected {(steps.size, n, free)}")
    predictions = np.empty(x.shape[0])
    noise = np.ascontiguousarray(noise, dtype=np.float64)
    _plain(*_as_floats(x, y, steps), network, activation, params, rule, batch, noise, predictions)
    return predictions


class _Network(NamedTuple):
    weights: np.ndarray
    charges: np.ndarray
    offsets: np.ndarray


class _Rule(NamedTuple):
    train_charges: bool
    train_offsets: bool
    logistic: bool
    ridge_w: float
    ridge_a: float
    ridge_b: float


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


def _rule(
    network: _Network,
    train_charges: bool,
    train_offsets: bool,
    logistic: bool,
    ridge: tuple[float, float, float],
) -> _Rule:
    w, a, b = map(float, ridge)
    return _Rule(
        bool(train_charges), bool(train_offsets) and network.offsets.size > 0, bool(logistic), w, a, b
    )


def _check(x: np.ndarray, y: np.ndarray, steps: np.ndarray, m: int, network: _Network) -> None:
    n, d = network.weights.shape
    if x.shape != (m, d) or y.shape != (m,) or steps.ndim != 1:
        raise ValueError(f"x {x.shape}, y {y.shape}, steps {steps.shape}: expected m = {m}, d = {d}")
    if network.charges.shape != (n,) or network.offsets.shape not in ((n,), (0,)):
        raise ValueError(
            f"charges {network.charges.shape}, offsets {network.offsets.shape}: expected ({n},)"
        )
    for name, array in network._asdict().items():
        flags = array.flags
        if array.dtype != np.float64 or not (flags.c_contiguous and flags.writeable):
            raise ValueError(f"{name} of type {array.dtype}: expected writeable C-ordered float64")


def _as_floats(*arrays: np.ndarray) -> list[np.ndarray]:
    """C-ordered, writeable (the other layouts would each compile the kernel once more) float64."""
    return [np.require(a, np.float64, ("C", "W", "A")) for a in arrays]


def _aligned(size: int) -> np.ndarray:
    """Zeros that start on a cache line, so that no vector straddles two."""
    buffer = np.zeros(size + 8)
    return buffer[(-buffer.ctypes.data % 64) // 8 :][:size]


@jit(fastmath=FUSED)
def _run(
    x: np.ndarray,
    y: np.ndarray,
    steps: np.ndarray,
    network: _Network,
    activation: Any,
    params: np.ndarray,
    rule: _Rule,
    work: _Workspace,
    block: int,
    row: int,
    width: int,
    predictions: np.ndarray,
) -> None:
    """All blocks. ``row`` is the stride of z and c, ``width`` the padded number of inputs."""
    m = x.shape[0]
    weights, charges, offsets = network
    n = charges.size
    panels = (n + PANEL - 1) // PANEL
    size = width * PANEL
    packed, z, c = work.panels, work.z, work.c
    left, right, gram = work.left, work.right, work.gram
    value, slope, before, after = work.value, work.slope, work.before, work.after
    # np.intp: a plain 0 would have numba compile the helpers a second time, for the literal.
    last = np.intp(0)
    keep_last = 1.0
    start = np.intp(0)
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
                for j in range(0, width, ROWS):
                    multiply_add(
                        packed, p * size + j * PANEL, PANEL,
                        right, j, 1, width,
                        c, p * PANEL, row, last,
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
            f = _dot(charges, value) / n
            predictions[start + k] = f
            s = steps[start + k]
            g = s * _residual(y[start + k], f, rule.logistic)
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
    """Weights (N, d) to panels (N/PANEL, padded d, PANEL), which the products read in order, or back."""
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
    rule: _Rule,
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


@jit(fastmath=REORDERED)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@jit(fastmath=FUSED)
def _residual(y: float, f: float, logistic: bool) -> float:
    """Minus half the slope of the loss: y - f, or (y/2)/(1 + exp(y f)) from e^{-|yf|}."""
    if not logistic:
        return y - f
    e = math.exp(-abs(y * f))
    return 0.5 * y * (e if y * f > 0.0 else 1.0) / (1.0 + e)


@jit(fastmath=REORDERED)
def _plain(
    x: np.ndarray,
    y: np.ndarray,
    steps: np.ndarray,
    network: _Network,
    activation: Any,
    params: np.ndarray,
    rule: _Rule,
    batch: int,
    noise: np.ndarray,
    predictions: np.ndarray,
) -> None:
    weights, charges, offsets = network
    n, d = weights.shape
    z = np.empty(n)
    value = np.empty(n)
    slope = np.empty(n)
    c = np.empty((batch, n))
    pull = np.empty(n)
    for k in range(steps.size):
        s = steps[k]
        pull[:] = 0.0
        for j in range(batch):
            x_j = x[k * batch + j]
            for i in range(n):
                w_i = weights[i]
                t = 0.0
                for q in range(d):
                    t += w_i[q] * x_j[q]
                z[i] = t
            if offsets.size > 0:
                for i in range(n):
                    z[i] += offsets[i]
            activation(z, params, value, slope)
            f = _dot(charges, value) / n
            predictions[k * batch + j] = f
            g = s * _residual(y[k * batch + j], f, rule.logistic) / batch
            for i in range(n):
                c[j, i] = g * (charges[i] * slope[i])
                pull[i] += g * value[i]
        decay = 1.0 - s * rule.ridge_w
        if rule.ridge_w != 0.0:
            for i in range(n):
                for q in range(d):
                    weights[i, q] *= decay
        for j in range(batch):
            x_j = x[k * batch + j]
            for i in range(n):
                w_i = weights[i]
                c_i = c[j, i]
                for q in range(d):
                    w_i[q] += c_i * x_j[q]
        if rule.train_charges:
            for i in range(n):
                charges[i] = (1.0 - s * rule.ridge_a) * charges[i] + pull[i]
        if rule.train_offsets:
            for i in range(n):
                total = 0.0
                for j in range(batch):
                    total += c[j, i]
                offsets[i] = (1.0 - s * rule.ridge_b) * offsets[i] + total
        if noise.size > 0:
            at = 0
            if rule.train_charges:
                for i in range(n):
                    charges[i] += noise[k, i, 0]
                at = 1
            if rule.train_offsets:
                for i in range(n):
                    offsets[i] += noise[k, i, at]
                at += 1
            for i in range(n):
                for q in range(d):
                    weights[i, q] += noise[k, i, at + q]
