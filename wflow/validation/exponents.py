r"""Powers through a few widths, of which the narrowest are seldom asymptotic.

.. math:: y(N) = a\,N^p\,\Bigl(1 + \beta\frac{N_1}N\Bigr)

A line through log y takes the next order for a part of p: four tenths of β over four widths by factors of 2. Where
nothing is known of β, p is fitted beside it: β is 0 within :data:`NEXT`, and is left free where the widths themselves
say otherwise. p is as open as that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.validation.intervals import reaches_of

NEXT = 0.12
"""Standard deviation of β before anything is measured: as much of a first order as may be of second where it leads."""
BENT = 1.5
"""Standard errors that β lies from 0 where the widths contradict that."""


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error and its own skewness; ``bent`` is a power whose next order is left free."""

    value: float
    error: float
    skew: float = 0.0
    bent: bool = False

    def reach(self, degrees: float) -> tuple[float, float]:
        """How far below and above it chance leaves open."""
        down, up = reaches_of(self.error, self.skew, degrees)
        return float(down), float(up)


def slope(x: np.ndarray, values: np.ndarray) -> float:
    """The exponent of x in values (len(x), T), the mean of the least-squares fits at each time.

    >>> n = np.array([50, 100, 200, 400])
    >>> round(slope(n, 3.0 * n[:, None] ** -0.5), 12)
    -0.5
    """
    return float(np.polyfit(np.log(x), np.log(values), 1)[0].mean())


def line(x: np.ndarray, values: np.ndarray, drawn: np.ndarray) -> Estimate:
    """p of values (X, T) where β is negligible, from draws of them over resampled seeds (B, X, T)."""
    y, again, chance = _logarithms(values, drawn)
    rows = np.stack([np.ones(y.size), np.log(x)], axis=1)
    held = np.linalg.pinv(rows / chance[:, None])[1] / chance
    return Estimate(float(held @ y), float((again @ held).std(ddof=1)))


def power(x: np.ndarray, values: np.ndarray, drawn: np.ndarray, order: int = -1) -> Estimate:
    """p of values (X, T) beside β, from draws of them over resampled seeds (B, X, T).

    The next order goes with x to ``order``, as 1/N or ε, and β is its share where that is greatest.

    >>> n, rng = np.array([50, 100, 200, 400]), np.random.default_rng(0)
    >>> noise = rng.lognormal(0.0, 0.01, (400, 4, 1))
    >>> straight, bent = (3.0 * n[:, None] ** -0.5 * (1 + beta * 50 / n[:, None]) for beta in (0.0, 1.0))
    >>> for y in (straight, bent):
    ...     fit = power(n, y, y * noise)
    ...     print(f"{slope(n, y):.2f} {fit.value:.2f} ± {fit.error:.2f}", fit.bent)
    -0.50 -0.50 ± 0.02 False
    -0.78 -0.58 ± 0.02 True
    """
    y, again, chance = _logarithms(values, drawn)
    share = (x / (x.min() if order < 0 else x.max())) ** float(order)
    rows = np.stack([np.ones(y.size), np.log(x), share], axis=1)
    free = np.linalg.pinv(rows / chance[:, None]) / chance
    beta, beta_error = float(free[2] @ y), float((again @ free[2]).std(ddof=1))
    if abs(beta) > BENT * np.hypot(NEXT, beta_error):
        return Estimate(float(free[1] @ y), float((again @ free[1]).std(ddof=1)), bent=True)
    known = np.vstack([rows / chance[:, None], [0.0, 0.0, 1 / NEXT]])
    *held, before = np.linalg.pinv(known)[1]
    held = np.array(held) / chance
    return Estimate(float(held @ y), float(np.hypot((again @ held).std(ddof=1), before)))


def _logarithms(values: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over the times of log y, of its draws, and standard errors by them."""
    again = np.log(drawn).mean(axis=-1)
    chance = np.maximum(again.std(axis=0, ddof=1), 1e-9)
    return np.log(values).mean(axis=-1), again, chance
