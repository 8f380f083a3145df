r"""Loss functions: the value and half its slope, :math:`r = \tfrac12\,\partial_f\ell(y, f)`.

The half is the project's one convention (risk R enters the free energy as R/2), so the square loss has
:math:`r = f - y` and the first variation is :math:`\Psi = \sum_q p_q\langle r_q, \sigma_*(x_q;\theta)\rangle`.

Networks of one output have targets and predictions (Q,), those of K outputs (Q, K):

.. math:: \ell = |y - f|^2, \qquad \ell = \log(1 + e^{-yf}), \qquad
          \ell = \sum_k y_k\bigl(\log\textstyle\sum_j e^{f_j} - f_k\bigr), \quad
          r = \tfrac12(\mathrm{softmax}(f) - y),

and Huber's loss, the square of e = f − y up to |e| = 1 and 2|e| − 1 beyond, with :math:`r = \mathrm{clip}(e, -1, 1)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.tools.checks import check_word
from wflow.tools.portable import Portable

OUTPUTS = {"one": "one output", "any": "any number of outputs", "several": "K >= 2 outputs"}
"""How many outputs a network may have under a loss."""


@dataclass(frozen=True)
class Loss(Portable):
    """A loss ℓ(y, f) of arrays (targets, predictions), one ``value`` a sample, with its ``half_slope``, of their shape.

    ``quadratic`` says that ℓ is quadratic in f, and so R in ρ; ``outputs`` how many the network may have, "one", "any"
    (ℓ is the sum over them) or "several"; ``classifies`` that the targets are classes, told right or wrong.
    ``name`` is what files call it, and ``check_targets`` refuses targets that it cannot have.
    """

    name: str
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    half_slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    check_targets: Callable[[np.ndarray], None]
    quadratic: bool = False
    outputs: str = "one"
    classifies: bool = False

    def half_curvature(self, y: np.ndarray, f: np.ndarray, step: float) -> np.ndarray:
        """½∂²ℓ/∂f² of one output, by differences ``step``·max(1, |f|) apart; exact to rounding for the square loss."""
        h = step * np.maximum(1.0, np.abs(f))
        return np.asarray((self.half_slope(y, f + h) - self.half_slope(y, f - h)) / (2.0 * h))

    def refuse_outputs(self, outputs: int) -> None:
        """Refuse a number of outputs that the loss is not defined for."""
        if (self.outputs == "one" and outputs > 1) or (self.outputs == "several" and outputs < 2):
            remedy = "softmax or square" if outputs > 1 else "logistic or square"
            raise InputError(
                f"loss '{self.name}' with {outputs} outputs: it is of {OUTPUTS[self.outputs]}; take {remedy}"
            )


def _any_target(targets: np.ndarray) -> None:
    return None


def _sign_target(targets: np.ndarray) -> None:
    wrong = targets[np.abs(targets) != 1.0]
    if wrong.size:
        raise InputError(
            f"target {wrong[0]:g} with the logistic loss: labels are -1 or +1; map the classes to them"
        )


def _share_target(targets: np.ndarray) -> None:
    wrong = (targets < 0).any(axis=1) | (np.abs(targets.sum(axis=1) - 1.0) > 1e-9)
    if wrong.any():
        q = int(wrong.argmax())
        raise InputError(
            f"targets[{q}] = {np.array2string(targets[q], threshold=6)} with the softmax loss: a row holds the "
            "probabilities of the classes, not negative and of sum 1; give labels 0 ... K-1 or rows of them"
        )


def _logistic_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    # -y/(2(1+exp(yf))) written with tanh, which neither overflows nor loses the tail below 1e-16.
    return np.asarray(-0.25 * y * (1.0 - np.tanh(0.5 * y * f)))


def _square(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    squares = (y - f) ** 2
    return np.asarray(squares.sum(axis=1) if squares.ndim == 2 else squares)


def _square_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(f - y)


def _huber(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    off = np.abs(f - y)
    each = np.where(off <= 1.0, off**2, 2.0 * off - 1.0)
    return np.asarray(each.sum(axis=1) if each.ndim == 2 else each)


def _huber_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(f - y, -1.0, 1.0))


def _logistic(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0.0, -y * f))


def _softmax(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    # Σ_k y_k = 1, so the largest output may be taken from all.
    below = f - f.max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        return np.asarray(np.log(np.exp(below).sum(axis=1)) - (y * below).sum(axis=1))


def _softmax_half_slope(y: np.ndarray, f: np.ndarray) -> np.ndarray:
    with np.errstate(under="ignore"):
        e = np.exp(f - f.max(axis=1, keepdims=True))
        return np.asarray(0.5 * (e / e.sum(axis=1, keepdims=True) - y))


# Functions with names, by which an energy that is sent to another process finds them there.
LOSSES = {
    loss.name: loss
    for loss in (
        Loss("square", _square, _square_half_slope, _any_target, quadratic=True, outputs="any"),
        Loss("huber", _huber, _huber_half_slope, _any_target, outputs="any"),
        Loss("logistic", _logistic, _logistic_half_slope, _sign_target, classifies=True),
        Loss("softmax", _softmax, _softmax_half_slope, _share_target, outputs="several", classifies=True),
    )
}  # fmt: skip


def get_loss(loss: str | Loss) -> Loss:
    """Return a loss by name.

    Raises
    ------
    InputError
        for an unknown loss

    >>> get_loss("square").half_slope(np.array([1.0]), np.array([3.0]))
    array([2.])
    >>> get_loss("softmax").half_slope(np.array([[1.0, 0.0]]), np.array([[3.0, 3.0]]))
    array([[-0.25,  0.25]])
    """
    if isinstance(loss, Loss):
        return loss
    return LOSSES[check_word("loss", loss, LOSSES)]


def right(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Whether each sample is told right: the sign of its one output, or the largest of its K, is the target's.

    >>> right(np.array([1.0, -1.0]), np.array([0.3, 0.2])).tolist()
    [True, False]
    >>> right(np.eye(2), np.array([[0.3, 0.2], [0.3, 0.2]])).tolist()
    [True, False]
    """
    if targets.ndim == 1:
        return np.asarray((targets > 0) == (predictions > 0))
    return np.asarray(targets.argmax(axis=1) == predictions.argmax(axis=1))
