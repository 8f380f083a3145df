r"""Diffusion exact in time on a uniform grid: the heat semigroup of the cell averages, at one transform.

.. math:: \partial_t\rho = D\,\Delta_h\rho \;\Rightarrow\;
          \hat\rho_k(t) = \hat\rho_k(0)\prod_a e^{-D_a t\,\lambda_a(k_a)},

with :math:`\lambda = (4/h^2)\sin^2(\pi k/2n)` between walls and :math:`(4/h^2)\sin^2(\pi k/n)` on a ring.

An operation on densities (``GridDensity.diffused``) and no method: alone it would take flows without any drift only,
and split from a drift it breaks the balance at a no-flux wall, which ``scharfetter-gummel`` keeps. With the symbol of
the three-point difference the semigroup is a Markov matrix, positive at every t; k² would be more accurate and negative
beside steep fronts. What is left of negative values is rounding, some 1e-16 of the largest density: it is clipped and
the mass put back by one factor. On graded grids use ``crank-nicolson``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from wflow.errors import InputError
from wflow.measures import GridDensity
from wflow.measures.cosines import even_operator
from wflow.tools.checks import check_list, non_negative

__all__ = ["diffuse"]

GONE = 80.0
"""Exponent of decay from which a coefficient is 0: e⁻⁸⁰ = 2e-35."""


def diffuse(measure: GridDensity, amount: float | Sequence[float]) -> GridDensity:
    r"""The density after diffusion for Dt, ``amount``: exact in time, second order in space, walls and rings.

    .. math:: \rho \mapsto e^{Dt\,\Delta_h}\rho

    Parameters
    ----------
    measure : on a uniform grid of 1 to 3 axes
    amount : Dt = τ∫ξ dt ≥ 0, for all axes or one an axis (0 for a coordinate that does not move)

    Returns
    -------
    GridDensity of the same mass to rounding, and never negative

    Raises
    ------
    InputError
        for particles, a graded grid, and an amount that is negative, not finite or of another length

    Source: the discrete heat kernel; the transform after Makhoul (1980), see :mod:`wflow.measures.cosines`.

    >>> rho = GridDensity([4.0, 0.0, 0.0, 0.0], [[0.0, 0.25, 0.5, 0.75, 1.0]])
    >>> diffuse(rho, 10.0).density.round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not isinstance(measure, GridDensity):
        raise InputError(f"measure is a {type(measure).__name__}: give a GridDensity")
    if not measure.uniform:
        raise InputError(
            "diffuse on a graded grid: cosines are no eigenvectors there; use method 'crank-nicolson' or "
            "'scharfetter-gummel', or a uniform grid"
        )
    amounts = _amounts(amount, measure.dimension)
    missing = 3 - measure.dimension
    box = cast(tuple[int, int, int], (*(1,) * missing, *measure.shape))
    periodic = cast(tuple[bool, bool, bool], (*(False,) * missing, *measure.periodic))
    spectra = [np.ones(1)] * missing
    for dt, edges, n, ring in zip(
        amounts, measure.edges, measure.shape, measure.periodic, strict=True
    ):
        spectra.append(_decay(dt, float(edges[-1] - edges[0]) / n, n, ring))
    rho = np.asarray(measure.density).reshape(box)
    density, before, after = even_operator(box, periodic).apply(rho, spectra, least=0.0)
    if after > 0.0 and after != before:
        # Equal cells: the sums stand in the ratio of the masses.
        density *= before / after
    return measure._replace(density.reshape(measure.shape))


def _decay(amount: float, width: float, n: int, ring: bool) -> np.ndarray:
    """e^{−Dtλ(k)} of the three-point difference."""
    half = np.pi * np.arange(n) / (n if ring else 2 * n)
    exponent = amount * (2.0 / width * np.sin(half)) ** 2
    # Beyond rounding by far, and still no denormal numbers, which are slow, in any product.
    return np.where(exponent < GONE, np.exp(-np.minimum(exponent, GONE)), 0.0)


def _amounts(amount: float | Sequence[float], dimension: int) -> list[float]:
    if isinstance(amount, int | float | np.number):
        return [non_negative("amount", amount)] * dimension
    given = [
        non_negative("amount", a) for a in check_list("amount", amount, "numbers, one an axis")
    ]
    if len(given) != dimension:
        raise InputError(
            f"amount has {len(given)} entries for {dimension} axes: give one an axis, or one for all"
        )
    return given
