r"""Tangent kernels in closed form: neurons :math:`a\,\sigma(\langle w, x\rangle + b)` at a Gaussian start.

.. math:: K(x, x') = E\,\sigma(u)\sigma(u') + s_a^2\,(\langle x, x'\rangle + [b])\,E\,\sigma'(u)\sigma'(u'), \qquad
          (u, u') \sim N(0, C), \quad C_{xx'} = s_w^2\langle x, x'\rangle + s_b^2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import InputError
from wflow.tools.checks import check_word, non_negative

LARGEST = 1e70
"""Deviations whose fourth powers are finite."""


def gaussian_tangent_kernel(
    unit: str,
    x: Any,
    x2: Any = None,
    *,
    weight_std: float = 1.0,
    charge_std: float = 1.0,
    offset_std: float | None = None,
) -> np.ndarray:
    r"""The tangent kernel of infinitely many neurons with Gaussian weights.

    .. math:: K(x, x') = E\,\sigma(u)\sigma(u') + s_a^2\,(\langle x, x'\rangle + [b])\,E\,\sigma'(u)\sigma'(u')

    For ``relu`` at the angle θ of C

    .. math:: E\sigma\sigma' = \frac{\sqrt{C_{11}C_{22}}}{2\pi}\,[\sin\theta + (\pi - \theta)\cos\theta], \qquad
              E\dot\sigma\dot\sigma' = \frac{\pi - \theta}{2\pi},

    and for ``erf``, :math:`\sigma(u) = \mathrm{erf}(u/\sqrt2)`,

    .. math:: E\sigma\sigma' = \frac2\pi\arcsin\frac{C_{12}}{\sqrt{(1 + C_{11})(1 + C_{22})}}, \qquad
              E\dot\sigma\dot\sigma' = \frac2\pi\,\frac1{\sqrt{(1 + C_{11})(1 + C_{22}) - C_{12}^2}}.

    Parameters
    ----------
    unit : "relu" or "erf"
    x, x2 : inputs (m, d) and (m2, d); x by default
    weight_std, charge_std : s_w of each weight, s_a of the charges, all of mean 0
    offset_std : s_b of the offsets; None for neurons without

    Returns
    -------
    numpy.ndarray
        (m, m2)

    Raises
    ------
    InputError
        for another unit, inputs of different dimensions, and negative deviations

    Source: Cho & Saul, NIPS 2009, eq. (6); Williams, NIPS 1996, eq. (11); Jacot, Gabriel & Hongler, arXiv:1806.07572.

    >>> gaussian_tangent_kernel("relu", [[1.0, 0.0], [-1.0, 0.0]]).round(4).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    form = UNITS[check_word("unit", unit, UNITS)]
    one = as_inputs(x)
    two = one if x2 is None else as_inputs(x2, one.shape[1], "x2")
    s_w, s_a, s_b = (
        np.float64(non_negative(name, value))
        for name, value in (
            ("weight_std", weight_std),
            ("charge_std", charge_std),
            ("offset_std", 0.0 if offset_std is None else offset_std),
        )
    )
    if not max(s_w, s_a, s_b) < LARGEST:
        raise InputError(
            f"deviations {s_w:g}, {s_a:g}, {s_b:g}: their products are no finite numbers; give them below {LARGEST:g}"
        )
    shift = s_b**2
    with np.errstate(over="ignore", invalid="ignore"):
        products = one @ two.T
        c, c1, c2 = (
            s_w**2 * products + shift,
            s_w**2 * (one**2).sum(axis=1)[:, None] + shift,
            s_w**2 * (two**2).sum(axis=1) + shift,
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values, slopes = form(c, c1, c2)
        found = values + s_a**2 * (products + float(offset_std is not None)) * slopes
    if not np.isfinite(found).all():
        raise InputError("the kernel of so large inputs is no finite number: give smaller ones")
    return np.asarray(found)


def arc_cosine(x: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """E⟨w, x⟩₊⟨w, x'⟩₊ of w ~ N(0, I), for inputs (m, d) and (m2, d), (m, m2)."""
    return _relu(x @ x2.T, (x**2).sum(axis=1)[:, None], (x2**2).sum(axis=1))[0]


def _relu(c: np.ndarray, c1: np.ndarray, c2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.sqrt(c1) * np.sqrt(c2)
    cosine = np.clip(np.divide(c, size, out=np.zeros_like(c), where=size > 0), -1.0, 1.0)
    angle = np.arccos(cosine)
    values = size * (np.sqrt(1.0 - cosine**2) + (np.pi - angle) * cosine) / (2 * np.pi)
    return values, (np.pi - angle) / (2 * np.pi)


def _erf(c: np.ndarray, c1: np.ndarray, c2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = (1.0 + c1) * (1.0 + c2)
    return 2 / np.pi * np.arcsin(c / np.sqrt(both)), 2 / np.pi / np.sqrt(both - c**2)


Form = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
UNITS: dict[str, Form] = {"relu": _relu, "erf": _erf}
