"""Which verdicts a report allows: what was measured, against what theory and the predictions say of it.

A line stands where both sides are known. Means over seeds reach by Student's t, what is resampled by its standard
error; the bound is the prediction with the error of the limit, an exponent with its tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from wflow.validation.rates import Estimate, Rates
from wflow.validation.verdicts import (
    FEWEST_SIZES,
    OTHER,
    Verdict,
    deviation_band,
    student,
    verdict,
)

if TYPE_CHECKING:
    from wflow.validation.report import Report

EXPONENT = 0.05
"""How far a fluctuation's exponent may lie from −½."""
LOOSER = 0.1
"""The same of the bias, whose next order is seen sooner, and of distances of laws, whose powers bear logarithms."""
ROUNDING = 1e-12
"""Of a risk, relatively."""
SHARE = 0.05
"""How far a measured variance may lie from its prediction, relatively."""
LAWS = {"transport": "W2", "lipschitz": "bounded Lipschitz"}


def judge(report: Report) -> tuple[Verdict, ...]:
    """All verdicts of a report."""
    found = [*_published(report)]
    if report.rates is not None:
        found += _rates(report.rates, report.laws.shape[-1] if report.laws.size else 1)
    return tuple(found)


def _published(report: Report) -> Iterator[Verdict]:
    """The mean gap at every saved time, at the smallest step size: each size's, or what is left as they grow."""
    off, reach = report.off(), student(report.risk.shape[2] - 1)
    error = off.std(axis=1, ddof=1) / np.sqrt(off.shape[1])
    mean, (expected, unsure) = off.mean(axis=1), report.expected()
    rounding = ROUNDING * np.abs(report.limit_risk)
    unsure = unsure + rounding
    beside = "R of its own flow" if report.own.size else "R"
    for i, n in enumerate(report.neurons):
        # At the start a network is its own flow.
        for k in np.flatnonzero(
            np.isfinite(expected[i]) & ((report.t > 0) | (not report.own.size))
        ):
            yield verdict(
                f"N = {n}: mean R_N - {beside} at t = {report.t[k]:g}",
                mean[i, k],
                reach * error[i, k],
                expected[i, k] - unsure[i, k],
                expected[i, k] + unsure[i, k],
                _half(expected[i, k], unsure[i, k]),
            )
    if report.neurons.size >= FEWEST_SIZES and not report.own.size:
        left, error = report.at_infinity()
        mesh, step = report.limit_errors[report.reference], np.zeros(report.t.size)
        if report.step is not None:
            # It is added whatever the width.
            step = np.add(
                *map(np.abs, report.step.of(float(report.step_sizes[report.finest])))
            ).max(axis=0)
        for k in np.flatnonzero(~np.isfinite(expected).all(axis=0)):
            bound = mesh[k] + step[k] + rounding[k]
            name = f"as N grows: R_N - R at t = {report.t[k]:g}"
            yield verdict(name, left[k], reach * error[k], -bound, bound)
    yield from _scatter(report)


def _scatter(report: Report) -> Iterator[Verdict]:
    """The standard deviation over seeds of the largest network, at the last time of the study.

    Where the first order does not lead, √(V/N) > |c|/N, the second one scatters too, by more than |f_N − f|² alone.
    """
    rates, known = report.rates, report.predicted
    if (
        rates is None
        or not {"square_variance", "bias"} <= known.keys()
        or rates.t[-1] not in report.t
    ):
        return
    k, n = int(np.searchsorted(report.t, rates.t[-1])), float(report.neurons[-1])
    parts = [
        (known[f"{of}_variance"][k], known[f"{of}_variance_error"][k]) for of in ("risk", "square")
    ]
    (v, v_error), (w, w_error) = parts
    if not (np.isfinite(parts).all() and v * n > known["bias"][k] ** 2):
        return
    expected, unsure = v / n + w / n**2, v_error / n + w_error / n**2 + SHARE * (v / n + w / n**2)
    # What samples add goes with the step size; it is measured, on the largest networks of the study.
    share = float(report.step_sizes[report.finest] / rates.steps[0])
    samples = 2.0 * share * float(rates.noise("risk")[-1, 0, -1])
    values = report.risk[-1, report.finest, :, k]
    measured, band = float(values.std(ddof=1)), deviation_band(values)
    low, high = max(expected - unsure, 0.0) ** 0.5, (expected + unsure + samples) ** 0.5
    yield Verdict.between(
        f"N = {int(n)}: s.d. of R_N at t = {report.t[k]:g}",
        measured,
        band,
        (low, high),
        0.5 * expected**0.5 * band[1] < low * measured
        and 2 * expected**0.5 * band[0] > high * measured,
    )


def _rates(rates: Rates, dimension: int) -> Iterator[Verdict]:
    last = f"at t = {rates.t[-1]:g}"
    reach = rates.reach()
    if (fit := rates.fluctuation("output")) is not None:
        yield _exponent("|f_N - f|: exponent of N", fit, reach, -0.5, EXPONENT)
    if rates.first_order() and (fit := rates.fluctuation("risk")) is not None:
        yield _exponent("R_N over seeds: exponent of N", fit, reach, -0.5, EXPONENT)
    yield from _coefficients(rates, last)
    if (found := rates.bias_exponent()) is not None:
        fit, unsure = found
        yield _exponent("mean R_N - R: exponent of N", fit, reach, -1.0, LOOSER + unsure)
    if rates.seen[-1]:
        left, error = rates.left()
        mesh = rates.limit_error[-1]
        name = f"mean R_N - R {last}: left as N grows"
        # Of what the widest networks are off by, half.
        half = 0.5 * float(rates.gap()[0][-1, -1])
        yield verdict(name, left[-1], reach * error[-1], -mesh, mesh, [half])
    for of, name in LAWS.items():
        if (fit := rates.distance(of)) is not None:
            sliced = of == "transport" and dimension > 1
            name = f"{'sliced ' * sliced}{name} of the law: exponent of N"
            # Independent draws come near a law in D coordinates like N^(-1/D), nearer where it is thinner.
            slowest = -0.5 if sliced else -1 / max(2, dimension)
            low, high = -0.5 - LOOSER, slowest + LOOSER
            yield verdict(name, fit.value, reach * fit.error, low, high, [slowest + OTHER])
    if (fit := rates.chaos()) is not None:
        yield verdict(
            "correlation of two neurons: left as N grows",
            fit.value,
            reach * fit.error,
            0.0,
            0.0,
            [0.5 / rates.widths[0]],
        )
    if (fit := rates.noise_exponent("output")) is not None:
        again = student(rates.noise_output.shape[2] - 1)
        # Half a power or better.
        yield verdict(
            "SGD noise in f: exponent of the step size",
            fit.value,
            again * fit.error,
            0.5 - EXPONENT,
            np.inf,
            [0.5 - OTHER],
        )
    expected = rates.predicted.get("sample_output_variance")
    if expected is not None and np.isfinite(expected[-1]):
        value, error = rates.over_samples()
        yield verdict(
            f"P/eps Var f over samples {last}, N = {rates.widths[0]}",
            value[-1],
            student(rates.noise_output.shape[2] - 1) * error[-1],
            (1 - LOOSER) * expected[-1],
            (1 + LOOSER) * expected[-1],
            [0.5 * expected[-1]],
        )


def unjudged(rates: Rates) -> tuple[str, ...]:
    """What of a study is left out, and why, a note each."""
    found = []
    if not (leads := rates.first_order()):
        why = (
            f"V/N does not lead at N = {rates.widths[0]}"
            if leads is False
            else "V and W are not predicted"
        )
        found.append(
            f"R_N over seeds, of variance V/N + W/N^2: its exponent of N is not judged, as {why}"
        )
    if not rates.clear.any() and np.isfinite(rates.transport).all():
        found.append(
            "distances of laws: their exponents of N are not judged, as SGD's own noise is more than a tenth of what "
            "scatters; a smaller step size shows them"
        )
    return tuple(found)


def _coefficients(rates: Rates, last: str) -> Iterator[Verdict]:
    """Coefficients beside their predictions."""
    known = rates.predicted if rates.seen[-1] else {}
    # Where a prediction has been lost there is nothing to hold against: the report's notes say where.
    known = {of: values for of, values in known.items() if np.isfinite(values[-1])}
    for of, name in (("output", "N |f_N - f|^2"), ("risk", "N Var R_N")):
        if (expected := known.get(f"{of}_variance")) is not None:
            value, error = rates.coefficient(of)
            own = known.get(f"{of}_variance_error", np.zeros_like(expected))
            yield verdict(
                f"{name} {last}",
                value[-1],
                rates.reach() * error[-1],
                (1 - SHARE) * expected[-1] - own[-1],
                (1 + SHARE) * expected[-1] + own[-1],
                [0.5 * expected[-1]],
            )
    if (expected := known.get("bias")) is not None:
        value, error = rates.bias()
        mesh = rates.bias_mesh()[-1]
        mesh += known.get("bias_error", np.zeros(1))[-1] + SHARE * abs(expected[-1])
        yield verdict(
            f"c of c/N in mean R_N - R {last}",
            value[-1],
            rates.reach() * error[-1],
            expected[-1] - mesh,
            expected[-1] + mesh,
            _half(expected[-1], mesh),
        )


def _half(expected: float, unsure: float) -> list[float]:
    """Half of what is expected, unless nothing is: a mean may be 0."""
    return [0.5 * expected] if abs(expected) > unsure else []


def _exponent(name: str, fit: Estimate, reach: float, theory: float, tolerance: float) -> Verdict:
    other = [theory - OTHER, theory + OTHER]
    return verdict(
        name, fit.value, reach * fit.error, theory - tolerance, theory + tolerance, other
    )
