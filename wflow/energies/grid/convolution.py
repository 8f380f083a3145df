r"""Energies whose interaction depends on displacements only, on uniform grids by the fast Fourier transform.

.. math:: R(\rho) = R_\# + 2\int V\,d\rho + \iint U(\theta-\theta')\,d\rho\,d\rho, \qquad \Psi = V + U * \rho

A grid of n points costs O(n log n) where pairs cost n². Charges enter linearly: for θ = (c, y) the sum over c is taken
first, then one convolution over y serves every charge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.energies.arrays import (
    answered,
    as_domain,
    as_masses,
    as_points,
    check_axes,
    numbered,
)
from wflow.energies.base import Energy, Law
from wflow.energies.contracts import (
    refuse_neighbours,
    refuse_open,
    refuse_wrong_gradient,
    support,
    two_lots,
)
from wflow.energies.grid.from_kernel import Confinement, KernelShape
from wflow.energies.grid.lattice import Lattice, LatticeConvolution, wrapped
from wflow.energies.pairs.kernel import Kernel
from wflow.errors import InputError, shown
from wflow.kernels.vectors import dot
from wflow.tools.checks import check_flag, check_function, check_list, names_of, number, positive
from wflow.tools.fingerprint import of_function

if TYPE_CHECKING:
    from wflow.measures import Measure

PAIR_ENTRIES = 1 << 18
"""Pairs visited at a time where sums are direct."""

Function = Callable[[np.ndarray], Any]


class ConvolutionField:
    """Risk, first variation and gradient at one measure on a grid."""

    def __init__(self, prepared: PreparedConvolution, weights: np.ndarray) -> None:
        self._prepared = prepared
        e, p = prepared.energy, prepared
        self._sources = np.einsum("c,ci->i", p.charges, weights.reshape(p.charges.size, -1))
        drawn = p.interaction().apply(self._sources)
        self._per_charge = p.confinement + drawn
        # ∫V dρ + ∫Ψ dρ, with the charges inside the sources.
        self.risk = e.constant + dot(self._sources, p.confinement + self._per_charge)

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        p = self._prepared
        if points is None:
            return np.outer(p.charges, self._per_charge).ravel()
        charge, y = p.energy.split(as_points(points, p.energy.dimension))
        return np.asarray(charge * self._value_at(y))

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        p, e = self._prepared, self._prepared.energy
        if points is None:
            slopes = np.stack([k.apply(self._sources) for k in p.slopes()], axis=1)
            slopes += p.pull
            pull = p.charges[:, None, None] * slopes
            if not e.charges:
                return np.ascontiguousarray(pull[0])
            values = np.broadcast_to(self._per_charge[:, None], (*pull.shape[:2], 1))
            return np.concatenate([values, pull], axis=2).reshape(-1, e.dimension)
        charge, y = e.split(as_points(points, e.dimension))
        pull = charge[:, None] * (e.slope_of_v(y) + self._direct(e.slope_of_u(), y, vector=True))
        if not e.charges:
            return np.asarray(pull)
        return np.concatenate([self._value_at(y)[:, None], pull], axis=1)

    def _value_at(self, y: np.ndarray) -> np.ndarray:
        e = self._prepared.energy
        return np.asarray(e.potential(y) + self._direct(e.interaction, y, vector=False))

    def _direct(self, kernel: Function, y: np.ndarray, *, vector: bool) -> np.ndarray:
        """Σ_j q_j k(y − y_j) at any points, by blocks."""
        e, sources = self._prepared.energy, self._prepared.lattice.points
        out = np.empty((y.shape[0], e.space) if vector else y.shape[0])
        rows = max(1, PAIR_ENTRIES // (sources.shape[0] * e.space))
        for i in range(0, y.shape[0], rows):
            z = e.displacement(y[i : i + rows, None] - sources)
            values = np.asarray(kernel(z))
            out[i : i + rows] = np.einsum("ij...,j->i...", values, self._sources)
        return out


class PreparedConvolution:
    """A convolution energy on one grid; kernels are transformed when first used."""

    def __init__(self, energy: ConvolutionEnergy, charges: np.ndarray, lattice: Lattice) -> None:
        self.energy, self.charges, self.lattice = energy, charges, lattice
        self.confinement = energy.potential(lattice.points)
        self._interaction: LatticeConvolution | None = None
        self._slopes: list[LatticeConvolution] | None = None

    @cached_property
    def pull(self) -> np.ndarray:
        """∇V at the grid's points."""
        return self.energy.slope_of_v(self.lattice.points)

    def field(self, weights: np.ndarray) -> ConvolutionField:
        return ConvolutionField(self, as_masses(weights, self.charges.size * self.confinement.size))

    def interaction(self) -> LatticeConvolution:
        """U between the grid's points."""
        if self._interaction is None:
            z = self.energy.displacement(self.lattice.points - self.lattice.points[0])
            ahead, back = (np.asarray(self.energy.interaction(s * z)) for s in (1.0, -1.0))
            off = np.abs(ahead - back)
            # Half a period ahead and back are one place, where a U that has a jump there may be either.
            if off.max() > 1e-10 * np.abs(ahead).max():
                k = int(off.argmax())
                raise InputError(
                    f"U({z[k].tolist()}) = {ahead[k]:g} and U of its opposite = {back[k]:g}: U must be even"
                )
            self._interaction = self._convolution(self.energy.interaction)
        return self._interaction

    def slopes(self) -> list[LatticeConvolution]:
        """The components of ∇U between the grid's points."""
        if self._slopes is None:
            slope = self.energy.slope_of_u()
            self._slopes = [
                self._convolution(partial(_component, slope, k)) for k in range(self.energy.space)
            ]
        return self._slopes

    def _convolution(self, kernel: Function) -> LatticeConvolution:
        return LatticeConvolution(self.lattice, self.lattice, kernel, self.energy.periods)


class ConvolutionEnergy(Energy):
    r"""The square-loss risk of a confining V and a translation-invariant interaction U, on a uniform grid.

    .. math:: \Psi(\theta;\rho) = V(\theta) + \int U(\theta-\theta')\,\rho(d\theta')
              \quad\text{or}\quad \Psi(c,y;\rho) = c\Bigl[V(y) + \int c'\,U(y-y')\,\rho(dc'dy')\Bigr]

    Parameters
    ----------
    V : function of points (..., D), gives (...)
    U : even function of displacements (..., D), gives (...)
    grad_V, grad_U : their gradients (..., D); without them ``gradient`` is refused (grid methods do not need it)
    dimension : number of coordinates that U sees, 1 to 3
    period : length of the space on each axis, None for an axis that does not close; one number serves all axes. U is
        then asked for displacements in [-period/2, period/2)
    charges : the state is θ = (c, y) and U sees y alone; the axis of c may be graded
    constant : R_#, the risk of the zero network
    coordinates, bounds : names of the axes, and the domain (lo, hi) of each, the charge first

    Raises
    ------
    InputError
        for a U that is not even at the displacements of the grid, and in ``prepare`` for points that are no uniform
        tensor grid in C order

    Source: Mei, Montanari & Nguyen (2018), eq. (3), with U(θ, θ') = U(θ − θ').

    >>> e = ConvolutionEnergy(lambda x: 0.0 * x[..., 0], lambda z: np.exp(-z[..., 0] ** 2))
    >>> field = e.prepare(np.array([[0.0], [1.0]])).field(np.array([1.0, 0.0]))
    >>> field.risk, field.first_variation().round(4).tolist()
    (1.0, [1.0, 0.3679])
    """

    affine = True
    kernel: Kernel | None = None
    """Of which U is made, whose units predict."""

    def __init__(
        self,
        V: Function,
        U: Function,
        *,
        grad_V: Function | None = None,
        grad_U: Function | None = None,
        dimension: int = 1,
        period: float | Sequence[float | None] | None = None,
        charges: bool = False,
        constant: float = 0.0,
        coordinates: Sequence[str] | None = None,
        bounds: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self.space, self.charges = check_axes(dimension), check_flag("charges", charges)
        self.dimension = self.space + self.charges
        self.constant = number("constant", constant)
        self._v = check_function("V", V, "points (..., D)")
        self.interaction = check_function("U", U, "displacements (..., D)")
        self._grad_v, self._grad_u = grad_V, grad_U
        self.periods = _periods(period, self.space)
        if coordinates is not None or charges:
            own = ("c", *numbered("y", self.space))
            self.coordinates = own if coordinates is None else names_of("coordinates", coordinates)
        if bounds is not None:
            self.bounds = as_domain(bounds, self.dimension)
        self.refuse_without_names()
        self._check_functions()

    @classmethod
    def from_kernel(
        cls,
        kernel: Kernel,
        target: Any,
        *,
        charges: bool = True,
        constant: float = 0.0,
        charge_name: str = "c",
        period: float | Sequence[float | None] | None = None,
    ) -> ConvolutionEnergy:
        """The square-loss risk of units with a translation-invariant kernel K, U = K and V = −F.

        Parameters
        ----------
        kernel : a kernel of :mod:`wflow.energies`, as GaussianKernel: ``dimension``, ``coordinates``, ``sums`` and
            ``sums_and_gradients``
        target : F by ``values`` and ``values_and_gradients``, or a pair of functions (F, ∇F)
        charges, constant, charge_name : as in KernelEnergy
        period : as in ConvolutionEnergy

        Raises
        ------
        InputError
            for a kernel that is not a function of y − z
        """
        for part in ("dimension", "coordinates", "sums"):
            if not hasattr(kernel, part):
                raise InputError(
                    f"kernel {shown(kernel)} has no {part}: give a wflow.energies.Kernel"
                )
        shape = KernelShape(kernel)
        shape.check()
        confinement = Confinement(target, int(kernel.dimension))
        names = tuple(kernel.coordinates)
        energy = cls(
            confinement.value,
            shape.value,
            grad_V=confinement.slope,
            grad_U=shape.slope,
            dimension=int(kernel.dimension),
            period=period,
            charges=charges,
            constant=constant,
            coordinates=(charge_name, *names) if check_flag("charges", charges) else names,
        )
        energy.kernel = kernel
        return energy

    def prepare(self, points: np.ndarray) -> PreparedConvolution:
        p = as_points(points, self.dimension)
        charges, rest = np.ones(1), p
        if self.charges:
            changes = np.flatnonzero(p[:, 0] != p[0, 0])
            run = int(changes[0]) if changes.size else p.shape[0]
            charges, rest = p[::run, 0], p[:run, 1:]
            tensor = np.column_stack([np.repeat(charges, run), np.tile(rest, (charges.size, 1))])
            if not np.array_equal(tensor, p):
                raise _no_grid(p.shape[0])
        lattice = Lattice.recognise(rest)
        if lattice is None:
            raise _no_grid(p.shape[0])
        spacing = []
        for k, (h, n, period) in enumerate(
            zip(lattice.spacing, lattice.shape, self.periods, strict=True)
        ):
            spacing.append(h if n > 1 or period is None else period)
            if period is not None and abs(n * spacing[k] - period) > 1e-9 * period:
                name = self.coordinates[k + self.charges]
                raise InputError(
                    f"axis '{name}' has {n} cells of {h:.6g} and period {period:g}: let the cells fill the period"
                )
        return PreparedConvolution(
            self, charges, Lattice(lattice.origin, tuple(spacing), lattice.shape)
        )

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ∫c φ(x; y) dρ at inputs x (m, d) for a kernel with known units; see :meth:`Energy.predict`."""
        if self.kernel is None:
            return super().predict(measure, x)
        points, weights = self.law(measure)
        c, y = self.split(points)
        return self.kernel.output(x, y, weights * c)

    def check(self, start: Measure) -> None:
        names, bounds = self.coordinates[self.charges :], self.bounds[self.charges :]
        points = self.split(support(start, self.dimension))[1]
        at, other = two_lots(points, bounds)
        rings = {k - self.charges: ends for k, ends in start.rings.items() if k >= self.charges}
        for k, (low, high) in rings.items():
            if self.periods[k] is None:
                raise InputError(
                    f"axis '{names[k]}' is periodic and U does not close on it: give period={high - low:g} there"
                )
        refuse_open("V", self.potential, at, rings, names)
        for name, f, slope, x, domain in (
            ("V", self.potential, self._grad_v, at, bounds),
            (
                "U",
                self.drawn,
                self._grad_u,
                self.displacement(at - other),
                np.tile([-np.inf, np.inf], (self.space, 1)),
            ),
        ):
            refuse_neighbours(name, f, x, names)
            if slope is not None and self.kernel is None:
                refuse_wrong_gradient(name, f, slope, x, domain, names)

    def split(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charges (1 for every point where there are none) and the coordinates that U sees."""
        if self.charges:
            return points[:, 0], points[:, 1:]
        return np.ones(points.shape[0]), points

    def potential(self, y: np.ndarray) -> np.ndarray:
        """V, shape (n,)."""
        return np.array(answered("V", self._v(np.array(y)), y.shape[:-1]))

    def drawn(self, z: np.ndarray) -> np.ndarray:
        """U at displacements, shape (n,)."""
        return np.array(answered("U", self.interaction(np.array(z)), z.shape[:-1]))

    def slope_of_v(self, y: np.ndarray) -> np.ndarray:
        """∇V, shape (n, D)."""
        if self._grad_v is None:
            raise InputError("ConvolutionEnergy without grad_V has no gradient: pass grad_V")
        return np.array(answered("grad_V", self._grad_v(np.array(y)), y.shape))

    def slope_of_u(self) -> Function:
        """∇U as a function of displacements."""
        if self._grad_u is None:
            raise InputError("ConvolutionEnergy without grad_U has no gradient: pass grad_U")
        return self._grad_u

    def displacement(self, z: np.ndarray) -> np.ndarray:
        """Displacements, shortest way round on periodic axes."""
        if all(p is None for p in self.periods):
            return z
        parts = [
            z[..., k] if p is None else wrapped(z[..., k], p) for k, p in enumerate(self.periods)
        ]
        return np.stack(parts, axis=-1)

    def _check_functions(self) -> None:
        n = 2 if self.space != 2 else 3
        probe = 0.1 * np.arange(1, n * self.space + 1).reshape(n, self.space)
        self.potential(probe)
        ahead, back = self.drawn(probe), self.drawn(-probe)
        if np.abs(ahead - back).max() > 1e-10 * np.abs(ahead).max():
            raise InputError(
                f"U({probe[0].tolist()}) = {ahead[0]:g} and U of its opposite = {back[0]:g}: U must be even"
            )

    def fingerprint(self) -> str:
        functions = [self._v, self.interaction, self._grad_v, self._grad_u]
        shape = (self.space, self.charges, self.constant, self.periods, self.coordinates)
        code = ":".join(of_function(f) for f in functions)
        return f"convolution:{code}:{shape!r}:{self.bounds.tolist()!r}"

    def __repr__(self) -> str:
        return f"ConvolutionEnergy({', '.join(self.coordinates)})"


def _component(slope: Function, k: int, z: np.ndarray) -> np.ndarray:
    return np.asarray(slope(z))[..., k]


def _no_grid(n: int) -> InputError:
    return InputError(
        f"the {n} points are no uniform tensor grid in C order: use a uniform GridDensity, or PairEnergy"
    )


def _periods(period: Any, space: int) -> tuple[float | None, ...]:
    one = period is None or isinstance(period, int | float | np.number)
    given = [period] * space if one else check_list("period", period, "lengths, one an axis")
    if len(given) != space:
        raise InputError(f"period has {len(given)} entries for {space} axes: give one an axis")
    return tuple(None if p is None else positive("period", p) for p in given)
