"""Networks and data that the tests of many layers share, and the network again for automatic differentiation."""

import itertools

import autograd.numpy as anp
import numpy as np

from wflow.multilayer import Ensemble

RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 3))
Y = np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2]
SIGNS = np.where(Y > 0, 1.0, -1.0)
ROWS = np.column_stack([Y, np.cos(X[:, 1])])
LABELS = np.arange(12) % 3


def network(widths, outputs=0, biased=False, seed=0, d=3, probabilities=False):
    """Independent normal weights."""
    rng = np.random.default_rng(seed)
    w = [rng.normal(size=(widths[0], d))]
    w += [rng.normal(size=pair) for pair in itertools.pairwise(widths)]
    w.append(rng.normal(size=(widths[-1], outputs) if outputs else widths[-1]))
    b = None
    if biased:
        b = [rng.normal(size=n) for n in widths[1:]]
        b.append(rng.normal(size=outputs) if outputs else rng.normal())
    p = [rng.dirichlet(np.full(n, 3.0)) for n in widths] if probabilities else None
    return Ensemble(w, b, p)


def outputs_of(weights, biases, x, hidden=anp.tanh, output=lambda z: z):
    """ŷ (Q, K) of a finite network, neurons in columns, written down from its definition."""
    h = anp.dot(x, weights[0].T)
    for i, w in enumerate(weights[1:]):
        w = anp.reshape(w, (w.shape[0], -1))
        h = anp.dot(hidden(h), w) / w.shape[0]
        if biases:
            h = h + anp.reshape(biases[i], (1, -1))
    return output(h)


def loss_of(name, y, f):
    """ℓ of each sample, f (Q, K)."""
    if name == "square":
        return anp.sum((anp.reshape(y, f.shape) - f) ** 2, axis=1)
    if name == "huber":
        off = anp.abs(anp.reshape(y, f.shape) - f)
        return anp.sum(anp.where(off <= 1.0, off**2, 2.0 * off - 1.0), axis=1)
    if name == "logistic":
        return anp.log(1.0 + anp.exp(-y * f[:, 0]))
    return anp.log(anp.sum(anp.exp(f), axis=1)) - f[anp.arange(len(y)), y]


def scaled(gradients, widths, outputs):
    """Derivatives by weights times N_{i−1}N_i, by biases times N_i, N_0 = N_L = 1."""
    ends = [1, *widths, 1]
    w, b = gradients
    return (
        [g * ends[i] * ends[i + 1] for i, g in enumerate(w)],
        [g * ends[i + 2] for i, g in enumerate(b)],
    )
