"""What a validation found: numbers, table, figure, file, verdicts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.results.solution import Solution
from wflow.validation.judgement import SHARE, judge, unjudged
from wflow.validation.rates import Rates
from wflow.validation.steps import StepEffect
from wflow.validation.verdicts import FEWEST_SIZES, Verdict, plain, verdict_table


@dataclass
class Report:
    """Limit against SGD: ``risk``, ``distance`` and ``output`` have the axes (neurons, step_size, seed, t).

    Attributes
    ----------
    system, parameters : its name, and what it was made with
    neurons, step_sizes, t : N, ε and the times, the axes
    limits : the Solutions of the flow ("grid", "particles")
    limit_errors : how far a second solution of each on half the mesh is off in risk, shape (t,)
    risk : of the networks
    distance : W2 of the law of their neurons to the limit's, sliced in several dimensions
    output : squared distance of their output from the limit's; empty where it was not formed
    control : the first-order effect of each network's own start on its risk, of mean 0; empty where it is not known
    laws : reduced neurons of the largest network at the smallest step size, (seed, t, neuron, coordinate)
    batch_size : samples a step of SGD
    rates : the study of rates, or None
    predicted : series over t by name: ``bias``, lim N·E(R_N − R); ``risk_variance``, lim N·Var R_N;
        ``output_variance``, lim N·E|f_N − f|²; ``square_variance``, lim N²·Var Σ_q p_q ½ℓ''(f_N − f)²_q; each
        with its ``_error``
    step : what the step size adds to the mean per ε, or None where it was not measured
    own : where the limit is a sample, the risks of the flows of the networks' own starts, (neurons, seed, t)
    notes : what could not be predicted, and why
    seconds : what it took
    """

    system: str
    parameters: dict[str, Any]
    t: np.ndarray
    neurons: np.ndarray
    step_sizes: np.ndarray
    limits: dict[str, Solution]
    risk: np.ndarray
    distance: np.ndarray
    laws: np.ndarray
    limit_errors: dict[str, np.ndarray]
    batch_size: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    output: np.ndarray = field(default_factory=lambda: np.empty(0))
    control: np.ndarray = field(default_factory=lambda: np.empty(0))
    rates: Rates | None = None
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    step: StepEffect | None = None
    own: np.ndarray = field(default_factory=lambda: np.empty(0))
    notes: tuple[str, ...] = ()

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A record a line: name, value, band, bound, passed, decides (docs/validation.md says what each is)."""
        return judge(self)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and what of the study is not judged, and why."""
        return self.notes + (() if self.rates is None else unjudged(self.rates))

    @property
    def passed(self) -> bool:
        """Whether every verdict has passed."""
        return all(v.passed for v in self.verdicts)

    @property
    def finest(self) -> int:
        """Index of the smallest step size, the one nearest to the limit."""
        return int(np.argmin(self.step_sizes))

    @property
    def limit_risk(self) -> np.ndarray:
        """Risk of the limit at the saved times: the particle solution where there is one."""
        return np.asarray(self.limits[self.reference].risk)

    @property
    def reference(self) -> str:
        """Which limit the networks are held against: the particle solution where there is one."""
        return "particles" if "particles" in self.limits else "grid"

    def mean(self) -> np.ndarray:
        """Mean risk over seeds, (neurons, step_size, t)."""
        return np.asarray(self.risk.mean(axis=2))

    def standard_error(self) -> np.ndarray:
        """Standard error of the mean over seeds, (neurons, step_size, t)."""
        return np.asarray(self.risk.std(axis=2, ddof=1) / np.sqrt(self.risk.shape[2]))

    def gap(self) -> np.ndarray:
        """Mean risk minus the limit's, (neurons, step_size, t)."""
        return np.asarray(self.mean() - self.limit_risk)

    def sup_gap(self) -> np.ndarray:
        """Mean over seeds of sup_t |R_N − R|, (neurons, step_size)."""
        return np.asarray(np.abs(self.risk - self.limit_risk).max(axis=-1).mean(axis=-1))

    def controlled(self) -> np.ndarray:
        """R_N − R less what each network's own start makes of it to first order, (neurons, step_size, seed, t)."""
        return np.asarray(
            self.risk - self.limit_risk - (self.control if self.control.size else 0.0)
        )

    def off(self) -> np.ndarray:
        """What the verdicts ask of: R_N less the risk of its own start's flow, or :meth:`controlled`, finest steps."""
        if self.own.size:
            return np.asarray(self.risk[:, self.finest] - self.own)
        return self.controlled()[:, self.finest]

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Expected mean of :meth:`off`, and how far that is open, (neurons, t) each; NaN where it is not known.

        c/N, predicted or else from the study's smaller networks, and what the step size adds.
        """
        n = self.neurons[:, None]
        if self.step is None:
            nothing = np.full((n.size, self.t.size), np.nan)
            return nothing, nothing
        value, error = self.step.of(float(self.step_sizes[self.finest]))
        if self.own.size:
            return value, error
        c, unsure = self.coefficient()
        return value + c / n, error + unsure / n + self.limit_errors[self.reference]

    def coefficient(self) -> tuple[np.ndarray, np.ndarray]:
        """c of c/N and how far it is open, (t,) each; NaN where it is not known."""
        nothing = np.full(self.t.size, np.nan)
        c = self.predicted.get("bias", nothing)
        unsure = self.predicted.get("bias_error", np.zeros(self.t.size)) + SHARE * np.abs(c)
        if self.rates is not None:
            at = np.isin(self.rates.t, self.t)
            where = np.searchsorted(self.t, self.rates.t[at])
            fit = self.rates.bias()
            known = np.isfinite(c[where])
            c, unsure = c.copy(), unsure.copy()
            c[where] = np.where(known, c[where], fit.value[at])
            open_by = np.maximum(*fit.reach(self.rates.seeds - 1))[at] + self.rates.bias_mesh()[at]
            unsure[where] = np.where(known, unsure[where], open_by)
        return c, unsure

    def at_infinity(self) -> tuple[np.ndarray, np.ndarray]:
        """What is left of the gap as N grows, and its standard error over seeds, shape (t,) each."""
        each = self.each_at_infinity()
        return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))

    def each_at_infinity(self) -> np.ndarray:
        r"""What is left of the gap as N grows, of the networks of each seed, (seed, t).

        .. math:: R_N(t) = R_\infty(t) + c(t)/N

        is fitted to each seed's networks at the smallest step size, of scatter :math:`N^{-1/2}`: of a wide network's
        gap its finite width is the greater part, and no failure of the limit.

        Raises
        ------
        InputError
            with fewer than three sizes
        """
        if self.neurons.size < FEWEST_SIZES:
            raise InputError(
                f"what is left as N grows needs at least three sizes, two carry no line: give neurons=(N1, N2, N3, …), "
                f"not {self.neurons.tolist()}"
            )
        n, risk = self.neurons.astype(float), self.risk[:, self.finest]
        fit = np.polyfit(1 / n, risk.reshape(n.size, -1), 1, w=np.sqrt(n))[1]
        return np.asarray(fit.reshape(risk.shape[1:]) - self.limit_risk)

    def table(self) -> str:
        """Limit and SGD at every saved time, measured gap beside the predicted one, and the verdicts."""
        lines = [f"{self.system}: limit against SGD, {self.risk.shape[2]} seeds a size"]
        i, j = self.neurons.size - 1, self.finest
        value, unsure = self.expected()
        heads = "".join(f"{f'R {k}':>14}{f'± {self._by}':>10}" for k in self.limits)
        law = "W2" if self.laws.shape[-1:] == (1,) or not self.laws.size else "sliced W2"
        lines.append(
            f"{'t':>8}{heads}{f'R SGD N={self.neurons[i]}':>18}{'± s.e.':>11}{'gap':>11}{'expected':>11}{'±':>9}"
            f"{law:>11}"
        )
        mean, error = self.mean()[i, j], self.standard_error()[i, j]
        gap = self.off()[i].mean(axis=0)
        far = self.distance[i, j].mean(axis=0)
        for k, t in enumerate(self.t):
            limits = "".join(
                f"{s.risk[k]:14.6f}{self.limit_errors[kind][k]:10.1e}"
                for kind, s in self.limits.items()
            )
            known = np.isfinite(value[i, k])
            expected = f"{value[i, k]:+11.2e}{unsure[i, k]:9.1e}" if known else f"{'-':>11}{'':9}"
            lines.append(
                f"{t:8.3g}{limits}{mean[k]:18.6f}{error[k]:11.2e}{gap[k]:+11.2e}{expected}{far[k]:11.4f}"
            )
        lines.append(
            f"gap: mean of SGD less {self._beside}; expected: {'' if self.own.size else 'c/N and '}what the step size "
            f"{self.step_sizes[j]:g} adds; {self._by}: the error of the limit, {self._told}"
        )
        for a, n in enumerate(self.neurons):
            for b, e in enumerate(self.step_sizes):
                lines.append(
                    f"N = {n:<6d} step size {e:g}: mean sup|R_N - R| = {self.sup_gap()[a, b]:.4f}, "
                    f"mean gap {np.abs(self.gap()[a, b]).mean():.4f}"
                )
        if self.rates is not None:
            lines += self.rates.table()
        lines += [f"note: {note}" for note in self.remarks]
        lines += verdict_table(self.verdicts)
        if self.seconds:
            lines.append(
                f"limit {self.seconds['limit']:.1f} s, everything {self.seconds['total']:.1f} s"
            )
        return "\n".join(lines)

    @property
    def _by(self) -> str:
        """What the limit's error comes from: particles that were drawn are a sample of it."""
        return "sample" if self.own.size else "mesh"

    @property
    def _told(self) -> str:
        return "by other samples" if self.own.size else "by half as many cells or particles"

    @property
    def _beside(self) -> str:
        if self.own.size:
            return "the flow of each network's own start"
        controlled = self.control.size and self.control.any()
        return f"the limit ({self.reference})" + (" and its start's luck" if controlled else "")

    def as_json(self) -> dict[str, Any]:
        """The report's numbers as JSON has them; None for what is not finite."""
        mean = {"mean": self.mean(), "standard_error": self.standard_error(), "gap": self.gap()}
        laws = {"distance": self.distance.mean(axis=2)}
        if self.output.size:
            laws["output"] = self.output.mean(axis=2)
        found: dict[str, Any] = {
            "system": self.system,
            "parameters": self.parameters,
            "batch_size": self.batch_size,
            "seeds": int(self.risk.shape[2]),
            "t": self.t,
            "neurons": self.neurons,
            "step_sizes": self.step_sizes,
            "limits": {
                kind: {"risk": s.risk, "error": self.limit_errors[kind]}
                for kind, s in self.limits.items()
            },
            **mean,
            **laws,
            "predicted": self.predicted,
            "expected": dict(zip(("gap", "error"), self.expected(), strict=True)),
            "step": None
            if self.step is None
            else {"bias": self.step.value, "error": self.step.error},
            "measured_gap": self.off().mean(axis=1),
            "rates": None if self.rates is None else self.rates.summary(),
            "notes": list(self.remarks),
            "verdicts": [v.as_json() for v in self.verdicts],
            "passed": self.passed,
            "seconds": self.seconds,
        }
        return dict(plain(found))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Risk against time, law against law, errors against N and ε; save to ``path`` if given."""
        from wflow.validation.figure import plot_report

        return plot_report(self, path)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the report as HDF5 with labelled dimensions; readable by xarray, and by :func:`load_report`.

        Raises
        ------
        StorageError
            when the file exists and ``overwrite`` is not set
        """
        from wflow.validation.report_file import save_report

        save_report(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        failed = sum(not v.passed for v in self.verdicts)
        said = (
            "all verdicts pass" if not failed else f"{failed} of {len(self.verdicts)} verdicts fail"
        )
        return f"Report({self.system}, N = {self.neurons.tolist()}, {self.risk.shape[2]} seeds, {said})"
