"""All weights and biases of a network as one vector, and each of them as a view into it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Layers(NamedTuple):
    """Weights w_1 (n_1, d), …, w_L (n_{L−1}, K), and biases b_2 (n_2,), …, b_L (K,), if there are any."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def bias(self, i: int) -> np.ndarray | None:
        """b_i of layer i = 2 … L, or None."""
        return self.biases[i - 2] if self.biases else None


@dataclass(frozen=True)
class Layout:
    """The sizes of a network.

    Parameters
    ----------
    inputs : d, of the first layer
    widths : n_1, …, n_{L−1}
    outputs : K, or 0 for one that is told without an axis of its own
    biased : whether layers 2 … L have biases

    >>> layout = Layout(3, (4, 5), 0, True)
    >>> layout.shapes
    {'w1': (4, 3), 'w2': (4, 5), 'w3': (5,), 'b2': (5,), 'b3': ()}
    >>> layout.size, layout.split(np.arange(43.0)).weights[2].tolist()
    (43, [[32.0], [33.0], [34.0], [35.0], [36.0]])
    """

    inputs: int
    widths: tuple[int, ...]
    outputs: int
    biased: bool

    @property
    def depth(self) -> int:
        """L."""
        return len(self.widths) + 1

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array, by its name, in the order of the vector."""
        last = (self.outputs,) if self.outputs else ()
        ends: list[tuple[int, ...]] = [*((n,) for n in self.widths), last]
        shapes: dict[str, tuple[int, ...]] = {"w1": (self.widths[0], self.inputs)}
        for i in range(2, self.depth + 1):
            shapes[f"w{i}"] = ends[i - 2] + ends[i - 1]
        if self.biased:
            shapes |= {f"b{i}": ends[i - 1] for i in range(2, self.depth + 1)}
        return shapes

    @cached_property
    def size(self) -> int:
        """The number of all weights and biases."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def views(self, flat: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Every array by its name, as a view of its shape into a vector of them all."""
        at = 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            yield name, flat[at : at + size].reshape(shape)
            at += size

    def split(self, flat: np.ndarray) -> Layers:
        """Views in which the last layer has its axis of outputs, of length 1 if there is one only."""
        arrays = dict(self.views(flat))
        top = self.depth
        arrays[f"w{top}"] = arrays[f"w{top}"].reshape(self.widths[-1], -1)
        if self.biased:
            arrays[f"b{top}"] = arrays[f"b{top}"].reshape(-1)
        biases = range(2, top + 1) if self.biased else ()
        return Layers(
            tuple(arrays[f"w{i}"] for i in range(1, top + 1)),
            tuple(arrays[f"b{i}"] for i in biases),
        )

    def join(self, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> np.ndarray:
        """One vector of arrays of these shapes."""
        return np.concatenate([np.ravel(a) for a in (*weights, *biases)])
