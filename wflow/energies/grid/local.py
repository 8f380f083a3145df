r"""The limit of bumps of width zero: a network is its own density, and the flow a porous-medium equation.

.. math:: R(\rho) = \int_\Omega (\rho - f)^2\,dx, \qquad \Psi = \rho - f, \qquad
          \partial_t\rho = \nabla\cdot\bigl(\rho\,\nabla(\rho - f)\bigr)

½R is displacement convex with the concavity modulus α of f: ½R − min ½R falls at least as e^{−2αt} on a convex Ω.
Source: Javanmard, Mondelli & Montanari, Ann. Statist. 48 (2020) 3619.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.energies.arrays import (
    answered,
    as_domain,
    as_inputs,
    as_masses,
    as_points,
    check_axes,
    numbered,
)
from wflow.energies.base import Energy, Law
from wflow.energies.contracts import refuse_neighbours, refuse_open, some_points, support
from wflow.energies.grid.lattice import Lattice
from wflow.errors import InputError
from wflow.kernels.vectors import dot
from wflow.tools.checks import check_function, check_list, names_of, positive
from wflow.tools.fingerprint import digest, of_function

if TYPE_CHECKING:
    from wflow.measures import Measure


class LocalField:
    """Risk, first variation and gradient of one density."""

    def __init__(self, prepared: PreparedLocal, weights: np.ndarray) -> None:
        self._prepared = prepared
        lattice = prepared.lattice
        self._density = weights / lattice.cell
        self._excess = self._density - prepared.target
        self.risk = lattice.cell * dot(self._excess, self._excess)

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        """Ψ at the cells; elsewhere with the density of the cell that holds the point, 0 outside the grid."""
        if points is None:
            return np.array(self._excess)
        energy, lattice = self._prepared.energy, self._prepared.lattice
        at = as_points(points, energy.dimension)
        index = np.floor((at - lattice.origin) / lattice.spacing + 0.5)
        inside = ((index >= 0) & (index < lattice.shape)).all(axis=1)
        cells = np.ravel_multi_index(tuple(index[inside].astype(np.int64).T), lattice.shape)
        density = np.zeros(at.shape[0])
        density[inside] = self._density[cells]
        return np.asarray(density - energy.target(at))

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        """∇Ψ at the cells: second-order differences of Ψ, one-sided at the walls."""
        if points is not None:
            raise InputError(
                "LocalEnergy has a gradient at the grid's own cells only: its particles have no density"
            )
        lattice = self._prepared.lattice
        slopes = np.gradient(
            self._excess.reshape(lattice.shape), *lattice.spacing, edge_order=self._edge_order()
        )
        parts = slopes if lattice.dimension > 1 else [slopes]
        return np.stack([np.asarray(s).ravel() for s in parts], axis=1)

    def _edge_order(self) -> Any:
        return 2 if min(self._prepared.lattice.shape) > 2 else 1


class PreparedLocal:
    """The local energy on one uniform grid."""

    def __init__(self, energy: LocalEnergy, lattice: Lattice, points: np.ndarray) -> None:
        self.energy, self.lattice = energy, lattice
        self.target = energy.target(points)

    def field(self, weights: np.ndarray) -> LocalField:
        return LocalField(self, as_masses(weights, self.target.size))


class LocalEnergy(Energy):
    r"""The square distance of a density to a target, R = ∫(ρ − f)² dx, with Lebesgue weight.

    .. math:: R = h^d \sum_i (\rho_i - f_i)^2, \qquad \Psi_i = \rho_i - f_i

    with f at the cell centres. It needs a density: uniform grids only, of 1 to 3 axes with two cells or more.

    Parameters
    ----------
    target : f, a function of points (..., d) that gives (...)
    dimension : d
    coordinates, bounds : names of the axes, and the domain (lo, hi) of each

    Raises
    ------
    InputError
        for a target of the wrong shape, and in ``prepare`` for points that are no uniform tensor grid

    Source: Javanmard, Mondelli & Montanari, Ann. Statist. 48 (2020) 3619.

    >>> energy = LocalEnergy(lambda x: 1 - x[..., 0] ** 2)
    >>> field = energy.prepare(np.array([[-0.5], [0.5]])).field(np.array([0.5, 0.75]))
    >>> field.risk, field.first_variation().tolist()
    (0.0625, [-0.25, 0.0])
    """

    affine = needs_density = True
    local_stiffness = 1.0

    def __init__(
        self,
        target: Callable[[np.ndarray], Any],
        *,
        dimension: int = 1,
        coordinates: Sequence[str] | None = None,
        bounds: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self.dimension = check_axes(dimension)
        own = numbered("w", self.dimension)
        self.coordinates = own if coordinates is None else names_of("coordinates", coordinates)
        if bounds is not None:
            self.bounds = as_domain(bounds, self.dimension)
        self.refuse_without_names()
        self._target = check_function("target", target, "points (..., d)")
        self.target(np.full((2 if dimension != 2 else 3, self.dimension), 0.1))

    def check(self, start: Measure) -> None:
        at = some_points(support(start, self.dimension), self.bounds)
        refuse_neighbours("target", self.target, at, self.coordinates)
        refuse_open("target", self.target, at, start.rings, self.coordinates)

    def prepare(self, points: np.ndarray) -> PreparedLocal:
        p = as_points(points, self.dimension)
        lattice = Lattice.recognise(p)
        if lattice is None or min(lattice.shape) < 2:
            raise InputError(
                f"the {p.shape[0]} points are no uniform grid with 2 cells or more an axis: LocalEnergy "
                "needs a density; start from a uniform grid, or use bumps of positive width"
            )
        return PreparedLocal(self, lattice, p)

    def explicit_step(self, spacing: Sequence[float], peak: float) -> float:
        r"""The step below which an explicit method damps every mode of the flow, not only keeps it from growing.

        .. math:: dt = \Bigl(4\,\max\rho\,\sum_k h_k^{-2}\Bigr)^{-1}

        The fastest mode alternates from cell to cell and decays at the rate 4ρ Σ h⁻². At twice this dt two-stage
        Runge–Kutta leaves its energy as it is: the run goes on, but a sawtooth stays. Pass it as ``max_step``, divided
        by ξ where the schedule is not 1.

        >>> LocalEnergy(lambda x: 0 * x[..., 0]).explicit_step([0.1], peak=2.5)
        0.001
        """
        h = [positive("spacing", one) for one in check_list("spacing", spacing, "widths of cells")]
        if not h:
            raise InputError("spacing is empty: give the width of a cell on each axis")
        return 1.0 / (4.0 * positive("peak", peak) * float(sum(one**-2.0 for one in h)))

    def target(self, points: np.ndarray) -> np.ndarray:
        """f at points, shape (n,)."""
        return np.array(answered("target", self._target(np.array(points)), points.shape[:1]))

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ρ(x), the density of the cell that holds x and 0 outside the grid; see :meth:`Energy.predict`."""
        points, weights = self.law(measure)
        at = as_inputs(x, self.dimension, "x")
        field = self.prepare(points).field(weights)
        return np.asarray(field.first_variation(at) + self.target(at))

    def fingerprint(self) -> str:
        return digest("local", of_function(self._target), self.coordinates, self.bounds)

    def __repr__(self) -> str:
        return f"LocalEnergy(dimension={self.dimension})"
