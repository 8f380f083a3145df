"""``wflow.resume``: a run from its file, carried on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError
from wflow.flow import GradientFlow
from wflow.results.load import load, stored_view
from wflow.results.solution import Solution
from wflow.run.execute import Settings, carry_on
from wflow.run.solve import check_times
from wflow.run.trackers import Tracker, default_trackers
from wflow.solvers.method import Tolerance, get_method
from wflow.storage import Checkpoint, RunWriter, StoredRun, read_run


def resume(
    path: str | os.PathLike[str],
    flow: GradientFlow | None = None,
    t_end: float | None = None,
    *,
    t_eval: Any = None,
    trackers: Sequence[Tracker] = (),
    progress: bool = False,
    checkpoint_every: float = 30.0,
) -> Solution:
    """Carry a run on from its last checkpoint, to its own end or to ``t_end``.

    The path is that of a run which was never cut, bit for bit on the same machine and thread count.

    Parameters
    ----------
    path : the run's HDF5 file
    flow : the user's own flow, checked by its fingerprint; a system's flow is rebuilt from the file
    t_end : new end of the run
    t_eval : further times to save at, after the old end; by default ``t_end`` alone
    trackers : the run's own watchers once more, in their order: they go on from what they remembered

    Raises
    ------
    InputError
        for a flow that is not the file's, or a t_end before the file's end
    StorageError
        for a file that cannot be carried on
    """
    stored = read_run(path)
    about = stored.attributes
    end = float(about["t_span"][1])
    if t_end is not None and not (math.isfinite(t_end) and t_end >= end):
        raise InputError(
            f"t_end = {t_end:g}: the run in {path} already goes to {end:g}; ask for more"
        )
    if t_eval is not None and (t_end is None or t_end == end):
        raise InputError(f"t_eval without a later t_end: {path} keeps its own times up to {end:g}")
    if stored.status == "done" and (t_end is None or t_end == end):
        return load(path)
    if about["run"] == "sgd":
        from wflow.networks.train import rebuild

        problem, method = rebuild(stored)
    else:
        problem, method = _rebuild_flow(stored, flow)
    times = np.array(about["t_eval"], dtype=np.float64)
    if t_end is not None and t_end > end:
        later = check_times([t_end] if t_eval is None else t_eval, (end, t_end))
        later = method.control(problem).times(later, (float(about["t_span"][0]), t_end))
        times = np.concatenate([times, later[later > times[-1]]])
        end = t_end
    writer, checkpoint, _ = RunWriter.resume(path)
    if checkpoint is None:
        writer.close()
        raise StorageError(f"{path} has no valid checkpoint: run it anew with overwrite=True")
    if times.size > len(about["t_eval"]):
        writer.extend(times.size, {"t_eval": times.tolist(), "t_span": [about["t_span"][0], end]})
    return carry_on(
        writer,
        stored,
        _arrays(checkpoint),
        problem,
        method,
        t_end=end,
        t_eval=times,
        trackers=[*default_trackers(method.preserves), *trackers],
        settings=Settings(path, False, progress, checkpoint_every),
    )


def _rebuild_flow(stored: StoredRun, flow: GradientFlow | None) -> tuple[Any, Any]:
    about = stored.attributes
    if flow is None:
        if not about.get("system"):
            raise InputError(f"{stored.path} was run with a flow of your own: pass it as flow=")
        from wflow.systems import get

        system = get(about["system"], **about["parameters"])
        flow = system.flow(
            temperature=about["temperature"],
            ridge=about["ridge"],
            reaction_rate=about["reaction_rate"],
            decay=about.get("decay", 0.0),
        )
    if not isinstance(flow, GradientFlow):
        raise InputError(f"flow is a {type(flow).__name__}: pass a wflow.GradientFlow")
    if flow.fingerprint() != about["fingerprint"]:
        raise InputError(
            f"this flow is not the one that {stored.path} was run with (fingerprints differ): "
            "pass the same energy, data and constants"
        )
    method = get_method(about["method"], about["method_options"])
    tolerance = Tolerance(float(about["rtol"]), float(about["atol"]))
    return method.prepare(flow, _first(stored), tolerance, int(about["seed"])), method


def _first(stored: StoredRun) -> Any:
    """A measure of the stored kind to lay the problem out with; its values are replaced by the checkpoint's."""
    view, names = stored_view(stored), stored.field_names
    if stored.n_frames:
        return view.show({name: stored.read_field(name, 0) for name in names})
    shape = [centers.size for centers, _ in view.axes.values()]
    one = {"positions": np.zeros((1, len(view.coordinates))), "weights": np.ones(1)}
    return view.show({"density": np.ones(shape)} if view.axes else one)


def _arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in checkpoint.arrays.items()}
