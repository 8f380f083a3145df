r"""Intervals that chance leaves open, for means and deviations of numbers that need not be normal.

Gaps of narrow networks are skewed: squares of what the start makes of the output lead in them. Of the mean of n such
numbers Student's T has skewness −2γ/√n, and misses on the side of the long tail ten times as often as it says. Hall's

.. math:: g(T) = T + \tfrac\gamma3T^2 + \tfrac{\gamma^2}{27}T^3 + \tfrac\gamma6, \qquad \gamma \mapsto \gamma/\sqrt n

takes the skewness off, is monotone, and is inverted in closed form. A sample tells its skewness badly, so the interval
reaches as far as the wider of the two on either side.

Sources: Hall, J. R. Statist. Soc. B 54 (1992), 221; O'Neill, Amer. Statist. 68 (2014), 282, for the deviation.
"""

from __future__ import annotations

import numpy as np

LEVEL = 1e-3
"""Chance that a band misses what it estimates; some twenty verdicts a report then err once in fifty reports."""


def student(degrees: float) -> float:
    """Standard errors that the band of a mean of normal numbers reaches, at :data:`LEVEL`.

    >>> round(student(7), 2), round(student(1e6), 2)
    (5.41, 3.29)
    """
    from scipy.stats import t

    return float(t.ppf(1 - LEVEL / 2, degrees))


def reaches(values: np.ndarray, skew: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How far below and above their mean the mean of numbers like these may lie, along the last axis.

    Their own skewness counts, unless that of more numbers of their kind is given.

    >>> [round(float(end), 2) for end in reaches(np.array([-1.0, 0.0, 1.0, 0.0]))]
    [5.28, 5.28]
    >>> down, up = reaches(np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5, 4.0]))
    >>> bool(up > 1.5 * down)
    True
    """
    root = np.sqrt(values.shape[-1])
    own = skewness(values) if skew is None else skew
    return reaches_of(values.std(axis=-1, ddof=1) / root, own / root, values.shape[-1] - 1)


def reaches_of(
    error: np.ndarray | float, skew: np.ndarray | float, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same of any sum of independent numbers, from its standard error and its own skewness."""
    reach = student(degrees)
    # Of no skewness the inverse is the identity: a little stands in for none.
    g = np.where(np.abs(skew) < 1e-6, 1e-6, skew)
    below, above = (3 / g * (np.cbrt(1 + g * (end - g / 6)) - 1) for end in (reach, -reach))
    return np.maximum(below, reach) * error, np.maximum(-above, reach) * error


def skewness(values: np.ndarray) -> np.ndarray:
    """Fisher's G₁ along the last axis, 0 for equal numbers and for fewer than three."""
    n = values.shape[-1]
    if n < 3:
        return np.zeros(values.shape[:-1])
    off = values - values.mean(axis=-1, keepdims=True)
    third, second = (off**3).mean(axis=-1), (off**2).mean(axis=-1)
    share = np.divide(third, second**1.5, out=np.zeros_like(third), where=second**1.5 > 0)
    return np.asarray(share * np.sqrt(n * (n - 1)) / (n - 2))


def excess_kurtosis(values: np.ndarray) -> float:
    """Fisher's G₂ of groups of numbers (groups, n), each about its mean and in units of its deviation.

    >>> round(excess_kurtosis(np.array([[-1.0, 0.0, 0.0, 1.0]])), 2)
    1.5
    """
    n = values.shape[-1]
    off = values - values.mean(axis=-1, keepdims=True)
    second = (off**2).mean(axis=-1)
    seen = second > 0
    if n < 4 or not seen.any():
        return 0.0
    ratio = float(((off[seen] ** 4).mean(axis=-1) / second[seen] ** 2).mean())
    return float((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (ratio - 3) + 6))


def deviation_band(values: np.ndarray, like: np.ndarray | None = None) -> tuple[float, float]:
    r"""What chance leaves open for the standard deviation of numbers (n,).

    By the chi-square law with the degrees of freedom that give s² its variance,

    .. math:: \mathrm{Var}\,s^2 = \sigma^4\Bigl(\frac2{n-1} + \frac\kappa n\Bigr) = \frac{2\sigma^4}r,

    κ being the largest of 0, that of the numbers, and that of other groups (groups, m) of the same kind ``like``.
    """
    from scipy.stats import chi2

    n = values.size
    kurtosis = max(
        0.0, excess_kurtosis(values[None]), 0.0 if like is None else excess_kurtosis(like)
    )
    degrees = 2 / (2 / (n - 1) + kurtosis / n)
    ends = np.sqrt(degrees / chi2.ppf([1 - LEVEL / 2, LEVEL / 2], degrees))
    low, high = float(values.std(ddof=1)) * ends
    return float(low), float(high)
