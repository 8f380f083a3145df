r"""How ∇Ψ changes as the points of a measure move: the derivative of a particle flow.

.. math:: \delta\nabla\Psi(\theta_i;\rho) = \nabla^2\Psi(\theta_i)\,\delta\theta_i
          + \sum_j w_j\,\nabla_1\nabla_2 U(\theta_i,\theta_j)\,\delta\theta_j, \qquad \rho = \sum_j w_j\delta_{\theta_j}

It is symmetric in the inner product Σ w_i ⟨u_i, v_i⟩: the Hessian of ½R over the weights. The first part is small where
the residual is; the second, Gauss and Newton's, has the rank of the outputs that count. An energy that knows either
part says so here; otherwise both are differenced from ∇Ψ.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wflow.energies.arrays import answered

if TYPE_CHECKING:
    from wflow.energies.base import Energy, Field

STEP = 6e-6
"""Length of central differences, relative to the size of the points: ε^(1/3), where both errors are alike."""


class Curvature:
    """The derivative at points (n, D) with weights (n,), differenced.

    >>> from wflow.energies import PairEnergy
    >>> energy = PairEnergy(lambda x: 1.5 * x[..., 0] ** 2, grad_V=lambda x: 3.0 * x)
    >>> at = energy.curvature(np.array([[1.0], [2.0]]), np.full(2, 0.5))
    >>> at.times(np.array([[1.0], [-1.0]])).round(6).tolist(), at.blocks.round(6).ravel().tolist()
    ([[3.0], [-3.0]], [3.0, 3.0])
    """

    def __init__(self, energy: Energy, points: np.ndarray, weights: np.ndarray) -> None:
        self.energy, self.points, self.weights = energy, points, weights

    @cached_property
    def _field(self) -> Field:
        return self.energy.prepare(self.points).field(self.weights)

    @cached_property
    def _size(self) -> np.ndarray:
        """The size of each coordinate, shape (D,)."""
        size = np.sqrt((self.points**2).mean(axis=0))
        return np.where(size > 0, size, 1.0)

    def times(self, moves: np.ndarray) -> np.ndarray:
        """The change of ∇Ψ at the points as they make ``moves`` (n, D), to first order; shape (n, D)."""
        reach = float(np.sqrt(((moves / self._size) ** 2).mean()))
        if reach == 0.0:
            return np.zeros_like(moves)
        h, x = STEP / reach, self.points
        ends = [x + h * moves, x - h * moves]
        # What a wall takes of one side the other has more.
        lack = [end - self._inside(end) for end in ends]
        up, down = self._inside(ends[0] - lack[1]), self._inside(ends[1] - lack[0])
        slopes = [self.energy.prepare(x).field(self.weights).gradient() for x in (up, down)]
        return np.asarray((self._answered(slopes[0]) - self._answered(slopes[1])) / (2.0 * h))

    @cached_property
    def blocks(self) -> np.ndarray:
        """∇²Ψ(θ_i) with the measure held, shape (n, D, D)."""
        n, d = self.points.shape
        out = np.empty((n, d, d))
        for k, unit in enumerate(np.eye(d)):
            up, down = (self._inside(self.points + s * STEP * self._size * unit) for s in (1, -1))
            change = self._answered(self._field.gradient(up))
            change = change - self._answered(self._field.gradient(down))
            # What is left of the length after rounding, and at a wall.
            out[:, :, k] = change / (up - down)[:, k, None]
        return 0.5 * (out + out.transpose(0, 2, 1))

    def _inside(self, points: np.ndarray) -> np.ndarray:
        low, high = self.energy.bounds.T
        return np.asarray(np.clip(points, low, high))

    def _answered(self, slope: np.ndarray) -> np.ndarray:
        return answered("the energy's gradient", slope, self.points.shape)

    def coupling(self) -> np.ndarray | None:
        """∇₁∇₂U(θ_i, θ_j) as a new (nD, nD) matrix, of which the lower half counts; None where it is too large."""
        return None

    def outputs(self) -> np.ndarray | None:
        """G, (nD, Q), with GGᵀ the same matrix, where Q is less than nD; None where it is not."""
        return None

    def sketch(self) -> np.ndarray | None:
        """G, (nD, m), with GGᵀ near the same matrix in the directions that count most; None where none is known."""
        return None
