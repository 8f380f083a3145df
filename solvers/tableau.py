r"""Tables of embedded pairs of Runge–Kutta methods.

.. math:: k_i = v\bigl(t + c_i h,\; y + h \textstyle\sum_{j<i} a_{ij} k_j\bigr), \quad y' = y + h \sum_j b_j k_j, \quad
          y' - \hat y' = h \sum_j e_j k_j

Source: Hairer, Nørsett & Wanner, Solving ODEs I (1993), section II.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Row = Sequence[float]


class Tableau(NamedTuple):
    """A pair by its coefficients.

    Attributes
    ----------
    abscissae : c of the stages after the first, and 1 for the new state
    stages : a of the stages after the first, a row each, and b as the last row
    estimate : e = b − b̂ of the stages, and of the rate at the new state where it takes part
    """

    abscissae: Row
    stages: Sequence[Row]
    estimate: Row


DORMAND_PRINCE = Tableau(
    (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
)
"""Orders 5 and 4: Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19, table 2."""


def combine(row: Row, rates: Sequence[np.ndarray]) -> np.ndarray:
    """Σ row_j rates_j.

    >>> combine((0.5, 0.0, 2.0), [np.ones(1), np.ones(1), np.ones(1)])
    array([2.5])
    """
    total = row[0] * rates[0]
    for a, k in zip(row[1:], rates[1:], strict=False):
        if a != 0:
            total = total + a * k
    return np.asarray(total)
