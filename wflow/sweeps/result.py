"""What a sweep has found so far: a table, and arrays over the plan's axes; NaN where nothing has landed."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, printable
from wflow.results.labelled import SWEEP, Labelled, write_labelled, xarray_package
from wflow.results.load import load
from wflow.results.solution import Solution
from wflow.run.record import quantity
from wflow.storage.disk import replacement
from wflow.sweeps.folder import Folder
from wflow.sweeps.jobs import Job
from wflow.tools.checks import check_kind, check_word

MOST_ENTRIES = 10**8
"""Most numbers of one array over all axes."""
STATUSES = ("done", "failed", "damaged", "begun", "missing")
ALWAYS = ("risk", "free_energy")
"""Series that are there even if no run is."""
LINES = 16
"""Runs that a summary shows."""


@dataclass(frozen=True)
class Ran:
    """What is known of one run; its series are at the times that were asked for, NaN beyond where it came."""

    status: str
    reason: str
    series: dict[str, np.ndarray]
    last: dict[str, float]
    stats: dict[str, Any]
    file: str


class Sweep:
    """The runs of a sweep, as they stand when it is made.

    Attributes
    ----------
    path : the folder
    jobs : every run of the plan; ``job.about`` is all that it depends on, ``job.places`` its value on each axis
    axes : the values on each axis, by its name
    status : of each run, ``done``, ``failed``, ``begun`` or ``missing``, or ``damaged`` where its file cannot be read
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Folder(path)
        self.path = self._folder.path
        plan = self._folder.plan()
        self.jobs = plan.jobs
        self.axes = {name: _axis(name, plan.jobs) for name in plan.axes}
        self._listed = self._folder.statuses(plan.jobs)

    @property
    def status(self) -> list[str]:
        """How each run stands."""
        return [ran.status for ran in self._ran]

    def __len__(self) -> int:
        return len(self.jobs)

    def count(self, status: str) -> int:
        """Runs of a status.

        >>> import tempfile, wflow
        >>> plan = {"system": "isotropic-gaussians", "run": "limit", "t_end": 0.1, "parameters": {"d": [2, 3], "n": 50}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     wflow.sweep(plan, folder, workers=1).count("done")
        2
        """
        return self.status.count(check_word("status", status, STATUSES))

    def reason(self, job: Job) -> str:
        """Why a run failed, or is damaged; nothing for others."""
        return self._ran[self._place(job)].reason

    def solution(self, job: Job) -> Solution:
        """A run as ``wflow.load`` gives it, finished or not.

        Raises
        ------
        InputError
            for a job of another sweep
        StorageError
            where it has no file yet
        """
        places = {"done": self._folder.run, "failed": self._folder.remains}
        return load(places.get(self._listed[self._place(job)], self._folder.draft)(job))

    def _place(self, job: Job) -> int:
        check_kind("job", job, Job, "give one of the sweep's jobs")
        if job not in self.jobs:
            raise InputError(f"{job.digest} is none of this sweep's jobs: take one of sweep.jobs")
        return self.jobs.index(job)

    @cached_property
    def _ran(self) -> list[Ran]:
        return [
            self._look(job, status) for job, status in zip(self.jobs, self._listed, strict=True)
        ]

    def _look(self, job: Job, status: str) -> Ran:
        reason = (self._folder.reason(job) if status == "failed" else None) or ""
        asked = np.array(job.about["t_eval"], dtype=np.float64)
        nothing = Ran(status, reason, {}, {}, {}, "")
        place = {"done": self._folder.run, "failed": self._folder.remains}.get(status)
        if place is None or not place(job).exists():
            return nothing
        try:
            solution = load(place(job))
        except StorageError as e:
            return Ran("damaged", str(e), {}, {}, {}, "")
        if not solution.t.size:
            return nothing
        # A method with a clock of its own saves at its ticks, which are in the file in the order of the frames.
        ticks = np.array(solution.attributes["t_eval"])
        frame = np.abs(asked[:, None] - ticks).argmin(axis=1)
        known = frame < solution.t.size
        frame = np.minimum(frame, solution.t.size - 1)
        if solution.success:
            known[:] = True  # what has come to rest stays as it is in its last frame
        series = {k: np.where(known, v[frame], math.nan) for k, v in solution.series.items()}
        last = {"t": float(solution.t[-1])} | {k: float(v[-1]) for k, v in solution.series.items()}
        inside = os.path.relpath(place(job), self.path)
        return Ran(status, reason, series, last, solution.stats, inside)

    def rows(self) -> list[dict[str, Any]]:
        """One dict a run: its place on the axes, how it ended, the last value of every series, what it cost."""
        found = []
        for job, ran in zip(self.jobs, self._ran, strict=True):
            row = {name: job.places.get(name, "") for name in self.axes}
            row |= {"status": ran.status, **ran.last, "reason": ran.reason}
            row |= {k: ran.stats[k] for k in ("steps", "seconds") if k in ran.stats}
            found.append(row | {"file": ran.file})
        return found

    def table(self, lines: int | None = None) -> str:
        """The rows as text, all of them or so many; failures by their reason."""
        rows = self.rows()
        names = [*self.axes, "status", "t", "risk", "free_energy"]
        names += sorted({k for row in rows for k in row if k.endswith("_risk")} - {*names})
        shown = rows if lines is None else rows[:lines]
        cells = [names] + [[_cell(row.get(name, "")) for name in names] for row in shown]
        widths = [max(len(line[k]) for line in cells) + 2 for k in range(len(names))]
        text = []
        for line, row in zip(cells, [{}, *shown], strict=True):
            padded = "".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True))
            text.append(f"{padded}  {printable(row.get('reason', ''))}".rstrip())
        if len(shown) < len(rows):
            text.append(f"  … {len(rows) - len(shown)} more in table.csv")
        return "\n".join(text)

    def summary(self) -> str:
        """One screen: how many runs, over what, and the first rows of the table."""
        words = [f"{self.count(s)} {s}" for s in STATUSES if self.count(s)]
        axes = " x ".join(f"{name} {len(values)}" for name, values in self.axes.items())
        runs = "1 run" if len(self) == 1 else f"{len(self)} runs"
        head = f"sweep of {runs}{f' over {axes}' if axes else ''}: {', '.join(words)}"
        return f"{head}\n{self.table(LINES)}"

    def arrays(self) -> dict[str, Labelled]:
        """Every series over (axes, t), with what each run cost; the axes bear their own names.

        A run that does not depend on an axis, as the limit does not on the number of neurons, stands all along it.
        Where runs are saved at different times, the last axis counts frames and ``t`` is an array of its own.

        Raises
        ------
        InputError
            where the axes span more than 10^8 numbers, as long lists of single runs do: take ``rows()``
        """
        asked = [np.array(job.about["t_eval"], dtype=np.float64) for job in self.jobs]
        frames, shape = max(map(len, asked)), tuple(len(v) for v in self.axes.values())
        if math.prod(shape) * frames > MOST_ENTRIES:
            span = " x ".join(map(str, (*shape, frames)))
            raise InputError(
                f"the axes span {span} numbers, most of them of no run: take rows() and solution(job) instead"
            )
        same = all(np.array_equal(times, asked[0]) for times in asked)
        names = dict.fromkeys([*ALWAYS, *(name for r in self._ran for name in r.series)])
        columns = {name: [r.series.get(name) for r in self._ran] for name in names}
        found = {name: Labelled(values, (name,)) for name, values in self.axes.items()}
        if same:
            found["t"] = _labelled("t", asked[0], ("t",))
        else:
            columns["t"] = list(asked)
        over = (*self.axes, "t" if same else "frame")
        for name, values in columns.items():
            found[name] = _labelled(name, self._spread(values, shape, frames), over)
        for name, unit, meaning in (
            ("seconds", "s", "time it took"),
            ("steps", "1", "steps it took"),
        ):
            spent = [np.array([r.stats.get(name, math.nan)]) for r in self._ran]
            whole = self._spread(spent, shape, 1)[..., 0]
            found[f"run_{name}"] = Labelled(whole, tuple(self.axes), unit, meaning)
        return found

    def _spread(
        self, values: Sequence[np.ndarray | None], shape: tuple[int, ...], frames: int
    ) -> np.ndarray:
        """One array over all axes from those of the runs."""
        at = {name: {v: k for k, v in enumerate(_known(name, self.jobs))} for name in self.axes}
        whole = np.full((*shape, frames), math.nan)
        for job, one in zip(self.jobs, values, strict=True):
            if one is not None:
                place = [
                    at[name][job.places[name]] if name in job.places else slice(None)
                    for name in self.axes
                ]
                whole[(*place, slice(one.size))] = one
        return whole

    def _about(self) -> dict[str, Any]:
        """What all runs have in common, and how many have landed."""
        first = self.jobs[0].places
        common = {k: v for k, v in first.items() if all(j.places.get(k) == v for j in self.jobs)}
        return common | {
            "runs": len(self),
            "done": self.count("done"),
            "failed": self.count("failed"),
        }

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` of :meth:`arrays`.

        Raises
        ------
        InputError
            when xarray is not installed (it is in the extra ``xarray``), and as in :meth:`arrays`
        """
        xarray = xarray_package()
        arrays = {
            name: (
                a.dims,
                a.values,
                {"units": a.unit} | ({"long_name": a.meaning} if a.meaning else {}),
            )
            for name, a in self.arrays().items()
        }
        coords = {name: arrays.pop(name) for name in [*arrays] if arrays[name][0] == (name,)}
        return xarray.Dataset(arrays, coords, self._about())

    def write(self) -> list[str]:
        """Write ``table.csv`` and, unless the axes span too much, ``sweep.h5`` into the folder; their names."""
        rows = self.rows()
        names = dict.fromkeys([*self.axes, "status"] + [name for row in rows for name in row])
        with (
            replacement(self.path / "table.csv", overwrite=True) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(names), restval="")
            writer.writeheader()
            writer.writerows(rows)
        try:
            arrays = self.arrays()
        except InputError:
            return ["table.csv"]
        about = {"format": SWEEP, **self._about(), "summary": self.summary()}
        write_labelled(self.path / "sweep.h5", arrays, about, overwrite=True)
        return ["table.csv", "sweep.h5"]

    def __repr__(self) -> str:
        return f"Sweep({self.path}: {self.count('done')} of {len(self)} runs)"


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The sweep in a folder, finished or not, as it stands now.

    Parameters
    ----------
    path : the folder that :func:`wflow.sweep` was given

    Raises
    ------
    StorageError
        for a folder of anything else

    >>> import tempfile, wflow
    >>> plan = {"system": "isotropic-gaussians", "run": "limit", "t_end": 0.1, "parameters": {"d": [3, 4]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = wflow.sweep(plan, folder + "/study", workers=1)
    ...     len(load_sweep(folder + "/study").jobs)
    2
    """
    return Sweep(path)


def _labelled(name: str, values: np.ndarray, dims: tuple[str, ...]) -> Labelled:
    about = quantity(name)
    return Labelled(values, dims, about.unit, about.meaning)


def _known(name: str, jobs: Sequence[Job]) -> list[Any]:
    """The values on an axis: numbers in their order, words as they come."""
    values = list(dict.fromkeys(job.places[name] for job in jobs if name in job.places))
    return sorted(values, key=_number) if all(map(_is_number, values)) else values


def _axis(name: str, jobs: Sequence[Job]) -> np.ndarray:
    values = _known(name, jobs)
    if all(map(_is_number, values)):
        return np.array([_number(v) for v in values])
    return np.array([str(v) for v in values], dtype=object)


def _is_number(value: Any) -> bool:
    return value == "inf" or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value: Any) -> Any:
    return math.inf if value == "inf" else value


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else printable(value)
