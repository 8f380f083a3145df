"""What the validation of a system of many layers found: numbers, table, figure, file, verdicts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from wflow.errors import damaged
from wflow.results.labelled import LAYERS, Labelled, read_labelled, write_labelled
from wflow.results.plotting import chosen_parameters
from wflow.tools.pictures import BLUE, ORANGE, caption, facts, new_figure, save_figure
from wflow.validation.trend import Trend, stored_verdict, trend_of
from wflow.validation.verdicts import Verdict, failures, headline, plain, verdict_table

PANELS = (
    ("N", "parameter"),
    ("N", "loss"),
    ("step size", "parameter"),
    ("T", "parameter"),
    ("L", "parameter"),
)
"""Studies and units that are drawn."""


class Expected(NamedTuple):
    """The mean gap that the studies make expect, how far it is open, and how skewed gaps are, at times t (K,)."""

    t: np.ndarray
    gap: np.ndarray
    error: np.ndarray
    skew: np.ndarray


@dataclass(frozen=True)
class LayersReport:
    """Limit against SGD networks of one width and step size.

    Attributes
    ----------
    system, parameters : its name, and what it was made with
    t : times (T,)
    limit, path : risk of the limit (T,), and times and risks (2, K) at every step of it
    risk : of the networks (S, T)
    neurons, step_size, batch_size : N, ε and P
    expected : the mean of R_N − R that the studies make expect, or None without them
    gaps : verdicts on that mean
    studies : of N, the step size, T and L, each a :class:`wflow.validation.Trend`
    notes : what is left out, and why
    seconds : what it took
    """

    system: str
    parameters: dict[str, Any]
    t: np.ndarray
    limit: np.ndarray
    path: np.ndarray
    risk: np.ndarray
    neurons: int
    step_size: float
    batch_size: int
    expected: Expected | None
    gaps: tuple[Verdict, ...]
    studies: tuple[Trend, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A record a line: name, value, band, bound, passed, decides."""
        return self.gaps + tuple(v for trend in self.studies for v in trend.verdicts)

    @property
    def passed(self) -> bool:
        """Whether every verdict has passed."""
        return all(v.passed for v in self.verdicts)

    def gap(self) -> np.ndarray:
        """Mean of R_N − R over the networks, (T,)."""
        return np.asarray(self.risk.mean(axis=0) - self.limit)

    def standard_error(self) -> np.ndarray:
        """Standard error of the mean over seeds, (T,)."""
        return np.asarray(self.risk.std(axis=0, ddof=1) / np.sqrt(len(self.risk)))

    def table(self) -> str:
        """Limit and SGD at every saved time, the studies, and the verdicts."""
        lines = [f"{self.system}: limit against SGD, {self._sizes()}"]
        lines.append(
            f"{'t':>8}{'R':>12}{'R SGD':>12}{'± s.e.':>10}{'gap':>11}{'expected':>11}{'±':>10}"
        )
        gap, error = self.gap(), self.standard_error()
        mean = self.risk.mean(axis=0)
        for k, t in enumerate(self.t):
            lines.append(
                f"{t:8.4g}{self.limit[k]:12.6f}{mean[k]:12.6f}{error[k]:10.1e}{gap[k]:+11.2e}"
                + self._expected_at(t)
            )
        for trend in self.studies:
            lines += ["", *trend.lines()]
        lines += ["", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*lines, *verdict_table(self.verdicts), f"{self.seconds:.1f} s"])

    def _expected_at(self, t: float) -> str:
        if self.expected is not None:
            k = int(np.argmin(np.abs(self.expected.t - t)))
            if abs(self.expected.t[k] - t) <= 0.51 * self.step_size:
                return f"{self.expected.gap[k]:+11.2e}{self.expected.error[k]:10.1e}"
        return f"{'-':>11}"

    def _sizes(self) -> str:
        sizes = {
            "neurons": self.neurons,
            "step_size": self.step_size,
            "batch_size": self.batch_size,
        }
        return f"{facts(sizes)}, {len(self.risk)} networks"

    def as_json(self) -> dict[str, Any]:
        """The report's numbers as JSON has them; None for what is not finite."""
        expected = None if self.expected is None else self.expected._asdict()
        found = {
            "system": self.system,
            "parameters": self.parameters,
            "neurons": self.neurons,
            "step_size": self.step_size,
            "batch_size": self.batch_size,
            "seeds": len(self.risk),
            "t": self.t,
            "limit": self.limit,
            "mean": self.risk.mean(axis=0),
            "standard_error": self.standard_error(),
            "gap": self.gap(),
            "expected": expected,
            "studies": {trend.study: trend.as_json() for trend in self.studies},
            "notes": list(self.notes),
            "verdicts": [v.as_json() for v in self.verdicts],
            "passed": self.passed,
            "seconds": self.seconds,
        }
        return dict(plain(found))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Risk against time, and what the studies found; save to ``path`` if given."""
        shown = [
            (trend, unit) for name, unit in PANELS for trend in self.studies if trend.study == name
        ]
        figure, axes = new_figure(3, 2) if shown else new_figure(1)
        figure.suptitle(
            f"{self.system}: mean-field limit and SGD, {headline(self.verdicts)}", fontsize=11
        )
        text = f"{facts(chosen_parameters(self.parameters))}, {self._sizes()}"
        caption(figure, text + failures(self.verdicts))
        self._draw_risk(axes[0])
        for axis, (trend, unit) in zip(axes[1:], shown, strict=True):
            trend.draw(axis, unit)
            axis.set_title(f"study in {trend.study}: {facts(trend.sizes)}", fontsize=7)
        if path is not None:
            save_figure(figure, path)
        return figure

    def _draw_risk(self, axis: Any) -> None:
        axis.plot(*self.path, color=BLUE, lw=1.4, label="limit")
        axis.errorbar(
            self.t,
            self.risk.mean(axis=0),
            3 * self.standard_error(),
            fmt="o",
            ms=4,
            capsize=2,
            color=ORANGE,
            label=f"SGD, N = {self.neurons}, mean ± 3 s.e.",
        )
        if self.expected is not None:
            at = np.interp(self.expected.t, self.t, self.limit)
            axis.errorbar(
                self.expected.t,
                at + self.expected.gap,
                self.expected.error,
                fmt="_",
                ms=12,
                color="black",
                label="expected mean",
            )
        axis.set(xlabel="time t = steps × step size", ylabel="risk R [loss]", yscale="log")
        axis.legend(fontsize=7, frameon=False)
        axis.grid(alpha=0.3, which="both")

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the report as HDF5; :func:`wflow.validation.load_report` reads it again, and any reader of HDF5.

        Raises
        ------
        StorageError
            when the file exists and ``overwrite`` is not set
        """
        arrays = {
            "t": Labelled(self.t, ("t",), "time"),
            "limit": Labelled(self.limit, ("t",), "loss", "risk of the limit"),
            "step": Labelled(self.path[0], ("step",), "time", "times of the limit's steps"),
            "limit_steps": Labelled(self.path[1], ("step",), "loss", "risk of the limit"),
            "risk": Labelled(self.risk, ("seed", "t"), "loss", "risk of the SGD networks"),
        }
        if self.expected is not None:
            arrays["expected_t"] = Labelled(self.expected.t, ("expected_t",), "time")
            for name, unit, meaning in (
                ("gap", "loss", "expected mean of R_N - R"),
                ("error", "loss", "how far it is open"),
                ("skew", "1", "skewness over seeds of R_N - R"),
            ):
                values = getattr(self.expected, name)
                arrays[f"expected_{name}"] = Labelled(values, ("expected_t",), unit, meaning)
        for k, trend in enumerate(self.studies, 1):
            arrays |= trend.arrays(f"study_{k}_")
        about = {
            "format": LAYERS,
            "system": self.system,
            "parameters": self.parameters,
            "neurons": self.neurons,
            "step_size": self.step_size,
            "batch_size": self.batch_size,
            "gaps": [v.as_json() for v in self.gaps],
            "studies": [trend.about() for trend in self.studies],
            "notes": list(self.notes),
            "seconds": self.seconds,
            "summary": self.table(),
        }
        write_labelled(path, arrays, about, overwrite=overwrite)

    def __repr__(self) -> str:
        failed = sum(not v.passed for v in self.verdicts)
        said = (
            "all verdicts pass" if not failed else f"{failed} of {len(self.verdicts)} verdicts fail"
        )
        return f"LayersReport({self.system}, N = {self.neurons}, {len(self.risk)} seeds, {said})"


def load_layers(path: str | os.PathLike[str]) -> LayersReport:
    """The report in a file that :meth:`LayersReport.save` has written.

    Raises
    ------
    StorageError
        for a file of anything else, or a damaged one
    """
    arrays, about = read_labelled(path, LAYERS)
    try:
        expected = None
        if "expected_t" in arrays:
            expected = Expected(*(arrays[f"expected_{name}"] for name in Expected._fields))
        return LayersReport(
            system=str(about["system"]),
            parameters=json.loads(about["parameters"]),
            t=arrays["t"],
            limit=arrays["limit"],
            path=np.array([arrays["step"], arrays["limit_steps"]]),
            risk=arrays["risk"],
            neurons=int(about["neurons"]),
            step_size=float(about["step_size"]),
            batch_size=int(about["batch_size"]),
            expected=expected,
            gaps=tuple(stored_verdict(**row) for row in json.loads(about["gaps"])),
            studies=tuple(
                trend_of(arrays, each, f"study_{k}_")
                for k, each in enumerate(json.loads(about["studies"]), 1)
            ),
            notes=tuple(json.loads(about["notes"])),
            seconds=float(about["seconds"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(path, "an entry is missing or no report's") from None
