r"""The limit of networks whose weights start independent: an ensemble of few atoms in the middle layers.

Where the weights :math:`w_i(0)` of layer i = 2 … L − 1 are independent with mean m_i, only their mean is seen by the
law of large numbers, on the way forth and on the way back, and the weights move by a function of the atoms of their
neighbours that know something of themselves:

- an atom of layer 1 knows its w₁, one of layers 2 … L − 2 its bias, one of layer L − 1 its bias and its w_L;
- so layer i of 2 … L − 2 has one atom, or one a value of its bias, and :math:`w_i(t) - w_i(0) \to \Delta_i(t)` for all
  weights of a middle layer together, 3 ≤ i ≤ L − 2: the network *degenerates*;
- with three layers, layer 2 is layer L − 1: its weights move by a matrix :math:`\delta_2(w_1, w_3)`.

The ensemble starts from :math:`w_i = m_i` and moves by the flow of any ensemble.
Source: Araújo, Oliveira & Yukimura, arXiv:1906.00193; Nguyen & Pham, arXiv:2001.11443, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.layers import Ensemble
from wflow.layers.ensemble import each
from wflow.measures import Particles
from wflow.tools.arrays import as_floats
from wflow.tools.checks import (
    check_count,
    check_kind,
    check_list,
    check_seed,
    non_negative,
    number,
    positive,
)
from wflow.tools.streams import stream

LEAST_DEPTH = 3


def iid_limit(
    depth: int,
    first: Any,
    last: Any,
    means: float | Sequence[float],
    biases: Sequence[Any] | None = None,
) -> Ensemble:
    r"""The ensemble that networks of L layers follow in the limit from independent weights.

    .. math:: w_i(0) = m_i \quad (2 \le i \le L-1), \qquad \Omega_1 \ni w_1, \quad \Omega_i \ni b_i, \quad
              \Omega_{L-1} \ni (b_{L-1}, w_L)

    Parameters
    ----------
    depth : L ≥ 3
    first : the law of w_1: Particles of d coordinates, or atoms (n, d) of equal probability; see :func:`normal_atoms`
    last : the law of w_L: likewise, of one coordinate (n,), or of K for K outputs
    means : m_2, …, m_{L−1}, or one number for all
    biases : of layers 2 … L: each a number, or atoms of its law; a number, or K of them, for layer L; None for networks
        without biases

    Raises
    ------
    InputError
        for fewer than three layers (of two, the law of neurons is the limit: a GradientFlow), and for laws, means or
        biases of another number or dimension

    Source: Nguyen & Pham, arXiv:2001.11443, section 5.

    >>> iid_limit(5, normal_atoms(64, 3), normal_atoms(16, 1), means=0.5)
    Ensemble(3 -> 64 -> 1 -> 1 -> 16 -> 1)
    >>> iid_limit(3, normal_atoms(64, 3), normal_atoms(16, 1), means=[0.5])
    Ensemble(3 -> 64 -> 16 -> 1)
    """
    depth = check_count("depth", depth)
    if depth < LEAST_DEPTH:
        raise InputError(
            f"depth = {depth}: the limit of two layers is a law of neurons, wflow.GradientFlow; give 3 or more"
        )
    inner = range(2, depth)
    m = [number("means", value) for value in each("means", means, len(inner))]
    w1, p1 = _law("first", first)
    wl, pl = _law("last", last)
    probabilities, values = [p1], [np.zeros(0)]
    given: list[Any] = [0.0] * (depth - 1)
    if biases is not None:
        given = check_list("biases", biases, "numbers or atoms, one a layer from the second on")
        if len(given) != depth - 1:
            raise InputError(
                f"biases has {len(given)} entries: give b_2 … b_{depth}, {depth - 1} of them"
            )
    for i, law in zip(inner, given[:-1], strict=True):
        atoms, p = _bias_law(f"biases[{i - 2}]", law)
        if i == depth - 1:
            # The bias and the last weight of a neuron are independent.
            atoms, p = np.repeat(atoms, len(pl)), np.outer(p, pl).ravel()
            wl = np.tile(wl, (len(p) // len(pl), 1))
        probabilities.append(p)
        values.append(atoms)
    sizes = [len(p) for p in probabilities]
    weights = [w1]
    weights += [np.full((sizes[i - 2], sizes[i - 1]), m[i - 2]) for i in inner]
    one = wl.shape[1] == 1
    weights.append(wl[:, 0] if one else wl)
    b = None
    if biases is not None:
        b = [*values[1:], _last_bias(given[-1], 0 if one else wl.shape[1])]
    return Ensemble(weights, b, probabilities)


def normal_atoms(n: int, d: int, std: float = 1.0, mean: float = 0.0, seed: int = 0) -> Particles:
    r"""n atoms of equal probability that stand for the normal law :math:`N(\mathrm{mean}, \mathrm{std}^2 I_d)`.

    In one dimension the conditional means of n equal parts of the law; in more a scrambled Sobol sequence, scaled to
    the law's own mean and variances. How far they are from the law is seen with a second n, or another seed.

    Parameters
    ----------
    n, d : atoms and coordinates; n a power of two in more than one dimension gives the most even sequences
    std, mean : of every coordinate
    seed : of the scrambling

    Raises
    ------
    InputError
        for counts that are none, and std that is not positive

    >>> atoms = normal_atoms(256, 3)
    >>> atoms.points().shape, bool(np.abs(atoms.mean()).max() < 1e-12)
    ((256, 3), True)
    """
    n, d = check_count("n", n), check_count("d", d)
    std, mean = positive("std", std), number("mean", mean)
    from scipy.special import ndtri

    if d == 1:
        atoms = np.array(Particles.from_quantile(ndtri, n).points())
    else:
        from scipy.stats import qmc

        draws = max(1, int(np.ceil(np.log2(n))))
        sobol = qmc.Sobol(d, rng=np.random.default_rng(check_seed(seed))).random_base2(draws)[:n]
        atoms = ndtri(np.clip(sobol, 1e-12, 1 - 1e-12))
        atoms -= atoms.mean(axis=0)
        if n > 1:
            atoms /= np.sqrt((atoms**2).mean(axis=0))
    return Particles(mean + std * atoms)


def iid_network(
    limit: Ensemble, widths: int | Sequence[int], std: float | Sequence[float] | None, seed: int
) -> Ensemble:
    r"""A network of independent weights drawn from its limit, of :func:`iid_limit`, and coupled to it neuron by neuron.

    .. math:: \mathbf w_i(j, k) = m_i + s_i\,g_i(j, k) \quad (2 \le i \le L-1), \qquad g \sim N(0, 1)

    and the first and last weights and the biases of ``limit.atoms(widths, seed)``.

    Parameters
    ----------
    limit : the ensemble
    widths : N_1, …, N_{L−1}, or one number for all
    std : s_2, …, s_{L−1}, or one number for all; None for the middle weights of the atoms themselves
    seed : of the atoms and of the middle weights

    Raises
    ------
    InputError
        for widths that are no counts, and standard deviations that are negative

    >>> limit = iid_limit(4, normal_atoms(64, 3), normal_atoms(16, 1), means=0.5)
    >>> iid_network(limit, 200, std=1.0, seed=0)
    Ensemble(3 -> 200 -> 200 -> 200 -> 1)
    """
    check_kind("limit", limit, Ensemble, "give what iid_limit has returned")
    network, count = limit.sample(widths, seed), limit.depth - 2
    if std is None:
        return network
    spread = each("std", std, count)
    weights = list(network.weights)
    for i, s in enumerate(spread, start=1):
        noise = stream(seed, "noise", i).standard_normal(weights[i].shape)
        weights[i] = weights[i] + non_negative("std", s) * noise
    return Ensemble(weights, network.biases)


def _law(what: str, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Atoms (n, D) and their probabilities."""
    if getattr(given, "kind", None) is None:
        given = Particles(as_floats(what, given))
    points, weights = np.array(given.points()), np.array(given.weights())
    if abs(weights.sum() - 1.0) > 1e-9:
        raise InputError(f"{what} has mass {weights.sum():.12g}: a law has mass 1")
    return points, weights


def _bias_law(what: str, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) of a bias and their probabilities; a number has one."""
    if isinstance(given, int | float | np.number) and not isinstance(given, bool):
        return np.array([number(what, given)]), np.ones(1)
    points, weights = _law(what, given)
    if points.shape[1] != 1:
        raise InputError(f"{what} has {points.shape[1]} coordinates: a bias is one number")
    return points[:, 0], weights


def _last_bias(given: Any, outputs: int) -> np.ndarray:
    value = as_floats("the last bias", given)
    return np.full(outputs, float(value)) if outputs and value.ndim == 0 else value
