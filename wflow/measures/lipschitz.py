r"""The bounded-Lipschitz distance of point masses, in any number of coordinates.

.. math:: d_{BL}(\mu, \nu) = \sup\Bigl\{\int f\,d(\mu-\nu) : |f| \le 1,\ |f(x)-f(y)| \le |x-y|\Bigr\}

By duality what is not worth carrying is destroyed and made anew, a unit of cost each,

.. math:: d_{BL}(\mu, \nu) = \min_{\pi,\,s,\,t \ge 0} \sum_{ij}|x_i-y_j|\,\pi_{ij} + \sum_i s_i + \sum_j t_j,
          \quad \sum_j\pi_{ij} + s_i = \mu_i,\ \sum_i\pi_{ij} + t_j = \nu_j.

Of equal masses it is optimal transport at the cost min(|x − y|, 2): of as many atoms a side an assignment.
Source: Villani, Topics in Optimal Transportation (2003), Theorems 1.14 and 2.18; Piccoli & Rossi, Arch. Ration. Mech.
Anal. 211 (2014) 335, for destroyed masses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.measures.base import FloatArray, Measure, common_mass
from wflow.tools.checks import check_count

FAR = 2.0
"""No two atoms are farther apart than this: |f| ≤ 1 on both."""
ATOMS = 2400
"""Most equal atoms a side that are assigned: some seconds, 46 MB."""
PAIRS = 250_000
"""Most pairs of unequal atoms that a linear programme is solved for: some seconds."""


def bounded_lipschitz(mu: Measure, nu: Measure) -> float:
    r"""The bounded-Lipschitz distance of two clouds of point masses, exactly.

    .. math:: \sup\Bigl\{\int f\,d(\mu-\nu) : |f| \le 1,\ |f(x)-f(y)| \le |x-y|\Bigr\}

    On the line a linear programme in the values of f at the points. In several coordinates clouds of equal masses are
    assigned to each other, with atoms repeated up to the least common multiple of their numbers; others are a linear
    programme in all pairs. HiGHS solves these to 1e-7. A grid's cells count as point masses at their centres, which
    moves the answer by at most the mean distance from a cell's centre for each grid, a quarter of its width on the
    line.

    Parameters
    ----------
    mu, nu : GridDensity or Particles of equally many coordinates

    Raises
    ------
    InputError
        for coordinates or masses that differ, and in several coordinates for too many atoms
        (use :func:`bounded_lipschitz_interval`)
    ComputationError
        when HiGHS gives up

    >>> from wflow.measures import Particles
    >>> [round(bounded_lipschitz(Particles([0.0]), Particles([x])), 6) for x in (0.5, 10.0)]
    [0.5, 2.0]
    >>> bounded_lipschitz(Particles([[0.0, 0.0], [9.0, 9.0]]), Particles([[0.3, 0.4]]))
    1.25
    """
    mass = common_mass(mu, nu)
    x, a, y, b = *_atoms(mu), *_atoms(nu)
    if mu.dimension == 1:
        return _on_the_line(x[:, 0], a, y[:, 0], b)
    many = math.lcm(a.size, b.size)
    if many <= ATOMS and _equal(a) and _equal(b):
        return mass * _assigned(_repeated(x, many), _repeated(y, many))
    if a.size * b.size <= PAIRS:
        return _transported(x, a, y, b)
    raise InputError(
        f"bounded_lipschitz of {a.size} and {b.size} atoms in {mu.dimension} coordinates: at most {PAIRS} pairs, or "
        f"{ATOMS} of equal mass a side, are solved exactly; use bounded_lipschitz_interval"
    )


def bounded_lipschitz_interval(mu: Measure, nu: Measure, atoms: int = 400) -> tuple[float, float]:
    r"""Two numbers that the bounded-Lipschitz distance lies between, for clouds of any size.

    .. math:: |d_{BL}(\mu,\nu) - d_{BL}(\hat\mu,\hat\nu)| \le e(\mu) + e(\nu), \qquad
              e(\mu) = \sum_k\int_{C_k}\min(|x-c_k|, 2)\,\mu(dx)

    Each measure is cut into cells C_k of equal mass, at a median along the longest side time after time, and each cell
    becomes one atom at its mean c_k; what moved there is at most e. Clouds of equal masses whose numbers divide
    ``atoms`` are not changed at all, and the two numbers agree. The width falls like atoms^(−1/D).

    Parameters
    ----------
    mu, nu : GridDensity or Particles of equally many coordinates
    atoms : number of cells; the assignment costs its cube at worst, a second at 2,000

    Raises
    ------
    InputError
        for coordinates or masses that differ, and for more than 2,400 atoms

    >>> from wflow.measures import Particles
    >>> x = np.random.default_rng(0).standard_normal((5000, 2))
    >>> low, high = bounded_lipschitz_interval(Particles(x), Particles(x + [0.3, 0.4]))
    >>> low < 0.5 < high < low + 0.4
    True
    """
    mass = common_mass(mu, nu)
    count = check_count("atoms", atoms)
    if count > ATOMS:
        raise InputError(f"atoms = {count}: at most {ATOMS} a side are assigned; give fewer")
    (x, moved), (y, also) = (equal_masses(m, count) for m in (mu, nu))
    middle, reach = mass * _assigned(x, y), moved + also
    return max(0.0, middle - reach), min(FAR * mass, middle + reach)


def equal_masses(measure: Measure, count: int) -> tuple[FloatArray, float]:
    """So many atoms of equal mass (count, D) near a measure, and at most how far it is from them: e."""
    points, weights = _atoms(measure)
    least = 1e-9 * weights.sum() / count  # less is rounding of a cut
    centres, moved = np.empty((count, points.shape[1])), []
    cells = [(points, weights, 0, count)]
    while cells:
        x, w, first, k = cells.pop()
        if k == 1:
            centres[first] = x[0] if len(x) == 1 else w @ x / w.sum()
            moved.append(float(w @ np.minimum(np.linalg.norm(x - centres[first], axis=1), FAR)))
            continue
        order = np.argsort(x[:, np.argmax(np.ptp(x, axis=0))], kind="stable")
        x, w = x[order], w[order]
        half = k // 2
        running = np.cumsum(w)
        at = running[-1] * half / k
        left = np.clip(at - (running - w), 0.0, w)
        for part, start, number in ((left, first, half), (w - left, first + half, k - half)):
            held = part > least
            cells.append((x[held], part[held], start, number))
    return centres, math.fsum(moved)


def _atoms(measure: Measure) -> tuple[FloatArray, FloatArray]:
    """Positions and masses of what has a mass."""
    weights = measure.weights()
    return measure.points()[weights > 0], weights[weights > 0]


def _equal(weights: FloatArray) -> bool:
    return bool(np.ptp(weights) <= 1e-12 * weights[0])


def _repeated(points: FloatArray, many: int) -> FloatArray:
    return np.repeat(points, many // len(points), axis=0)


def _assigned(x: FloatArray, y: FloatArray) -> float:
    """The mean cost of the best assignment of equally many atoms."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = np.minimum(cdist(x, y), FAR)
    return math.fsum(cost[linear_sum_assignment(cost)]) / len(x)


def _on_the_line(x: FloatArray, a: FloatArray, y: FloatArray, b: FloatArray) -> float:
    """Values at neighbouring points alone restrict each other, and extend to all others."""
    from scipy.sparse import diags_array, vstack

    places, where = np.unique(np.concatenate([x, y]), return_inverse=True)
    charge = np.bincount(where, weights=np.concatenate([a, -b])).astype(np.float64)
    if places.size == 1:
        return abs(float(charge[0]))
    gaps = np.diff(places)
    slope = diags_array([-1.0, 1.0], offsets=[0, 1], shape=(gaps.size, places.size))
    found = _solved(
        places.size,
        c=-charge,
        A_ub=vstack([slope, -slope]),
        b_ub=np.concatenate([gaps, gaps]),
        bounds=(-1, 1),
    )
    # |f| ≤ 1 bounds the supremum; HiGHS may pass it by its tolerance.
    return min(max(-found, 0.0), float(np.abs(charge).sum()))


def _transported(x: FloatArray, a: FloatArray, y: FloatArray, b: FloatArray) -> float:
    """The cheapest transport; pairs farther apart than FAR are destroyed and made anew instead."""
    from scipy.sparse import csr_array, eye_array, hstack
    from scipy.spatial.distance import cdist

    cost = cdist(x, y)
    i, j = np.nonzero(cost < FAR)
    every = np.arange(i.size)
    carried = csr_array(
        (np.ones(2 * i.size), (np.concatenate([i, a.size + j]), np.tile(every, 2))),
        shape=(a.size + b.size, i.size),
    )
    found = _solved(
        a.size + b.size,
        c=np.concatenate([cost[i, j], np.ones(a.size + b.size)]),
        A_eq=hstack([carried, eye_array(a.size + b.size)]),
        b_eq=np.concatenate([a, b]),
        bounds=(0, None),
    )
    return min(max(found, 0.0), float(a.sum() + b.sum()))


def _solved(size: int, **programme: Any) -> float:
    from scipy.optimize import linprog

    best = linprog(method="highs", **programme)
    if best.fun is None:
        raise ComputationError(
            f"the linear programme of {size} points was not solved: {best.message}"
        )
    return float(best.fun)
