r"""The smallest value of Ψ over a box: the point that the sparse method adds, and what its certificate rests on.

A grid of starts and local descent find a point; this is a search, and may miss a minimum narrower than the grid,
though hardly one that a grid twice as fine sees, which it is held against.
With a bound M on |∇²Ψ| it becomes a proof, by branch and bound: in a box of centre m and half widths h

.. math:: \Psi \ge \Psi(m) - \sum_k |\partial_k\Psi(m)|\,h_k - \tfrac M2 |h|^2,

boxes that cannot hold anything lower are dropped, the others halved. For the square loss
:math:`\Psi = \langle f - y, \sigma_*\rangle`, so that :math:`M = \sqrt R\,\sup_\theta\|\nabla^2\sigma_*\|_{L^2}`
serves, and tightens as R falls.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize


class Function(Protocol):
    """Ψ and ∇Ψ at points (m, D)."""

    def potential(self, at: np.ndarray) -> np.ndarray:
        """Ψ, shape (m,)."""

    def gradient(self, at: np.ndarray) -> np.ndarray:
        """∇Ψ, shape (m, D)."""


STARTS_PER_AXIS = {1: 401, 2: 81}
STARTS = 4096
"""In three dimensions and more, where the starts are a Sobol sequence and the corners of the box."""
FINEST = 1 << 20
"""Most starts of a finer search."""
SAME = 1e-3
"""Minima closer than this share of the box count once."""
APART = 0.1
"""Share of the box between starts of a sequence."""
CAUTION = 2.0
"""How much further than a parabola Ψ may fall between points of a grid."""
BOXES = 1 << 20
"""Largest number of boxes in branch and bound; the bound that it has by then is still a bound."""
TOGETHER = 1 << 16


class Search:
    """Starts over a box: a tensor grid with the ends in one and two dimensions, a Sobol sequence beyond.

    On a grid a start is tried where Ψ is least along every axis; at the ends of an axis, along the others: where Ψ is
    linear in a coordinate, as in a charge, its minima lie on faces beside which the inside may well be lower.
    """

    def __init__(self, box: np.ndarray, per_axis: int | None = None, count: int = STARTS) -> None:
        self.box, self.count = box, count
        dimension = box.shape[0]
        self.per_axis = per_axis or STARTS_PER_AXIS.get(dimension)
        if self.per_axis is not None:
            axes = [np.linspace(lo, hi, self.per_axis) for lo, hi in box]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            self.points = grid.reshape(-1, dimension)
            return
        from scipy.stats.qmc import Sobol

        inside = Sobol(dimension, scramble=False).random(count)
        if dimension <= 10:
            corners = np.array(list(itertools.product((0.0, 1.0), repeat=dimension)))
            inside = np.concatenate([inside, corners])
        self.points = np.asarray(box[:, 0] + inside * np.ptp(box, axis=1))

    def finer(self) -> Search | None:
        """The search twice as fine, which has all these starts and more; none where it would have too many."""
        if self.per_axis is None:
            return Search(self.box, count=2 * self.count) if self.count < FINEST else None
        per_axis = 2 * self.per_axis - 1
        there = self.per_axis > 1 and per_axis ** self.box.shape[0] <= FINEST
        return Search(self.box, per_axis) if there else None

    def lowest(self, psi: Function, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
        """Local minima of Ψ that descent reaches, lowest first: points and values.

        The ``count`` lowest starts are tried, and those below which Ψ may fall under the lowest yet found.
        """
        values = psi.potential(self.points)
        width = np.ptp(self.box, axis=1)
        width = np.where(width > 0, width, 1.0)
        chosen, floor = self._lows(values, width, count)
        scale = max(float(np.ptp(values)), 1e-300)
        found: list[tuple[float, np.ndarray]] = []
        for k, i in enumerate(chosen):
            if k >= count and floor[k] >= min(height for height, _ in found):
                break
            found.append(self._descended(psi, self.points[i], float(values[i]), width, scale))
        found.sort(key=lambda pair: pair[0])
        ends: list[np.ndarray] = []
        heights: list[float] = []
        for height, point in found:
            if all(np.abs((point - other) / width).max() > SAME for other in ends):
                ends.append(point)
                heights.append(height)
        return np.array(ends), np.array(heights)

    def _lows(
        self, values: np.ndarray, width: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Starts, and how low Ψ may fall from each, lowest first."""
        if self.per_axis is None or self.per_axis < 3:
            picked: list[int] = []
            for i in np.argsort(values, kind="stable")[: 50 * count]:
                # An arm's length between starts, so that one deep valley does not take them all.
                away = np.abs((self.points[picked] - self.points[i]) / width).max(axis=1)
                if (away > APART).all():
                    picked.append(int(i))
                    if len(picked) == count:
                        break
            return np.array(picked), values[picked]
        grid = values.reshape((self.per_axis,) * self.box.shape[0])
        low, dip = np.ones(grid.shape, dtype=bool), np.zeros(grid.shape)
        for axis in range(grid.ndim):
            v, inner = np.moveaxis(grid, axis, -1), np.moveaxis(low, axis, -1)
            down, up = v[..., :-2] - v[..., 1:-1], v[..., 2:] - v[..., 1:-1]
            inner[..., 1:-1] &= (down >= 0.0) & (up > 0.0)
            # Between two points a parabola lies below both by up to an eighth of its second difference.
            bend = np.maximum(down + up, 0.0)
            ends = [(0, 0)] * (grid.ndim - 1) + [(1, 1)]
            np.moveaxis(dip, axis, -1)[...] += np.pad(bend, ends, mode="edge") / 8.0
        floor = (grid - CAUTION * dip).ravel()
        at = np.flatnonzero(low.ravel())
        at = at[np.argsort(floor[at], kind="stable")]
        return at, floor[at]

    def _descended(
        self, psi: Function, start: np.ndarray, height: float, width: np.ndarray, scale: float
    ) -> tuple[float, np.ndarray]:
        """The lower end of descents from a start: within the faces that it lies on, then in the whole box."""
        on_face = (start[:, None] == self.box).any(axis=1)
        boxes = [self.box]
        if on_face.any() and not on_face.all():
            boxes = [np.where(on_face[:, None], start[:, None], self.box), self.box]
        for box in boxes:
            point, value = _descend(psi, start, box, width, scale)
            if value < height:
                start, height = point, value
        return height, start


def _descend(
    psi: Function, start: np.ndarray, box: np.ndarray, width: np.ndarray, scale: float
) -> tuple[np.ndarray, float]:
    def value(u: np.ndarray) -> tuple[float, np.ndarray]:
        at = (u * width)[None]
        # In units of Ψ's own range: it vanishes with R, and L-BFGS stops on absolute changes.
        return float(psi.potential(at)[0]) / scale, psi.gradient(at)[0] * width / scale

    bounds = list(zip(box[:, 0] / width, box[:, 1] / width, strict=True))
    options: Any = {"ftol": 1e-15, "gtol": 1e-13, "maxiter": 200}
    done = minimize(
        value, start / width, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    point = np.clip(done.x * width, box[:, 0], box[:, 1])
    return point, float(psi.potential(point[None])[0])


def lower_bound(
    psi: Function, box: np.ndarray, curvature: float, best: float, tolerance: float
) -> float:
    """A number that Ψ nowhere in the box falls below, by branch and bound to ``best − tolerance``.

    Parameters
    ----------
    curvature : M with |∇²Ψ| ≤ M in the box (spectral norm)
    best : a value that Ψ takes
    tolerance : how far below ``best`` the bound may lie; more, if 2^20 boxes do not suffice

    >>> class Cosine:
    ...     def potential(self, x): return np.cos(x[:, 0])
    ...     def gradient(self, x): return -np.sin(x)
    >>> bound = lower_bound(Cosine(), np.array([[0.0, 6.0]]), 1.0, -1.0, 1e-8)
    >>> bool(-1.0 - 1e-8 <= bound <= -1.0)
    True
    """
    dimension = box.shape[0]
    centres = box.mean(axis=1)[None]
    half = 0.5 * np.ptp(box, axis=1)
    bound, visited = np.inf, 0
    while centres.shape[0]:
        parts = []
        for i in range(0, centres.shape[0], TOGETHER):
            at = centres[i : i + TOGETHER]
            values = psi.potential(at)
            best = min(best, float(values.min()))
            parts.append(values - np.abs(psi.gradient(at)) @ half)
        low = np.concatenate(parts) - 0.5 * curvature * float(half @ half)
        visited += low.size
        # Every box, dropped or not, is covered by its own bound.
        open_ = low < best - tolerance
        bound = min(bound, float(low[~open_].min(initial=np.inf)))
        if not open_.any():
            break
        k = int(np.argmax(half))
        if visited + 2 * int(open_.sum()) > BOXES:
            bound = min(bound, float(low[open_].min()))
            break
        half = half.copy()
        half[k] *= 0.5
        shift = np.zeros(dimension)
        shift[k] = half[k]
        centres = np.concatenate([centres[open_] - shift, centres[open_] + shift])
    return min(bound, best)
