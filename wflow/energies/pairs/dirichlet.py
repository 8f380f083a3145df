r"""Spikes on a torus seen through a low-pass filter: signed translates of the Dirichlet kernel.

.. math:: \varphi(x;(s,y)) = s\,D(x-y), \qquad D(z) = \prod_{k\le d}\sum_{|j|\le J} e^{\mathrm ijz_k}, \qquad
          K((s,y),(s',y')) = ss'D(y-y')

in :math:`L^2` of the uniform probability on :math:`[0,2\pi]^d`: the filter is a projection. D is of rank (2J + 1)^d in
the basis 1, √2 cos jz, √2 sin jz of each axis, so that sums over n points cost O(n) and are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies.arrays import as_points, numbered
from wflow.energies.pairs.kernel import Kernel, KernelSum
from wflow.tools.checks import check_count, non_negative
from wflow.tools.fingerprint import digest
from wflow.tools.portable import Portable


class DirichletKernel(Kernel):
    """Signed spikes (s, y1, …, yd) behind an ideal low-pass filter of ``frequencies`` J ≥ 1 an axis.

    d, 1 by default, is the ``dimension``.

    Raises
    ------
    InputError
        for no frequencies, and dimensions below 1

    Source: Chizat (2022), Math. Program. 194, 487, Section 5.

    >>> kernel = DirichletKernel(4)
    >>> kernel.sums([[1.0, 0.5]], [[2.0, 0.5]], [1.0]).round(12)      # 2 D(0)
    array([18.])
    """

    def __init__(self, frequencies: int, dimension: int = 1) -> None:
        self.frequencies = check_count("frequencies", frequencies)
        self.inputs_dimension: int = check_count("dimension", dimension)
        self.dimension = 1 + self.inputs_dimension
        self.coordinates = ("s", *numbered("y", self.inputs_dimension))

    def basis(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1, √2 cos jy, √2 sin jy at one coordinate (n,), and their derivatives; shapes (n, 2J + 1)."""
        j = np.arange(1, self.frequencies + 1)
        cos, sin = (np.sqrt(2) * f(y[:, None] * j) for f in (np.cos, np.sin))
        value = np.concatenate([np.ones((len(y), 1)), cos, sin], axis=1)
        return value, np.concatenate([np.zeros((len(y), 1)), -j * sin, j * cos], axis=1)

    def coefficients(self, points: np.ndarray, charges: np.ndarray) -> np.ndarray:
        """Those of Σ_j q_j s_j D(· − y_j) in the basis, shape ((2J + 1)^d,)."""
        first, *others = (self.basis(y)[0] for y in points[:, 1:].T)
        rows = (charges * points[:, 0])[:, None] * first
        for other in others:
            rows = (rows[:, :, None] * other[:, None, :]).reshape(len(points), -1)
        return np.asarray(rows.sum(axis=0))

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        coefficients = self.coefficients(points, charges)
        axes = [self.basis(y) for y in at[:, 1:].T]
        value = _series([v for v, _ in axes], coefficients)
        slope = np.empty_like(at)
        if gradients:
            slope[:, 0] = value
            for k in range(self.inputs_dimension):
                rows = [axis[k == i] for i, axis in enumerate(axes)]
                slope[:, 1 + k] = at[:, 0] * _series(rows, coefficients)
        return at[:, 0] * value, slope

    def diagonal(self, at: Any) -> np.ndarray:
        s = as_points(at, self.dimension)[:, 0]
        return np.asarray(s**2 * (2 * self.frequencies + 1) ** self.inputs_dimension)

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        one = np.column_stack([np.ones(len(x)), x])
        return self.matrix(one, y)

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        one = np.ones(1)
        slopes = [
            # K is symmetric: the slope in y is that of sums over one point, x.
            self.evaluate(y, np.column_stack([one, at[None]]), one, True)[1]
            for at in x
        ]
        return np.stack(slopes, axis=-1)

    def fingerprint(self) -> str:
        return digest("dirichlet", self.frequencies, self.inputs_dimension)

    def __repr__(self) -> str:
        return f"DirichletKernel({self.frequencies}, dimension={self.inputs_dimension})"


def _series(bases: list[np.ndarray], coefficients: np.ndarray) -> np.ndarray:
    """Σ c_{j…k} B_ij … B'_ik for each row i, shape (n,)."""
    n, q = bases[0].shape
    left = bases[0] @ coefficients.reshape(q, -1)
    for basis in bases[1:]:
        left = np.einsum("nq,nqr->nr", basis, left.reshape(n, q, -1))
    return np.asarray(left[:, 0])


class PenalisedSpikes(Portable):
    r"""The target of spikes whose total variation costs: F(s, y) = ⟨f*, φ⟩ − λ|s|.

    .. math:: \tfrac12 R(\rho) = \tfrac12\Bigl\|f_* - \int\varphi\,d\rho\Bigr\|^2 + \lambda\int|s|\,d\rho

    ``observed`` is f* as spikes of a :class:`DirichletKernel`, ``penalty`` λ ≥ 0.

    Raises
    ------
    InputError
        for spikes of another kernel and a negative penalty

    >>> from wflow.energies import KernelSum
    >>> observed = KernelSum(DirichletKernel(4), [[1.0, 0.5]], [1.0])
    >>> PenalisedSpikes(observed, 0.3).penalty
    0.3
    """

    def __init__(self, observed: KernelSum, penalty: float) -> None:
        self.observed, self.penalty = observed, non_negative("penalty", penalty)

    def values(self, at: np.ndarray) -> np.ndarray:
        """F, shape (m,)."""
        return np.asarray(self.observed.values(at) - self.penalty * np.abs(at[:, 0]))

    def values_and_gradients(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F and ∇F, shapes (m,) and (m, D)."""
        value, slope = self.observed.values_and_gradients(at)
        slope[:, 0] -= self.penalty * np.sign(at[:, 0])
        return value - self.penalty * np.abs(at[:, 0]), slope

    def fingerprint(self) -> str:
        return digest("penalised spikes", self.observed.fingerprint(), self.penalty)
