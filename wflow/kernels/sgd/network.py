"""What the forms of stochastic gradient descent share: the network as arrays, the rule, batches, the residual."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, REORDERED, jit
from wflow.kernels.memory import kernel_floats


class Samples(NamedTuple):
    """Inputs (m, d), targets (m,), or (m, K) of K outputs, and step sizes, one a step."""

    x: np.ndarray
    y: np.ndarray
    steps: np.ndarray


class Network(NamedTuple):
    """Weights (N, d), charges (N,) or (N, K), and offsets (N,), or (0,) where the neurons have none."""

    weights: np.ndarray
    charges: np.ndarray
    offsets: np.ndarray


class Rule(NamedTuple):
    """What is trained, on which loss, with how much ridge."""

    train_charges: bool
    train_offsets: bool
    cross_entropy: bool
    """The logistic loss, or softmax of K outputs, in place of the square."""
    ridge_w: float
    ridge_a: float
    ridge_b: float


def make_rule(
    network: Network,
    train_charges: bool,
    train_offsets: bool,
    cross_entropy: bool,
    ridge: tuple[float, float, float],
) -> Rule:
    """The rule in the types that the kernels are compiled for; offsets that are absent are not trained."""
    with_offsets = bool(train_offsets) and network.offsets.size > 0
    w, a, b = map(float, ridge)
    # What is not trained does not decay either.
    a, b = a * bool(train_charges), b * with_offsets
    return Rule(bool(train_charges), with_offsets, bool(cross_entropy), w, a, b)


def check_shapes(x: np.ndarray, y: np.ndarray, steps: np.ndarray, m: int, network: Network) -> None:
    """Raise ValueError unless m samples and the network fit together, and the network can be changed."""
    (n, d), outputs = network.weights.shape, network.charges.shape[1:]
    if x.shape != (m, d) or y.shape != (m, *outputs) or steps.ndim != 1:
        raise ValueError(
            f"x {x.shape}, y {y.shape}, steps {steps.shape}: expected m = {m}, d = {d}"
        )
    if network.charges.shape != (n, *outputs) or network.offsets.shape not in ((n,), (0,)):
        raise ValueError(
            f"charges {network.charges.shape}, offsets {network.offsets.shape}: expected ({n},)"
        )
    for name, array in network._asdict().items():
        flags = array.flags
        if array.dtype != np.float64 or not (flags.c_contiguous and flags.writeable):
            raise ValueError(f"{name} of type {array.dtype}: expected writeable C-ordered float64")


def batches(
    loop: Callable[..., None],
    samples: Samples,
    network: Network,
    activation: Any,
    params: np.ndarray,
    rule: Rule,
    batch: int,
    noise: np.ndarray | None,
) -> np.ndarray:
    """Take the steps of ``loop`` in place, one a batch of samples; return all predictions, shaped as the targets."""
    x, y, steps = samples
    if batch < 1:
        raise ValueError(f"batch of {batch} samples: expected at least 1")
    check_shapes(x, y, steps, batch * steps.size, network)
    (n, d), outputs = network.weights.shape, math.prod(network.charges.shape[1:])
    free = outputs * rule.train_charges + rule.train_offsets + d
    if noise is None:
        noise = np.empty((0, n, free))
    elif noise.shape != (steps.size, n, free):
        raise ValueError(f"noise {noise.shape}: expected {(steps.size, n, free)}")
    predictions = np.empty(y.shape)
    samples = Samples(kernel_floats(x), kernel_floats(y), kernel_floats(steps))
    params, noise = kernel_floats(params), kernel_floats(noise)
    loop(samples, network, activation, params, rule, batch, noise, predictions)
    return predictions


@jit(fastmath=REORDERED)
def move_offsets(offsets: np.ndarray, c: np.ndarray, decay: float) -> None:
    """b_i ← decay b_i + Σ_j c_ji over the batch."""
    for i in range(offsets.size):
        total = 0.0
        for j in range(c.shape[0]):
            total += c[j, i]
        offsets[i] = decay * offsets[i] + total


@jit(fastmath=REORDERED)
def add_noise(weights: np.ndarray, offsets: np.ndarray, noise: np.ndarray, at: int) -> None:
    """Add the noise (N, D) of one step, from its column ``at`` on, to the offsets, if any, and the weights."""
    n, d = weights.shape
    if offsets.size > 0:
        for i in range(n):
            offsets[i] += noise[i, at]
        at += 1
    for i in range(n):
        for q in range(d):
            weights[i, q] += noise[i, at + q]


@jit(fastmath=FUSED)
def residual(y: float, f: float, logistic: bool) -> float:
    """Minus half the slope of the loss: y - f, or (y/2)/(1 + exp(y f)) from e^{-|yf|}."""
    if not logistic:
        return y - f
    e = math.exp(-abs(y * f))
    return 0.5 * y * (e if y * f > 0.0 else 1.0) / (1.0 + e)
