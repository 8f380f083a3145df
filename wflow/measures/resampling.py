r"""Systematic rounding: whole numbers of copies in place of weights, by one random number for all.

.. math:: m_i = \lfloor nP_i + u\rfloor - \lfloor nP_{i-1} + u\rfloor, \qquad P_i = \sum_{j\le i} p_j

With u uniform in (0, 1) each m_i has mean n p_i to the last digit and is one of the two whole numbers beside it, and
any stretch of neighbours holds what it should to less than one copy. Source: Kitagawa, J. Comput. Graph. Stat. 5 (1996)
1.
"""

from __future__ import annotations

import numpy as np

from wflow.errors import InputError

EVEN = 1e-12
"""Weights that differ by less than so much, relatively, are equal."""


def refuse_uneven(who: str, weights: np.ndarray, remedy: str) -> None:
    """Refuse weights that are not all the same, for one who has particles of equal weight.

    >>> refuse_uneven("a network has neurons", np.array([0.2, 0.8]), "resample")
    Traceback (most recent call last):
    wflow.errors.InputError: a network has neurons of equal weight, and these weigh 0.2 to 0.8: resample
    """
    if np.ptp(weights) > EVEN * weights.max():
        raise InputError(
            f"{who} of equal weight, and these weigh {weights.min():.3g} to {weights.max():.3g}: {remedy}"
        )


def systematic(shares: np.ndarray, total: int, u: float) -> np.ndarray:
    """Whole numbers that add up to ``total``, of mean in proportion to the shares (m,) where u is uniform in (0, 1).

    >>> systematic(np.array([0.5, 0.0, 2.5]), 3, 0.4).tolist()
    [0, 0, 3]
    """
    ends = np.cumsum(shares)
    ends *= total / ends[-1]
    ends += u
    # The last end is total + u, whatever rounding made of it.
    whole = np.minimum(ends.astype(np.int64), total)
    whole[-1] = total
    return np.diff(whole, prepend=0)


def drawn(positions: np.ndarray, weights: np.ndarray, n: int, u: float) -> np.ndarray:
    """n positions (n, D) that stand for the weighted ones with equal weights; on a line in its order."""
    if positions.shape[1] == 1:
        order = np.argsort(positions[:, 0], kind="stable")
        positions, weights = positions[order], weights[order]
    return np.repeat(positions, systematic(weights, n, u), axis=0)


def effective_size(weights: np.ndarray) -> float:
    """(Σw)²/Σw²: n for equal weights, 1 where one particle has all.

    >>> effective_size(np.array([0.5, 0.5, 0.0]))
    2.0
    """
    return float(weights.sum() ** 2 / (weights @ weights))
