r"""Stochastic gradient descent of a two-layer network, one step after another.

.. math:: \theta_i \leftarrow (1 - s_k\lambda)\,\theta_i
          + \frac{s_k}{B} \sum_{j<B} r_{kj}\,
            \nabla_{\theta_i}\bigl[a_i\,\sigma(\langle w_i, x_{kj}\rangle + b_i)\bigr] + \text{noise}_{ki}

The general case, batches and noise, and the twin that :func:`wflow.kernels.sgd.blocked.sgd` is tested against.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.kernels.jit import REORDERED, jit
from wflow.kernels.memory import kernel_floats
from wflow.kernels.sgd.network import (
    Network,
    Rule,
    Samples,
    check_shapes,
    make_rule,
    residual,
)
from wflow.kernels.vectors import dot


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
    network = Network(weights, charges, np.empty(0) if offsets is None else offsets)
    rule = make_rule(network, train_charges, train_offsets, logistic, ridge)
    if batch < 1:
        raise ValueError(f"batch of {batch} samples: expected at least 1")
    check_shapes(x, y, steps, batch * steps.size, network)
    n, d = weights.shape
    free = int(rule.train_charges) + int(rule.train_offsets) + d
    if noise is None:
        noise = np.empty((0, n, free))
    elif noise.shape != (steps.size, n, free):
        raise ValueError(f"noise {noise.shape}: expected {(steps.size, n, free)}")
    predictions = np.empty(x.shape[0])
    samples = Samples(kernel_floats(x), kernel_floats(y), kernel_floats(steps))
    _plain(
        samples,
        network,
        activation,
        kernel_floats(params),
        rule,
        batch,
        kernel_floats(noise),
        predictions,
    )
    return predictions


@jit(fastmath=REORDERED)
def _plain(
    samples: Samples,
    network: Network,
    activation: Any,
    params: np.ndarray,
    rule: Rule,
    batch: int,
    noise: np.ndarray,
    predictions: np.ndarray,
) -> None:
    """All steps: the whole batch first, since its gradients are taken at the same parameters."""
    x, y, steps = samples
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
            f = dot(charges, value) / n
            predictions[k * batch + j] = f
            g = s * residual(y[k * batch + j], f, rule.cross_entropy) / batch
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
