r"""Sums over features on a graphics card, through CuPy: "cupy" in double and "cupy-float32" in single precision.

.. math:: Z = W X^{\mathsf T} + b, \qquad f = (w a)^{\mathsf T}\sigma(Z), \qquad
          P = (a c^{\mathsf T})\circ\sigma'(Z), \qquad \nabla g = \bigl[\sigma(Z)c,\; P[1, X]\bigr]

Products of matrices go to cuBLAS, and what is done to every pair of a neuron and a node is one fused kernel: a
prediction reads Z once, a gradient twice, and writes P. Neurons come in blocks of at most a quarter of the memory
that was free when the nodes came to the card; Z of one block that holds them all is kept for the gradient. Sums of
blocks are added up in float64 on the host, always in one order. The length of a block is a power of two: a little less
free memory, when a run goes on, seldom makes another one, and with it other last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from wflow.energies.array_units import Arrays, array_units, rows_within
from wflow.energies.evaluator import Evaluator, evaluators
from wflow.energies.features.dense import DenseFeatures
from wflow.errors import InputError, first_line

SHARE = 4
"""One part in so many of the free memory is what a block of Z may take; the gradient has two of that size."""
REMEDY = 'python -m pip install "cupy-cuda12x>=13.4"'
"""As the extra ``gpu`` has it."""


@cache
def card() -> Arrays:
    """CuPy on the current device.

    Raises
    ------
    InputError
        without CuPy, and without a device that it can use
    """
    try:
        import cupy
        import cupyx.scipy.special as special
    except ImportError:
        raise InputError(
            f"evaluator 'cupy' needs CuPy, which is not installed: {REMEDY}; or take evaluator='auto'"
        ) from None
    try:
        found = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as e:
        raise InputError(
            f"evaluator 'cupy' finds no GPU ({first_line(e)}): take evaluator='auto'"
        ) from None
    if not found:
        raise InputError("evaluator 'cupy' finds no GPU: take evaluator='auto'")

    def free() -> int:
        pool = cupy.get_default_memory_pool()
        return int(cupy.cuda.Device().mem_info[0] + pool.free_bytes())

    return Arrays(cupy, special, free, cupy.fuse)


class Nodes:
    """What belongs to the nodes alone: their inputs on the device, and the kernels of the activation."""

    def __init__(self, features: DenseFeatures, arrays: Arrays, dtype: Any, name: str) -> None:
        self.arrays, xp = arrays, arrays.xp
        value, slope = array_units(features.activation, arrays, name)
        columns = [features.nodes]
        if features.offset:
            columns.insert(0, np.ones((features.n_nodes, 1)))
        self.inputs = xp.asarray(np.concatenate(columns, axis=1), dtype=dtype)
        """[1, x_q], or x_q of neurons without offsets: (Q, d [+ 1])."""
        each = self.inputs.dtype.itemsize * features.n_nodes
        self.rows = rows_within(arrays.free() // SHARE, each)
        """The most neurons of a block."""

        # CuPy names kernels by their functions.
        def values(z: Any) -> Any:
            return value(z)

        def predicted(z: Any, shares: Any) -> Any:
            return xp.sum(shares * value(z), axis=0)

        def summed(z: Any, c: Any) -> Any:
            return xp.sum(value(z) * c, axis=1)

        def pulled(z: Any, charges: Any) -> Any:
            return charges * slope(z)

        def pulled_by(z: Any, a: Any, c: Any) -> Any:
            return a * c * slope(z)

        self.values, self.predicted = arrays.fused(values), arrays.fused(predicted)
        self.summed, self.pulled = arrays.fused(summed), arrays.fused(pulled)
        self.pulled_by = arrays.fused(pulled_by)


class OnDevice:
    """Neurons θ = ([a], [b], w) on nodes, in blocks; one output, or K of them."""

    def __init__(self, features: DenseFeatures, points: np.ndarray, nodes: Nodes) -> None:
        self._features, self._nodes = features, nodes
        self._many = features.outputs > 1
        self._host = points
        xp, dtype = nodes.arrays.xp, nodes.inputs.dtype
        self._charges = features.outputs * int(features.charges)
        self._n = points.shape[0]
        on_card = xp.asarray(points, dtype=dtype)
        self._a, self._rest = on_card[:, : self._charges], on_card[:, self._charges :]
        self._rows = min(nodes.rows, max(self._n, 1))
        self._z: Any = None

    def predict(self, weights: np.ndarray) -> np.ndarray:
        f, arrays = self._features, self._nodes.arrays
        shape = (f.n_nodes, f.outputs) if self._many else (f.n_nodes,)
        total = np.zeros(shape)
        shares = arrays.xp.asarray(weights, dtype=self._nodes.inputs.dtype)[:, None]
        if self._charges:
            shares = shares * self._a
        for rows, z in self._blocks():
            if self._many:
                total += arrays.to_host(self._nodes.values(z).T @ shares[rows])
            else:
                total += arrays.to_host(self._nodes.predicted(z, shares[rows]))
        return total

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        c = self._weights(node_weights)
        found = [self._nodes.arrays.to_host(self._sums(z, c)) for _, z in self._blocks()]
        sums = np.concatenate([np.zeros((0, c.shape[1])), *found])
        a = self._host[:, : self._charges]
        return np.asarray((a * sums).sum(axis=1) if self._charges else sums[:, 0])

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        xp, c = self._nodes.arrays.xp, self._weights(node_weights)
        out = np.empty(self._host.shape)
        for rows, z in self._blocks():
            parts = [self._sums(z, c)] if self._charges else []
            if self._many:
                pull = self._nodes.pulled(z, self._a[rows] @ c.T)
            elif self._charges:
                pull = self._nodes.pulled_by(z, self._a[rows], c.T)
            else:
                pull = self._nodes.pulled(z, c.T)
            parts.append(pull @ self._nodes.inputs)
            out[rows] = self._nodes.arrays.to_host(xp.concatenate(parts, axis=1))
        return out

    def _weights(self, node_weights: np.ndarray) -> Any:
        """c_q of the nodes, (Q, K)."""
        c = self._nodes.arrays.xp.asarray(node_weights, dtype=self._nodes.inputs.dtype)
        return c.reshape(self._features.n_nodes, -1)

    def _sums(self, z: Any, c: Any) -> Any:
        """Σ_q c_qk σ(z_iq), (rows, K)."""
        return self._nodes.values(z) @ c if self._many else self._nodes.summed(z, c.T)[:, None]

    def _blocks(self) -> Iterator[tuple[slice, Any]]:
        """Blocks of neurons with their Z (rows, Q), which is kept if it is one."""
        for start in range(0, self._n, self._rows):
            rows = slice(start, start + self._rows)
            z = self._rest[rows] @ self._nodes.inputs.T if self._z is None else self._z
            if self._rows >= self._n:
                self._z = z
            yield rows, z


class Device(Evaluator):
    """Neurons on nodes by CuPy."""

    device = "gpu"
    serves = (DenseFeatures,)
    arrays: Callable[[], Arrays] = staticmethod(card)

    def __init__(self, name: str, precision: str) -> None:
        self.name, self.precision = name, precision  # type: ignore[misc]
        self._nodes: WeakKeyDictionary[Any, Nodes] = WeakKeyDictionary()

    def check(self, features: Any) -> None:
        super().check(features)
        self._at(features)

    def prepare(self, features: Any, points: np.ndarray) -> OnDevice:
        return OnDevice(features, points, self._at(features))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process asks its own register: what is on a device stays there."""
        return entered, (self.name,)

    def _at(self, features: DenseFeatures) -> Nodes:
        if features not in self._nodes:
            dtype = np.dtype(self.precision)
            self._nodes[features] = Nodes(features, self.arrays(), dtype, self.name)
        return self._nodes[features]


def entered(name: str) -> Evaluator:
    """The evaluator of a name."""
    return evaluators[name]


evaluators.enter(Device("cupy", "float64"))
evaluators.enter(Device("cupy-float32", "float32"))
