r"""One step of the classical Runge–Kutta method of order 4, for short paths beside a run.

.. math:: x \leftarrow x + \tfrac h6 (k_1 + 2k_2 + 2k_3 + k_4)

Source: Hairer, Norsett & Wanner, Solving ODEs I (1993), II.1, table 1.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rate = Callable[[np.ndarray, float], np.ndarray]
"""dx/dt at (x, t)."""


def runge_kutta(
    rate: Rate,
    x: np.ndarray,
    h: float,
    t: float = 0.0,
    inside: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
    """x after a time h, from t on; ``inside`` brings every stage back to where x may be.

    >>> float(runge_kutta(lambda x, t: 4 * t**3, np.array(1.0), 1.0, 1.0))
    16.0
    """
    k1 = rate(x, t)
    k2 = rate(inside(x + 0.5 * h * k1), t + 0.5 * h)
    k3 = rate(inside(x + 0.5 * h * k2), t + 0.5 * h)
    k4 = rate(inside(x + h * k3), t + h)
    return inside(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
