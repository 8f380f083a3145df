"""Arrays that energies are given, checked: points, inputs, vectors; and the names of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from wflow.errors import InputError, shown
from wflow.tools.arrays import as_floats, check_size
from wflow.tools.memory import NAME, check_held


def as_points(points: Any, dimension: int) -> np.ndarray:
    """Check and return points as a C-ordered (n, D) float array.

    >>> as_points([1.0, 2.0], 1).shape
    (2, 1)
    """
    if type(points) is np.ndarray and points.dtype == np.float64:
        p = np.ascontiguousarray(points)  # in every step
    else:
        p = as_floats("points", points, finite=False)
    if p.ndim == 1 and dimension == 1:
        p = p[:, None]
    if p.ndim != 2 or p.shape[1] != dimension:
        raise InputError(f"points of shape {p.shape}: expected (n, {dimension}), one row a point")
    return p


def as_inputs(inputs: Any, dimension: int | None = None, name: str = "nodes") -> np.ndarray:
    """Check and return inputs x of a network, finite, as a C-ordered (Q, d) array of its own.

    >>> as_inputs([1.0, 2.0]).shape
    (2, 1)
    """
    x = as_floats(name, inputs, finite=False)
    if x.ndim == 1 and dimension in (None, 1):
        x = x[:, None]
    if x.ndim != 2 or x.size == 0 or x.shape[1] != (dimension or x.shape[1]):
        wanted = "(Q, d) with Q, d >= 1" if dimension is None else f"(Q, {dimension}) with Q >= 1"
        raise InputError(f"{name} of shape {x.shape}: expected {wanted}")
    check_size(name, x)
    return x


def as_domain(bounds: Any, dimension: int, name: str = "bounds") -> np.ndarray:
    """Check and return the domain (lo, hi) of each coordinate, where ends may be infinite, shape (D, 2).

    >>> as_domain([(0, np.inf)], 1)
    array([[ 0., inf]])
    """
    box = as_floats(name, bounds, finite=False)
    if box.shape != (dimension, 2):
        raise InputError(
            f"{name} of shape {box.shape}: give (lo, hi) for each of {dimension} coordinates"
        )
    if not (box[:, 0] < box[:, 1]).all():
        raise InputError(f"{name} {shown(box.tolist())}: give lo < hi for each coordinate")
    return box


def as_knots(knots: Any) -> np.ndarray:
    """Check and return the knots of a piecewise linear function, (position, value) a row, positions increasing.

    >>> as_knots([(0.5, -2.5), (1.5, 7.5)]).shape
    (2, 2)
    """
    table = as_floats("knots", knots)
    if table.ndim != 2 or table.shape[1] != 2 or table.size == 0:
        raise InputError(f"knots {shown(knots)}: expected (position, value) pairs of numbers")
    if (np.diff(table[:, 0]) <= 0).any():
        raise InputError(
            f"knot positions {shown(table[:, 0].tolist())}: must increase; sort them, drop repeats"
        )
    return table


def as_vector(name: str, values: Any, n: int) -> np.ndarray:
    """Check and return a finite (n,) float array."""
    if values is None:
        raise InputError(f"{name} missing: give an array of {n} numbers, one a node")
    v = as_floats(name, values)
    if v.shape != (n,):
        raise InputError(f"{name} of shape {v.shape}: expected ({n},), one entry a node")
    v.setflags(write=False)
    return v


def node_weights(weights: Any, n: int) -> np.ndarray:
    """p_q of n nodes, not negative; 1/n each where none are given."""
    p = as_vector("weights", np.full(n, 1.0 / n) if weights is None else weights, n)
    if p.min() < 0:
        raise InputError(f"node weight {p.min():g}: weights must not be negative; drop such nodes")
    return p


def answered(what: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What an energy or a user's function answers, as floats of the shape that was asked for.

    Numpy would stretch (n, 1) beside (n,) to (n, n), and a kernel would take integers for floats, without a word.

    >>> answered("V", [1, 2], (2,))
    array([1., 2.])
    """
    if type(values) is np.ndarray and values.dtype == np.float64 and values.shape == shape:
        return values  # in every step
    if np.iscomplexobj(values):
        raise InputError(f"{what} returned complex numbers: return real ones")
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise InputError(f"{what} returned a masked array: fill what is masked")
    try:
        given = np.asarray(values)
        words = given.dtype == object and any(isinstance(x, str | bytes | None) for x in given.flat)
        if given.dtype.kind not in "biufO" or words:
            raise TypeError
        v = np.asarray(given, dtype=np.float64)
    except Exception:  # noqa: BLE001  a tensor that is part of a graph has an error of its own
        raise InputError(
            f"{what} returned {type(values).__name__}, no numbers: return an array of shape {shape}"
        ) from None
    if v.shape != shape:
        raise InputError(f"{what} returned shape {v.shape} where {shape} was asked for")
    return v


def answered_number(what: str, value: Any) -> float:
    """The same for one number.

    >>> answered_number("the energy's risk", np.array(2))
    2.0
    """
    return value if type(value) is float else float(answered(what, value, ()))


def check_axes(dimension: Any) -> int:
    """The number of axes of a grid.

    >>> check_axes(2)
    2
    """
    whole = not isinstance(dimension, bool) and isinstance(dimension, int | np.integer)
    if not whole or not 1 <= dimension <= 3:
        raise InputError(f"dimension = {shown(dimension)}: a grid has 1, 2 or 3 axes")
    return int(dimension)


def as_masses(weights: Any, n: int) -> np.ndarray:
    """Weights of n points as floats (n,): fewer would be stretched, or read past their end.

    >>> as_masses([1, 0], 2)
    array([1., 0.])
    """
    if type(weights) is np.ndarray and weights.dtype == np.float64 and weights.shape == (n,):
        return weights  # in every step
    try:
        w = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        w = np.empty(())
    if w.shape != (n,):
        raise InputError(f"weights of shape {np.shape(weights)} for {n} points: give one a point")
    return w


def place(point: np.ndarray, names: Sequence[str]) -> str:
    """A point in words, up to three coordinates of it.

    >>> place(np.array([0.5, 2.0]), ("x", "y"))
    'x = 0.5, y = 2'
    """
    parts = [f"{name} = {value:.4g}" for name, value in zip(names, point, strict=True)]
    return ", ".join(parts[:3] + ["…"] * (len(parts) > 3))


@cache
def numbered(letter: str, count: int) -> tuple[str, ...]:
    """Names of coordinates: y, or y1, y2, …"""
    check_held("dimension", count, NAME)
    return (letter,) if count == 1 else tuple(f"{letter}{i + 1}" for i in range(count))


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The distinct rows, and for each row its place among them; (rows, None) if all differ.

    >>> distinct(np.array([[2.0], [1.0], [2.0]]))[1].tolist()
    [1, 0, 1]
    """
    if rows.shape[0] < 2:
        return rows, None
    first = np.sort(rows[:, 0])
    new = np.ones(len(rows), dtype=bool)
    np.not_equal(first[1:], first[:-1], out=new[1:])
    if new.all():
        return rows, None
    order = np.argsort(rows[:, 0], kind="stable")
    again = (~new).nonzero()[0]
    if (rows[order[again]] != rows[order[again - 1]]).any():
        # The first column does not tell all rows apart.
        order = np.lexsort(rows.T[::-1])
        ordered = rows[order]
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        if new.all():
            return rows, None
    owner = np.empty(rows.shape[0], dtype=np.intp)
    owner[order] = np.cumsum(new) - 1
    return rows[order[new]], owner


def spread(values: np.ndarray, owner: np.ndarray | None) -> np.ndarray:
    """Values at the distinct rows given back to every row."""
    return values if owner is None else values[owner]


def gathered(weights: np.ndarray, owner: np.ndarray | None, count: int) -> np.ndarray:
    """Weights of every row summed over those that are the same, shape (count,)."""
    return weights if owner is None else np.bincount(owner, weights, count)
