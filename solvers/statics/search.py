r"""The smallest value of Ψ over a box: the point that the sparse method adds, and what its certificate rests on.

A grid of starts and local descent find a point; this is a search, and may miss a minimum narrower than the grid.
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
SAME = 1e-3
"""Minima closer than this share of the box count once."""
BOXES = 1 << 20
"""Largest number of boxes in branch and bound; the bound that it has by then is still a bound."""
TOGETHER = 1 << 16


def search_points(box: np.ndarray, per_axis: int | None = None) -> np.ndarray:
    """Starts (m, D): a tensor grid with the ends in one and two dimensions, a Sobol sequence beyond."""
    dimension = box.shape[0]
    if dimension <= 2 or per_axis is not None:
        count = per_axis or STARTS_PER_AXIS[dimension]
        axes = [np.linspace(lo, hi, count) for lo, hi in box]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dimension)
    from scipy.stats.qmc import Sobol

    inside = Sobol(dimension, scramble=False).random(STARTS)
    if dimension <= 10:
        corners = np.array(list(itertools.product((0.0, 1.0), repeat=dimension)))
        inside = np.concatenate([inside, corners])
    return np.asarray(box[:, 0] + inside * np.ptp(box, axis=1))


def lowest_points(
    psi: Function, starts: np.ndarray, box: np.ndarray, count: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Local minima of Ψ reached from the lowest starts that lie apart, lowest first: points and values."""
    values = psi.potential(starts)
    width = np.ptp(box, axis=1)
    width = np.where(width > 0, width, 1.0)
    chosen: list[int] = []
    # An arm's length between starts, so that one deep valley does not take them all.
    apart = 0.02 if starts.shape[1] <= 2 else 0.1
    for i in np.argsort(values, kind="stable")[: 50 * count]:
        if all(np.abs((starts[i] - starts[j]) / width).max() > apart for j in chosen):
            chosen.append(int(i))
            if len(chosen) == count:
                break
    scale = max(float(np.ptp(values)), 1e-300)
    found = []
    for i in chosen:
        point, height = _descend(psi, starts[i], box, width, scale)
        found.append((height, point) if height < values[i] else (float(values[i]), starts[i]))
    found.sort(key=lambda pair: pair[0])
    ends: list[np.ndarray] = []
    heights: list[float] = []
    for height, point in found:
        if all(np.abs((point - other) / width).max() > SAME for other in ends):
            ends.append(point)
            heights.append(height)
    return np.array(ends), np.array(heights)


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
