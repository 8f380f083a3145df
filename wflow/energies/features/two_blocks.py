r"""Features of a law of (a, b, r₁, r₂) at inputs x of two blocks: ramps averaged over the weights' directions.

.. math:: \sigma_*(x;\theta) = a\,E\bigl(b + r_1|x_1|u_1 + r_2|x_2|u_2\bigr)_+

with u₁ and u₂ one coordinate each of independent uniform points on the blocks' unit spheres. The average over one
block, the one that counts more, is a closed form, by which the other becomes smooth enough for Gauss's rule: with
z = −c/s and one coordinate u in D dimensions

.. math:: E(c + su)_+ = c\,P(u>z) + s\,E[u;u>z], \quad
          P(u>z) = \tfrac12 I_{1-z^2}\bigl(\tfrac{D-1}2,\tfrac12\bigr)\ (z\ge0), \quad
          E[u;u>z] = \frac{\Gamma(D/2)}{2\sqrt\pi\,\Gamma((D+1)/2)}(1-z^2)^{(D-1)/2}.

These are the predictions of :mod:`wflow.energies.features.two_radii`, whose own nodes are modes and no inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from wflow.energies.base import SameSpace
from wflow.energies.features.base import FeatureMap
from wflow.tools.fingerprint import digest

ENTRIES = 1 << 18
"""Triples of an input, a neuron and a direction that are formed at a time."""
ORDER, SHORT, ORDER_OF_SHORT = 64, 16, 512
"""Directions, and those where a block is shorter than ``SHORT``; blocks of 2 are met to 1e-6, of 12 to rounding."""


class TwoBlockFeatures(SameSpace, FeatureMap):
    """Averaged ramps at inputs (Q, d), whose first ``sizes[0]`` coordinates are the first block."""

    def __init__(self, space: FeatureMap, sizes: tuple[float, float], x: np.ndarray) -> None:
        super().__init__(space)
        self.sizes = (int(sizes[0]), int(sizes[1]))
        blocks = x[:, : self.sizes[0]], x[:, self.sizes[0] :]
        self.radii = np.stack([np.linalg.norm(block, axis=1) for block in blocks], axis=1)
        self.n_nodes = x.shape[0]
        count = ORDER_OF_SHORT if min(self.sizes) < SHORT else ORDER
        self.rules = [_directions(size, count) for size in self.sizes]

    def prepare(self, points: np.ndarray) -> PreparedTwoBlocks:
        return PreparedTwoBlocks(self, points)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = np.concatenate([values for _, values in self.prepare(points)._blocks()], axis=1)
        slopes, a = np.ascontiguousarray(parts.transpose(2, 0, 1)), points[:, 0]
        values = a[:, None] * slopes[:, 0]
        slopes[:, 1:] *= a[:, None, None]
        return values, slopes

    def fingerprint(self) -> str:
        return digest("two blocks", self.sizes, self.radii)

    def __repr__(self) -> str:
        return f"TwoBlockFeatures(sizes={self.sizes}, Q={self.n_nodes})"


class PreparedTwoBlocks:
    """Averaged ramps of fixed neurons (a, b, r₁, r₂), in blocks of inputs; nothing is kept."""

    def __init__(self, features: TwoBlockFeatures, points: np.ndarray) -> None:
        self._features, self._points = features, points

    def predict(self, weights: np.ndarray) -> np.ndarray:
        parts = [value[0] @ (weights * self._points[:, 0]) for _, value in self._blocks()]
        return np.concatenate(parts)

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        return np.asarray(self._points[:, 0] * self._contract(node_weights)[0])

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        out = self._contract(node_weights)
        out[1:] *= self._points[:, 0]
        return np.ascontiguousarray(out.T)

    def _contract(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q c_q of the average and of its slopes in b, r₁, r₂; (4, n)."""
        total = np.zeros((4, self._points.shape[0]))
        for rows, values in self._blocks():
            total += np.einsum("q,kqn->kn", node_weights[rows], values)
        return total

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The average and its slopes in b, r₁, r₂ for some inputs: (4, q, n)."""
        f, n = self._features, self._points.shape[0]
        size = max(1, ENTRIES // (n * max(shares.size for _, shares in f.rules)))
        for start in range(0, f.n_nodes, size):
            rows = slice(start, min(start + size, f.n_nodes))
            lengths = f.radii[rows, None] * self._points[:, 2:]
            out = np.empty((4, rows.stop - rows.start, n))
            closed = self._closed(lengths)
            for inner in (0, 1):
                q, i = np.nonzero(closed == inner)
                if q.size:
                    inputs = f.radii[rows][q]
                    out[:, q, i] = self._averages(inner, self._points[i, 1], lengths[q, i], inputs)
            yield rows, out

    def _closed(self, lengths: np.ndarray) -> np.ndarray:
        """The block that is averaged in closed form: the one by which ⟨w, x⟩ varies more, if it is more than a sign."""
        sizes = self._features.sizes
        if min(sizes) == 1:
            return np.full(lengths.shape[:2], int(np.argmax(sizes)))
        return np.asarray(np.argmax(lengths / np.sqrt(sizes), axis=2))

    def _averages(
        self, inner: int, b: np.ndarray, lengths: np.ndarray, inputs: np.ndarray
    ) -> np.ndarray:
        """E(b + Σ r_k|x_k|u_k)₊ and its slopes for pairs (p,) with lengths r_k|x_k| (p, 2); (4, p)."""
        outer = 1 - inner
        u, shares = self._features.rules[outer]
        shift = b[:, None] + lengths[:, outer, None] * u
        above, drawn = _tail(shift, lengths[:, inner, None], self._features.sizes[inner])
        slopes = np.empty((2, b.size))
        slopes[outer] = inputs[:, outer] * ((above * u) @ shares)
        slopes[inner] = inputs[:, inner] * (drawn @ shares)
        value = (shift * above + lengths[:, inner, None] * drawn) @ shares
        return np.stack([value, above @ shares, *slopes])


def _tail(shift: np.ndarray, scale: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """P(u > z) and E[u; u > z] at z = −shift/scale, for one coordinate u in ``dimension`` dimensions."""
    from scipy.special import betainc

    z = np.divide(-shift, scale, out=np.full(shift.shape, 2.0), where=scale > np.abs(shift))
    inside = np.abs(z) < 1.0
    room = np.where(inside, (1 - z) * (1 + z), 0.0)
    half = np.full(z.shape, 0.5)
    if dimension > 1:
        half = 0.5 * betainc(0.5 * (dimension - 1), 0.5, room)
    above = np.where(z >= 0, half, 1.0 - half)
    peak = math.exp(math.lgamma(0.5 * dimension) - math.lgamma(0.5 * dimension + 0.5))
    drawn = peak / (2 * math.sqrt(math.pi)) * room ** (0.5 * (dimension - 1))
    return np.where(inside, above, shift > 0), np.where(inside, drawn, 0.0)


def _directions(dimension: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's rule for one coordinate of a uniform point on the sphere: weight (1 − u²)^((D−3)/2)."""
    if dimension == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    from scipy.linalg import eigh_tridiagonal

    # The Jacobi matrix of Gegenbauer's polynomials with parameter λ = D/2 − 1; at λ = 0 the first entry is a limit.
    k, lam = np.arange(1.0, count), 0.5 * dimension - 1
    beta = k * (k + 2 * lam - 1) / (4 * (k + lam) * (k + lam - 1)) if lam else np.full(k.size, 0.25)
    beta[0] = 1 / dimension
    u, vectors = eigh_tridiagonal(np.zeros(k.size + 1), np.sqrt(beta))
    return u, vectors[0] ** 2
