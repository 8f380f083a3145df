r"""Norms of F₁ from both sides: functions through samples, and the Barron norm of a network.

.. math:: \|f\|_1 = \inf\Bigl\{\int|a||w|\,d\rho : f = \int a\langle w, z\rangle_+\,d\rho\Bigr\}
          = \sup_p\Bigl\{\sum_ip_if(x_i) : \Bigl|\sum_ip_i\langle\theta,z_i\rangle_+\Bigr| \le 1,\ |\theta| = 1\Bigr\}

where the second is that over all inputs, and a lower bound at any of them. What a network writes down is an upper
bound; neurons in one direction are one. With :math:`|w|_1` in place of :math:`|w|` the norm is larger, by √D at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.energies.base import Energy, Law
from wflow.errors import ComputationError, InputError
from wflow.spaces.columns import joined, least_sum
from wflow.spaces.inputs import scale_of, values_at, with_bias
from wflow.spaces.penalised import ENTERS, ROUNDS, SAME, VariationFit
from wflow.spaces.pricing import largest
from wflow.spaces.search import worth_more
from wflow.tools.checks import (
    check_count,
    check_flag,
    check_kind,
    check_seed,
    check_word,
    non_negative,
)

LENGTHS = {"l2": 2, "l1": 1}
SLACK = 1e3
"""Price of what is left of y, in units of the largest sum of a few charges; raised where it is paid."""
ROUNDING = 1e-7
"""A gap that linear programmes leave, relatively."""
DIGITS = 12
"""Of the coordinates of directions that are one."""


@dataclass(frozen=True, eq=False)
class BarronNorm:
    r"""The norm of a network's function from both sides.

    Attributes
    ----------
    upper : ∫|a||w| of neurons in different directions
    written : ∫|a||w| of the neurons as they are
    lower : of the function's values at ``x``; no function with them has a smaller norm
    scope : of ``lower``: "proof", "search" where it is that of a search and no proof, or "none" without inputs
    length : "l2" or "l1" of w
    directions, charges : the neurons in different directions, θ (k, D) of |θ| = 1, and their charges (k,)
    """

    upper: float
    written: float
    lower: float
    scope: str
    length: str
    directions: np.ndarray
    charges: np.ndarray


def least_norm(
    x: Any,
    y: Any,
    *,
    bias: bool = True,
    tolerance: float = 1e-6,
    max_rounds: int = ROUNDS,
    seed: int = 0,
) -> VariationFit:
    r"""The function of F₁ of least norm through all samples.

    .. math:: \min\{\|\mu\|_{TV} : f_\mu(x_i) = y_i\} = \max_p\Bigl\{\langle p, y\rangle :
              \max_{|\theta|=1}\Bigl|\sum_ip_i\langle\theta,z_i\rangle_+\Bigr|\le1\Bigr\}

    It is the limit λ → 0 of :func:`penalised`, and bounds the norm of every function with these values from below where
    ``scope`` says "proof".

    Parameters
    ----------
    x, y : inputs (Q, d), numbers (Q,)
    bias : whether units see (x, 1)
    tolerance : of the gap between norm and bound, relative
    max_rounds : rounds in which directions are added, at most
    seed : of the starts

    Raises
    ------
    InputError
        for numbers of another shape
    ComputationError
        where no function passes through the samples, or the gap is still larger after ``max_rounds``

    Source: Bach, JMLR 18 (2017), section 2; Chizat & Bach, arXiv:2002.04486, for the search.

    >>> fit = least_norm([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    >>> round(fit.norm, 9), round(fit.lower, 6)
    (2.0, 2.0)
    """
    z, values = values_at(x, y, check_flag("bias", bias))
    tolerance, rounds = non_negative("tolerance", tolerance), check_count("max_rounds", max_rounds)
    rng, length, unit = np.random.default_rng(check_seed(seed)), scale_of(z), scale_of(values)
    z, y = z / length, values / unit
    n, d = z.shape
    sizes = np.linalg.norm(z, axis=1)
    first = z[sizes > 0] / sizes[sizes > 0, None]
    first = np.concatenate([first, -first, rng.standard_normal((n, d))])
    directions = first / np.linalg.norm(first, axis=1, keepdims=True)
    lower, best, norm, slack, proved = 0.0, np.zeros(n), np.inf, SLACK, True
    for _ in range(rounds):
        columns = np.maximum(z @ directions.T, 0.0)
        try:
            charges, p = least_sum(columns, y, slack)
        except ComputationError:
            if slack > SLACK:
                raise impassable() from None
            raise
        p[(sizes == 0) & (y == 0)] = 0.0  # all pass through 0 at 0, whatever it is priced at
        # A price below what is paid for slack says that there is none.
        through = float(np.abs(p).max()) < 0.99 * slack
        more = worth_more(z, p, 1.0 + ENTERS, rng)
        if len(more):
            directions = np.concatenate([directions, more])
            continue
        theta, worth, exact = largest(z, p, rng) if p.any() else (directions[0], 0.0, d <= 3)
        top = max(abs(worth), np.abs(columns.T @ p).max(initial=0.0))
        # A bound is that of its own round, unless both are proved: what a search missed may have made it too large.
        if top > 0 and ((bound := float(p @ y) / top) > lower or not (exact and proved)):
            lower, best, proved = bound, p / top, exact
        norm = float(np.abs(charges).sum())
        if through and norm - lower <= tolerance * norm:
            break
        if np.abs(directions - theta).max(axis=1).min() < SAME or top <= 1.0 + 0.1 * tolerance:
            if through:
                break
            slack *= 100.0
            if slack > 1e12:
                raise impassable()
            continue
        directions = np.concatenate([directions, theta[None]])
    else:
        raise unfinished(directions)
    if not norm - lower <= max(tolerance, ROUNDING) * norm:
        raise unfinished(directions)
    directions, charges = joined(z, directions, charges)
    fitted = np.maximum(z @ directions.T, 0.0) @ charges
    norm = float(np.abs(charges).sum()) * unit / length
    return VariationFit(
        norm=norm,
        risk=float(((values - unit * fitted) ** 2).mean()),
        objective=norm,
        lower=min(float(lower) * unit / length, norm),
        scope="proof" if proved else "search",
        directions=directions,
        charges=charges * unit / length,
        weights=best / length,
        bias=bias,
    )


def impassable() -> ComputationError:
    """What is said where some of y is left at any price, or at prices that linear programmes hold."""
    return ComputationError(
        "no function passes through the samples: some have one input, or multiples of one without a bias, to rounding"
    )


def unfinished(directions: np.ndarray) -> ComputationError:
    """What is said of a search that did not come to its end."""
    return ComputationError(
        f"the search for the least norm did not end with {len(directions)} directions: give more max_rounds, or a "
        "larger tolerance where rounding decides"
    )


def barron_norm(
    energy: Energy,
    measure: Law,
    x: Any = None,
    *,
    length: str = "l2",
    tolerance: float = 1e-4,
    max_rounds: int = ROUNDS,
    seed: int = 0,
) -> BarronNorm:
    r"""The Barron norm of a ReLU network from above and from below.

    .. math:: \int|a||w|\,d\rho \ge \sum_j\Bigl|\int_{\theta_j}a|w|\,d\rho\Bigr| \ge \|f\| \ge
              \max_p\Bigl\{\sum_ip_if(x_i) : \Bigl|\sum_ip_i\langle\theta,z_i\rangle_+\Bigr| \le 1\Bigr\}

    Offsets are weights of z = (x, 1). Only charges of one direction θ_j cancel in ``upper``: ReLUs of both signs of a
    direction make a line, which others may make too.

    Parameters
    ----------
    energy : of ReLU units with charges: FeatureEnergy("relu", …, charges=True), or that of ``teacher-student``
    measure : a law of their neurons
    x : inputs (m, d) for the bound from below; the energy's nodes by default, if it has some
    length : of w: "l2", the variation norm; "l1", for which the bound from below is that of "l2", which is smaller
    tolerance : of the bound from below
    max_rounds, seed : those of :func:`least_norm`

    Raises
    ------
    InputError
        for other units, inputs of another dimension, and an unknown word
    ComputationError
        where :func:`least_norm` does not come to its end

    Source: E, Ma & Wu, arXiv:1906.08039, whose norm is that of "l1"; Bach, JMLR 18 (2017), for "l2".

    >>> from wflow.energies import FeatureEnergy
    >>> from wflow.measures import Particles
    >>> energy = FeatureEnergy("relu", [-1.0, 0.5, 2.0], [0.0, 0.0, 0.0], charges=True)
    >>> norm = barron_norm(energy, Particles([[2.0, 1.0], [4.0, 3.0], [-1.0, 1.0], [1.0, -1.0]]))
    >>> norm.written, norm.upper, round(norm.lower, 6)
    (4.0, 3.5, 3.5)
    """
    check_kind("energy", energy, Energy, "give an energy of wflow.energies")
    if not energy.relu_units:
        raise InputError(
            f"{energy!r} does not declare relu_units: a Barron norm needs neurons a relu(<w, x> + b), activation "
            "'relu' with charges"
        )
    power = LENGTHS[check_word("length", length, LENGTHS)]
    points, weights = energy.law(measure)
    offset = "b" in energy.coordinates[:2]
    w = np.roll(points[:, 1:], -1, axis=1) if offset else points[:, 1:]
    size = np.linalg.norm(w, axis=1)
    written = float(weights @ (np.abs(points[:, 0]) * np.linalg.norm(w, ord=power, axis=1)))
    kept = size > 0
    theta, charges = _different(w[kept] / size[kept, None], (weights * points[:, 0] * size)[kept])
    upper = min(written, float(np.abs(charges) @ np.linalg.norm(theta, ord=power, axis=1)))
    lower, scope = 0.0, "none"
    at = energy.node_inputs if x is None else as_inputs(x, w.shape[1] - int(offset), "x")
    if at is not None:
        values = np.maximum(with_bias(at, offset) @ theta.T, 0.0) @ charges
        fit = least_norm(
            at, values, bias=offset, tolerance=tolerance, max_rounds=max_rounds, seed=seed
        )
        # Of a proof, what is above is rounding.
        lower, scope = min(fit.lower, upper) if fit.scope == "proof" else fit.lower, fit.scope
    return BarronNorm(upper, written, lower, scope, length, theta, charges)


def _different(theta: np.ndarray, charges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (k, D) that differ, and the sums of charges of each."""
    if not len(theta):
        return theta, charges
    rounded = np.round(theta, DIGITS) + 0.0  # −0 is no other number
    _, first, group = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    sums = np.zeros(len(first))
    np.add.at(sums, np.ravel(group), charges)
    return theta[first], sums
