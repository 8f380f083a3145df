r"""Correlated starts, in which the middle layers do not degenerate.

Independent weights have one effective neuron a middle layer. A start keeps its diversity as the network grows when
weights into a neuron are a function of something the neuron keeps: its type, a position, or what it says of the
samples. Each start here is an ensemble, so that networks of any width are drawn from it by ``sample`` and follow it.
Source: Pham & Nguyen, arXiv:2006.09355 (bidirectional diversity); Fang, Lee, Yang & Zhang, arXiv:2007.01452, section 5
(regression on features).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.layers.ensemble import each, own_widths
from wflow.tools.checks import (
    check_count,
    check_kind,
    check_seed,
    non_negative,
    number,
    positive,
)
from wflow.tools.streams import stream

CUTOFF = 1e-10
"""Eigenvalues of a layer's second moment below this share of the largest are taken for 0."""


def types(
    inputs: int,
    widths: Sequence[int],
    *,
    std: float | Sequence[float] = 1.0,
    mean: float = 0.0,
    outputs: int = 0,
    seed: int = 0,
) -> Ensemble:
    r"""K_i types of neurons a layer: :math:`w_i(c, c')` is drawn once for every pair of types.

    .. math:: w_i(k, l) \sim N(m, s_i^2), \qquad P_i = \tfrac1{K_i}\textstyle\sum_k\delta_k

    A network of N neurons has some N/K_i of each type, and :math:`H_i` has K_i values however large N is: their
    covariance over the neurons does not fall with N.

    Parameters
    ----------
    inputs : d
    widths : K_1, …, K_{L−1}; as many as samples, or more, leave no sample that all neurons see alike
    std : s_i of each layer, L of them, or one for all; that of w_1 is divided by √d
    mean : m of the layers after the first
    outputs : K of the last layer, 0 for one output
    seed : of the draw

    Raises
    ------
    InputError
        for counts and spreads that are none

    >>> start = types(3, [50, 50], seed=1)
    >>> start, start.sample(2000, seed=0)
    (Ensemble(3 -> 50 -> 50 -> 1), Ensemble(3 -> 2000 -> 2000 -> 1))
    """
    d, k = check_count("inputs", inputs), check_count("outputs", outputs, least=0)
    sizes = own_widths(widths)
    depth = len(sizes) + 1
    spread = [positive("std", value) for value in each("std", std, depth)]
    mean = number("mean", mean)
    rng = stream(check_seed(seed), "start")
    weights = [spread[0] / np.sqrt(d) * rng.standard_normal((sizes[0], d))]
    for i in range(1, depth - 1):
        weights.append(mean + spread[i] * rng.standard_normal((sizes[i - 1], sizes[i])))
    weights.append(mean + spread[-1] * rng.standard_normal((sizes[-1], k) if k else sizes[-1]))
    return Ensemble(weights)


def positions(
    inputs: int,
    widths: Sequence[int],
    *,
    modes: int = 16,
    decay: float = 1.0,
    std: float = 1.0,
    outputs: int = 0,
    seed: int = 0,
) -> Ensemble:
    r"""Neurons with a position u ∈ [0, 1] and Gaussian modes g, which the weights into them and out of them share.

    .. math:: w_i(c, c') = \frac sZ\sum_{k=1}^{m} k^{-\gamma}\bigl[g_k(c')\,e_k(u(c)) + g_k(c)\,e_k(u(c'))\bigr], \qquad
              e_k(u) = \sqrt2\cos(\pi k u),

    where Z gives weights variance s². Of the first layer g and u are functions of w_1: projections of it on directions
    that are drawn once, and the distribution function of one more. What comes into a neuron is a function of its g and
    u, and so is what goes out of it: the diversity of a layer is that of the one before, seen through its modes. The
    weights into a neuron, over u, come near every square integrable function as m grows. Atoms are n_i draws.

    Parameters
    ----------
    inputs : d
    widths : n_1, …, n_{L−1} atoms that stand for the law
    modes, decay : m and γ
    std : s; that of w_1 is divided by √d
    outputs : K, or 0
    seed : of the draw

    Raises
    ------
    InputError
        for counts and numbers that are none

    >>> positions(3, [40, 40, 40], seed=1)
    Ensemble(3 -> 40 -> 40 -> 40 -> 1)
    """
    d, k = check_count("inputs", inputs), check_count("outputs", outputs, least=0)
    sizes = own_widths(widths)
    m, gamma, s = check_count("modes", modes), non_negative("decay", decay), positive("std", std)
    order = np.arange(1, m + 1)
    scale = order**-gamma
    scale = scale / np.sqrt(2.0 * (scale**2).sum())
    rng = stream(check_seed(seed), "start")
    z = rng.standard_normal((sizes[0], d))
    directions = rng.standard_normal((d, m + 1))
    seen = z @ (directions / np.linalg.norm(directions, axis=0))
    g, u = seen[:, :m], ndtr(seen[:, m])
    weights = [s / np.sqrt(d) * z]
    for n in sizes[1:]:
        later, v = rng.standard_normal((n, m)), rng.random(n)
        forth = (_modes(u, order) * scale) @ later.T
        weights.append(s * (forth + (g * scale) @ _modes(v, order).T))
        g, u = later, v
    weights.append(s * rng.standard_normal((sizes[-1], k) if k else sizes[-1]))
    return Ensemble(weights)


def _modes(u: np.ndarray, order: np.ndarray) -> np.ndarray:
    """e_k(u), a row each."""
    return np.asarray(np.sqrt(2.0) * np.cos(np.pi * np.outer(u, order)))


def feature_regression(
    flow: Flow, widths: Sequence[int], *, std: float = 1.0, seed: int = 0
) -> Ensemble:
    r"""The start of neural feature flow: features of wide random networks, and the least weights that give them.

    .. math:: \theta_i(c') \sim N\bigl(0, s^2 K_{i-1}\bigr), \quad
              K_i = E\bigl[\sigma_i(\theta_i)\sigma_i(\theta_i)^\top\bigr] \in R^{Q\times Q}, \quad
              w_i(c, c') = \sigma_{i-1}(\theta_{i-1}(c))^\top K_{i-1}^{-1}\,\theta_i(c')

    θ_i(c') are what weights of variance N s² would make of the samples, which are not weights of order one; the
    weights above are, by ℓ² regression, and give the same features :math:`H_i = \theta_i`.

    Parameters
    ----------
    flow : whose samples and activations the features are of
    widths : n_1, …, n_{L−1} atoms
    std : s, of w_1 divided by √d
    seed : of the draw

    Raises
    ------
    InputError
        for a flow of general units, and counts that are none

    Source: Fang, Lee, Yang & Zhang, arXiv:2007.01452, section 5.

    >>> flow = Flow([[-1.0], [0.5], [1.0]], [-1.0, 0.0, 1.0])
    >>> start = feature_regression(flow, [30, 40, 20], seed=1)
    >>> [float(h.std(axis=0).min().round(1)) > 0.1 for h in flow.hidden(start)[1:3]]
    [True, True]
    """
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    if flow.network.units is not None:
        raise InputError("feature_regression of a flow of general units: it is for activations")
    forth = flow.samples.inputs.forth
    if forth is None:
        raise InputError("feature_regression of a feature flow: start from the Flow on the inputs")
    sizes = own_widths(widths)
    s, rng = positive("std", std), stream(check_seed(seed), "start")
    acts = flow.network.layers(len(sizes) + 1).activations  # type: ignore[union-attr]
    weights = [s / np.sqrt(flow.inputs) * rng.standard_normal((sizes[0], flow.inputs))]
    theta = weights[0] @ forth
    for i in range(1, len(sizes)):
        features = acts[i - 1](theta)
        values, vectors = np.linalg.eigh(features.T @ features / len(features))
        kept = values > CUTOFF * values[-1]
        # K^(1/2) z has covariance K, and K^(-1) of it is K^(-1/2) z.
        z = rng.standard_normal((sizes[i], int(kept.sum())))
        root = np.sqrt(values[kept])
        theta = s * (z * root) @ vectors[:, kept].T
        weights.append(features @ (vectors[:, kept] / root) @ (s * z).T)
    k = flow.network.outputs
    weights.append(s * rng.standard_normal((sizes[-1], k) if k else sizes[-1]))
    return Ensemble(weights)
