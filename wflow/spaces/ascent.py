r"""A step of ascent of the soft minimum of margins of a two-layer ReLU network.

.. math:: v_j = \sum_i p_iy_i\,1[\langle w_j, z_i\rangle > 0]\,z_i, \qquad
          N\,\partial_{a_j}S = \langle w_j, v_j\rangle, \quad N\,\partial_{w_j}S = a_jv_j

One product of matrices forward and one back: homogeneous units give the slope of the charges from that of the weights.
Samples whose weight p rounding would take are left out of the second, most of them in the end.
"""

from __future__ import annotations

import numpy as np

LARGE = 1e12
"""Size from which on parameters are scaled down and their scale kept apart: they grow exponentially."""
SCALES = 1e200
DEEP = 700.0
REACH = 40.0
"""Length of even steps in both layers, times mean |θ|²: as far as S stays smooth where mean |z|² = 1."""
SPARSE = 0.7
"""Share of samples that count, below which they are gathered first."""


class Ascent:
    """Neurons (a, w) on samples z (Q, D) with labels y; their size is the mean of |θ|², or the root of that of a².

    Kept are parameters and a scale: θ is its root times them where both layers move, a is the scale times them where
    the output layer does.
    """

    def __init__(self, z: np.ndarray, y: np.ndarray, a: np.ndarray, w: np.ndarray, both: bool):
        self.z, self.y, self.a, self.w, self.both = z, y, a.copy(), w.copy(), both
        self.scale, self.p = 1.0, np.full(len(z), 1.0 / len(z))
        self._across = np.ascontiguousarray(z.T)
        self._features = np.maximum(w @ self._across, 0.0)
        self._slopes = np.empty_like(self._features)

    def largest_feature(self) -> float:
        """The largest mean square of the features at a sample: no eigenvalue of S's second derivative is larger."""
        return float((self._features.astype(float) ** 2).mean(axis=0).max())

    def measure(self) -> tuple[float, float, float]:
        """min y f and S of the parameters kept, both over the scale, and their size; p of the samples is taken."""
        if self.both:
            np.dot(self.w, self._across, out=self._features)
            np.maximum(self._features, 0.0, out=self._features)
            squares = np.vdot(self.a, self.a) + np.vdot(self.w, self.w)
            size = float(squares) / len(self.a)
        else:
            size = float(np.sqrt(np.vdot(self.a, self.a) / len(self.a)))
        told = (self.y * (self.a @ self._features)).astype(float) / len(self.a)
        least = float(told.min())
        share = np.exp(-np.minimum(self.scale * (told - least), DEEP))
        self.p = share / share.sum()
        return least, least - float(np.log(share.mean())) / self.scale, size

    def move(self, h: float) -> None:
        """One step of length h, after :meth:`measure`."""
        z, features = self.z, self._features
        weights = (self.p * self.y).astype(z.dtype)
        counts = self.p > np.finfo(z.dtype).eps * 0.01 * self.p.max()
        if not self.both:
            self.a += z.dtype.type(h / self.scale) * (features @ weights)
        else:
            if counts.mean() < SPARSE:
                slopes = (features[:, counts] > 0) * weights[counts]
                back = slopes @ z[counts]
            else:
                np.multiply(features > 0, weights, out=self._slopes)
                back = self._slopes @ z
            h = z.dtype.type(h)
            rise = h * np.einsum("nd,nd->n", self.w, back)
            self.w += (h * self.a)[:, None] * back
            self.a += rise

    def shrink(self, size: float) -> None:
        """Keep parameters of a size that numbers hold, where theirs is ``size``."""
        if size < LARGE:
            return
        real = self.a.dtype.type
        self.scale = min(self.scale * size, SCALES)
        if self.both:
            self.w *= real(1.0 / np.sqrt(size))
            self.a *= real(1.0 / np.sqrt(size))
        else:
            self.a *= real(1.0 / size)
