r"""Stochastic gradient descent of a two-layer network of K outputs, one step after another.

.. math:: \theta_i \leftarrow (1 - s_k\lambda)\,\theta_i
          + \frac{s_k}{B} \sum_{j<B} \nabla_{\theta_i}
            \bigl\langle r_{kj},\ a_i\,\sigma(\langle w_i, x_{kj}\rangle + b_i)\bigr\rangle + \text{noise}_{ki},
          \qquad a_i, r_{kj} \in \mathbb R^K

:mod:`wflow.kernels.sgd.plain` with a residual for each output: y − f, or half of y − softmax(f).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.kernels.jit import REORDERED, jit
from wflow.kernels.sgd.network import (
    Network,
    Rule,
    Samples,
    add_noise,
    batches,
    make_rule,
    move_offsets,
)
from wflow.kernels.vectors import dot


def sgd_outputs(
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
    softmax: bool = False,
    ridge: tuple[float, float, float] = (0.0, 0.0, 0.0),
    batch: int = 1,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Train in place; return all predictions (m, K), each before its step.

    Parameters as in :func:`wflow.kernels.sgd.plain.sgd_plain`, but

    y : (m, K) targets
    charges : (N, K)
    softmax : the cross-entropy of softmax(f) in place of the square loss
    noise : (m / batch, N, D); the first K coordinates of a neuron are its charges, where trained
    """
    network = Network(weights, charges, np.empty(0) if offsets is None else offsets)
    rule = make_rule(network, train_charges, train_offsets, softmax, ridge)
    samples = Samples(x, y, steps)
    return batches(_outputs, samples, network, activation, params, rule, batch, noise)


@jit(fastmath=REORDERED)
def _outputs(
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
    outputs = charges.shape[1]
    a = np.ascontiguousarray(charges.T)  # neurons in order, for the loops below
    z, value, slope = np.empty(n), np.empty(n), np.empty(n)
    c, pull, g = np.empty((batch, n)), np.empty((outputs, n)), np.empty(outputs)
    for k in range(steps.size):
        s = steps[k]
        pull[:] = 0.0
        for j in range(batch):
            x_j, f = x[k * batch + j], predictions[k * batch + j]
            for i in range(n):
                z[i] = dot(weights[i], x_j)
            if offsets.size > 0:
                for i in range(n):
                    z[i] += offsets[i]
            activation(z, params, value, slope)
            for o in range(outputs):
                f[o] = dot(a[o], value) / n
            _residual(y[k * batch + j], f, rule.cross_entropy, g)
            c_j = c[j]
            c_j[:] = 0.0
            for o in range(outputs):
                g_o, a_o, pull_o = s * g[o] / batch, a[o], pull[o]
                for i in range(n):
                    c_j[i] += g_o * a_o[i]
                    pull_o[i] += g_o * value[i]
            for i in range(n):
                c_j[i] *= slope[i]
        decay = 1.0 - s * rule.ridge_w
        for i in range(n):
            w_i = weights[i]
            if rule.ridge_w != 0.0:
                for q in range(d):
                    w_i[q] *= decay
            for j in range(batch):
                x_j, c_ji = x[k * batch + j], c[j, i]
                for q in range(d):
                    w_i[q] += c_ji * x_j[q]
        if rule.train_charges:
            for o in range(outputs):
                for i in range(n):
                    a[o, i] = (1.0 - s * rule.ridge_a) * a[o, i] + pull[o, i]
        if rule.train_offsets:
            move_offsets(offsets, c, 1.0 - s * rule.ridge_b)
        if noise.size > 0:
            at = 0
            if rule.train_charges:
                for o in range(outputs):
                    for i in range(n):
                        a[o, i] += noise[k, i, o]
                at = outputs
            add_noise(weights, offsets if rule.train_offsets else offsets[:0], noise[k], at)
    charges[:] = a.T


@jit(fastmath=REORDERED)
def _residual(y: np.ndarray, f: np.ndarray, softmax: bool, out: np.ndarray) -> None:
    """Minus half the slope of the loss: y - f, or (y - softmax(f))/2."""
    if not softmax:
        for o in range(f.size):
            out[o] = y[o] - f[o]
        return
    top = f[0]
    for o in range(1, f.size):
        top = max(top, f[o])
    total = 0.0
    for o in range(f.size):
        out[o] = math.exp(f[o] - top)
        total += out[o]
    for o in range(f.size):
        out[o] = 0.5 * (y[o] - out[o] / total)
