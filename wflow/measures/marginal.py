"""The law of one coordinate, where coordinates are independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Marginal:
    """The law of one coordinate between ``low`` and ``high``: uniform, or Gaussian cut there when ``spread`` > 0."""

    low: float
    high: float
    mean: float = 0.0
    spread: float = 0.0

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Mass below x."""
        ends = self._rise(np.array([self.low, self.high]))
        inside = self._rise(np.clip(x, self.low, self.high))
        return np.asarray((inside - ends[0]) / (ends[1] - ends[0]))

    def quantile(self, u: np.ndarray) -> np.ndarray:
        """The inverse of the cdf at u in [0, 1)."""
        low, high = self._rise(np.array([self.low, self.high]))
        if not self.spread:
            return np.asarray(low + u * (high - low))
        from scipy.special import ndtri

        # u = 0 would stand at −∞ where the Gaussian is not cut.
        level = low + np.maximum(u, 2.0**-54) * (high - low)
        return np.asarray(np.clip(self.mean + self.spread * ndtri(level), self.low, self.high))

    def _rise(self, x: np.ndarray) -> np.ndarray:
        if not self.spread:
            return x
        from scipy.special import ndtr

        return np.asarray(ndtr((x - self.mean) / self.spread))
