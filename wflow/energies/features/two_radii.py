r"""The reduction of O(s₀)×O(d−s₀): laws of (a, b, w) that two rotations leave alone become laws of (a, b, r₁, r₂).

For x = (s z₁, z₂), z Gaussian in s₀ + (d − s₀) dimensions, and a law with this symmetry, the network depends on
|z₁| and |z₂| only. Nodes on these radii would each need an average over two angles. Here the expectation over the
radii is diagonal instead: Laguerre polynomials in |z₁|²/2 and |z₂|²/2 are orthogonal under it, and a neuron's
coefficient on each is a closed form (:mod:`wflow.kernels.features.two_radii`), because the conditional mean of
:math:`L_j^{(s_0/2-1)}(|z_1|^2/2)` given one coordinate g of z₁ is :math:`L_j^{(-1/2)}(g^2/2) \propto
\mathrm{He}_{2j}(g)`, and Gaussian integration by parts moves He_{2j}He_{2k} onto the ramp. By Parseval

.. math:: R = \tfrac12\sum_{y=\pm1}\Bigl[(y - f_{y,00})^2 + \sum_{(j,k)\ne(0,0)} f_{y,jk}^2\Bigr], \qquad
          f_{y,jk} = \int a\,c_{jk}(b, r_1, r_2; s_y)\,d\rho,

so the modes are the "nodes" of a :class:`FeatureEnergy` with targets y, 0, 0, …. At d = infinity the first mode is
all: q = σφ(b/σ) + bΦ(b/σ), σ² = s²r₁² + r₂². Source: Mei, Montanari & Nguyen (2018), "anisotropic Gaussians".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.features.two_blocks import TwoBlockFeatures
from wflow.errors import InputError, shown
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_list
from wflow.tools.fingerprint import digest

SMALLEST_MODE = 1e-7
"""Modes that no neuron of unit norm excites more are left out: they enter the risk and Ψ squared."""
HIGHEST_DEGREE = 60
"""Cap on j + k, reached only where a block has fewer than about 15 dimensions. The risk then misses a part of order
60^-(1 + s/2), s the smaller block: 5e-6 at s = 1, 2e-8 at s = 2, 4e-11 at s = 4 in an example of size one."""


class TwoRadiiFeatures(FeatureMap):
    r"""Coefficients a c_jk(b, r₁, r₂; s) of ramps on the Laguerre modes of two blocks, one set a scale s.

    Parameters
    ----------
    scales : standard deviations of the first block, one a class; the second block has 1 in every class
    sizes : dimensions (s₀, d − s₀) of the blocks, whole numbers ≥ 1 or both infinity

    Raises
    ------
    InputError
        for scales that are negative, or sizes that are not dimensions

    >>> features = TwoRadiiFeatures([1.5, 0.5], (math.inf, math.inf))
    >>> bool(np.isclose(features.prepare(np.array([[1.0, 0.0, 0.0, 1.0]])).predict(np.ones(1))[0], 0.39894228))
    True
    """

    work = 5000.0

    def __init__(self, scales: Any, sizes: tuple[float, float]) -> None:
        self.scales = as_floats("scales", scales)
        if self.scales.ndim != 1 or self.scales.size == 0 or self.scales.min() < 0:
            raise InputError(f"scales = {shown(scales)}: give one standard deviation >= 0 a class")
        given = check_list("sizes", sizes, "two block sizes")
        if len(given) != 2:
            raise InputError(f"sizes = {shown(sizes)}: give the sizes of two blocks")
        self.sizes = (_size(given[0]), _size(given[1]))
        if math.isinf(self.sizes[0]) != math.isinf(self.sizes[1]):
            raise InputError(f"block sizes {given[0]} and {given[1]}: both finite or both inf")
        self.modes, self.norms = laguerre_modes(*self.sizes)
        self.degree = max(1, int(self.modes.sum(axis=1).max()))
        self.n_nodes = self.scales.size * self.norms.size
        self.dimension = 4
        self.coordinates = ("a", "b", "r1", "r2")
        free = [-np.inf, np.inf]
        self.bounds = np.array([free, free, [0.0, np.inf], [0.0, np.inf]])

    def prepare(self, points: np.ndarray) -> PreparedTwoRadii:
        return PreparedTwoRadii(self, points)

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        """(s₀ − 1) log r₁ + (d − s₀ − 1) log r₂."""
        total = np.zeros(points.shape[0])
        for size, r in zip(self.sizes, points[:, 2:].T, strict=True):
            if 1 < size < math.inf:
                total += (size - 1) * np.log(r)
        return total

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        drift = np.zeros_like(points)
        for k, size in enumerate(self.sizes, start=2):
            if 1 < size < math.inf:
                drift[:, k] = (size - 1) / points[:, k]
        return drift

    def refuse_temperature(self) -> str | None:
        if math.isinf(self.sizes[0]):
            return "temperature > 0 at d = inf: noise in infinitely many directions has no law of r1, r2"
        return None

    def at(self, x: Any) -> TwoBlockFeatures:
        """Ramps at inputs (m, d), averaged over the directions of the weights; s₀ coordinates are the first block."""
        if math.isinf(self.sizes[0]):
            raise InputError("predict at d = inf: inputs x have coordinates at finite d only")
        return TwoBlockFeatures(self, self.sizes, as_inputs(x, int(sum(self.sizes)), "x"))

    def fingerprint(self) -> str:
        return digest("two radii", self.sizes, self.scales, self.modes, self.norms)

    def __repr__(self) -> str:
        return f"TwoRadiiFeatures(sizes={self.sizes}, Q={self.n_nodes})"


class PreparedTwoRadii:
    """Modes of fixed neurons (a, b, r₁, r₂)."""

    def __init__(self, features: TwoRadiiFeatures, points: np.ndarray) -> None:
        self._points = np.ascontiguousarray(points, dtype=np.float64)
        f = features
        self._shape = (f.scales.size, f.norms.size)
        self._expansion = (f.scales, f.modes, f.norms, f.degree)
        self._answer: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def predict(self, weights: np.ndarray) -> np.ndarray:
        from wflow.kernels.features.two_radii import mode_sums

        sums = np.zeros(self._shape)
        w = np.ascontiguousarray(weights, dtype=np.float64)
        mode_sums(self._points, w, *self._expansion, sums)
        return sums.ravel()

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return self._contract(node_weights)[0]

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        return self._contract(node_weights)[1]

    def _contract(self, node_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient come together; both are kept for the node weights asked for last."""
        from wflow.kernels.features.two_radii import mode_values_and_gradients

        key = np.asarray(node_weights, dtype=np.float64).tobytes()
        if self._answer is None or self._answer[0] != key:
            n = self._points.shape[0]
            values, gradients = np.zeros(n), np.zeros((n, 4))
            q = np.array(node_weights, dtype=np.float64).reshape(self._shape)
            mode_values_and_gradients(self._points, q, *self._expansion, values, gradients)
            self._answer = (key, values, gradients)
        return self._answer[1].copy(), self._answer[2].copy()


def two_radii_energy(
    scales: Any, sizes: tuple[float, float], evaluator: str = "auto"
) -> FeatureEnergy:
    """The risk of telling y = +1 (scales[0]) from y = −1 (scales[1]), each with probability ½.

    >>> field = two_radii_energy([1.5, 0.5], (60, 260)).prepare(np.zeros((1, 4))).field(np.ones(1))
    >>> field.risk
    1.0
    """
    features = TwoRadiiFeatures(scales, sizes)
    targets = np.zeros((features.scales.size, features.norms.size))
    targets[:, 0] = [1.0, -1.0]
    # Both classes have probability 1/2; a mode carries its class's.
    weights = np.full(features.n_nodes, 0.5)
    return FeatureEnergy(
        features=features, targets=targets.ravel(), weights=weights, evaluator=evaluator
    )


def laguerre_modes(s1: float, s2: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Degrees (j, k) of the modes that count, the constant first, and N_jk √(2n−2)! of each.

    .. math:: N_{jk} = \frac{(-1)^n}{2^n j!\,k!\sqrt{h_jh_k}}, \qquad h_j = \binom{j + s/2 - 1}{j}
    """
    degrees, norms = [(0, 0)], [1.0]
    if math.isinf(s1):
        return np.array(degrees), np.array(norms)
    for n in range(1, HIGHEST_DEGREE + 1):
        for j in range(n, -1, -1):
            k = n - j
            log_size = -n * math.log(2.0) + 0.5 * math.lgamma(2 * n - 1)
            for degree, size in ((j, s1), (k, s2)):
                log_h = math.lgamma(degree + size / 2) - math.lgamma(size / 2)
                # j! sqrt(h_j) = sqrt(j! Γ(j + s/2)/Γ(s/2)).
                log_size -= 0.5 * (math.lgamma(degree + 1) + log_h)
            # The largest A^j B^k, A + B = 1, and the largest |He_{2n-2} φ|/√(2n-2)!, which is at 0.
            log_most = sum(m * math.log(m / n) for m in (j, k) if m)
            log_most += 0.5 * math.lgamma(2 * n - 1) - (n - 1) * math.log(2.0) - math.lgamma(n)
            if log_size + log_most > math.log(SMALLEST_MODE):
                degrees.append((j, k))
                norms.append((-1) ** n * math.exp(log_size))
    return np.array(degrees), np.array(norms)


def _size(value: Any) -> float:
    """A block's dimension, checked."""
    number = not isinstance(value, bool) and isinstance(value, int | float | np.number)
    if not number or not (value == math.inf or (value >= 1 and value % 1 == 0)):
        raise InputError(f"block size {shown(value)}: expected an integer >= 1 or inf")
    return math.inf if value == math.inf else int(value)
