"""Sixty samples, and the objective of a network on them that automatic differentiation takes."""

import autograd.numpy as anp
import numpy as np

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = np.tanh(X[:, 0]) - 0.5 * X[:, 1] ** 2


def objective(theta, x, y, ridge=0.0):
    """N times half the loss with the ridge; θ = (a, b, w)."""
    f = anp.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / theta.shape[0]
    return 0.5 * theta.shape[0] * anp.mean((y - f) ** 2) + 0.5 * ridge * anp.sum(theta**2)
