r"""The least sum of charges over given directions: the masters of column generation in F₁.

.. math:: \min_{c\ge0}\tfrac12|Ac - b|^2 + \lambda\,1^Tc, \qquad
          \min_{c\ge0}\tfrac12|Ac - b|^2 + \tfrac\lambda2(1^Tc)^2, \qquad \min_{c\ge0, Ac = b}1^Tc

The second is non-negative least squares with one more row, :math:`\sqrt\lambda\,1^T`; the first is a few of the same,
each with :math:`\tfrac{\delta^2}2(1^Tc - T)^2` added, T the sum before: proximal steps, whose fixed point is exact.
"""

from __future__ import annotations

import numpy as np

from wflow.errors import ComputationError

STEPS = 200
SETTLED = 1e-14
"""Change of the sum of charges at which proximal steps end, relatively."""
SHARE = 1e-2
"""δ, in units of √λ: the smaller, the fewer steps, and the more of the row's end is rounding."""
TIGHT = 1e-10
"""Feasibility that programmes are asked for."""


def least_penalty(columns: np.ndarray, y: np.ndarray, penalty: float, power: int) -> np.ndarray:
    """Signed charges (k,) of columns (n, k): ½ mean (y − columns c)² + λ Σ|c|, or (λ/2)(Σ|c|)²."""
    from scipy.optimize import nnls

    n, k = columns.shape
    root = np.sqrt(n)
    # As many rows as columns are enough.
    if n > k:
        q, rows = np.linalg.qr(columns / root)
        aim = q.T @ (y / root)
    else:
        rows, aim = columns / root, y / root
    both = np.concatenate([rows, -rows], axis=1)

    def solved(weight: float, end: float) -> np.ndarray:
        full = np.concatenate([both, np.full((1, 2 * k), weight)])
        found, _ = nnls(full, np.append(aim, end), maxiter=100 * (2 * k + 8))
        return np.asarray(found)

    if power == 2:
        c = solved(np.sqrt(penalty), 0.0)
        return np.asarray(c[:k] - c[k:])
    delta = SHARE * np.sqrt(penalty)
    total, c = 0.0, np.zeros(2 * k)
    for _ in range(STEPS):
        c = solved(delta, delta * total - penalty / delta)
        before, total = total, float(c.sum())
        if abs(total - before) <= SETTLED * total:
            break
    return np.asarray(c[:k] - c[k:])


def least_sum(columns: np.ndarray, y: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed charges (k,) of least Σ|c| with columns c = y, and the dual p (n,); what is left of y costs ``slack``."""
    from scipy.optimize import linprog

    n, k = columns.shape
    rows = np.concatenate([columns, -columns, np.eye(n), -np.eye(n)], axis=1)
    found = linprog(
        np.concatenate([np.ones(2 * k), np.full(2 * n, slack)]),
        A_eq=rows,
        b_eq=y,
        bounds=(0, None),
        method="highs",
        options={"primal_feasibility_tolerance": TIGHT, "dual_feasibility_tolerance": TIGHT},
    )
    if not found.success:
        raise ComputationError(f"the linear programme of {k} directions failed: {found.message}")
    c = np.asarray(found.x)
    return c[:k] - c[k : 2 * k], np.asarray(found.eqlin.marginals)


def joined(
    z: np.ndarray, directions: np.ndarray, charges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Directions and charges with one neuron for all that are on at the same samples with the same sign.

    Their sum is linear where they are on, so that f stays at the samples, and by the triangle inequality its charge is
    no larger. Neurons without charge, or that are on nowhere, are left out.
    """
    on = directions @ z.T > 0.0
    kept = (charges != 0.0) & on.any(axis=1)
    directions, charges, on = directions[kept], charges[kept], on[kept]
    if not len(charges):
        return directions, charges
    marks = np.concatenate([on, charges[:, None] > 0.0], axis=1)
    _, group = np.unique(marks, axis=0, return_inverse=True)
    group = np.ravel(group)
    sums = np.zeros((int(group.max()) + 1, directions.shape[1]))
    np.add.at(sums, group, np.abs(charges)[:, None] * directions)
    sign = np.zeros(len(sums))
    sign[group] = np.sign(charges)
    size = np.linalg.norm(sums, axis=1)
    return sums / size[:, None], sign * size
