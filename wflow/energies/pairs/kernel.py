r"""Positive kernels K(y, z) on R^D in closed form: sums over pairs with their gradients, no n×m array.

.. math:: S(y) = \sum_j q_j K(y, y_j), \qquad \nabla S(y) = \sum_j q_j \nabla_1 K(y, y_j)

K(y, z) = ⟨φ_y, φ_z⟩ is the inner product of two units. Sums run in blocks over two or more threads, whose number
changes no bit. A kernel of one's own is a subclass of :class:`Kernel`. Source of the use: Rotskoff & Vanden-Eijnden
(2022), eqs. (2.7)–(2.9).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, as_points, as_vector
from wflow.energies.base import ParameterSpace
from wflow.errors import InputError
from wflow.tools.arrays import as_floats, check_size
from wflow.tools.checks import check_kind
from wflow.tools.fingerprint import digest
from wflow.tools.portable import Portable

BLOCK_ENTRIES = 1 << 18
"""Units formed at a time."""


class Kernel(ParameterSpace):
    """A positive semidefinite, symmetric kernel on R^D.

    ``at`` (m, D) and ``points`` (n, D) are arrays of points, ``charges`` (n,) the numbers q.
    """

    def sums(self, at: Any, points: Any, charges: Any) -> np.ndarray:
        """Σ_j q_j K(at_i, y_j), shape (m,)."""
        return self.evaluate(*self._checked(at, points, charges), False)[0]

    def sums_and_gradients(
        self, at: Any, points: Any, charges: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Σ_j q_j K(at_i, y_j) and its gradient in at_i, shapes (m,) and (m, D)."""
        return self.evaluate(*self._checked(at, points, charges), True)

    @abstractmethod
    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums over checked arrays and, if asked for, gradients (otherwise an array to be ignored)."""

    def side(self, points: np.ndarray) -> Any:
        """What :meth:`between` takes for points (n, D), with what is known of each alone."""
        return points

    def between(
        self, left: Any, right: Any, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`evaluate` at points of which each side is formed."""
        return self.evaluate(left, right, charges, gradients)

    @abstractmethod
    def diagonal(self, at: Any) -> np.ndarray:
        """K(y, y), shape (m,)."""

    def matrix(self, at: Any, points: Any) -> np.ndarray:
        """K(at_i, y_j) as an (m, n) array, for small problems."""
        x, y = as_points(at, self.dimension), as_points(points, self.dimension)
        one = np.ones(1)
        columns = [self.evaluate(x, y[j : j + 1], one, False)[0] for j in range(len(y))]
        return np.stack(columns, axis=1)

    def partials(self, at: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """(K, k_s, k_p, k_ss, k_sp, k_st, k_pp) of all pairs, (7, m, n), where K = k(|y|², |z|², ⟨y, z⟩); else None."""
        return None

    def unit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The units φ(x_i; y_j) of which K is the inner product, at inputs x (m, d), shape (m, n).

        Raises
        ------
        InputError
            for a kernel whose units are not known
        """
        raise InputError(f"{self!r} has no units phi(x; y): it knows their inner products only")

    def unit_slopes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """∇_y φ(x_i; y_j), shape (n, D, m).

        Raises
        ------
        InputError
            for a kernel whose units are not known
        """
        raise InputError(f"{self!r} has no slopes of units: it knows their inner products only")

    inputs_dimension: int | None = None
    """d of the inputs, where it is not D."""

    @property
    def input_size(self) -> int:
        """d of the inputs."""
        return self.inputs_dimension or self.dimension

    def output(self, x: Any, points: np.ndarray, charges: np.ndarray) -> np.ndarray:
        """Σ_j q_j φ(x_i; y_j) at inputs x (m, d), shape (m,)."""
        x = as_inputs(x, self.input_size, "x")
        rows = max(1, BLOCK_ENTRIES // max(1, len(points)))
        blocks = (x[i : i + rows] for i in range(0, len(x), rows))
        return np.concatenate([self.unit(block, points) @ charges for block in blocks])

    def _checked(
        self, at: Any, points: Any, charges: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = as_points(points, self.dimension)
        return as_points(at, self.dimension), points, as_vector("charges", charges, len(points))


class KernelSum(Portable):
    r"""A function that is a finite sum of a kernel's translates: a teacher network, seen from its students.

    .. math:: F(y) = \sum_k c_k K(y, z_k)

    ``kernel`` is a :class:`Kernel`, ``points`` (k, D) the z and ``charges`` (k,) the c.

    Raises
    ------
    InputError
        for points of another dimension than the kernel's, and charges that are not one a point

    >>> from wflow.energies import GaussianKernel
    >>> f = KernelSum(GaussianKernel(1.0, amplitude=1.0), [[0.0], [2.0]], [1.0, -1.0])
    >>> float(f.values([[1.0]])[0])
    0.0
    """

    def __init__(self, kernel: Kernel, points: Any, charges: Any) -> None:
        check_kind("kernel", kernel, Kernel, "give a wflow.energies.Kernel")
        self.kernel = kernel
        self.points = as_points(as_floats("points", points, finite=False), kernel.dimension)
        if not np.isfinite(self.points).all():
            raise InputError("a point of the kernel sum is not finite: give finite coordinates")
        check_size("points", self.points)
        self.charges = as_vector("charges", charges, self.points.shape[0])
        self.dimension = kernel.dimension
        self._side = kernel.side(self.points)

    def values(self, at: Any) -> np.ndarray:
        """F, shape (m,)."""
        return self._evaluate(at, False)[0]

    def values_and_gradients(self, at: Any) -> tuple[np.ndarray, np.ndarray]:
        """F and ∇F, shapes (m,) and (m, D)."""
        return self._evaluate(at, True)

    def _evaluate(self, at: Any, gradients: bool) -> tuple[np.ndarray, np.ndarray]:
        left = self.kernel.side(as_points(at, self.dimension))
        return self.kernel.between(left, self._side, self.charges, gradients)

    def square(self) -> float:
        """Σ c_k c_l K(z_k, z_l) = ‖f*‖², the ``constant`` of a KernelEnergy with this target."""
        return float(self.charges @ self.values(self.points))

    def fingerprint(self) -> str:
        return digest("kernel-sum", self.kernel.fingerprint(), self.points, self.charges)
