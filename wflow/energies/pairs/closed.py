r"""The square-loss risk from a closed kernel and a closed target, without nodes.

.. math:: \Psi(c,y) = c\Bigl[\int c' K(y,y')\,d\rho - F(y)\Bigr], \qquad
          R = R_\# - 2\int cF\,d\rho + \iint cc'K\,d\rho\,d\rho

Points that share their y (a grid over (c, y)) are merged first: Ψ is linear in c. Source: Rotskoff &
Vanden-Eijnden (2022), eqs. (2.7)–(2.9).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from wflow.energies.arrays import as_inputs, as_masses, as_points, distinct, gathered, spread
from wflow.energies.base import Energy, Law, Units
from wflow.energies.contracts import of_the_library
from wflow.energies.curvature import Curvature
from wflow.energies.evaluator import AUTO
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.kept import KEPT_ENTRIES, KeptPairs
from wflow.energies.pairs.curvature import KernelCurvature
from wflow.energies.pairs.evaluator import pair_sums
from wflow.energies.pairs.kernel import Kernel
from wflow.errors import InputError, shown
from wflow.tools.checks import check_flag, check_kind, number
from wflow.tools.fingerprint import digest, of_function
from wflow.tools.portable import Portable


class Target(Protocol):
    """F(y) = ⟨f*, φ_y⟩ with its gradient."""

    def values(self, at: np.ndarray) -> np.ndarray: ...

    def values_and_gradients(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def fingerprint(self) -> str: ...


class _Functions(Portable):
    """A target from a plain pair (F, ∇F) of functions of (m, D) points."""

    def __init__(self, value: Any, gradient: Any) -> None:
        self._value, self._gradient = value, gradient

    def values(self, at: np.ndarray) -> np.ndarray:
        return np.asarray(self._value(at), dtype=np.float64)

    def values_and_gradients(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.values(at), np.asarray(self._gradient(at), dtype=np.float64)

    def fingerprint(self) -> str:
        return of_function(self._value) + of_function(self._gradient)


class KernelEnergy(Energy):
    r"""The risk of units c φ(x; y) whose overlaps are known in closed form.

    .. math:: K(y,z) = \langle\varphi_y,\varphi_z\rangle, \quad F(y) = \langle f_*,\varphi_y\rangle, \quad
              R_\# = \langle f_*, f_*\rangle

    Parameters
    ----------
    kernel : a :class:`wflow.energies.Kernel` on R^D
    target : F, as :class:`wflow.energies.KernelSum`, an object with its methods, or a pair of functions (F, ∇F) of
        points (m, D) returning (m,) and (m, D)
    charges : whether θ = (c, y) has an output weight c, or is y alone
    constant : R_#, the risk of the zero network
    charge_name : the name of the coordinate c
    nodes : the same risk as features at nodes, for what asks for outputs (fluctuations); none by default
    evaluator : who forms the sums over pairs: "auto", the kernel itself; "cupy" or "cupy-float32", a graphics card, for
        Gaussian kernels

    Raises
    ------
    InputError
        for a kernel that is none, a target without the methods above, one that returns a wrong shape, or an evaluator
        that does not serve the kernel

    >>> from wflow.energies import GaussianKernel, KernelSum
    >>> teacher = KernelSum(GaussianKernel(1.0), [[0.5]], [2.0])
    >>> energy = KernelEnergy(teacher.kernel, teacher, constant=teacher.square())
    >>> abs(energy.prepare([[2.0, 0.5]]).field(np.ones(1)).risk) < 1e-15
    True
    """

    affine = True

    def __init__(
        self,
        kernel: Kernel,
        target: Any,
        *,
        charges: bool = True,
        constant: float = 0.0,
        charge_name: str = "c",
        nodes: FeatureEnergy | None = None,
        evaluator: str = "auto",
    ) -> None:
        if not isinstance(kernel, Kernel):
            raise InputError(
                f"kernel {shown(kernel)} has no sums over pairs: give a wflow.energies.Kernel, as "
                "GaussianKernel(0.5), or a subclass of it"
            )
        self.kernel = kernel
        self.evaluator, self.pairs = evaluator, pair_sums(evaluator, kernel)
        self.target = as_target(target)
        self.charges = check_flag("charges", charges)
        self.constant = number("constant", constant, finite=False)
        if not np.isfinite(self.constant):
            raise InputError(f"constant {self.constant}: the risk of the zero network is finite")
        if nodes is not None:
            check_kind("nodes", nodes, FeatureEnergy, "give the same risk as a FeatureEnergy")
        self._nodes = nodes
        self.coordinates = ((charge_name,) if charges else ()) + kernel.coordinates
        self.dimension = len(self.coordinates)
        self.relu_units = self.charges and kernel.relu_units
        inner = kernel.bounds
        self.bounds = np.vstack([[[-np.inf, np.inf]], inner]) if charges else inner
        probe = np.full((2, kernel.dimension), 0.5)
        value, slope = self.target.values_and_gradients(probe)
        if np.shape(value) != (2,) or np.shape(slope) != probe.shape:
            raise InputError(
                f"the target returned shapes {np.shape(value)} and {np.shape(slope)} for points {probe.shape}: "
                f"return (2,) and {probe.shape}"
            )

    @property
    def tested(self) -> bool:
        own = isinstance(self.target, _Functions) or not of_the_library(self.target)
        return super().tested and of_the_library(self.kernel) and not own

    def split(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charges (n,), 1 where θ has none, and y (n, D)."""
        if not self.charges:
            return np.ones(points.shape[0]), points
        return points[:, 0], np.ascontiguousarray(points[:, 1:])

    def prepare(self, points: Any) -> PreparedKernel:
        return PreparedKernel(self, as_points(points, self.dimension))

    def curvature(self, points: np.ndarray, weights: np.ndarray) -> Curvature:
        none = np.empty((0, self.kernel.dimension))
        known = self.kernel.partials(none, none) is not None
        return (KernelCurvature if known else Curvature)(self, points, weights)

    def diagonal(self, points: Any) -> np.ndarray:
        """U(θ, θ) = c² K(y, y), shape (n,)."""
        c, y = self.split(as_points(points, self.dimension))
        return np.asarray(c**2 * self.kernel.diagonal(y))

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ∫c φ(x; y) dρ at inputs x (m, d) for a kernel with known units; see :meth:`Energy.predict`."""
        points, weights = self.law(measure)
        c, y = self.split(points)
        return self.kernel.output(x, y, weights * c)

    def on_nodes(self) -> FeatureEnergy:
        return self._nodes or super().on_nodes()

    def units_at(self, x: Any = None) -> Units:
        if self._nodes:
            return super().units_at(x)
        if x is None:
            raise InputError("KernelEnergy knows no nodes: give the inputs x")
        return ChargedUnits(self, as_inputs(x, self.kernel.input_size, "x"))

    def fingerprint(self) -> str:
        parts = self.kernel.fingerprint(), self.target.fingerprint()
        return digest("kernel-energy", *parts, self.charges, self.constant, self.coordinates)

    def __repr__(self) -> str:
        return f"KernelEnergy({self.kernel!r}, charges={self.charges})"


class ChargedUnits:
    """c φ(x_q; y) at inputs (m, d), with slopes in (c, y), or in y alone."""

    per_sample = 1

    def __init__(self, energy: KernelEnergy, x: np.ndarray) -> None:
        self._energy, self._x, self.n_nodes = energy, x, len(x)

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (n, m) and slopes (n, D, m)."""
        c, y = self._energy.split(points)
        kernel = self._energy.kernel
        values = kernel.unit(self._x, y).T
        slopes = c[:, None, None] * kernel.unit_slopes(self._x, y)
        if self._energy.charges:
            slopes = np.concatenate([values[:, None], slopes], axis=1)
        return c[:, None] * values, slopes


def as_target(target: Any) -> Target:
    """Check and return a target F; a pair of functions (F, ∇F) becomes one."""
    if isinstance(target, tuple | list) and len(target) == 2 and all(map(callable, target)):
        return _Functions(*target)
    for name in ("values", "values_and_gradients", "fingerprint"):
        if not hasattr(target, name):
            raise InputError(
                f"target {shown(target)} has no {name}: give a KernelSum, or a pair of functions (F, gradient of F)"
            )
    return target  # type: ignore[no-any-return]


class PreparedKernel:
    """A kernel energy at fixed points: their distinct y, and what F is there."""

    def __init__(self, energy: KernelEnergy, points: np.ndarray) -> None:
        self.energy = energy
        self.c, y = energy.split(points)
        self.y, self.owner = distinct(y)
        self._target: tuple[np.ndarray, np.ndarray] | None = None
        self._pairs: KeptPairs | None = None
        self._seen = False

    def sums(self, charges: np.ndarray) -> np.ndarray:
        """Σ_j q_j K(y_i, y_j): by one pass of the kernel's own, from the second time on from values that are kept."""
        seen, self._seen = self._seen, True
        own = self.energy.evaluator == AUTO
        if seen and own and len(self.y) ** 2 <= KEPT_ENTRIES:
            if self._pairs is None:
                self._pairs = KeptPairs(self.energy.kernel.matrix, self.y, self.y)
            return self._pairs.sums(charges)
        return np.asarray(self.energy.pairs.evaluate(self.y, self.y, charges, False)[0])

    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """F and ∇F at the distinct y, computed once."""
        if self._target is None:
            self._target = self.energy.target.values_and_gradients(self.y)
        return self._target

    def field(self, weights: np.ndarray) -> KernelField:
        return KernelField(self, as_masses(weights, len(self.c)))


class KernelField:
    """Risk, Ψ and ∇Ψ at one measure; one pass over the pairs gives both, when first asked for."""

    def __init__(self, prepared: PreparedKernel, weights: np.ndarray) -> None:
        self._prepared = prepared
        self._charges = gathered(weights * prepared.c, prepared.owner, len(prepared.y))
        self._sums: np.ndarray | None = None
        self._gradients: np.ndarray | None = None

    def _own_sums(self) -> np.ndarray:
        if self._sums is None:
            self._sums = self._prepared.sums(self._charges)
        return self._sums

    def _own_gradients(self) -> np.ndarray:
        if self._gradients is None:
            p = self._prepared
            self._sums, self._gradients = p.energy.pairs.evaluate(p.y, p.y, self._charges, True)
        return np.asarray(self._gradients)

    @property
    def risk(self) -> float:
        p = self._prepared
        return p.energy.constant + float(self._charges @ (self._own_sums() - 2 * p.target()[0]))

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        p = self._prepared
        if points is None:
            return np.asarray(p.c * spread(self._own_sums() - p.target()[0], p.owner))
        other = p.energy.prepare(points)
        sums = p.energy.pairs.evaluate(other.y, p.y, self._charges, False)[0]
        target = p.energy.target.values(other.y)
        return np.asarray(other.c * spread(sums - target, other.owner))

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        p = self._prepared
        here = p if points is None else p.energy.prepare(points)
        if points is None:
            slope = self._own_gradients()
            sums = self._own_sums()
        else:
            sums, slope = p.energy.pairs.evaluate(here.y, p.y, self._charges, True)
        value, drift = here.target()
        first = int(p.energy.charges)
        out = np.empty((len(here.c), first + slope.shape[1]))
        if first:
            out[:, 0] = spread(sums - value, here.owner)
        np.multiply(here.c[:, None], spread(slope - drift, here.owner), out=out[:, first:])
        return out
