"""The geometry of a tensor grid: edges, centres and volumes of its cells, shared by every density on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from wflow.errors import InputError, shown
from wflow.measures.base import FloatArray, check_names, read_only
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_counts, check_flag, check_list
from wflow.tools.memory import MANY, check_memory


class TensorGrid:
    """Cells between ``edges`` on 1 to 3 named axes, each with walls or periodic.

    Parameters
    ----------
    edges : one increasing array (n_k + 1,) an axis, or the array itself for one axis
    names : of the axes; x, y, z by default
    periodic : for all axes, or one an axis

    Raises
    ------
    InputError
        for edges that do not increase, and for more than 3 axes

    >>> grid = TensorGrid([[0.0, 0.5, 2.0], [0.0, 1.0]], names=("r", "z"))
    >>> grid.shape, grid.volumes.ravel().tolist()
    ((2, 1), [0.5, 1.5])
    """

    def __init__(
        self,
        edges: Any,
        names: Sequence[str] | None = None,
        periodic: bool | Sequence[bool] = False,
    ) -> None:
        given = axes_of("edges", edges)
        if not 1 <= len(given) <= 3:
            raise InputError(
                f"a grid of {len(given)} axes: 1 to 3 are possible; use particles beyond"
            )
        self.names = check_names(names, len(given))
        self.edges = tuple(_check_edges(name, e) for name, e in zip(self.names, given, strict=True))
        self.periodic = _check_periodic(periodic, len(given))
        self.shape = tuple(e.size - 1 for e in self.edges)
        self.dimension = len(self.shape)
        self.centers = tuple(read_only(0.5 * (e[1:] + e[:-1])) for e in self.edges)
        self.widths = tuple(read_only(np.diff(e)) for e in self.edges)

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorGrid, (self.edges, self.names, self.periodic)

    @classmethod
    def from_bounds(
        cls,
        bounds: Any,
        n: Any,
        names: Sequence[str] | None = None,
        periodic: bool | Sequence[bool] = False,
    ) -> TensorGrid:
        """Uniform cells: ``bounds`` are pairs (lo, hi), one an axis; ``n`` is for all axes, or one an axis."""
        pairs = check_bounds(bounds, names)
        cells = check_counts("n", n, len(pairs))
        if math.prod(cells) > MANY:
            what = f"a grid of {' x '.join(map(str, cells))} cells"
            check_memory(what, 8.0 * math.prod(cells), "give a smaller n")
        edges = [np.linspace(lo, hi, k + 1) for (lo, hi), k in zip(pairs, cells, strict=True)]
        return cls(edges, names, periodic)

    @cached_property
    def uniform(self) -> bool:
        """Whether the cells of every axis are equally wide, to rounding of the edges."""
        return all(
            float(np.ptp(w)) <= 8 * np.finfo(float).eps * float(np.abs(e).max())
            for w, e in zip(self.widths, self.edges, strict=True)
        )

    @cached_property
    def volumes(self) -> FloatArray:
        """Volumes of the cells, of the grid's shape."""
        product = self.widths[0]
        for width in self.widths[1:]:
            product = product[..., None] * width
        return read_only(np.array(product))

    @cached_property
    def points(self) -> FloatArray:
        """Centres (n, D) in C order."""
        return read_only(self.at([0.0] * self.dimension).reshape(-1, self.dimension))

    def at(self, offset: Sequence[float]) -> FloatArray:
        """The points at one offset in [-1, 1]^D of every cell, one axis a coordinate and then D; 0 is the centre."""
        axes = [c + 0.5 * o * w for c, o, w in zip(self.centers, offset, self.widths, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorGrid):
            return NotImplemented
        return (
            self.names == other.names
            and self.periodic == other.periodic
            and self.shape == other.shape
            and all(map(np.array_equal, self.edges, other.edges))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        axes = (
            f"{name} in [{e[0]:g}, {e[-1]:g}] {e.size - 1} {'periodic ' if p else ''}cells"
            for name, e, p in zip(self.names, self.edges, self.periodic, strict=True)
        )
        return " × ".join(axes)


def refuse_two_grids(bounds: Any, n: Any, edges: Any) -> None:
    """Refuse a grid that is given twice, or not at all.

    >>> refuse_two_grids([(0, 1)], None, None)
    Traceback (most recent call last):
    wflow.errors.InputError: bounds = [(0, 1)], n = None, edges = None: give bounds and n, or edges alone
    """
    if (edges is None) == (bounds is None or n is None):
        raise InputError(
            f"bounds = {shown(bounds)}, n = {shown(n)}, edges = {shown(edges)}: give bounds and n, or edges alone"
        )


def axes_of(what: str, given: Any) -> list[Any]:
    """What was given for each axis; a flat list of numbers is one axis."""
    entries = check_list(what, given, "entries, one an axis")
    flat = bool(entries) and all(isinstance(e, float | int | np.number) for e in entries)
    return [entries] if flat else entries


def check_bounds(bounds: Any, names: Sequence[str] | None) -> list[tuple[float, float]]:
    """Pairs lo < hi, one an axis; a bare pair is one axis."""
    array = as_floats("bounds", bounds)
    array = array[None] if array.shape == (2,) else array
    if array.ndim != 2 or array.shape[1] != 2 or array.shape[0] == 0:
        raise InputError(
            f"bounds have shape {array.shape}: give one pair (lo, hi) an axis, as [(0, 1)]"
        )
    if array.shape[0] > 3:
        raise InputError(
            f"bounds for {array.shape[0]} axes: 1 to 3 are possible; use particles beyond"
        )
    for name, (lo, hi) in zip(check_names(names, array.shape[0]), array, strict=True):
        if not lo < hi:
            raise InputError(f"bounds of '{name}' are ({lo:g}, {hi:g}): give (lo, hi) with lo < hi")
    return [(float(lo), float(hi)) for lo, hi in array]


def _check_edges(name: str, edges: Any) -> FloatArray:
    array = as_floats(f"edges of '{name}'", edges)
    if array.ndim != 1 or array.size < 2:
        raise InputError(
            f"edges of '{name}' have shape {array.shape}: give at least 2 in one array"
        )
    falls = np.flatnonzero(~(np.diff(array) > 0))
    if falls.size:
        i = int(falls[0])
        raise InputError(
            f"edges of '{name}' go from {array[i]:g} to {array[i + 1]:g} at index {i}: "
            "they must increase; sort them and drop doubles"
        )
    return read_only(array)


def _check_periodic(periodic: bool | Sequence[bool], dimension: int) -> tuple[bool, ...]:
    if isinstance(periodic, bool | np.bool_):
        return (bool(periodic),) * dimension
    words = check_list("periodic", periodic, "True or False, one an axis")
    given = tuple(check_flag("periodic", word) for word in words)
    if len(given) != dimension:
        raise InputError(
            f"periodic has {len(given)} entries for {dimension} axes: give one an axis, or one for all"
        )
    return given
