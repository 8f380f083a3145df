r"""The second derivatives of a kernel energy, from those of its kernel in three numbers.

.. math:: K(y,z) = k(s,t,p), \quad s = |y|^2,\ t = |z|^2,\ p = \langle y,z\rangle, \qquad
          \nabla_1 K = 2k_s\,y + k_p\,z,

   \nabla_1^2 K = 2k_s I + 4k_{ss}\,yy^T + 2k_{sp}(yz^T + zy^T) + k_{pp}\,zz^T, \quad
   \nabla_1\nabla_2 K = k_p I + 4k_{st}\,yz^T + 2k_{sp}\,yy^T + 2k_{tp}\,zz^T + k_{pp}\,zy^T.

Those of a target that does not know them are differenced: it is asked at n points only, not at n² pairs.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wflow.energies.curvature import STEP, Curvature

if TYPE_CHECKING:
    from wflow.energies.pairs.closed import KernelEnergy

LARGEST = 1200
"""Up to this many unknowns a matrix is formed: beyond it, to factorise it takes longer than to multiply by it."""
SKETCHED = 10.0
"""Columns that its sketch is made from, beside √n: to multiply by them takes about as long as by the matrix."""
ROUNDING = 1e-8
"""Eigenvalues of their own square below this share of the largest are left out."""
BLOCK_ENTRIES = 1 << 15
"""Pairs at a time."""


class KernelCurvature(Curvature):
    """Of a KernelEnergy whose kernel knows its ``partials``."""

    energy: KernelEnergy

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Charges c, centres y, and the partial derivatives of all pairs, (7, n, n)."""
        c, y = self.energy.split(self.points)
        partials = self.energy.kernel.partials(y, y)
        assert partials is not None
        return c, y, partials

    @cached_property
    def blocks(self) -> np.ndarray:
        c, y, (_, s, p, ss, sp, _, pp) = self._parts
        q = self.weights * c
        n, d = y.shape
        cross = np.einsum("ia,ib->iab", y, (sp * q) @ y)
        squares = np.einsum("ia,ib->iab", y, y)
        inner = 4.0 * (ss @ q)[:, None, None] * squares + 2.0 * (cross + cross.transpose(0, 2, 1))
        inner += ((pp * q) @ squares.reshape(n, d * d)).reshape(n, d, d)
        inner += (2.0 * (s @ q))[:, None, None] * np.eye(d)
        value = (2.0 * (s @ q))[:, None] * y + (p * q) @ y
        slope, bend = self._target(y)
        head = int(self.energy.charges)
        out = np.zeros((n, d + head, d + head))
        out[:, head:, head:] = c[:, None, None] * (inner - bend)
        if head:
            out[:, 0, 1:] = out[:, 1:, 0] = value - slope
        return out

    def _target(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """∇F and ∇²F, shapes (n, D) and (n, D, D)."""
        if (known := getattr(self.energy.target, "bends", None)) is not None:
            slope, bend = known(y)
            return slope, bend
        n, d = y.shape
        h = STEP * max(float(np.sqrt((y**2).mean())), 1e-3)
        moved = y[:, None, :] + h * np.concatenate([np.eye(d), -np.eye(d)])
        slope = self.energy.target.values_and_gradients(moved.reshape(-1, d))[1]
        up, down = slope.reshape(n, 2, d, d).transpose(1, 0, 2, 3)
        bend = (up - down) / (2.0 * h)
        return self.energy.target.values_and_gradients(y)[1], 0.5 * (bend + bend.transpose(0, 2, 1))

    @cached_property
    def _turned(self) -> np.ndarray:
        """k_t and k_tp, (2, n, n)."""
        return np.ascontiguousarray(self._parts[2][[1, 4]].transpose(0, 2, 1))

    def times(self, moves: np.ndarray) -> np.ndarray:
        from wflow.kernels.pairs.curvature import couple_rows
        from wflow.kernels.parallel import over_blocks

        c, y, partials = self._parts
        n, head = len(y), int(self.energy.charges)
        masses = self.weights * moves[:, 0] if head else np.zeros(n)
        pulls = (self.weights * c)[:, None] * moves[:, head:]
        along, across = (y * pulls).sum(axis=1), np.ascontiguousarray(pulls.T)
        values, radial = np.empty(n), np.empty(n)
        out = (self.blocks @ moves[:, :, None])[:, :, 0]

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            dots = y[rows] @ across
            couple_rows(dots, start, partials, self._turned, masses, along, values, radial)
            change = radial[rows, None] * y[rows] + partials[2, rows] @ pulls + dots @ y
            out[rows, head:] += c[rows, None] * change

        over_blocks(work, n, max(1, BLOCK_ENTRIES // n), n * n, products=True)
        if head:
            out[:, 0] += values
        return np.asarray(out)

    def coupling(self) -> np.ndarray | None:
        n, width = self.points.shape
        return None if n * width > LARGEST else self._columns(n)

    def sketch(self) -> np.ndarray | None:
        n, width = self.points.shape
        # Units are drawn alike: the first ones stand for all.
        columns = self._columns(math.ceil(SKETCHED * math.sqrt(n) / width))
        m = columns.shape[1]
        size, vectors = np.linalg.eigh(columns[:m], UPLO="L")
        lower = np.tril(columns[:m], -1)
        columns[:m] = np.tril(columns[:m]) + lower.T
        kept = size > ROUNDING * size[-1]
        if not kept.any():
            return None  # far from all inputs, as Newton's method may guess, nothing is felt
        return np.asarray(columns @ (vectors[:, kept] / np.sqrt(size[kept])))

    def _columns(self, m: int) -> np.ndarray:
        """Of the matrix ∇₁∇₂U those of the first m units, of which the lower half counts."""
        from wflow.kernels.pairs.curvature import couple

        n, width = self.points.shape
        c, y, partials = self._parts
        out = np.zeros((n * width, min(m, n) * width))
        couple(partials, np.ascontiguousarray(y), np.ascontiguousarray(c), self.energy.charges, out)
        return out
