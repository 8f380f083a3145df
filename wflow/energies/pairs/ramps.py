r"""The population risk of a finite ReLU network on two anisotropic Gaussians, exactly: no sampled inputs.

.. math:: R = \tfrac12\sum_{y=\pm1}\Bigl[1 - 2y\!\int\! a\,E U_+\,d\rho
              + \iint aa'\,E\,U_+U'_+\,d\rho\,d\rho\Bigr], \qquad U = \langle w, x\rangle + b,\ x\sim N(0,\Sigma_y).

Both means are closed forms (:mod:`wflow.kernels.pairs.ramps`), and so is the gradient in (a, b, w) by Price's
theorem, :math:`\partial E U_+V_+/\partial\mathrm{Cov}(U,V) = P(U>0,V>0)`. Cost O(n²) pairs and two products n×n×d.
Source: Mei, Montanari & Nguyen (2018), eq. (3), with their Gaussian data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, numbered
from wflow.energies.base import Energy
from wflow.errors import InputError
from wflow.tools.fingerprint import digest

BLOCK_ROWS = 128
"""Neurons whose pairs are formed together; results do not depend on threads."""
SMALLEST = 1e-100
"""In the place of a standard deviation of 0: the neuron is constant then, and every formula has its limit."""


class RampsOnGaussians(Energy):
    """The square-loss risk of neurons a relu(⟨w, x⟩ + b), θ = (a, b, w), with y = ±1 on N(0, diag(variances)).

    Parameters
    ----------
    variances : (2, d), of the inputs in the classes y = +1 and y = −1

    Raises
    ------
    InputError
        for variances of another shape, negative ones, or NaN

    >>> risk = RampsOnGaussians([[1.0, 1.0], [1.0, 1.0]])
    >>> one = np.array([[1.0, 0.0, 0.6, 0.8]])
    >>> round(risk.prepare(one).field(np.ones(1)).risk, 12)  # 1 + E relu(g)²
    1.5
    """

    affine = True

    def __init__(self, variances: Any) -> None:
        self.variances = np.array(variances, dtype=np.float64)
        v = self.variances
        if v.ndim != 2 or v.shape[0] != 2 or not (np.isfinite(v) & (v >= 0)).all():
            raise InputError(f"variances of shape {v.shape}: give (2, d) finite numbers >= 0")
        d = v.shape[1]
        self.targets = np.array([1.0, -1.0])
        self.dimension = d + 2
        self.coordinates = ("a", "b", *numbered("w", d))

    def prepare(self, points: np.ndarray) -> PreparedRamps:
        return PreparedRamps(self, as_points(points, self.dimension))

    def fingerprint(self) -> str:
        return digest("ramps on gaussians", self.variances)

    def __repr__(self) -> str:
        return f"RampsOnGaussians(d={self.dimension - 2})"


class PreparedRamps:
    """The risk at fixed neurons."""

    def __init__(self, energy: RampsOnGaussians, points: np.ndarray) -> None:
        self._energy, self._points = energy, points

    def field(self, weights: np.ndarray) -> RampField:
        return RampField(self._energy, self._points, np.asarray(weights, dtype=np.float64))


class RampField:
    """Risk, first variation and gradient at one measure of neurons."""

    def __init__(self, energy: RampsOnGaussians, points: np.ndarray, weights: np.ndarray) -> None:
        self._energy, self._points, self._weights = energy, points, weights

    @property
    def risk(self) -> float:
        # 1 + ∫(2 V + ∫U dρ) dρ = 1 + ∫(V + Ψ) dρ.
        single = 0.5 * sum(
            -y * _ramp_means(self._points, variance)[0]
            for y, variance in zip(self._energy.targets, self._energy.variances, strict=True)
        )
        confining = self._points[:, 0] * single
        return float(1.0 + self._weights @ (confining + self.first_variation()))

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        at = self._points if points is None else as_points(points, self._energy.dimension)
        return np.asarray(at[:, 0] * self._pull(at, False)[:, 0])

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        at = self._points if points is None else as_points(points, self._energy.dimension)
        slopes = self._pull(at, True)
        slopes[:, 1:] *= at[:, :1]
        return slopes

    def _pull(self, at: np.ndarray, with_slopes: bool) -> np.ndarray:
        """Ψ/a at the points ``at`` and, with slopes, its derivatives in b and w."""
        from wflow.kernels.pairs.ramps import ramp_pairs

        charges = self._weights * self._points[:, 0]
        out = np.zeros((at.shape[0], self._energy.dimension if with_slopes else 1))
        n = self._points.shape[0]
        for y, variance in zip(self._energy.targets, self._energy.variances, strict=True):
            single = -0.5 * y * np.stack(_ramp_means(at, variance), axis=1)
            own, other = (
                _mean_and_deviation(at, variance),
                _mean_and_deviation(self._points, variance),
            )
            for i in range(0, at.shape[0], BLOCK_ROWS):
                rows = slice(i, i + BLOCK_ROWS)
                w = at[rows, 2:] * variance
                covariance = w @ self._points[:, 2:].T
                sums = np.zeros((w.shape[0], 3))
                orthants = np.empty((w.shape[0], n) if with_slopes else (0, 0))
                ramp_pairs(own[rows], other, covariance, charges, with_slopes, sums, orthants)
                sums = single[rows] + 0.5 * sums
                out[rows, 0] += sums[:, 0]
                if with_slopes:
                    out[rows, 1] += sums[:, 1]
                    pulled = orthants @ self._points[:, 2:]
                    out[rows, 2:] += sums[:, 2:] * w + 0.5 * variance * pulled
        return out


def _mean_and_deviation(points: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(b, σ) of ⟨w, x⟩ + b, shape (n, 2)."""
    sigma = np.sqrt(points[:, 2:] ** 2 @ variance)
    return np.stack([points[:, 1], np.maximum(sigma, SMALLEST)], axis=1)


def _ramp_means(
    points: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E U₊, P(U > 0) and E δ(U)."""
    from scipy.special import ndtr

    b, sigma = _mean_and_deviation(points, variance).T
    z = np.clip(b / sigma, -1e100, 1e100)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    inside = np.asarray(ndtr(z))
    return sigma * density + b * inside, inside, density / sigma
