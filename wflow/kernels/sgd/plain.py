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
from wflow.kernels.sgd.network import (
    Network,
    Rule,
    Samples,
    add_noise,
    batches,
    make_rule,
    move_offsets,
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
    samples = Samples(x, y, steps)
    return batches(_plain, samples, network, activation, params, rule, batch, noise)


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
            move_offsets(offsets, c, 1.0 - s * rule.ridge_b)
        if noise.size > 0:
            at = 0
            if rule.train_charges:
                for i in range(n):
                    charges[i] += noise[k, i, 0]
                at = 1
            add_noise(weights, offsets if rule.train_offsets else offsets[:0], noise[k], at)
