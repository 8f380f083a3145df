"""What the forms of stochastic gradient descent share: the network as arrays, the rule, the residual."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit


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


@jit(fastmath=FUSED)
def residual(y: float, f: float, logistic: bool) -> float:
    """Minus half the slope of the loss: y - f, or (y/2)/(1 + exp(y f)) from e^{-|yf|}."""
    if not logistic:
        return y - f
    e = math.exp(-abs(y * f))
    return 0.5 * y * (e if y * f > 0.0 else 1.0) / (1.0 + e)
