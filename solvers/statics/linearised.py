r"""The linearised flow of atoms: its leading rates, with and without births and deaths.

In √w_i δθ_i and √(w_i/α) δw_i/w_i the right side is −ξ times a symmetric matrix, the Hessian of ½R in the metric of the
flow (Wasserstein, or Wasserstein–Fisher–Rao):

.. math:: \begin{pmatrix} \nabla^2\Phi_i\,\delta_{ij} + \sqrt{w_iw_j}\,\nabla_1\nabla_2 U_{ij}
              & \sqrt{\alpha w_iw_j}\,\nabla_1 U_{ij} \\
              \sqrt{\alpha w_iw_j}\,\nabla_2 U_{ij} & \alpha\sqrt{w_iw_j}\,U_{ij} \end{pmatrix}

on changes that keep the mass, Σ δw_i = 0. U is what Ψ changes by with a mass; it is differenced, exactly where Ψ is
affine. At a measure that does not rest, the matrix of masses leaves out what ∇Φ and Φ less its mean add.
Source: for the metric Chizat, Math. Program. 194 (2022) 487.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wflow.energies.curvature import Curvature
from wflow.errors import ComputationError, InputError
from wflow.tools.memory import check_held

DENSE = 1200
"""Unknowns up to which a matrix is formed; beyond, the leading rates come from products with it."""
MASS = 1e-5
"""Step of differences in a mass, over the whole."""


class Leading(NamedTuple):
    """Rates (k,), directions (k, n, D) and relative changes of masses (k, n), at ξ = 1; Σ w(|u|² + ν²/α) = 1."""

    rates: np.ndarray
    directions: np.ndarray
    masses: np.ndarray


def fastest(
    curvature: Curvature,
    blocks: np.ndarray,
    ridge: np.ndarray,
    free: np.ndarray,
    alpha: float,
    count: int,
) -> Leading:
    """The largest growth rates.

    Parameters
    ----------
    curvature : of the energy, at points (n, D) with weights (n,)
    blocks : ∇²Φ at the points, (n, D, D), 0 where they are not free
    ridge : λ of each coordinate (D,), which is part of the blocks
    free : (n, D), the coordinates that move
    alpha : rate of births and deaths
    count : of the rates; all there are if fewer

    Raises
    ------
    InputError
        for more unknowns with births and deaths than a matrix is formed of, and for rates that no memory holds
    """
    n, d = free.shape
    at, w = np.flatnonzero(free), curvature.weights
    root = np.repeat(np.sqrt(w), d)
    whole = at.size + (n - 1 if alpha > 0 else 0)
    if alpha > 0 and whole > DENSE:
        raise InputError(
            f"{whole} unknowns with births and deaths: up to {DENSE} are solved for; take fewer atoms, or "
            "reaction_rate = 0"
        )
    count = min(count, whole)
    if count == 0:
        return Leading(np.empty(0), np.empty((0, n, d)), np.empty((0, n)))

    def times(v: np.ndarray) -> np.ndarray:
        u = np.zeros(n * d)
        u[at] = np.ravel(v) / root[at]
        moves = u.reshape(n, d)
        return np.asarray((curvature.times(moves) + ridge * moves).ravel()[at] * root[at])

    check_held("count", count, n * d)
    # Lanczos' method finds fewer than all.
    if whole > DENSE and count < whole:
        values, vectors = _by_products(times, at.size, count)
    else:
        matrix = _matrix(curvature, blocks, root, at)
        if matrix is None:
            matrix = np.array([times(unit) for unit in np.eye(at.size)]).reshape(at.size, at.size)
            matrix = 0.5 * (matrix + matrix.T)
        if alpha > 0:
            matrix, keeping = _with_masses(curvature, matrix, root, at, alpha)
        values, vectors = np.linalg.eigh(matrix, UPLO="L")
    out, masses = np.zeros((count, n * d)), np.zeros((count, n))
    out[:, at] = vectors[: at.size, :count].T / root[at]
    if alpha > 0:
        masses = (keeping @ vectors[at.size :, :count]).T * np.sqrt(alpha / w)
    return Leading(-values[:count], out.reshape(count, n, d), masses)


def _by_products(
    times: Callable[[np.ndarray], np.ndarray], size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The lowest eigenvalues and their vectors, by Lanczos' method."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=times, dtype=np.float64)
    # From one state always the same rates: Lanczos begins at a vector of its own otherwise.
    v0 = np.random.default_rng(0).standard_normal(size)
    try:
        values, vectors = eigsh(operator, k=count, which="SA", v0=v0)
    except ArpackError as e:
        raise ComputationError(
            f"the {count} leading rates of {size} unknowns were not found ({e}): ask for another count"
        ) from None
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _matrix(
    curvature: Curvature, blocks: np.ndarray, root: np.ndarray, at: np.ndarray
) -> np.ndarray | None:
    """√w H /√w over the unknowns, of which the lower half counts, where its coupling is known."""
    n, d, _ = blocks.shape
    whole = curvature.coupling()
    if whole is None:
        if (outputs := curvature.outputs()) is None:
            return None
        whole = outputs @ outputs.T
    whole = whole * root * root[:, None]
    i = np.arange(n)
    whole.reshape(n, d, n, d)[i, :, i, :] += blocks
    return np.asarray(whole[np.ix_(at, at)])


def _with_masses(
    curvature: Curvature, matrix: np.ndarray, root: np.ndarray, at: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of positions and masses, and a basis (n, n − 1) of √(w/α)ν that keep the mass."""
    x, w = curvature.points, curvature.weights
    n = len(w)
    prepared = curvature.energy.prepare(x)
    h = MASS * float(w.sum())
    values, slopes = np.empty((n, n)), np.empty((n, x.size))
    for j, unit in enumerate(np.eye(n)):
        up, down = (prepared.field(w + s * h * unit) for s in (1.0, -1.0))
        values[j] = (up.first_variation() - down.first_variation()) / (2.0 * h)
        slopes[j] = (up.gradient() - down.gradient()).ravel() / (2.0 * h)
    size = np.sqrt(w)
    keeping = np.linalg.qr(size[:, None], mode="complete")[0][:, 1:]
    across = np.sqrt(alpha) * (slopes * root)[:, at] * size[:, None]
    own = 0.5 * alpha * size[:, None] * (values + values.T) * size
    low = np.tril(matrix)
    upper = low + np.tril(matrix, -1).T
    side = keeping.T @ across
    return np.block([[upper, side.T], [side, keeping.T @ own @ keeping]]), keeping
