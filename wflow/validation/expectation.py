"""What is expected of a network of given size and step: the mean and the scatter of its risk, from known terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

WIDE = 2.0
"""Standard deviations that a band reaches to either side."""


@dataclass(frozen=True)
class Band:
    """The predicted risk of a network.

    Attributes
    ----------
    t : times, (T,)
    mean : R + c/N + εb, (T,)
    deviation : standard deviation of the risk over starts and samples, (T,)
    output_variance : E Σ_q p_q (f − f_limit)² over starts and samples, to first order, (T,); NaN where it is not known
    low, high : mean ∓ 2 deviations, (T,)
    label : for pictures
    notes : what is left out, and why
    """

    t: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    output_variance: np.ndarray
    label: str = ""
    notes: tuple[str, ...] = ()

    @property
    def low(self) -> np.ndarray:
        return np.asarray(self.mean - WIDE * self.deviation)

    @property
    def high(self) -> np.ndarray:
        return np.asarray(self.mean + WIDE * self.deviation)


def expected(
    t: np.ndarray,
    risk: np.ndarray,
    series: Mapping[str, np.ndarray],
    n: int,
    step_size: float,
    batch_size: int,
    notes: tuple[str, ...] = (),
) -> Band:
    r"""The band about a limit's risk, from the series of :mod:`wflow.validation.prediction` as far as they are known.

    .. math:: R + \frac cN + \varepsilon b, \qquad \sigma^2 = \frac VN + \frac W{N^2} + \frac\varepsilon P V_\varepsilon
    """
    nothing, share = np.zeros(t.size), step_size / batch_size

    def known(name: str, without: float = 0.0) -> np.ndarray:
        return series.get(name, nothing + without)

    first, bias = series["risk_variance"], known("bias")
    variance = first / n + known("square_variance") / n**2 + share * known("step_risk_variance")
    outputs = known("output_variance", np.nan) / n
    if step_size:
        outputs = outputs + share * known("step_output_variance", np.nan)
    second = first * n < bias**2
    if second.any():
        notes += (
            f"at t = {t[second.argmax()]:g} and {int(second.sum()) - 1} later frames the chance of the start is of "
            "second order, of which the scatter has |f_N - f|^2 alone: the band is too narrow there",
        )
    label = f"predicted, N = {n}" + (f", ε = {step_size:g}, P = {batch_size}" if step_size else "")
    mean = risk + bias / n + step_size * known("step_bias")
    return Band(t, mean, np.sqrt(np.maximum(variance, 0.0)), outputs, label, notes)
