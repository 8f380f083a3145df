r"""How networks approach the limit as N grows and ε shrinks: what a study measured, and the powers it fits.

.. math:: R_N(t) = R(t) + \frac{c(t)}{N} + \sqrt{\frac{V(t)}{N}}\,g + O(N^{-3/2}), \qquad
          E\lVert f_N - f\rVert^2 = \frac{V_f(t)}{N} + \frac\varepsilon P S_f(t) + \dots

An exponent is fitted through four widths or more, to the mean over the times (:mod:`wflow.validation.exponents`); its
error bar comes from resampling the seeds of every width apart. Sums over seeds keep their skewness, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from wflow.validation.exponents import Estimate, line, power
from wflow.validation.intervals import reaches_of, skewness, student

RESAMPLES = 400
SEEN, CLEAR = 2.0, 10.0
"""Times that a variance over starts and samples must exceed that over samples alone to count as one over starts.

The second where samples' part cannot be taken off, as of distances of laws: less of it turns −½ into −.48 at most.
"""
LEADS = 0.1
"""Share of a predicted variance that may be of second order where the first one leads."""
FULL = 1.0
"""Bounded-Lipschitz distance, of 2 at most, from which on it tells how much mass is far, not how far."""


class Series(NamedTuple):
    """Numbers, their standard errors and their own skewness, (T,) each."""

    value: np.ndarray
    error: np.ndarray
    skew: np.ndarray

    def reach(self, degrees: float) -> tuple[np.ndarray, np.ndarray]:
        """How far below and above them chance leaves open."""
        return reaches_of(self.error, self.skew, degrees)


@dataclass
class Rates:
    """What a study of widths and step sizes measured, at times ``t`` after the start.

    Attributes
    ----------
    t, widths, steps : times (T,), widths (W,) and step sizes (E,); networks of all widths have steps[0]
    risk, output, transport, lipschitz : (W, S, T): risk, ‖f_N − f‖² over the limit's nodes, W2 (sliced in several
        dimensions) and bounded-Lipschitz distance of the law; NaN where one is not defined
    control : (W, S, T): the first-order effect of each network's own start on its risk, 0 where it is not known
    limit, limit_error, excess : (T,): risk of the limit, its error, N times the excess of independent draws
    noise_risk, noise_output : (2, E, S', T) and (2, E, S'/2, T): risks of networks of the first and of the last width,
        each from one start on samples of their own, and half the squared distances of their outputs in pairs; the last
        width may have fewer pairs, the first ones, and NaN for the others
    batch_size : samples a step, P
    predicted, notes : series at ``t`` by name, and why others are not known
    """

    t: np.ndarray
    widths: np.ndarray
    steps: np.ndarray
    risk: np.ndarray
    output: np.ndarray
    transport: np.ndarray
    lipschitz: np.ndarray
    control: np.ndarray
    limit: np.ndarray
    limit_error: np.ndarray
    excess: np.ndarray
    noise_risk: np.ndarray
    noise_output: np.ndarray
    batch_size: int = 1
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        return int(self.risk.shape[1])

    def reach(self) -> float:
        """Standard errors that the band of a normal mean reaches."""
        return student(self.seeds - 1)

    def variance(
        self, of: str, pick: np.ndarray | None = None, noise: np.ndarray | None = None
    ) -> np.ndarray:
        """Over starts, (W, T): of the risk, or of the output about the limit's; SGD's own noise is taken off."""
        value = _picked(getattr(self, of), pick)
        total = value.mean(axis=1) if of == "output" else value.var(axis=1, ddof=1)
        return np.asarray(total - self._between(self.noise(of, noise)[:, 0]))

    def noise(self, of: str, pick: np.ndarray | None = None) -> np.ndarray:
        """Variance over samples from one start, of the first and of the last width, (2, E, T)."""
        value = self.noise_output
        if of == "risk":
            # In pairs too, so that both are resampled alike.
            value = 0.5 * (self.noise_risk[:, :, :-1:2] - self.noise_risk[:, :, 1::2]) ** 2
        return self._over_pairs(_picked(value, pick))

    def _over_pairs(self, value: np.ndarray) -> np.ndarray:
        """Means (2, E, T) over the pairs that each of the two widths has."""
        both = zip(value, self._pairs, strict=True)
        return np.stack([one[:, :count].mean(axis=1) for one, count in both])

    @cached_property
    def _pairs(self) -> np.ndarray:
        """Pairs of the first and of the last width."""
        return np.asarray(np.isfinite(self.noise_risk).all(axis=(1, 3)).sum(axis=1) // 2)

    def shift(self, pick: np.ndarray | None = None) -> np.ndarray:
        """What the step size adds to the mean risk of each width, (W, T), from what longer or shorter steps add."""
        value = 0.5 * (self.noise_risk[:, :, :-1:2] + self.noise_risk[:, :, 1::2])
        mean = self._over_pairs(_picked(value, pick))
        e = self.steps / self.steps[0]
        weight = (e - e.mean()) / ((e - e.mean()) ** 2).sum()
        return self._between(np.einsum("e,wet->wt", weight, mean))

    def _between(self, ends: np.ndarray) -> np.ndarray:
        """Values at the first and the last width, linear in 1/N at all of them, (W, T)."""
        x = 1.0 / self.widths
        share = ((x - x[-1]) / (x[0] - x[-1]))[:, None]
        return np.asarray(share * ends[0] + (1 - share) * ends[1])

    @cached_property
    def seen(self) -> np.ndarray:
        """Times at which the chance of the start, not SGD's own, makes the greater part of what scatters, (T,)."""
        return self._above_noise(SEEN)

    @cached_property
    def clear(self) -> np.ndarray:
        """Times at which SGD's own chance makes less than a tenth of it, (T,)."""
        return self._above_noise(CLEAR)

    def _above_noise(self, times: float) -> np.ndarray:
        of = "output" if np.isfinite(self.output).all() else "risk"
        noise = self._between(self.noise(of)[:, 0])
        return np.asarray((self.variance(of) + noise > times * noise).all(axis=0))

    def fluctuation(self, of: str) -> Estimate | None:
        """The exponent of N in the standard deviation over starts; None where SGD's noise hides it."""
        noise = self._between(self.noise(of)[:, 0])
        total = self.variance(of) + noise
        seen = (total > SEEN * noise).all(axis=0) & np.isfinite(total).all(axis=0)
        if not seen.any():
            return None

        def deviation(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            value = self.variance(of, pick, again)[:, seen]
            return np.asarray(np.sqrt(np.maximum(value, 1e-3 * noise[:, seen] + 1e-300)))

        # Where V/N is predicted to lead in the risk, β is known to be small.
        fit = line if of == "risk" and self.first_order() else power
        return fit(self.widths, deviation(None, None), self._drawn(deviation, 0))

    def distance(self, of: str) -> Estimate | None:
        """The exponent of N in the mean distance of the law; None where SGD's noise is a tenth of what scatters.

        Nor is there one where a distance is near its greatest.
        """
        if not (np.isfinite(getattr(self, of)).all() and self.clear.any()) or self.saturated(of):
            return None

        def mean(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            return np.asarray(_picked(getattr(self, of), pick).mean(axis=1)[:, self.clear])

        return power(self.widths, mean(None, None), self._drawn(mean, 0))

    def saturated(self, of: str) -> bool:
        """Whether bounded-Lipschitz distances near 2: masses are further apart than it can tell."""
        return of == "lipschitz" and bool((self.lipschitz.mean(axis=1) > FULL).any())

    def noise_exponent(self, of: str) -> Estimate | None:
        """The exponent of ε in the standard deviation over samples, of networks of the first width."""
        value = self.noise(of)[0]
        if self.steps.size < 3 or not (np.isfinite(value).all() and (value > 0).all()):
            return None

        def deviation(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            return np.asarray(np.sqrt(np.maximum(self.noise(of, again)[0], 1e-300)))

        value, drawn = deviation(None, None), self._drawn(deviation, 0)
        if self.steps[1] < self.steps[0]:
            return line(self.steps, value, drawn)
        # Of longer steps than the study's own the next order in ε is seen.
        return power(self.steps, value, drawn, 1)

    def coefficient(self, of: str) -> Series:
        """N times the variance over starts as N grows, from its fit by 1/N and 1/N²."""
        return self._summed(lambda *drawn: self._one_over_n(self.variance(of, *drawn)), 1)

    def gap(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean over seeds of R_N − R, and its standard error, (W, T) each.

        Less what each start makes of it to first order, and what the step size adds.
        """
        off = self.risk - self.control - self.limit
        error = off.std(axis=1, ddof=1) / np.sqrt(self.seeds)
        return off.mean(axis=1) - self.shift(), np.hypot(error, self._shift_error)

    @cached_property
    def _shift_error(self) -> np.ndarray:
        rng = np.random.default_rng(2)
        drawn = np.array([self.shift(self._draw(rng)[1]) for _ in range(RESAMPLES)])
        return np.asarray(drawn.std(axis=0, ddof=1))

    def bias(self) -> Series:
        """c of R_N = R + c/N + c₂/N², by least squares on the gaps."""
        return self._bias

    def bias_mesh(self) -> np.ndarray:
        """How far the error of the limit leaves c open, (T,): by the fit's answer to gaps that are all off alike."""
        return np.asarray(np.abs(self._inverse(_C).sum(axis=1)) * self.limit_error)

    @cached_property
    def _bias(self) -> Series:
        return self._regressed(_C)

    def left(self) -> Series:
        """What is left of the gap as N grows, by a constant beside c/N + c₂/N²."""
        return self._regressed((0, 1, 2))

    def bias_exponent(self) -> tuple[Estimate, float] | None:
        """The exponent of N in the mean gap, and what the error of the limit leaves open in it.

        None unless every width's gap is seen.
        """
        value, error = self.gap()
        seen = (np.abs(value) > self.reach() * error + self.limit_error).all(axis=0) & self.seen
        if not seen.any():
            return None

        def mean(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            off = _picked(self.risk - self.control - self.limit, pick).mean(axis=1)
            return np.asarray((off - self.shift(again))[:, seen])

        drawn = self._drawn(mean, 0)
        found, *both = (
            power(
                self.widths,
                *(
                    np.maximum(np.abs(gap + wrong * self.limit_error[seen]), 1e-300)
                    for gap in (value[:, seen], drawn)
                ),
            )
            for wrong in (0.0, -1.0, 1.0)
        )
        return found, max(abs(one.value - found.value) for one in both)

    def over_samples(self) -> np.ndarray:
        """P/ε times the variance of the output over samples, of the first width at its shortest step: (T, pairs)."""
        j = int(np.argmin(self.steps))
        return np.asarray(self.noise_output[0, j].T * (self.batch_size / self.steps[j]))

    def chaos(self) -> tuple[Estimate, float] | None:
        r"""What is left of the correlation of two neurons' features as N grows, at the last time, and how open that is.

        .. math:: \mathrm{Cov} = \frac{N\,E\lVert f_N - f\rVert^2 - E_\rho\lVert\sigma_* - f\rVert^2}{N-1},

        relative to a single neuron's variance; chaos propagates where it vanishes like 1/N. A constant is fitted beside
        k/N + k₂/N². What that makes of a k₃/N³ as large as the larger of these at the narrowest width is left open.
        """
        single = self.excess[-1]
        if not (np.isfinite(self.output).all() and self.seen[-1] and single > 0):
            return None
        n = self.widths.astype(float)

        def fit(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            together = self.variance("output", pick, again)[:, -1]
            covariance = (n * together - single) / (n - 1) / single
            return np.polyfit(1 / n, covariance, 2, w=n)

        value, error, skew = (part.tolist() for part in self._summed(fit, 0))
        third = max(abs(value[0]) / n[0] ** 2, abs(value[1]) / n[0])
        answer = np.polyfit(1 / n, (n[0] / n) ** 3, 2, w=n)[2]
        return Estimate(value[2], error[2], skew[2]), float(abs(answer) * third)

    def _one_over_n(self, value: np.ndarray) -> np.ndarray:
        n = self.widths.astype(float)
        # Errors of a variance are in proportion to it.
        rows = np.stack([1 / n, 1 / n**2], axis=1) * n[:, None]
        return np.asarray(np.linalg.lstsq(rows, value * n[:, None], rcond=None)[0][0])

    def _inverse(self, powers: tuple[int, ...]) -> np.ndarray:
        """What makes the first coefficient of powers of 1/N from gaps, by least squares over their errors, (T, W)."""
        _, error = self.gap()
        rows = self.widths[:, None].astype(float) ** -np.array(powers)
        each = [(np.linalg.pinv(rows / e[:, None]) / e)[0] for e in np.maximum(error, 1e-300).T]
        return np.array(each)

    def _regressed(self, powers: tuple[int, ...]) -> Series:
        inverse = self._inverse(powers)
        off = self.risk - self.control - self.limit

        def fit(pick: np.ndarray | None, again: np.ndarray | None) -> np.ndarray:
            gap = _picked(off, pick).mean(axis=1) - self.shift(again)
            return np.asarray(np.einsum("tw,wt->t", inverse, gap))

        return self._summed(fit, 3)

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        w, s, _ = self.risk.shape
        *ends, again, _ = self.noise_output.shape
        pairs = self._pairs[:, None, None]
        return rng.integers(0, s, (w, s)), rng.integers(0, pairs, (*ends, again))

    def _drawn(self, of: Drawn, seed: int) -> np.ndarray:
        """What comes out over resampled seeds, first axis the draws."""
        rng = np.random.default_rng(seed)
        return np.array([of(*self._draw(rng)) for _ in range(RESAMPLES)])

    def _summed(self, fit: Drawn, seed: int) -> Series:
        """Sums over seeds (T,), with standard errors and skewness over resampled ones."""
        drawn = self._drawn(fit, seed)
        return Series(fit(None, None), drawn.std(axis=0, ddof=1), skewness(drawn.T))

    def first_order(self) -> bool | None:
        """Whether V/N leads in the variance of R_N at every width, as predicted; None where it is not predicted.

        W/N² is a tenth of it at most, and (c/N)² less. What is measured has no say in what is judged.
        """
        names = ("risk_variance", "square_variance", "bias")
        if not self.predicted.keys() >= set(names):
            return None
        v, w, c = (self.predicted[name] for name in names)
        if not np.isfinite([v, w, c]).all():
            return None
        n = float(self.widths[0])
        return bool((w < LEADS * n * v).all() and (c**2 < n * v).all())

    def table(self) -> list[str]:
        """Means over seeds at the last time, a line a width."""
        gap, error = self.gap()
        lines = [
            f"rates: {self.seeds} networks a width up to t = {self.t[-1]:g}, step size {self.steps[0]:g}",
            f"{'N':>8}{'mean R_N - R':>15}{'± s.e.':>11}{'s.d. of R_N':>13}{'|f_N - f|':>12}{'W2':>10}"
            f"{'bounded Lip.':>14}",
        ]
        for i, n in enumerate(self.widths):
            lines.append(
                f"{n:8d}{gap[i, -1]:+15.3e}{error[i, -1]:11.1e}{self.risk[i, :, -1].std(ddof=1):13.3e}"
                f"{np.sqrt(max(self.output[i, :, -1].mean(), 0.0)):12.4e}{self.transport[i, :, -1].mean():10.4f}"
                f"{self.lipschitz[i, :, -1].mean():14.4f}"
            )
        c, error, _ = self.bias()
        if not self.seen.all():
            lines.append(
                f"at {int((~self.seen).sum())} of {self.t.size} times SGD's own noise hides the chance of the start: "
                "a smaller step size shows more"
            )
        lines.append(f"mean R_N - R = c/N + …: c = {c[-1]:.4g} ± {error[-1]:.2g} (s.e.)")
        return lines

    def summary(self) -> dict[str, Any]:
        """What was measured, by means over seeds."""
        gap, gap_error = self.gap()
        found = {
            name: getattr(self, name).mean(axis=1) for name in ("output", "transport", "lipschitz")
        }
        return {
            "t": self.t,
            "widths": self.widths,
            "steps": self.steps,
            "seeds": self.seeds,
            "gap": gap,
            "gap_error": gap_error,
            "risk_variance": self.risk.var(axis=1, ddof=1),
            **found,
            "noise_risk": self.noise("risk"),
            "noise_output": self.noise("output"),
            "bias": dict(zip(("value", "error"), self.bias(), strict=False)),
            "predicted": self.predicted,
        }


_C = (1, 2)
"""Powers of 1/N in R_N − R."""
Drawn = Callable[[np.ndarray | None, np.ndarray | None], np.ndarray]
"""What comes out for seeds, and pairs of one start, drawn anew; for all of them once without a draw."""


def _picked(value: np.ndarray, pick: np.ndarray | None) -> np.ndarray:
    """Seeds drawn anew along the last axis but one; all of them once without a draw."""
    return value if pick is None else np.take_along_axis(value, pick[..., None], axis=-2)
