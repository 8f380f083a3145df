r"""The direction at which a weighted sum of ReLU units is largest.

.. math:: \max_{|\theta| = 1}\Bigl|\sum_i c_i\,\langle\theta, z_i\rangle_+\Bigr|

The circles :math:`\langle\theta, z_i\rangle = 0` cut the sphere into cells. In a cell the sum is
:math:`\langle v,\theta\rangle`, with v the sum of :math:`c_iz_i` over the units that are on: its maximum lies at v/|v|,
or on an arc of the border, where it lies at the projection of v, or at a corner. Up to three coordinates these are
all tried, so that the maximum is exact but for rounding. Beyond, ascent from many starts finds one that may be lower.
"""

from __future__ import annotations

import numpy as np

TINY = 1e-12
"""Vectors shorter than this share of the longest have no direction."""
NEAR = 0.1
"""Share of the others' steps for directions that are held: they are to find the best around, not elsewhere."""
STARTS = 96
"""Random directions to ascend from, and as many of the units' own."""
STEPS = 100
TOGETHER = 1 << 22
"""Pairs of a direction and a unit at a time."""


def largest(
    z: np.ndarray, c: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float, bool]:
    """A direction θ (D,), the sum there, and whether no other is larger, of units z (n, D) with weights c (n,).

    >>> z = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> theta, value, exact = largest(z, np.array([3.0, 4.0]), np.random.default_rng(0))
    >>> theta.tolist(), value, exact
    ([0.6, 0.8], 5.0, True)
    """
    tried, _, exact = priced(z, c, rng)
    return tried[0], float(sums(z, c, tried[:1])[0]), exact


def priced(
    z: np.ndarray,
    c: np.ndarray,
    rng: np.random.Generator,
    held: np.ndarray | None = None,
    starts: int = STARTS,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Directions (m, D), the largest first, the sums' absolute values, and whether no other is larger than the first.

    Beyond three coordinates ``held`` are directions to start from, beside ``starts`` others of each kind.
    """
    on = c != 0.0
    z, c = z[on], c[on]
    d = z.shape[1]
    if d > 3:
        # Directions at right angles to all units are worth nothing.
        _, size, rows = np.linalg.svd(z, full_matrices=False)
        if (rank := max(1, int((size > TINY * size[0]).sum()))) <= 3:
            tried, worth, exact = priced(z @ rows[:rank].T, c, rng)
            return tried @ rows[:rank], worth, exact
    tried = candidates(z, c) if d <= 3 else ascended(z, c, rng, held, starts)
    worth = np.abs(sums(z, c, tried))
    order = np.argsort(-worth, kind="stable")
    return tried[order], worth[order], d <= 3


def sums(z: np.ndarray, c: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Σ_i c_i ⟨θ, z_i⟩₊ at directions (m, D), (m,)."""
    rows = max(1, TOGETHER // max(1, len(z)))
    parts = [np.maximum(theta[a : a + rows] @ z.T, 0.0) @ c for a in range(0, len(theta), rows)]
    return np.concatenate(parts)


def candidates(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Where the maximum over the sphere of up to three dimensions can lie, (m, D)."""
    d = z.shape[1]
    if d == 1:
        return np.array([[1.0], [-1.0]])
    if d == 2:
        return _on_arcs(z, c, np.eye(2))
    found = [_unit(c @ z), np.eye(3), -np.eye(3)]
    for one in z:
        found.append(_on_arcs(z, c, _plane(one)))
    return np.concatenate([np.atleast_2d(each) for each in found])


def _on_arcs(z: np.ndarray, c: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Of the circle in a plane (2, D): corners, maxima of its arcs, and of the cells on both sides of them."""
    # On the circle, units are z' = plane z, and change where they are at right angles to it.
    flat = z @ plane.T
    size = np.hypot(*flat.T)
    crossing = flat[size > TINY * size.max(initial=0.0)]
    if not len(crossing):
        corners = np.array([0.0])
    else:
        angle = np.arctan2(crossing[:, 1], crossing[:, 0])
        corners = np.unique(
            np.mod(np.concatenate([angle + np.pi / 2, angle - np.pi / 2]), 2 * np.pi)
        )
    after = np.append(corners[1:], corners[0] + 2 * np.pi)
    middle = 0.5 * (corners + after)
    at = np.stack([np.cos(middle), np.sin(middle)], axis=1) @ plane
    across = at @ z.T
    # Units on the circle itself are on at one side of it, and off at the other.
    touching = np.abs(across) <= TINY * np.abs(across).max(initial=0.0)
    inner = np.where((across > 0) & ~touching, c, 0.0) @ z
    sides = [inner]
    if touching.any():
        normal = z[touching.any(axis=0)][0]
        for sign in (1.0, -1.0):
            more = touching & (z @ normal * sign > 0)
            sides.append(inner + np.where(more, c, 0.0) @ z)
    on_circle = (inner @ plane.T) @ plane
    points = np.stack([np.cos(corners), np.sin(corners)], axis=1) @ plane
    return np.concatenate([points, _unit(on_circle), *(_unit(side) for side in sides)])


def _plane(normal: np.ndarray) -> np.ndarray:
    """Two orthonormal vectors (2, 3) at right angles to one."""
    _, _, rows = np.linalg.svd(normal[None])
    return np.asarray(rows[1:])


def _unit(v: np.ndarray) -> np.ndarray:
    """Directions (m, D) of vectors, both ways; those of vectors that vanish are left out."""
    v = np.atleast_2d(v)
    size = np.linalg.norm(v, axis=1)
    kept = size > TINY * max(size.max(initial=0.0), 1e-300)
    found = v[kept] / size[kept, None]
    return np.concatenate([found, -found])


def ascended(
    z: np.ndarray,
    c: np.ndarray,
    rng: np.random.Generator,
    held: np.ndarray | None = None,
    starts: int = STARTS,
) -> np.ndarray:
    """Directions (m, D) where ascent of the sum's absolute value ends: from ``held``, units' own, random ones."""
    d = z.shape[1]
    size = np.linalg.norm(z, axis=1)
    theta = rng.standard_normal((starts, d))
    heavy = np.argsort(-np.abs(c) * size)[:starts]
    theta = np.concatenate([theta, z[heavy[size[heavy] > 0]]])
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    reach = np.ones((len(theta), 1))
    if held is not None:
        # Those that are held stay where they are the best around.
        theta = np.concatenate([held, theta])
        reach = np.concatenate([np.full((len(held), 1), NEAR), reach])
    best, height = theta, np.abs(sums(z, c, theta))
    for k in range(STEPS):
        product = theta @ z.T
        if k > 0:
            now = np.abs(np.maximum(product, 0.0) @ c)
            better = now > height
            best, height = np.where(better[:, None], theta, best), np.maximum(now, height)
            if k % 4 == 0:
                theta, product = best, best @ z.T
        slope = np.where(product > 0, c, 0.0) @ z
        slope *= np.sign(np.einsum("md,md->m", slope, theta))[:, None]
        length = np.sqrt(np.einsum("md,md->m", slope, slope))[:, None]
        # Long steps first: in its own cell the whole slope is the maximum.
        share = reach * (1.0 if k % 4 == 3 else 0.5 / (1.0 + 0.1 * k))
        theta = theta + share / np.maximum(1.0 - share, TINY) * slope / np.maximum(length, 1e-300)
        theta /= np.sqrt(np.einsum("md,md->m", theta, theta))[:, None]
    now = np.abs(sums(z, c, theta))
    return np.asarray(np.where((now > height)[:, None], theta, best))
