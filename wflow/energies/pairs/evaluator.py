r"""Who forms the sums of a kernel over pairs: the kernel itself, or a graphics card.

.. math:: S_i = \sum_j q_j 2^{-|x_i - y_j|^2}, \qquad T_i = \sum_j q_j 2^{-|x_i - y_j|^2}\,(x_i - y_j)

On a card, through CuPy, up to three dimensions are one kernel of :mod:`wflow.energies.pairs.cuda`. More of them, as on
the processor, take products of matrices: |x − y|² = |x|² + |y|² − 2⟨x, y⟩ of centred coordinates and T = x ∘ S − K(qy),
in blocks of rows. Arrays that no kernel of CUDA serves hold differences in such blocks, and the kernel takes its rows
in blocks for the sums of its parts of the columns. All are powers of two that fit a share of the memory that was free
when the energy was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wflow.energies.array_units import rows_within
from wflow.energies.evaluator import AUTO, evaluators
from wflow.energies.pairs import cuda
from wflow.energies.pairs.gaussian import GaussianKernel
from wflow.energies.pairs.kernel import Kernel
from wflow.errors import InputError, unknown

if TYPE_CHECKING:
    from wflow.energies.evaluators.device import Device

DIRECT = 3
"""Dimensions up to which differences are squared, so that nothing cancels far from the origin."""


class PairSums(Protocol):
    """Sums over pairs, as :meth:`Kernel.evaluate` gives them."""

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]: ...


class GaussianOnDevice:
    """Sums of Gaussians on a graphics card."""

    def __init__(self, kernel: GaussianKernel, evaluator: Device) -> None:
        from wflow.energies.evaluators.device import SHARE

        self._kernel, self._evaluator = kernel, evaluator
        self._room = evaluator.arrays().free() // SHARE  # refuses where there is no card
        """Bytes that a block of rows may take, the same at every call, so that every call has the same bits."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process has a card of its own."""
        return type(self), (self._kernel, self._evaluator)

    def evaluate(
        self, at: np.ndarray, points: np.ndarray, charges: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        kernel, arrays = self._kernel, self._evaluator.arrays()
        xp, dtype = arrays.xp, np.dtype(self._evaluator.precision)
        left, right = kernel.scaled(at, points)
        x = xp.asarray(left, dtype=dtype)
        y = x if at is points else xp.asarray(right, dtype=dtype)
        q = xp.asarray(charges, dtype=dtype)
        found = self._in_blocks(arrays, x, y, q, gradients)
        # ∇ of a scaled coordinate is the scale times ∇.
        total, moment = found[0], found[1:].T
        return kernel.amplitude * total, np.ascontiguousarray(-kernel.pull * moment)

    def _in_blocks(self, arrays: Any, x: Any, y: Any, q: Any, gradients: bool) -> np.ndarray:
        """S and T, (1 [+ D], m), a block of rows at a time."""
        parts, each = 1 + x.shape[1] * gradients, x.dtype.itemsize * len(y)
        formula: Any = _near if x.shape[1] <= DIRECT else _products
        if x.shape[1] <= DIRECT and hasattr(arrays.xp, "RawKernel"):
            formula, each = cuda.gaussian_sums, cuda.bytes_a_row(len(y), parts)
        rows = rows_within(self._room, each)
        out = np.zeros((parts, len(x)))
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            out[:, part] = arrays.to_host(formula(arrays.xp, x[part], y, q, gradients))
        return out


def _near(xp: Any, x: Any, y: Any, q: Any, gradients: bool) -> Any:
    """From differences."""
    square = 0.0
    for k in range(x.shape[1]):
        away = x[:, k, None] - y[:, k]
        square = square + away * away
    pull = q * xp.exp2(-xp.minimum(square, _FARTHEST[x.dtype.itemsize]))
    found = [pull.sum(axis=1)]
    for k in range(x.shape[1] * gradients):
        found.append((pull * (x[:, k, None] - y[:, k])).sum(axis=1))
    return xp.stack(found)


def _products(xp: Any, x: Any, y: Any, q: Any, gradients: bool) -> Any:
    """From products of matrices."""
    square = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * (x @ y.T)
    # Rounding may leave a square below 0.
    pull = xp.exp2(-xp.clip(square, 0.0, _FARTHEST[x.dtype.itemsize]))
    total = pull @ q
    if not gradients:
        return total[None]
    return xp.concatenate([total[None], (x * total[:, None] - pull @ (q[:, None] * y)).T])


_FARTHEST = {8: 1021.0, 4: 125.0}
"""The square of a distance at which a Gaussian stays, above the smallest normal number, by bytes of a number."""


def pair_sums(name: str, kernel: Kernel) -> PairSums:
    """Who evaluates a kernel, by the name of an evaluator: the kernel itself for "auto".

    Raises
    ------
    InputError
        for an unknown name, an evaluator that knows no sums of this kernel, or one whose card is not there

    >>> kernel = GaussianKernel(0.5)
    >>> pair_sums("auto", kernel) is kernel
    True
    """
    if isinstance(name, str) and name == AUTO:
        return kernel
    from wflow.energies.evaluators.device import Device

    if name not in evaluators:
        raise unknown("evaluator", name, (AUTO, *evaluators))
    found = evaluators[name]
    if not isinstance(found, Device) or type(kernel) is not GaussianKernel:
        served = "GaussianKernel" if isinstance(found, Device) else "features, no pairs"
        raise InputError(
            f"evaluator '{name}' does not serve {type(kernel).__name__}: it serves {served}; take '{AUTO}'"
        )
    return GaussianOnDevice(kernel, found)
