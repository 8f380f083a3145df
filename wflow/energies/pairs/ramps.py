r"""The population risk of a finite ReLU network on two anisotropic Gaussians, exactly: no sampled inputs.

.. math:: R = \tfrac12\sum_{y=\pm1}\Bigl[1 - 2y\!\int\! a\,E U_+\,d\rho
              + \iint aa'\,E\,U_+U'_+\,d\rho\,d\rho\Bigr], \qquad U = \langle w, x\rangle + b,\ x\sim N(0,\Sigma_y).

Both means are closed forms (:mod:`wflow.kernels.pairs.ramps`), and so is the gradient in (a, b, w) by Price's
theorem, :math:`\partial E U_+V_+/\partial\mathrm{Cov}(U,V) = P(U>0,V>0)`. Cost O(n²) pairs and two products n×n×d.
Source: Mei, Montanari & Nguyen (2018), eq. (3), with their Gaussian data.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, as_masses, as_points, numbered
from wflow.energies.base import Energy, Law
from wflow.energies.features.dense import DenseFeatures
from wflow.errors import InputError
from wflow.tools.arrays import as_floats
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
        self.variances = as_floats("variances", variances)
        v = self.variances
        if v.ndim != 2 or v.shape[0] != 2 or v.size == 0 or v.min() < 0:
            raise InputError(f"variances of shape {v.shape}: give (2, d) finite numbers >= 0")
        d = v.shape[1]
        self.targets = np.array([1.0, -1.0])
        self.dimension = d + 2
        self.coordinates = ("a", "b", *numbered("w", d))

    def prepare(self, points: np.ndarray) -> PreparedRamps:
        return PreparedRamps(self, as_points(points, self.dimension))

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ∫a relu(⟨w, x⟩ + b) dρ at inputs x (m, d), shape (m,)."""
        points, weights = self.law(measure)
        x = as_inputs(x, self.dimension - 2, "x")
        relu = DenseFeatures("relu", x, charges=True, offset=True)
        return relu.prepare(points).predict(weights)

    def fingerprint(self) -> str:
        return digest("ramps on gaussians", self.variances)

    def __repr__(self) -> str:
        return f"RampsOnGaussians(d={self.dimension - 2})"


class PreparedRamps:
    """The risk at fixed neurons, with what each class knows of one neuron alone."""

    def __init__(self, energy: RampsOnGaussians, points: np.ndarray) -> None:
        self.energy, self.points = energy, points

    @cached_property
    def spreads(self) -> list[np.ndarray]:
        """(b, σ) of ⟨w, x⟩ + b in each class, (n, 2)."""
        return [_mean_and_deviation(self.points, v) for v in self.energy.variances]

    @cached_property
    def singles(self) -> list[np.ndarray]:
        """V/a and its slopes in b and σ²/2 from each class, (n, 3)."""
        both = zip(self.energy.targets, self.spreads, strict=True)
        return [-0.5 * y * np.stack(_ramp_means(spread), axis=1) for y, spread in both]

    def field(self, weights: np.ndarray) -> RampField:
        return RampField(self, as_masses(weights, len(self.points)))


class RampField:
    """Risk, first variation and gradient at one measure of neurons."""

    def __init__(self, prepared: PreparedRamps, weights: np.ndarray) -> None:
        self._prepared, self._weights = prepared, weights

    @property
    def risk(self) -> float:
        # 1 + ∫(2 V + ∫U dρ) dρ = 1 + ∫(V + Ψ) dρ.
        p = self._prepared
        confining = p.points[:, 0] * sum(single[:, 0] for single in p.singles)
        return float(1.0 + self._weights @ (confining + self.first_variation()))

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        at = self._at(points)
        return np.asarray(at.points[:, 0] * self._pull(at, False)[:, 0])

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        at = self._at(points)
        slopes = self._pull(at, True)
        slopes[:, 1:] *= at.points[:, :1]
        return slopes

    def _at(self, points: np.ndarray | None) -> PreparedRamps:
        return self._prepared if points is None else self._prepared.energy.prepare(points)

    def _pull(self, at: PreparedRamps, with_slopes: bool) -> np.ndarray:
        """Ψ/a at the points ``at`` and, with slopes, its derivatives in b and w."""
        from wflow.kernels.pairs.ramps import ramp_pairs

        here = self._prepared
        points, energy, m = here.points, here.energy, at.points.shape[0]
        charges = self._weights * points[:, 0]
        out = np.zeros((m, energy.dimension if with_slopes else 1))
        classes = zip(energy.variances, at.singles, at.spreads, here.spreads, strict=True)
        for variance, single, own, other in classes:
            for i in range(0, m, BLOCK_ROWS):
                rows = slice(i, i + BLOCK_ROWS)
                w = at.points[rows, 2:] * variance
                covariance = w @ points[:, 2:].T
                sums = np.zeros((w.shape[0], 3))
                orthants = np.empty((w.shape[0], len(points)) if with_slopes else (0, 0))
                ramp_pairs(own[rows], other, covariance, charges, with_slopes, sums, orthants)
                sums = single[rows] + 0.5 * sums
                out[rows, 0] += sums[:, 0]
                if with_slopes:
                    out[rows, 1] += sums[:, 1]
                    pulled = orthants @ points[:, 2:]
                    out[rows, 2:] += sums[:, 2:] * w + 0.5 * variance * pulled
        return out


def _mean_and_deviation(points: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(b, σ) of ⟨w, x⟩ + b, shape (n, 2)."""
    sigma = np.sqrt(points[:, 2:] ** 2 @ variance)
    return np.stack([points[:, 1], np.maximum(sigma, SMALLEST)], axis=1)


def _ramp_means(spread: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E U₊, P(U > 0) and E δ(U) for (b, σ)."""
    from scipy.special import ndtr

    b, sigma = spread.T
    z = np.clip(b / sigma, -1e100, 1e100)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    inside = np.asarray(ndtr(z))
    return sigma * density + b * inside, inside, density / sigma
