r"""How SGD's samples scatter the means and the risk of a finite network in full space, to first order in ε/P.

.. math:: \frac{P}{\varepsilon}\,\mathrm{Var}\,h(\theta_t) \to \int_0^t \xi^2\,
          \mathrm{Var}_x\Bigl\langle\lambda_s, r\nabla\sigma_*(x;\theta_s)\Bigr\rangle ds, \qquad
          \lambda_t = \nabla h, \quad \frac{d\lambda}{d\tau} = -J^{\mathsf T}\lambda, \quad d\tau = \xi\,dt

One adjoint λ is carried back for each number asked for, whatever the number of neurons and dimensions is, and the
variance over inputs is a mean over fresh samples at every step. J, the derivative of −∇Ψ for all neurons together, is
symmetric (it is −½N times the Hessian of the risk) and acts by differences along the flow. Source: the Lyapunov
equation of :mod:`wflow.validation.sgd_noise`, solved from its end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.tools.classical import runge_kutta
from wflow.validation.sgd_cloud import PUSH, Cloud, clock

ENTRIES = 1 << 22
"""Slopes of units that are formed at a time."""


def scatter(
    cloud: Cloud,
    schedule: Callable[[float], float],
    theta: np.ndarray,
    times: np.ndarray,
    steps: int,
    seed: int,
    samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """lim (ε/P)⁻¹ Var of the means of the state's coordinates and of the risk, (T, k + 1), and its standard errors."""
    path, ends, last = [], [], 0.0
    for time in times:
        for tau, push, _ in clock(schedule, last, float(time), steps):
            quarters = [theta]
            for _ in range(4):
                quarters.append(runge_kutta(cloud.velocity, quarters[-1], 0.25 * tau))
            path.append((tau, push, quarters))
            theta = quarters[-1]
        last = float(time)
        ends.append((len(path), theta))
    adjoints = np.zeros((0, *theta.shape))
    count = cloud.slopes(theta).shape[0]
    found, noise, first = np.zeros((0,)), np.zeros((0,)), 0
    for k in range(len(path), -1, -1):
        for end, at in ends:
            if end == k:
                adjoints = np.concatenate([cloud.slopes(at), adjoints])
                found, noise = (np.concatenate([np.zeros(count), a]) for a in (found, noise))
        if k == 0:
            break
        tau, push, quarters = path[k - 1]
        adjoints = _back(cloud, adjoints, quarters[4:1:-1], 0.5 * tau)
        mean, square = _projected(cloud, adjoints, quarters[2], seed, first, samples)
        first += samples
        found, noise = found + push * mean, noise + push**2 * square / samples
        adjoints = _back(cloud, adjoints, quarters[2::-1], 0.5 * tau)
    return found.reshape(-1, count), np.sqrt(noise).reshape(-1, count)


def _back(cloud: Cloud, adjoints: np.ndarray, at: list[np.ndarray], h: float) -> np.ndarray:
    """λ at the last of three even points of the flow, h of τ before the first."""

    def turned(every: np.ndarray, tau: float) -> np.ndarray:
        x = at[0 if tau == 0.0 else 2 if tau == h else 1]
        sizes = np.maximum(np.sqrt((every**2).mean(axis=(1, 2), keepdims=True)), 1e-300)
        moves = PUSH * every / sizes
        rates = [cloud.velocity(x + move) - cloud.velocity(x - move) for move in moves]
        return np.asarray(np.stack(rates) * sizes / (2 * PUSH))

    return runge_kutta(turned, adjoints, h)


def _projected(
    cloud: Cloud, adjoints: np.ndarray, theta: np.ndarray, seed: int, first: int, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean over samples of ⟨λ, r∇σ − ∇Ψ⟩² for every λ, and the variance of what is averaged."""
    drift = np.einsum("cnd,nd->c", adjoints, cloud.velocity(theta))
    size, parts = max(1, ENTRIES // theta.size), []
    for start in range(0, samples, size):
        count = min(size, samples - start)
        slopes, residual, per_sample = cloud.drawn(theta, seed, first + start, count)
        each = np.tensordot(adjoints, slopes, axes=2) * residual
        each = each.reshape(adjoints.shape[0], -1, per_sample).sum(axis=2)
        parts.append((each + drift[:, None]) ** 2)
    squares = np.concatenate(parts, axis=1)
    return squares.mean(axis=1), squares.var(axis=1)
