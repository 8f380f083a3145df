"""Distances between measures: W2 exact on the line, sliced W2, maximum mean discrepancy.

Each takes any two of grids and particles. Their masses must agree to 1e-9: a distance that carries mass from one
measure to the other is not defined otherwise, and rescaling would hide a leak.
"""

from __future__ import annotations

import math

import numpy as np

from wflow.errors import InputError, shown
from wflow.measures.base import FloatArray, Measure, common_mass
from wflow.measures.quantiles import QuantileTable, squared_distance
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_seed, check_word
from wflow.tools.memory import check_held
from wflow.tools.streams import stream

# Doubles in one block of a kernel matrix: 16 MB, and a few temporaries of that size.
BLOCK = 2**21
# Points that the median of distances is taken over, from each of the two measures.
MEDIAN_POINTS = 500


def wasserstein_2(mu: Measure, nu: Measure) -> float:
    """The 2-Wasserstein distance in one dimension, exact.

        W2(μ, ν)² = mass · ∫₀¹ (Q_μ(u) − Q_ν(u))² du

    A grid's density is constant in each cell, so its quantile function is piecewise linear, a cloud's is piecewise
    constant, and the integral is a finite sum.

    Parameters
    ----------
    mu, nu : GridDensity or Particles of one coordinate

    Raises
    ------
    InputError
        in several dimensions (use :func:`sliced_wasserstein_2`), on a periodic axis, or for masses that differ

    Source: Villani, Topics in Optimal Transportation (2003), Theorem 2.18.

    >>> from wflow.measures import Particles
    >>> wasserstein_2(Particles([0.0, 1.0]), Particles([3.0, 4.0]))
    3.0
    """
    mass = common_mass(mu, nu)
    if mu.dimension != 1:
        raise InputError(
            f"wasserstein_2 is exact on 1 coordinate and these measures have {mu.dimension}: "
            "use sliced_wasserstein_2"
        )
    for measure in (mu, nu):
        if any(getattr(measure, "periodic", ())):
            raise InputError(
                "wasserstein_2 measures along a line and the axis is periodic: use maximum_mean_discrepancy, "
                "or a grid with walls"
            )
    return math.sqrt(mass * squared_distance(mu._quantiles, nu._quantiles))


def sliced_wasserstein_2(
    mu: Measure, nu: Measure, n_projections: int = 128, seed: int = 0
) -> float:
    """The root mean square of W2 between projections on random directions; never more than W2.

        SW2(μ, ν)² = ∫ W2(⟨e, ·⟩_# μ, ⟨e, ·⟩_# ν)² de     over the unit sphere, by Monte Carlo

    A grid's cells count as point masses at their centres. The same seed gives the same directions.

    Parameters
    ----------
    mu, nu : GridDensity or Particles of equally many coordinates
    n_projections : number of directions; the error falls as its root

    Raises
    ------
    InputError
        for coordinates or masses that differ, or n_projections < 1

    Source: Bonneel, Rabin, Peyré, Pfister, J. Math. Imaging Vision 51 (2015).

    >>> from wflow.measures import Particles
    >>> x = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> d = sliced_wasserstein_2(Particles(x), Particles(x + [3.0, 4.0]), n_projections=4000)
    >>> bool(abs(d - 5 / np.sqrt(2)) < 0.1)
    True
    """
    mass = common_mass(mu, nu)
    count = check_count("n_projections", n_projections)
    check_held("n_projections", count, mu.dimension)
    directions = stream(check_seed(seed), "directions").standard_normal((count, mu.dimension))
    if mu.dimension == 1:
        directions = np.ones((1, 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    squares = [squared_distance(_project(mu, e), _project(nu, e)) for e in directions]
    return math.sqrt(mass * math.fsum(squares) / len(squares))


def maximum_mean_discrepancy(
    mu: Measure, nu: Measure, bandwidth: float | None = None, kernel: str = "gaussian"
) -> float:
    """The distance of the two mean embeddings in the space of a kernel (the V-statistic, diagonal included).

        MMD² = ∫∫ k(x, y) (μ − ν)(dx) (μ − ν)(dy),     k(x, y) = exp(−|x − y|² / (2 bandwidth²))

    A grid's cells count as point masses at their centres. The kernel matrix is never held whole.

    Parameters
    ----------
    mu, nu : GridDensity or Particles of equally many coordinates
    bandwidth : length; by default the median distance between points drawn evenly from both masses (at most 500 of
        each), so that values are comparable only where the same bandwidth was given
    kernel : ``"gaussian"``

    Raises
    ------
    InputError
        for coordinates or masses that differ, an unknown kernel, or a bandwidth that is not positive

    Source: Gretton, Borgwardt, Rasch, Schölkopf, Smola, J. Mach. Learn. Res. 13 (2012), equation (5).

    >>> from wflow.measures import Particles
    >>> d = maximum_mean_discrepancy(Particles([0.0]), Particles([1.0]), bandwidth=1.0)
    >>> bool(abs(d - np.sqrt(2 - 2 * np.exp(-0.5))) < 1e-15)
    True
    """
    common_mass(mu, nu)
    check_word("kernel", kernel, ["gaussian"])
    length = _median_distance(mu, nu) if bandwidth is None else as_floats("bandwidth", bandwidth)
    if np.ndim(length) or not length > 0:
        raise InputError(f"bandwidth is {shown(bandwidth)}: give a length above 0")
    # Squares of distances come from scalar products, which lose digits far from the origin.
    middle = 0.5 * (mu.mean() + nu.mean())
    x, y = ((m.points() - middle) / (math.sqrt(2) * length) for m in (mu, nu))
    a, b = mu.weights(), nu.weights()
    square = _kernel_sum(x, a, x, a) + _kernel_sum(y, b, y, b) - 2 * _kernel_sum(x, a, y, b)
    return math.sqrt(max(square, 0.0))


def _project(measure: Measure, direction: FloatArray) -> QuantileTable:
    """The law of ⟨e, θ⟩, of point masses."""
    x = measure.points() @ direction
    order = np.argsort(x, kind="stable")
    return QuantileTable(measure.weights()[order], x[order], x[order])


def _median_distance(mu: Measure, nu: Measure) -> float:
    chosen = []
    for measure in (mu, nu):
        count = min(MEDIAN_POINTS, measure.points().shape[0])
        running = np.cumsum(measure.weights())
        levels = (np.arange(count) + 0.5) / count * running[-1]
        chosen.append(measure.points()[np.searchsorted(running, levels)])
    points = np.concatenate(chosen)
    from scipy.spatial.distance import pdist

    median = float(np.median(pdist(points)))
    if median == 0:
        raise InputError(
            "the median distance between the points is 0: give a bandwidth, as bandwidth=1.0"
        )
    return median


def _kernel_sum(x: FloatArray, a: FloatArray, y: FloatArray, b: FloatArray) -> float:
    """Σ a_i b_j exp(−|x_i − y_j|²), by blocks of rows."""
    rows = max(1, BLOCK // y.shape[0])
    y_square = (y * y).sum(axis=1)
    parts = []
    for i in range(0, x.shape[0], rows):
        block = x[i : i + rows]
        exponent = block @ y.T
        exponent *= 2
        exponent -= (block * block).sum(axis=1)[:, None]
        exponent -= y_square
        np.minimum(exponent, 0, out=exponent)
        np.exp(exponent, out=exponent)
        parts.append(float(a[i : i + rows] @ (exponent @ b)))
    return math.fsum(parts)
