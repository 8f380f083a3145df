r"""What the functions of an energy promise, held against a few points where a run starts: once, before it steps.

A wrong gradient, an interaction that is not symmetric, a potential that jumps where an axis closes on itself: each
gives a path of the right shape that solves another equation. Gradients are held against differences,

.. math:: \nabla f(\theta)\cdot e \in
          \Bigl[\min, \max\Bigr]\Bigl\{\frac{f(\theta + he) - f(\theta)}h, \frac{f(\theta) - f(\theta - he)}h\Bigr\}

within the error that the differences show of themselves; so a kink (relu, |x|) contradicts nothing. Where a function
is not a number, or fails, there is nothing to hold against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wflow.energies.arrays import as_points, place
from wflow.errors import InputError

if TYPE_CHECKING:
    from wflow.measures import Measure

POINTS = 7
"""Points looked at: a prime number, that what is put in another shape fits nothing else."""
MANY = 4096
"""Points of a start that they are chosen from."""
STEPS = np.array([1e-3, 1e-5, 1e-7])
"""h of the differences over the size of the start."""
DIRECTIONS = 8
"""Along all axes of so many; along random directions where there are more."""
DOUBTFUL = 0.1
"""Differences whose error is more than this share of the largest slope tell nothing."""
SLACK = 1e-3
"""Share of the largest slope by which a gradient may be off."""
AROUND = 997
"""Points on the way round an axis that closes on itself."""
STEEPER = 3.0
"""A jump where the axis closes is none if a step elsewhere on the way round is a third as high."""

Function = Callable[[np.ndarray], np.ndarray]


def of_the_library(thing: object) -> bool:
    """Whether a thing's class comes with the library, whose own tests hold its gradient against differences."""
    return type(thing).__module__.partition(".")[0] == "wflow"


def support(start: Measure, dimension: int) -> np.ndarray:
    """Points of a start that have mass, up to some thousands, (n, D)."""
    points, weights = as_points(start.points(), dimension), np.asarray(start.weights())
    rows = np.linspace(0, len(points) - 1, min(len(points), MANY)).astype(np.intp)
    rows = np.append(rows, weights.argmax())
    held = rows[weights[rows] > 0]
    return np.asarray(points[held if held.size else rows])


def some_points(points: np.ndarray, bounds: np.ndarray, count: int = POINTS) -> np.ndarray:
    """Random points between those of a start, each within a quarter of the way from one to another, (count, D).

    >>> some_points(np.array([[0.0], [1.0]]), np.array([[0.0, 1.0]])).shape
    (7, 1)
    """
    rng = np.random.default_rng(POINTS)
    one, other = (points[rng.integers(len(points), size=count)] for _ in range(2))
    near = one + 0.25 * rng.random((count, 1)) * (other - one)
    apart = np.where(np.ptp(points, axis=0) > 0, 0.0, 0.01 * np.maximum(1.0, np.abs(one)))
    moved = near + apart * rng.uniform(-1, 1, one.shape)
    return np.asarray(np.clip(moved, bounds[:, 0], bounds[:, 1]))


def two_lots(points: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some points to look at, and as many others."""
    return some_points(points, bounds), some_points(points, bounds, 2 * POINTS)[POINTS:]


def refuse_wrong_slope(
    what: str,
    values: Function,
    slopes: Function,
    at: np.ndarray,
    bounds: np.ndarray,
    names: Sequence[str],
    otherwise: str = "",
) -> None:
    """Refuse a gradient (n, D) of points (n, D) that differences of the values (n,) contradict."""
    n, d = at.shape
    along = np.eye(d)
    if d > DIRECTIONS:
        along = np.random.default_rng(POINTS).standard_normal((DIRECTIONS, d))
        along /= np.linalg.norm(along, axis=1)[:, None]
    extent = np.maximum(np.ptp(at, axis=0), 0.1 * np.maximum(1.0, np.abs(at).max(axis=0)))
    h = np.multiply.outer(STEPS, np.abs(along) @ extent)[..., None]
    # f at θ, θ ± h e and θ ± h/2 e, in one call: (parts, steps, directions, n, D).
    shifts = np.array([1.0, -1.0, 0.5, -0.5])[:, None, None, None] * h
    moved = at + shifts[..., None] * along[:, None, :]
    inside = ((moved >= bounds[:, 0]) & (moved <= bounds[:, 1])).all(axis=-1)
    with np.errstate(all="ignore"):
        found = _tried(values, np.concatenate([moved.reshape(-1, d), at]))
        stated = (_tried(slopes, at, at.shape) @ along.T).T
        f, here = np.where(inside, found[:-n].reshape(inside.shape), np.nan), found[-n:]
        ahead, back = (f[0] - here) / h, (here - f[1]) / h
        central, finer = (f[0] - f[1]) / (2 * h), (f[2] - f[3]) / h
        error = np.abs(central - finer) + 4 * np.finfo(float).eps * np.abs(f[:2]).max(axis=0) / h
        error[~np.isfinite(error + ahead + back + stated)] = np.inf
        # One difference may agree with a finer one by luck: the middle one of all points does not.
        error += np.median(error, axis=(1, 2), keepdims=True)
        largest = np.maximum(np.abs(stated), np.abs(finer))
        largest = np.max(largest, axis=(1, 2), where=np.isfinite(error), initial=0.0, keepdims=True)
        off = np.maximum(stated - np.maximum(ahead, back), np.minimum(ahead, back) - stated)
        off -= 10 * error + SLACK * largest
    told = error <= DOUBTFUL * largest
    # A gradient that any step bears out will do: numbers of single precision are flat to the shortest.
    worst = np.where(told, off, np.inf).min(axis=0)
    worst[~told.any(axis=0)] = -np.inf
    k, i = map(int, np.unravel_index(np.argmax(worst), worst.shape))
    if worst[k, i] > 0:
        best = np.argmin(error[:, k, i])
        where = f"along {names[k]}" if d <= DIRECTIONS else "along a random direction"
        raise InputError(
            f"{what} at {place(at[i], names)} is {stated[k, i]:.6g} {where}, and differences of the values give "
            f"{finer[best, k, i]:.6g}: mend one of the two{otherwise}"
        )


def refuse_wrong_gradient(
    name: str,
    values: Function,
    slopes: Function,
    at: np.ndarray,
    bounds: np.ndarray,
    names: Sequence[str],
) -> None:
    """The same of a gradient that a user gives beside a function, and might leave out."""
    what = f"grad_{name}"
    refuse_wrong_slope(what, values, slopes, at, bounds, names, f", or leave {what} out")


def refuse_neighbours(what: str, values: Function, at: np.ndarray, names: Sequence[str]) -> None:
    """Refuse values (n,) of points (n, D) that change with the points beside them: x[0] in place of x[..., 0]."""
    with np.errstate(all="ignore"):
        together = _tried(values, at)
        alone = np.concatenate([_tried(values, one[None]) for one in at])
        off = np.abs(together - alone)
    known = np.isfinite(off)
    if known.any() and off[known].max() > 1e-6 * np.abs(together[known]).max():
        i = int(np.argmax(np.where(known, off, 0.0)))
        raise InputError(
            f"{what} at {place(at[i], names)} is {alone[i]:.6g} alone and {together[i]:.6g} among other points: a "
            "point's value is its own; write x[..., 0], not x[0], for the first coordinate"
        )


def refuse_asymmetric(
    what: str,
    pairs: Callable[[np.ndarray, np.ndarray], np.ndarray],
    one: np.ndarray,
    other: np.ndarray,
    names: Sequence[str],
) -> None:
    """Refuse U(θ, θ') that is not U(θ', θ)."""
    other = other[:-2]  # fewer, so that a transpose does not fit
    with np.errstate(all="ignore"):
        there = _tried(lambda x: pairs(x, other), one, (len(one), len(other)))
        back = _tried(lambda x: pairs(x, one), other, (len(other), len(one))).T
        off = np.abs(there - back)
    known = np.isfinite(off)
    if known.any() and off[known].max() > 1e-5 * np.abs(there[known]).max():
        i, j = np.unravel_index(np.argmax(np.where(known, off, 0.0)), off.shape)
        raise InputError(
            f"{what} is not symmetric: {there[i, j]:.6g} from {place(one[i], names)} to {place(other[j], names)} and "
            f"{back[i, j]:.6g} back; give U(x, y) = U(y, x), e.g. the mean of the two"
        )


def refuse_open(
    what: str,
    values: Function,
    at: np.ndarray,
    rings: Mapping[int, tuple[float, float]],
    names: Sequence[str],
) -> None:
    """Refuse values (n,) that jump where an axis closes on itself."""
    for axis, (low, high) in rings.items():
        for start in at[:2]:
            line = np.tile(start, (AROUND, 1))
            line[:, axis] = np.linspace(low, high, AROUND)
            with np.errstate(all="ignore"):
                f = _tried(values, line) + 0.0  # no -0 in the message
                jump, steps = abs(f[-1] - f[0]), np.abs(np.diff(f))
            size = 1e-9 * np.abs(f).max()
            if not (np.isfinite(size) and jump > max(STEEPER * steps.max(), size)):
                continue
            raise InputError(
                f"{what} does not close on the periodic axis '{names[axis]}': {f[0]:.6g} at {low:g} and {f[-1]:.6g} "
                f"at {high:g}, which are one place; give a function of this period, or walls (periodic=False)"
            )


def _tried(function: Function, at: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """What a function answers at points that a run may never reach: NaN where it fails."""
    try:
        return function(at)
    except InputError:
        raise
    except Exception:  # noqa: BLE001  a run may never come here
        return np.full(shape or at.shape[:1], np.nan)
