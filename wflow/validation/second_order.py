r"""The mean of finite networks to order 1/N: the tangent flow's second derivative, averaged over one more neuron.

With :math:`\theta_i(e)` from :math:`\rho_0 + e\mu_k` and :math:`\sum_k\mu_k\otimes\mu_k` the covariance of what N
independent draws are off by, only the sum over k of second derivatives is needed. It has one column,
:math:`\zeta_i = \sum_k\theta_i''`, and the first derivatives :math:`\eta^k, g^k` as sources,

.. math:: F_q = \sum_k f_q'' = \sum_i w_i\nabla\sigma_{iq}\cdot\zeta_i
                + \sum_i w_i\, M_i : \nabla^2\sigma_{iq} + 2\sum_{ik}\mu_{ik}\nabla\sigma_{iq}\cdot\eta_i^k,
                \qquad M_i = \sum_k\eta_i^k\otimes\eta_i^k,

   \dot\zeta_i = -\xi M\Bigl[H_i\zeta_i + \nabla^3\Psi : M_i
                 + \sum_q p_q\bigl(s_qF_q + s_q'\textstyle\sum_k(g_q^k)^2\bigr)\nabla\sigma_{iq}
                 + 2\sum_{qk}p_qs_q\,g_q^k\,\nabla^2\sigma_{iq}\,\eta_i^k\Bigr],

and N·E(f_N − f) → ½F, N·E(R_N − R) → :math:`\sum_q p_q(s_q\sum_k(g_q^k)^2 + r_qF_q)`.
Second derivatives of features are differences of their gradients. Derived here; at t = 0 it is the closed form
:math:`\int U(\theta,\theta)d\rho - \iint U\,d\rho\,d\rho` of Mei, Montanari & Nguyen (2018).
"""

from __future__ import annotations

import numpy as np

from wflow.validation.tangent import LAST, ROWS, STEP, Moment, Path, combined

WIDE = 3e-4
"""Of second differences, per unit: rounding and truncation both leave about 1e-8."""


class Sources:
    """What first derivatives η (n, D, m), g (Q, m) under changes μ (n, m) leave in the second, at one moment."""

    def __init__(self, at: Moment, changes: np.ndarray, eta: np.ndarray, g: np.ndarray) -> None:
        n, d, m = eta.shape
        x, weights, features = at.points, at.path.weights, at.path.energy.features
        spread = np.einsum("idk,iek->ide", eta, eta)
        mixed = (eta.reshape(n * d, m) @ g.T).reshape(n, d, -1)
        lifted = 2.0 * np.einsum("ik,idk->id", changes, eta)
        self.outputs = np.einsum("id,idq->q", lifted, at.slopes)
        self.squares = (g**2).sum(axis=1)
        drift = at.slopes @ (at.path.energy.weights * bend(at) * self.squares)
        for e in range(d):
            h = STEP * np.maximum(1.0, np.abs(x[:, e]))
            up, down = x.copy(), x.copy()
            up[:, e] += h
            down[:, e] -= h
            slope = features.jacobian(up)[1] - features.jacobian(down)[1]
            slope /= (up[:, e] - down[:, e])[:, None, None]
            self.outputs += np.einsum("id,idq->q", weights[:, None] * spread[:, :, e], slope)
            drift += 2.0 * np.einsum("idq,iq->id", slope, at.pull * mixed[:, e])
        self.drift = drift + _third(at, spread)


def bend(at: Moment) -> np.ndarray:
    """½ℓ'''(f_q)."""
    loss, y = at.path.energy.loss, at.path.energy.targets
    h = WIDE * np.maximum(1.0, np.abs(at.output))
    up, down = (loss.half_slope(y, at.output + s * h) for s in (1, -1))
    return np.asarray((up - 2 * at.residual + down) / h**2)


def square_variance(pull: np.ndarray, g: np.ndarray) -> float:
    """Var Σ_q c_q z_q² of Gaussian z with covariance C = g gᵀ: 2 Σ_qq' c_q c_q' C_qq'² = 2 |gᵀ diag(c) g|²."""
    return 2.0 * float(((g.T @ (pull[:, None] * g)) ** 2).sum())


def _third(at: Moment, spread: np.ndarray) -> np.ndarray:
    """∇³Ψ : M along the axes of every M_i, (n, D)."""
    sizes, axes = np.linalg.eigh(spread)
    x, here = at.points, at.slopes @ at.charges
    h = WIDE * np.maximum(1.0, np.abs(x).max(axis=1))[:, None]
    total = np.zeros_like(x)
    for k in range(x.shape[1]):
        move = h * axes[:, :, k]
        both = at.path.slope(x + move, at) + at.path.slope(x - move, at)
        total += sizes[:, k, None] * (both - 2 * here) / h**2
    return total


def biases(path: Path, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """lim N·E(f_N − f), (T, Q), and lim N·E(R_N − R), (T,); ``changes`` (n, m) are the μ_k, each of mass 0."""
    eta = np.zeros((*path.points[0].shape, changes.shape[1]))
    zeta = np.zeros(path.points[0].shape)
    outputs, risks = [], []
    for k in range(path.grid.size):
        node = path.node(k)
        if k in path.at:
            g = node.values.T @ changes + node.moved(eta)
            found = Sources(node, changes, eta, g)
            f = found.outputs + node.moved(zeta[:, :, None])[:, 0]
            outputs.append(0.5 * f)
            risks.append(float(node.pull @ found.squares + node.charges @ f))
        if k + 1 == path.grid.size:
            break
        h = path.grid[k + 1] - path.grid[k]
        first: list[np.ndarray] = []
        second: list[np.ndarray] = []
        for row, stage in zip(((), *ROWS), path.stages(k, node), strict=True):
            at = stage.free[:, :, None] * (eta + h * combined(row, first))
            rate, g = stage.push(at, stage.values.T @ changes)
            first.append(rate)
            sources = Sources(stage, changes, at, g)
            here = (zeta + h * combined(row, second))[:, :, None]
            pushed = stage.push(here, sources.outputs[:, None])[0][:, :, 0]
            second.append(pushed - stage.xi * path.flow.mobile * sources.drift)
        eta = (eta + h * combined(LAST, first)) * path.free[k + 1]
        zeta = (zeta + h * combined(LAST, second)) * path.free[k + 1][..., 0]
    return np.stack(outputs), np.array(risks)
