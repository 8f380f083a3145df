r"""The risk minimised over all measures on a grid or on given points: convex training over ρ itself.

.. math:: \min_{w \ge 0,\ \sum w_i = 1} \tfrac12 w^T U w + (V + \tfrac\lambda2|\theta|^2)\cdot w
          = F(\rho) - \tfrac12 R_\#, \qquad \rho = \sum_i w_i\,\delta_{\theta_i}

One quadratic programme: U is factored with few columns (:mod:`wflow.solvers.statics.low_rank`), an interior point
method solves it (:mod:`wflow.solvers.statics.simplex`), and the gap is then taken from the energy's own Ψ, so that
neither has to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.base import Energy
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity, Measure, Particles, TensorGrid
from wflow.solvers.statics.low_rank import NOT_CONVEX, pivoted_cholesky
from wflow.solvers.statics.minimiser import Minimiser
from wflow.solvers.statics.objective import Objective, ObjectiveAtPoints, law_of
from wflow.solvers.statics.simplex import SimplexMinimum, minimise_on_simplex
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, non_negative

FEW = 200
"""Up to so many points the whole of U is cheaper than its diagonal."""


def minimise_on_grid(
    energy: Energy | GradientFlow,
    where: Any,
    *,
    ridge: float = 0.0,
    ridge_on: Sequence[str] | None = None,
    tolerance: float = 1e-9,
    max_iterations: int = 100,
) -> Minimiser:
    r"""The measure of least R + λ∫|θ|²dρ on the centres of a grid, or on given points.

    Parameters
    ----------
    energy : an energy with the square loss, or a GradientFlow at temperature 0, whose ridge then counts
    where : a TensorGrid or GridDensity (the result is a GridDensity), or points (n, D), (n,) for one coordinate,
        or Particles (the result is Particles); only the places count
    ridge, ridge_on : λ ≥ 0, and the names of the coordinates it acts on; all by default
    tolerance : of the duality gap, in the units of R; ``success`` says whether it was reached
    max_iterations : of the interior point method; some twenty are usual

    Raises
    ------
    InputError
        for another loss, points of another dimension, τ > 0, or an interaction that is not positive semidefinite

    Source: Bengio, Le Roux, Vincent, Delalleau & Marcotte, NIPS 18 (2006) 123; Jaggi, ICML (2013),
    section 2, for the gap.

    >>> import wflow
    >>> energy = wflow.systems.get("isotropic-gaussians", d=40, delta=0.3).energy()
    >>> best = minimise_on_grid(energy, np.linspace(0.0, 6.5, 651))
    >>> best.success, round(best.risk, 5), best.support().mean().round(2)
    (True, 0.19053, array([1.52]))
    """
    objective = Objective(energy, ridge, ridge_on)
    tolerance = non_negative("tolerance", tolerance)
    limit = check_count("max_iterations", max_iterations)
    points, grid = places(where, objective.energy)
    at = objective.at(points)
    found = minimise_at(at, 0.1 * tolerance, limit)
    risk, value, psi = at.value(found.weights)
    level = float(psi.min())
    gap = max(0.0, 2.0 * (float(found.weights @ psi) - level))
    names = objective.energy.coordinates
    measure: GridDensity | Particles
    if grid is not None:
        density = found.weights.reshape(grid.shape) / grid.volumes
        measure = GridDensity(density, grid.edges, names=names, periodic=grid.periodic)
        box = np.array([[e[0], e[-1]] for e in grid.edges])
    else:
        measure = Particles(points, found.weights, names=names)
        box = np.stack([points.min(axis=0), points.max(axis=0)], axis=1)
    if gap <= tolerance:
        message = f"gap below {tolerance:g}"
    elif found.iterations >= limit:
        message = f"stopped at max_iterations = {limit} before the gap reached {tolerance:g}"
    else:
        message = f"rounding stopped the progress before the gap reached {tolerance:g}"
    return Minimiser(
        measure=measure,
        risk=risk,
        objective=value,
        gap=gap,
        level=level,
        first_variation=psi,
        scope="points",
        iterations=found.iterations,
        history=2.0 * found.history,
        success=gap <= tolerance,
        message=message,
        box=box,
        _objective=objective,
    )


def duality_gap(
    energy: Energy | GradientFlow,
    measure: Measure,
    where: Any,
    *,
    ridge: float = 0.0,
    ridge_on: Sequence[str] | None = None,
) -> float:
    r"""The certificate of any probability: how much R + λ∫|θ|²dρ could fall at most.

    .. math:: 2F(\rho) - \inf 2F \le 2\Bigl(\int\Psi_\lambda\,d\rho - \min\Psi_\lambda\Bigr)

    The infimum is over measures on ``where`` and on the points of ρ itself.

    Parameters
    ----------
    energy, ridge, ridge_on : as for :func:`minimise_on_grid`
    measure : ρ, of mass 1: the end of a flow, say
    where : a TensorGrid or GridDensity, points (n, D), or Particles

    Raises
    ------
    InputError
        for another loss, a mass other than 1, another dimension than the energy's, or τ > 0

    >>> from wflow.energies import PairEnergy
    >>> energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)  # R = ∫x²dρ
    >>> duality_gap(energy, Particles([1.0, -1.0]), [0.0])
    1.0
    """
    objective = Objective(energy, ridge, ridge_on)
    points, weights = law_of(objective.energy, measure)
    at, _ = places(where, objective.energy)
    psi = objective.at(points).value(weights)[2]
    level = float(objective.around(points, weights).potential(at).min())
    return max(0.0, 2.0 * (float(weights @ psi) - min(level, float(psi.min()))))


def minimise_at(at: ObjectiveAtPoints, tolerance: float, limit: int = 100) -> SimplexMinimum:
    """The best weights at fixed points; ``tolerance`` is for the gap in units of R."""
    n = at.linear.size
    if n <= FEW:
        u = np.stack([at.column(j) for j in range(n)])
        low = pivoted_cholesky(u.diagonal(), lambda j: u[j])
    else:
        low = pivoted_cholesky(at.diagonal(), at.column)
    found = minimise_on_simplex(at.linear, low, 0.5 * tolerance, limit)
    # U is L Lᵀ to rounding if it is positive semidefinite; a saddle shows as another first variation.
    psi = at.linear + low @ (low.T @ found.weights)
    true = at.value(found.weights)[2]
    size = float(np.abs(true).max() + np.abs(at.linear).max())
    if float(np.abs(psi - true).max()) > 1e-6 * size:
        raise InputError(f"{NOT_CONVEX}: use a positive semidefinite interaction")
    return found


def places(where: Any, energy: Energy) -> tuple[np.ndarray, TensorGrid | None]:
    """Points, and the grid that they are the centres of."""
    names = energy.coordinates
    grid = getattr(where, "grid", where)
    if isinstance(grid, TensorGrid):
        points = np.ascontiguousarray(grid.points)
    elif isinstance(where, Measure):
        points, grid = np.ascontiguousarray(where.points()), None
    else:
        points, grid = as_floats("points", where), None
        points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[0] == 0 or points.shape[1] != len(names):
        raise InputError(
            f"points of shape {points.shape}: expected (n, {len(names)}), one row a point "
            f"({', '.join(names)})"
        )
    low, high = energy.bounds.T
    outside = (points < low) | (points > high)
    if outside.any():
        i, k = np.argwhere(outside)[0]
        raise InputError(
            f"point {i} has {names[k]} = {points[i, k]:g}, outside [{low[k]:g}, {high[k]:g}]: "
            "leave such points out"
        )
    return points, grid if isinstance(grid, TensorGrid) else None
