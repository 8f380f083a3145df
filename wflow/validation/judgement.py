"""Which verdicts a report allows: what was measured, against what theory and the predictions say of it.

A line stands where both sides are known. How far chance leaves the measured one open,
:mod:`~wflow.validation.intervals` says; the bound is the prediction with the error of the limit, or what theory says of
an exponent, with its tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from wflow.validation.exponents import Estimate
from wflow.validation.intervals import deviation_band, reaches, skewness
from wflow.validation.rates import Rates
from wflow.validation.verdicts import FEWEST_SIZES, OTHER, Verdict, half_of, verdict

if TYPE_CHECKING:
    from wflow.validation.report import Report

EXPONENT = 0.05
"""How far an exponent may lie from −½ or −1."""
LOOSER = 0.1
"""The same of distances of laws, whose powers bear logarithms."""
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
    off, risk = report.off(), np.abs(report.limit_risk)
    down, up = reaches(off.swapaxes(1, 2), _skewness(report))
    mean, (expected, unsure) = off.mean(axis=1), report.expected()
    rounding = ROUNDING * risk
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
                (down[i, k], up[i, k]),
                expected[i, k] - unsure[i, k],
                expected[i, k] + unsure[i, k],
                half_of(expected[i, k], unsure[i, k], risk[k]),
            )
    if report.neurons.size >= FEWEST_SIZES and not report.own.size:
        each = report.each_at_infinity()
        left, (down, up) = each.mean(axis=0), reaches(each.T)
        mesh, step = report.limit_errors[report.reference], np.zeros(report.t.size)
        if report.step is not None:
            # It is added whatever the width.
            step = np.add(
                *map(np.abs, report.step.of(float(report.step_sizes[report.finest])))
            ).max(axis=0)
        for k in np.flatnonzero(~np.isfinite(expected).all(axis=0)):
            bound = mesh[k] + step[k] + rounding[k]
            name = f"as N grows: R_N - R at t = {report.t[k]:g}"
            reach = (down[k], up[k])
            yield verdict(name, left[k], reach, -bound, bound, half_of(0.0, bound, risk[k]))
    yield from _scatter(report)


def _skewness(report: Report) -> np.ndarray | None:
    """The skewness of what :meth:`Report.off` scatters by, (t,): that of the study's gaps, which are many more.

    What the first order leaves of a gap has one law for all N.
    """
    if (rates := report.rates) is None or report.own.size:
        return None
    each = skewness((rates.risk - rates.control - rates.limit).swapaxes(1, 2)).mean(axis=0)
    return np.asarray(each[np.clip(np.searchsorted(rates.t, report.t), 0, rates.t.size - 1)])


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
    measured, band = float(values.std(ddof=1)), deviation_band(values, rates.risk[:, :, -1])
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
    degrees = rates.seeds - 1
    if (fit := rates.fluctuation("output")) is not None:
        yield _exponent("|f_N - f|: exponent of N", fit, degrees, -0.5, EXPONENT)
    if rates.first_order() and (fit := rates.fluctuation("risk")) is not None:
        yield _exponent("R_N over seeds: exponent of N", fit, degrees, -0.5, EXPONENT)
    yield from _coefficients(rates, last)
    if (found := rates.bias_exponent()) is not None:
        fit, unsure = found
        yield _exponent("mean R_N - R: exponent of N", fit, degrees, -1.0, EXPONENT + unsure)
    if rates.seen[-1]:
        left = rates.left()
        down, up = left.reach(degrees)
        mesh = rates.limit_error[-1]
        name = f"mean R_N - R {last}: left as N grows"
        # Of what the widest networks are off by, half.
        half = 0.5 * float(rates.gap()[0][-1, -1])
        reach = (down[-1], up[-1])
        yield verdict(name, left.value[-1], reach, -mesh, mesh, [half])
    for of, name in LAWS.items():
        if (fit := rates.distance(of)) is not None:
            sliced = of == "transport" and dimension > 1
            name = f"{'sliced ' * sliced}{name} of the law: exponent of N"
            # Independent draws come near a law in D coordinates like N^(-1/D), nearer where it is thinner.
            slowest = -0.5 if sliced else -1 / max(2, dimension)
            low, high = -0.5 - LOOSER, slowest + LOOSER
            # No power at all is wrong, too.
            wrong = min(slowest + OTHER, 0.0)
            yield verdict(name, fit.value, fit.reach(degrees), low, high, [wrong])
    if (line := _chaos(rates)) is not None and line.ok != "open":
        yield line
    pairs = rates.over_samples()
    if (fit := rates.noise_exponent("output")) is not None:
        # Half a power or better.
        yield verdict(
            "SGD noise in f: exponent of the step size",
            fit.value,
            fit.reach(pairs.shape[1] - 1),
            0.5 - EXPONENT,
            np.inf,
            [0.5 - OTHER],
        )
    expected = rates.predicted.get("sample_output_variance")
    if expected is not None and np.isfinite(expected[-1]):
        down, up = reaches(pairs)
        yield verdict(
            f"P/eps Var f over samples {last}, N = {rates.widths[0]}",
            pairs[-1].mean(),
            (down[-1], up[-1]),
            (1 - LOOSER) * expected[-1],
            (1 + LOOSER) * expected[-1],
            [0.5 * expected[-1]],
        )


def _chaos(rates: Rates) -> Verdict | None:
    """What is left of the correlation of two neurons, held against 0; k/N is of order 1/N for the narrowest width."""
    if (found := rates.chaos()) is None:
        return None
    (fit, unsure), other = found, 0.5 / rates.widths[0]
    return verdict(
        "correlation of two neurons: left as N grows",
        fit.value,
        fit.reach(rates.seeds - 1),
        -unsure,
        unsure,
        [-other, other],
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
    elif np.isfinite(rates.lipschitz).all() and rates.saturated("lipschitz"):
        found.append(
            f"bounded Lipschitz distance of the law: its exponent of N is not judged, as it is 2 at most and comes to "
            f"{rates.lipschitz.mean(axis=1).max():.3g}: neurons lie too far apart for it"
        )
    if (line := _chaos(rates)) is not None and line.ok == "open":
        low, high = line.band
        found.append(
            f"{line.name}: {line.value:.2g}, {low:.2g} … {high:.2g} by chance, is not judged, as k/N of the narrowest "
            f"networks is about {1 / rates.widths[0]:.2g}: more seeds tell"
        )
    powers = {
        "|f_N - f|": rates.fluctuation("output"),
        "mean R_N - R": (rates.bias_exponent() or (None,))[0],
        **{f"{name} of the law": rates.distance(of) for of, name in LAWS.items()},
    }
    found += [
        f"{name}: not one power of N from N = {rates.widths[0]} to {rates.widths[-1]}; the exponent is that of "
        "a N^p (1 + b/N) with b free"
        for name, fit in powers.items()
        if fit is not None and fit.bent
    ]
    return tuple(found)


def _coefficients(rates: Rates, last: str) -> Iterator[Verdict]:
    """Coefficients beside their predictions."""
    known = rates.predicted if rates.seen[-1] else {}
    # Where a prediction has been lost there is nothing to hold against: the report's notes say where.
    known = {of: values for of, values in known.items() if np.isfinite(values[-1])}
    for of, name in (("output", "N |f_N - f|^2"), ("risk", "N Var R_N")):
        if (expected := known.get(f"{of}_variance")) is not None:
            found = rates.coefficient(of)
            down, up = found.reach(rates.seeds - 1)
            own = known.get(f"{of}_variance_error", np.zeros_like(expected))
            yield verdict(
                f"{name} {last}",
                found.value[-1],
                (down[-1], up[-1]),
                (1 - SHARE) * expected[-1] - own[-1],
                (1 + SHARE) * expected[-1] + own[-1],
                [0.5 * expected[-1]],
            )
    if (expected := known.get("bias")) is not None:
        found = rates.bias()
        down, up = found.reach(rates.seeds - 1)
        mesh = rates.bias_mesh()[-1]
        mesh += known.get("bias_error", np.zeros(1))[-1] + SHARE * abs(expected[-1])
        yield verdict(
            f"c of c/N in mean R_N - R {last}",
            found.value[-1],
            (down[-1], up[-1]),
            expected[-1] - mesh,
            expected[-1] + mesh,
            # At the start c is what independent draws exceed the limit by.
            half_of(expected[-1], mesh, abs(rates.excess[-1])),
        )


def _exponent(name: str, fit: Estimate, degrees: float, theory: float, tolerance: float) -> Verdict:
    other = [theory - OTHER, theory + OTHER]
    low, high = theory - tolerance, theory + tolerance
    return verdict(name, fit.value, fit.reach(degrees), low, high, other)
