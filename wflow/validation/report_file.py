"""Reports as files: labelled arrays that any reader of HDF5 understands, and back again, older ones too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from wflow.errors import damaged
from wflow.measures import Particles
from wflow.results.labelled import (
    LAYERS,
    REPORT,
    Labelled,
    kind_of_file,
    read_labelled,
    write_labelled,
)
from wflow.results.solution import Solution
from wflow.tools.checks import check_path
from wflow.validation.layers_report import LayersReport, load_layers
from wflow.validation.rates import Rates
from wflow.validation.report import Report
from wflow.validation.steps import StepEffect
from wflow.views import VIEWS, view_of

AXES = ("neurons", "step_size", "seed", "t")
RATES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "risk": (
        ("width", "rate_seed", "rate_t"),
        "loss",
        "risk of the networks of the study of rates",
    ),
    "output": (("width", "rate_seed", "rate_t"), "loss", "their squared distance in output"),
    "transport": (("width", "rate_seed", "rate_t"), "parameter", "their W2 distance in law"),
    "lipschitz": (("width", "rate_seed", "rate_t"), "1", "their bounded-Lipschitz distance in law"),
    "control": (("width", "rate_seed", "rate_t"), "loss", "first-order effect of their starts"),
    "limit": (("rate_t",), "loss", "risk of the limit"),
    "limit_error": (("rate_t",), "loss", "its change on half the mesh"),
    "excess": (("rate_t",), "loss", "N times the excess risk of independent neurons"),
    "noise_risk": (
        ("noise_width", "rate_step", "noise_seed", "rate_t"),
        "loss",
        "risk, one start, samples apart",
    ),
    "noise_output": (
        ("noise_width", "rate_step", "noise_pair", "rate_t"),
        "loss",
        "half their squared distances",
    ),
}
"""Arrays of a study in a file, each under its name after ``rate_``: dimensions, unit, meaning."""
SCALES = {"t": ("rate_t", "time"), "widths": ("width", "1"), "steps": ("rate_step", "time")}


def save_report(report: Report, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a report."""
    arrays = {
        "neurons": Labelled(report.neurons, ("neurons",)),
        "step_size": Labelled(report.step_sizes, ("step_size",), "time"),
        "t": Labelled(report.t, ("t",), "time"),
        "risk": Labelled(report.risk, AXES, "loss", "risk of the SGD networks"),
        "distance": Labelled(report.distance, AXES, "parameter", "W2 distance to the limit's law"),
    }
    for name, unit, meaning in (
        ("output", "loss", "squared distance in output from the limit"),
        ("control", "loss", "first-order effect of the start on the risk"),
    ):
        if (values := getattr(report, name)).size:
            arrays[name] = Labelled(values, AXES, unit, meaning)
    if report.own.size:
        meaning = "risk of the flow of each network's own start"
        arrays["own"] = Labelled(report.own, ("neurons", "seed", "t"), "loss", meaning)
    if report.step is not None:
        for name, values in (("bias", report.step.value), ("error", report.step.error)):
            meaning = f"what a unit of step size adds to the mean risk: {name}"
            arrays[f"step_{name}"] = Labelled(values, ("neurons", "t"), "loss/time", meaning)
    if report.laws.size:
        arrays["laws"] = Labelled(
            report.laws,
            ("seed", "t", "neuron", "coordinate"),
            "parameter",
            "reduced neurons, largest network",
        )
    views: dict[str, Any] = {}
    for kind, solution in report.limits.items():
        views[kind] = solution.view.describe()
        arrays |= _limit_arrays(kind, solution, report.limit_errors[kind])
    arrays |= {
        f"predicted_{name}": Labelled(values, ("t",), "loss", "predicted")
        for name, values in report.predicted.items()
    }
    if (rates := report.rates) is not None:
        for name, (dim, unit) in SCALES.items():
            arrays[dim] = Labelled(getattr(rates, name), (dim,), unit)
        for name, (dims, unit, meaning) in RATES.items():
            arrays[f"rate_{name}"] = Labelled(getattr(rates, name), dims, unit, meaning)
        arrays |= {
            f"rate_predicted_{name}": Labelled(values, ("rate_t",), "loss", "predicted")
            for name, values in rates.predicted.items()
        }
    attributes = {
        "format": REPORT,
        "system": report.system,
        "parameters": report.parameters,
        "batch_size": report.batch_size,
        "seconds": report.seconds,
        "limits": views,
        "notes": list(report.notes),
        "verdicts": [v.as_json() for v in report.verdicts],
        "summary": report.table(),
    }
    write_labelled(path, arrays, attributes, overwrite=overwrite)


def _limit_arrays(kind: str, solution: Solution, error: np.ndarray) -> dict[str, Labelled]:
    """A limit's risk at the saved times and at every step, its error, and its law."""
    meaning = f"risk of the limit, {kind}"
    found = {
        f"limit_{kind}": Labelled(solution.risk, ("t",), "loss", meaning),
        f"limit_{kind}_error": Labelled(
            error, ("t",), "loss", f"{meaning}: its change on half the mesh"
        ),
    }
    if "risk" in solution.steps:
        step = f"{kind}_step"
        found[step] = Labelled(solution.steps["t"], (step,), "time", "times of the limit's steps")
        found[f"limit_{kind}_steps"] = Labelled(solution.steps["risk"], (step,), "loss", meaning)
    frames = [solution.view.store(m) for m in solution.measures]
    for axis, (centers, edges) in solution.view.axes.items():
        found[axis] = Labelled(centers, (axis,), "parameter")
        found[f"{axis}_edges"] = Labelled(edges, (f"{axis}_edge",), "parameter")
    for name, values in solution.view.stack(frames).items():
        stored = solution.view.fields[name]
        found[name] = Labelled(values, ("t", *stored.dims), stored.unit, f"limit, {stored.meaning}")
    return found


def load_report(path: str | os.PathLike[str]) -> Report | LayersReport:
    """The report, of whichever kind, in a file that ``Report.save`` or ``wflow validate`` has written.

    Parameters
    ----------
    path : of the file

    Raises
    ------
    StorageError
        for a file that is missing, damaged, or no report

    >>> import tempfile, wflow
    >>> small = {"neurons": [4], "seeds": 2, "step_sizes": [1e-2], "t_end": 0.05, "rates": False}
    >>> system = wflow.systems.get("isotropic-gaussians", d=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = wflow.validate(system, **small, output=folder + "/report.h5")
    ...     load_report(folder + "/report.h5").verdicts == report.verdicts
    True
    """
    if kind_of_file(check_path("path", path)) == LAYERS:
        return load_layers(path)
    arrays, about = read_labelled(path, REPORT)
    try:
        return _rebuilt(arrays, about)
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as e:
        raise damaged(path, f"it is no whole report ({e})") from None


def _rebuilt(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Report:
    kinds = [kind for kind in ("grid", "particles") if f"limit_{kind}" in arrays]
    views = json.loads(about.get("limits", "{}"))
    predicted = _named(arrays, "predicted_")
    rates = None
    if "rate_risk" in arrays:
        rates = Rates(
            **{name: arrays[dim] for name, (dim, _) in SCALES.items()},
            **{name: arrays[f"rate_{name}"] for name in RATES},
            batch_size=int(about["batch_size"]),
            notes=(),  # they stand among the report's
            predicted=_named(arrays, "rate_predicted_"),
        )
    return Report(
        system=str(about["system"]),
        parameters=json.loads(about["parameters"]),
        t=arrays["t"],
        neurons=arrays["neurons"],
        step_sizes=arrays["step_size"],
        limits={kind: _limit(kind, arrays, views.get(kind)) for kind in kinds},
        risk=arrays["risk"],
        distance=arrays["distance"],
        laws=arrays.get("laws", np.empty(0)),
        limit_errors={kind: arrays[f"limit_{kind}_error"] for kind in kinds},
        batch_size=int(about.get("batch_size", 1)),
        seconds=json.loads(about.get("seconds", "{}")),
        output=arrays.get("output", np.empty(0)),
        control=arrays.get("control", np.empty(0)),
        rates=rates,
        predicted=predicted,
        step=StepEffect(arrays["step_bias"], arrays["step_error"])
        if "step_bias" in arrays
        else None,
        own=arrays.get("own", np.empty(0)),
        notes=tuple(json.loads(about.get("notes", "[]"))),
    )


def _named(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by what follows."""
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def _limit(
    kind: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None
) -> Solution:
    """A limit as a Solution; older files hold the law on a grid alone, and of that the centres of its cells."""
    t, series = arrays["t"], {"risk": arrays[f"limit_{kind}"]}
    steps = {}
    if f"limit_{kind}_steps" in arrays:
        steps = {"t": arrays[f"{kind}_step"], "risk": arrays[f"limit_{kind}_steps"]}
    if about is not None:
        names = about.get("names", ())
        view = VIEWS[kind].rebuild(about, {n: arrays.get(f"{n}_edges", np.empty(0)) for n in names})
        frames = [{name: arrays[name][k] for name in view.fields} for k in range(t.size)]
    elif kind == "grid" and "density" in arrays:
        axis = next(n for n, a in arrays.items() if a.shape == arrays["density"].shape[1:])
        width = np.diff(arrays[axis]).mean()
        edges = np.append(arrays[axis] - width / 2, arrays[axis][-1] + width / 2)
        about = {"names": [axis], "periodic": [False]}
        view = VIEWS[kind].rebuild(about, {axis: edges})
        frames = [{"density": density} for density in arrays["density"]]
    else:
        empty = Particles(np.zeros((1, 1)))
        view, frames = view_of(empty), []
    return Solution(
        t=t,
        series=series,
        steps=steps,
        frames=frames,
        view=view,
        success=True,
        message="",
        stats={},
        attributes={},
    )
