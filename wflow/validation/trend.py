"""What a study of one quantity finds: curves against it with error bars, and verdicts; as table, figure and file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError, damaged
from wflow.results.labelled import STUDY, Labelled, read_labelled, write_labelled
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.systems.catalogue import System
from wflow.tools.checks import check_count, check_flag, check_kind
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, caption, facts, new_figure, save_figure
from wflow.validation.exponents import Estimate, slope
from wflow.validation.intervals import student
from wflow.validation.rates import RESAMPLES
from wflow.validation.reference import Reference
from wflow.validation.verdicts import OTHER, Verdict, plain, verdict, verdict_table

FEWEST = 3
"""Values through which a power is fitted: two carry no line."""
MOST = 1e9
"""Steps of a network."""
ENDLESS = (-np.inf, np.inf)


@dataclass(frozen=True)
class Curve:
    """Values against the axis of a study and their standard errors, (X,) each; NaN where there is none."""

    value: np.ndarray
    error: np.ndarray
    unit: str = "loss"


@dataclass(frozen=True)
class Trend:
    """What a study found.

    Attributes
    ----------
    study : its name, ``d`` say
    system, parameters : what was studied
    x, unit : values on the axis, (X,), and their unit
    curves : by what they show, each with standard errors
    verdicts : name, value, band, bound, passed and decides
    sizes : what was trained, by name
    notes : what is left out, and why
    seconds : what it took
    """

    study: str
    system: str
    parameters: dict[str, Any]
    x: np.ndarray
    curves: dict[str, Curve]
    verdicts: tuple[Verdict, ...]
    sizes: dict[str, Any] = field(default_factory=dict)
    unit: str = "1"
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every verdict has passed."""
        return all(v.passed for v in self.verdicts)

    def table(self) -> str:
        """The curves with standard errors, a line for each value of the axis, and the verdicts."""
        lines = [*self.lines(), *verdict_table(self.verdicts), f"{self.seconds:.1f} s"]
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """The curves and the notes."""
        lines = [f"{self.system}, study in {self.study}: {facts(self.sizes)}"]
        names = [f"[{k}]" for k in range(1, len(self.curves) + 1)]
        lines += [f"{name} {what}" for name, what in zip(names, self.curves, strict=True)]
        lines.append(f"{self.study:>10}" + "".join(f"{f'{name} ± s.e.':>20}" for name in names))
        for k, x in enumerate(self.x):
            cells = [f"{_with_error(c.value[k], c.error[k]):>20}" for c in self.curves.values()]
            lines.append(f"{x:10g}" + "".join(cells))
        return lines + [f"note: {note}" for note in self.notes]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it; None for what is not finite."""
        found = {name: asdict(curve) for name, curve in self.curves.items()}
        verdicts = [v.as_json() for v in self.verdicts]
        return dict(plain({**vars(self), "curves": found, "verdicts": verdicts}))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The curves of each unit in a panel, on logarithmic axes; save to ``path`` if given."""
        units = list(dict.fromkeys(curve.unit for curve in self.curves.values()))
        figure, axes = new_figure(len(units))
        figure.suptitle(f"{self.system}: study in {self.study}", fontsize=11)
        for unit, axis in zip(units, axes, strict=True):
            self.draw(axis, unit)
        caption(figure, facts({**self.parameters, **self.sizes}))
        if path is not None:
            save_figure(figure, path)
        return figure

    def draw(self, axis: Any, unit: str) -> None:
        """The curves of one unit in matplotlib axes."""
        from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

        shown = {name: c for name, c in self.curves.items() if c.unit == unit}
        for k, (name, c) in enumerate(shown.items()):
            held = np.isfinite(c.value) & (c.value > 0)
            below = np.minimum(c.error, 0.9 * np.abs(c.value))
            axis.errorbar(
                self.x[held],
                c.value[held],
                [below[held], c.error[held]],
                fmt="osv^D"[k % 5] + ("-" if held.sum() > 2 else ""),
                color=(BLUE, ORANGE, GREEN, GREY, "black")[k % 5],
                ms=4,
                capsize=2,
                label=name,
            )
        where = self.study if self.unit == "1" else f"{self.study} [{self.unit}]"
        axis.set(xscale="log", yscale="log", xlabel=where)
        axis.xaxis.set_major_locator(FixedLocator(self.x.tolist()))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
        axis.set_ylabel(f"[{unit}], ± s.e.")
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** 0.6)  # room for the legend
        axis.legend(fontsize=7, frameon=False, loc="upper right")
        axis.grid(alpha=0.3, which="both")

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as HDF5; :func:`load_trend` reads it again, and any reader of HDF5.

        Raises
        ------
        StorageError
            when the file exists and ``overwrite`` is not set
        """
        about = {"format": STUDY, **self.about(), "summary": self.table()}
        write_labelled(path, self.arrays(), about, overwrite=overwrite)

    def arrays(self, prefix: str = "") -> dict[str, Labelled]:
        """The axis and the curves, under names for a file."""
        axis = prefix + self.study
        arrays = {axis: Labelled(self.x, (axis,), self.unit)}
        for k, (name, curve) in enumerate(self.curves.items(), 1):
            arrays[f"{prefix}curve_{k}"] = Labelled(curve.value, (axis,), curve.unit, name)
            arrays[f"{prefix}curve_{k}_error"] = Labelled(
                curve.error, (axis,), curve.unit, f"{name}: s.e."
            )
        return arrays

    def about(self) -> dict[str, Any]:
        """All the rest, as JSON."""
        rest = {k: v for k, v in self.as_json().items() if k not in ("x", "curves")}
        return rest | {"curves": {name: curve.unit for name, curve in self.curves.items()}}


def load_trend(path: str | os.PathLike[str]) -> Trend:
    """A study from its file.

    Raises
    ------
    StorageError
        for a file of anything else, or a damaged one

    Parameters
    ----------
    path : what ``Trend.save``, or ``wflow validate --study`` with ``-o``, has written

    >>> import tempfile
    >>> from wflow.validation import horizon_study
    >>> few = {"neurons": 5, "seeds": 2, "step_size": 0.01, "n_limit": 20, "predictions": False}
    >>> found = horizon_study("isotropic-gaussians", (0.1, 0.2, 0.4), **few)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found.save(folder + "/study.h5")
    ...     load_trend(folder + "/study.h5").x.tolist()
    [0.1, 0.2, 0.4]
    """
    arrays, about = read_labelled(path, STUDY)
    try:
        read = ("parameters", "sizes", "notes", "curves", "verdicts")
        return trend_of(arrays, {**about, **{k: json.loads(about[k]) for k in read}})
    except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(path, "an entry is missing or no study's") from None


def trend_of(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], prefix: str = "") -> Trend:
    """The study of :meth:`Trend.arrays` and :meth:`Trend.about`."""
    curves = {
        name: Curve(arrays[f"{prefix}curve_{k}"], arrays[f"{prefix}curve_{k}_error"], unit)
        for k, (name, unit) in enumerate(about["curves"].items(), 1)
    }
    return Trend(
        study=str(about["study"]),
        system=str(about["system"]),
        parameters=about["parameters"],
        x=arrays[prefix + str(about["study"])],
        curves=curves,
        verdicts=tuple(stored_verdict(**row) for row in about["verdicts"]),
        sizes=about["sizes"],
        unit=str(about["unit"]),
        notes=tuple(about["notes"]),
        seconds=float(about["seconds"]),
    )


def _with_error(value: float, error: float) -> str:
    """A value and its standard error; the value alone where there is no error."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.4g} ± {error:.1g}" if error else f"{value:.4g}"


def stored_verdict(
    name: str, value: Any, band: Any, bound: Any, passed: bool, decides: bool = True
) -> Verdict:
    """A verdict as its JSON has it: what is None there is no number."""
    numbers = [np.nan if v is None else float(v) for v in (value, *band)]
    low, high = (float(v if v is not None else end) for v, end in zip(bound, ENDLESS, strict=True))
    ends = (numbers[1], numbers[2]), (low, high)
    return Verdict(name, numbers[0], *ends, bool(passed), bool(decides))


def mean_curve(each: np.ndarray, unit: str = "loss") -> Curve:
    """The mean over seeds of values (X, S), and its standard error."""
    return Curve(each.mean(axis=1), each.std(axis=1, ddof=1) / np.sqrt(each.shape[1]), unit)


def resampled(
    fit: Callable[[Sequence[np.ndarray]], np.ndarray | float],
    *each: np.ndarray,
    together: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """What is fitted to values (X, S, …), and its standard error over seeds that are drawn anew.

    At every x apart; or ``together``, where a seed is one network, or one start, at all x.
    """
    rng = np.random.default_rng(0)
    x, seeds = each[0].shape[:2]
    row = np.arange(x)[:, None]
    drawn = []
    for _ in range(RESAMPLES):
        pick = rng.integers(0, seeds, (1 if together else x, seeds))
        drawn.append(fit([one[row, pick] for one in each]))
    return np.asarray(fit(each)), np.std(np.array(drawn), axis=0, ddof=1)


def exponent(x: np.ndarray, each: np.ndarray, together: bool = False) -> Estimate:
    """The power of x in the mean over seeds of values (X, S), which are ``together`` as in :func:`resampled`.

    Raises
    ------
    ComputationError
        where a value is 0: networks of a few neurons may be their limit itself
    """
    if not (each > 0.0).all():
        k, seed = np.argwhere(~(each > 0.0))[0]
        raise ComputationError(
            f"no power is fitted through {each[k, seed]:g}, the difference of network {seed} at {x[k]:g}: "
            "give wider networks, or other seeds"
        )
    found, error = resampled(
        lambda v: slope(x, v[0].mean(axis=1)[:, None]), each, together=together
    )
    return Estimate(float(found), float(error))


def exponent_verdict(name: str, fit: Estimate, seeds: int, low: float, high: float) -> Verdict:
    """The verdict on a power that was fitted over so many seeds."""
    other = [end + sign * OTHER for end, sign in ((low, -1), (high, 1)) if np.isfinite(end)]
    return verdict(name, fit.value, student(seeds - 1) * fit.error, low, high, other)


def limit_of(system: System, times: tuple[float, ...], n: int | None) -> tuple[Reference, Solution]:
    """The limit at some times, of n particles where a system has them, or else cells.

    Raises
    ------
    ComputationError
        when it fails
    """
    flow, network = system.flow(), system.network()
    kind = "particles" if "particles" in system.measures else "grid"
    solution = solve(flow, system.initial(kind, n), (0.0, times[-1]), t_eval=times)
    if not solution.success:
        raise ComputationError(f"the limit of '{system.name}' failed: {solution.message}")
    return Reference(solution, flow.energy, network), solution


def check_axis(name: str, values: Sequence[Any], check: Callable[[Any], Any]) -> list[Any]:
    """At least FEWEST rising values, for a power to be fitted."""
    found = sorted({check(v) for v in values})
    if len(found) < FEWEST or len(found) < len(list(values)):
        raise InputError(f"{name} {found}: a power is fitted through {FEWEST} or more, each once")
    return found


def check_training(executor: Any, workers: Any, progress: Any) -> None:
    """Refuse what cannot train networks, and what says neither yes nor no, before anything is computed."""
    if executor is not None:
        check_kind("executor", executor, Executor, "give one of concurrent.futures' interface")
    if workers is not None:
        check_count("workers", workers)
    check_flag("progress", progress)


def check_steps(end: float, step: float) -> None:
    """Refuse an end that nobody would wait for, before the limit is solved."""
    if not end / step < MOST:
        raise InputError(
            f"T = {end:g} in steps of {step:.3g} takes {end / step:.2g} steps: at most {MOST:.0e}"
        )


def described(parameters: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Parameters of a system but those that a study varies."""
    return {name: value for name, value in parameters.items() if name not in without}
