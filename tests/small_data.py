"""Sixty samples, the objective of a network on them that automatic differentiation takes, and optimisers' formulas."""

import autograd.numpy as anp
import numpy as np

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = np.tanh(X[:, 0]) - 0.5 * X[:, 1] ** 2


def objective(theta, x, y, ridge=0.0):
    """N times half the loss with the ridge; θ = (a, b, w)."""
    f = anp.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / theta.shape[0]
    return 0.5 * theta.shape[0] * anp.mean((y - f) ** 2) + 0.5 * ridge * anp.sum(theta**2)


def advance(name, theta, g, s, k, memory, beta1=0.9, beta2=0.999, epsilon=1e-8, momentum=0.9):
    """The textbooks' rules, one formula each."""
    if name == "sgd":
        return theta - s * g
    if name == "momentum":
        memory["v"] = momentum * memory.get("v", 0.0) + g
        return theta - s * memory["v"]
    if name == "adagrad":
        memory["v"] = memory.get("v", 0.0) + g**2
        return theta - s * g / (np.sqrt(memory["v"]) + 1e-10)
    memory["m"] = beta1 * memory.get("m", 0.0) + (1 - beta1) * g
    memory["v"] = beta2 * memory.get("v", 0.0) + (1 - beta2) * g**2
    m, v = memory["m"] / (1 - beta1 ** (k + 1)), memory["v"] / (1 - beta2 ** (k + 1))
    return theta - s * m / (np.sqrt(v) + epsilon)
