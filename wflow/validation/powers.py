"""Errors against N on logarithmic axes: what a report's networks show, or a study of rates with its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE
from wflow.validation.rates import Rates


def draw_rates(axes: Sequence[Any], rates: Rates) -> None:
    """A study's means at its last time: risk and output on the first axes, the law on the second."""
    n = rates.widths.astype(float)
    risk, law = axes
    gap, error = rates.gap()
    against_n(risk, n, np.abs(gap[:, -1]), error[:, -1], BLUE, "|mean R_N − R|", "s")
    scatter = rates.risk[:, :, -1].std(axis=1, ddof=1)
    chance = scatter / np.sqrt(2 * (rates.seeds - 1))
    against_n(risk, n, scatter, chance, ORANGE, "s.d. of R_N over seeds", "o")
    first = [(-1.0, "--", abs(gap[0, -1]))]
    if np.isfinite(rates.output).all():
        far, chance = _root_mean(rates.output[:, :, -1])
        against_n(risk, n, far, chance, GREEN, "‖f_N − f‖", "^")
        first.append((-0.5, ":", far[0]))
    for name, mark in (("bias", "_"), ("output_variance", "_"), ("risk_variance", "_")):
        if (expected := rates.predicted.get(name)) is not None:
            value = abs(expected[-1]) / n if name == "bias" else np.sqrt(expected[-1] / n)
            if name == "risk_variance":  # of first order, where that leads
                second = np.abs(rates.predicted.get("bias", np.zeros(1))[-1]) / n
                value = np.where(value > second, value, np.nan)
            risk.plot(n, value, mark, ms=14, color="black", label=None)
    if rates.predicted:
        risk.plot([], [], "_", ms=14, color="black", label="predicted")
    guides(risk, n, first)
    risk.set_ylabel(f"error at t = {rates.t[-1]:g} [loss, √loss], ± s.e.")
    distances = []
    for of, name, colour, mark in (
        ("transport", "W2", GREEN, "^"),
        ("lipschitz", "bounded Lipschitz", BLUE, "s"),
    ):
        each = getattr(rates, of)[:, :, -1]
        if np.isfinite(each).all():
            error = each.std(axis=1, ddof=1) / np.sqrt(rates.seeds)
            against_n(law, n, each.mean(axis=1), error, colour, name, mark)
            distances.append((-0.5, ":", each[0].mean()))
    guides(law, n, distances[:1])
    law.set_ylabel("distance of laws [parameter], ± s.e.")


def _root_mean(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """√ of the mean over seeds of squares (W, S), and its standard error."""
    mean = square.mean(axis=1)
    error = square.std(axis=1, ddof=1) / np.sqrt(square.shape[1])
    root = np.sqrt(np.maximum(mean, 0.0))
    return root, error / (2 * np.maximum(root, 1e-300))


def against_n(
    axis: Any,
    n: np.ndarray,
    value: np.ndarray,
    error: np.ndarray,
    colour: Any,
    label: str,
    mark: str,
) -> None:
    """Points with error bars, joined from three on: two are no curve. A bar ends within a decade below its point."""
    low = np.minimum(error, 0.9 * value)
    axis.errorbar(
        n,
        value,
        [low, error],
        fmt=f"{mark}-" if n.size > 2 else mark,
        ms=4,
        capsize=2,
        color=colour,
        label=label,
    )


def guides(axis: Any, n: np.ndarray, powers: Sequence[tuple[float, str, float]]) -> None:
    """Powers of N for comparison, and the look of the axes."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axis.set(xscale="log", yscale="log", xlabel="neurons N")
    for power, line, scale in powers if n.size > 1 else ():
        axis.plot(n, scale * (n / n[0]) ** power, line, color=GREY, lw=1, label=f"slope {power:g}")
    axis.xaxis.set_major_locator(FixedLocator(n.tolist()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    low, high = axis.get_ylim()
    # Room above the points for the legend, two fifths of the panel.
    axis.set_ylim(low, high * (high / low) ** 0.7)
    axis.legend(fontsize=7, frameon=False, loc="upper right")
    axis.grid(alpha=0.3, which="both")
