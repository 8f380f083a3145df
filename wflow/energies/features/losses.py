r"""Loss functions: the value and half its slope, :math:`r = \tfrac12\,\partial_f\ell(y, f)`.

The half is the project's one convention (risk R enters the free energy as R/2), so the square loss has
:math:`r = f - y` and the first variation is :math:`\Psi = \sum_q p_q r_q \sigma_*(x_q;\theta)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.tools.checks import check_word
from wflow.tools.portable import Portable


@dataclass(frozen=True)
class Loss(Portable):
    """A loss ℓ(y, f) with its half slope; both act elementwise on arrays (targets, predictions).

    ``quadratic`` says that ℓ is quadratic in f, and so R in ρ.
    """

    name: str
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    half_slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    check_targets: Callable[[np.ndarray], None]
    quadratic: bool = False


def _any_target(targets: np.ndarray) -> None:
    return None


def _sign_target(targets: np.ndarray) -> None:
    wrong = targets[np.abs(targets) != 1.0]
    if wrong.size:
        raise InputError(
            f"target {wrong[0]:g} with the logistic loss: labels are -1 or +1; map the classes to them"
        )


def _logistic_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    # -y/(2(1+exp(yf))) written with tanh, which neither overflows nor loses the tail below 1e-16.
    return np.asarray(-0.25 * y * (1.0 - np.tanh(0.5 * y * f)))


def _square(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray((y - f) ** 2)


def _square_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(f - y)


def _logistic(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0.0, -y * f))


# Functions with names, by which an energy that is sent to another process finds them there.
LOSSES = {
    "square": Loss("square", _square, _square_half_slope, _any_target, quadratic=True),
    "logistic": Loss("logistic", _logistic, _logistic_half_slope, _sign_target),
}


def get_loss(loss: str | Loss) -> Loss:
    """Return a loss by name.

    >>> get_loss("square").half_slope(np.array([1.0]), np.array([3.0]))
    array([2.])
    """
    if isinstance(loss, Loss):
        return loss
    return LOSSES[check_word("loss", loss, LOSSES)]
