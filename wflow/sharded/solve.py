"""``wflow.sharded.solve``: noiseless particles whose neurons stay on the workers that hold them."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, shown
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.results.kinds import Task
from wflow.run.driver import advance, step_row
from wflow.run.execute import begin
from wflow.run.record import RunRecorder, Settings
from wflow.run.times import check_span, check_times
from wflow.sharded.crew import Crew, crew_of
from wflow.sharded.files import PART, ShardFile, shard_path
from wflow.sharded.problem import ShardedPair, ShardedProblem
from wflow.sharded.result import SUMMARY, ShardedRun
from wflow.solvers.method import Tolerance, get_method
from wflow.solvers.particles.parts.embedded_pair import EmbeddedPair
from wflow.tools.checks import check_count, check_flag, check_kind, check_path, check_word, positive
from wflow.tools.memory import check_held
from wflow.views import Fields

PAIRS = ("runge-kutta", "bogacki-shampine")
"""The methods whose steps need of all neurons only sums."""


def solve(
    flow: GradientFlow,
    shards: Particles | Callable[[int], Particles],
    t_span: Sequence[float],
    *,
    n_shards: int,
    workers: int = 1,
    scheduler: str | None = None,
    method: str = "runge-kutta",
    t_eval: Any = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    first_step: float | None = None,
    max_step: float = math.inf,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    max_steps: int = 10_000_000,
) -> ShardedRun:
    r"""Solve a noiseless flow of particles in shards, none of which leaves its worker.

    .. math:: f = \sum_k f^{(k)}, \quad f^{(k)}_q = \sum_{i\in k} w_i\,\sigma_*(x_q;\theta_i), \quad
              \dot\theta_i = -\xi\nabla\Psi_\lambda(\theta_i; f)

    At every stage of a step each shard sends its share of the outputs, Q numbers (QK for K outputs), and is told their
    sum; at its end a few numbers more: nothing of the size of the shards travels. The bits depend on ``n_shards``, and
    neither on the workers nor on their number; from ``wflow.solve`` the path differs by rounding.

    Parameters
    ----------
    flow : of a FeatureEnergy, with temperature = 0 and reaction_rate = 0; coordinates may be frozen
    shards : a function of k = 0 … n_shards − 1 that each worker calls for its own, the measure being the mean of them
        all, whatever their masses: one of mass m is m/n_shards of it; or the whole measure, cut into equal parts
    t_span : (t0, t1), t1 > t0
    n_shards : how many; as many as workers, or more
    workers : processes on this machine; 1 computes here, and needs no Dask
    scheduler : address of a Dask scheduler, to whose workers the shards go in turn
    method : "runge-kutta" or "bogacki-shampine"
    t_eval : increasing times in t_span, 11 even ones by default
    rtol, atol, first_step, max_step : as in ``wflow.solve``; first_step = max_step and a loose rtol are fixed steps
    output : folder for the neurons of every frame, a file a shard, written by its worker; without it, none are kept
    overwrite : whether a folder that holds such a run may be written over, which happens once every shard of the new
        one has its first frame: the start may be read from there, and what fails before leaves it as it was
    progress : a bar on a terminal or in a notebook, a line every half minute elsewhere
    max_steps : accepted steps after which the run stops as failed

    Returns
    -------
    ShardedRun

    Raises
    ------
    InputError
        for anything wrong in the request: an energy that is not one of features, noise, births and deaths, another
        method, or Dask that is not installed
    ComputationError
        where a worker is lost; a computation that fails otherwise returns ``success = False`` with the reason

    >>> import numpy as np, wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [-1.0, 0.5, 1.0], [-0.5, 0.2, 0.5])
    >>> def shard(k):
    ...     return wflow.Particles(np.random.default_rng([7, k]).normal(size=(1000, 1)))
    >>> run = solve(wflow.GradientFlow(energy), shard, (0, 2), n_shards=4)
    >>> run.sizes, bool(run.risk[-1] < run.risk[0])
    ((1000, 1000, 1000, 1000), True)
    """
    settings = Settings(None, overwrite, progress, math.inf, max_steps)
    pair = _pair(flow, method)
    span, times = check_span(t_span), t_eval
    check_times(times, span)
    tolerance = Tolerance(positive("rtol", rtol), positive("atol", atol))
    count = check_held("n_shards", check_count("n_shards", n_shards), 1000)
    hands = check_count("workers", workers)
    if scheduler is None and hands > count:
        raise InputError(f"workers = {hands} for n_shards = {count}: give as many shards or more")
    if scheduler is not None and hands > 1:
        raise InputError(
            f"workers = {hands} with scheduler = {shown(scheduler)}: the scheduler has workers of its own; leave one "
            "of the two out"
        )
    parts = _parts(shards, count)
    files = _Files(_folder(output, check_flag("overwrite", overwrite)), count)
    given = [(part, flow, k, count, tolerance, files.of(k)) for k, part in enumerate(parts)]
    with files, crew_of(given, hands, scheduler) as crew:
        problem = ShardedProblem(flow, crew)
        run = begin(
            Task(problem, ShardedPair(pair), flow.predictor),
            None,
            t_span=span,
            t_eval=times,
            first_step=first_step,
            max_step=max_step,
            attributes={},
            settings=settings,
        )
        # The start, too, is dropped once the run has left it.
        state, problem.initial = run.state, {}
        recorder = _Frames(crew, files, settings, span)
        began = time.perf_counter()
        try:
            outcome = advance(
                problem, run.task.method, state, run.t_end, run.t_eval, recorder, max_steps
            )
        finally:
            recorder.close()
        names = recorder.series[0].keys() if recorder.series else ()
        done = ShardedRun(
            t=np.array(recorder.times),
            series={k: np.array([row[k] for row in recorder.series]) for k in names},
            steps={
                k: np.array([row[k] for row in recorder.rows]) for k in step_row(problem, state)
            },
            success=outcome.success,
            message=outcome.reason,
            stats={
                "steps": outcome.steps,
                "rejections": state.rejected,
                "seconds": time.perf_counter() - began,
            },
            sizes=tuple(problem.sizes),
            folder=files.folder if files.placed else None,
        )
        done.write()
    return done


class _Files:
    """The files of a run, which take their names, and the place of older ones, with the first frame."""

    def __init__(self, folder: Path | None, count: int) -> None:
        self.folder, self.placed = folder, False
        self._names = [] if folder is None else [shard_path(folder, k) for k in range(count)]

    def of(self, k: int) -> ShardFile | None:
        return ShardFile(self._names[k]) if self._names else None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        """What was not to take its name is no file; where one could not, all frames stay."""
        for path in [] if self.placed else self._names:
            with contextlib.suppress(OSError):
                path.with_suffix(PART).unlink(missing_ok=True)

    def place(self, crew: Crew) -> None:
        """Every shard has its first frame: what was here before goes."""
        if self.folder is None or self.placed:
            return
        self.placed = True
        try:
            (self.folder / SUMMARY).unlink(missing_ok=True)
            crew.each("place")
            begun = self.folder.glob(f"shard-*{PART}")  # of runs that were killed
            for path in {*_old(self.folder), *begun} - {*self._names}:
                path.unlink()
        except OSError as e:
            raise _unmade(self.folder, e) from None


class _Frames(RunRecorder):
    """The series of frames here, and their neurons where they are."""

    def __init__(
        self, crew: Crew, files: _Files, settings: Settings, span: tuple[float, float]
    ) -> None:
        super().__init__(None, settings, span)
        self._crew, self._files = crew, files

    def frame(self, t: float, observed: dict[str, float], fields: Fields) -> None:
        self.times.append(t)
        self.series.append(observed)
        self._crew.each("save", int(fields["state"]), t)
        self._files.place(self._crew)


def _pair(flow: Any, method: Any) -> EmbeddedPair[Any]:
    """The pair that steps, for a flow that it can step."""
    check_kind("flow", flow, GradientFlow, "pass a wflow.GradientFlow (system.flow())")
    pair: Any = get_method(check_word("method", method, PAIRS))
    for what in ("temperature", "reaction_rate"):
        if (value := getattr(flow, what)) > 0:
            raise InputError(
                f"{what} = {value:g} in shards, whose neurons only move: take {what} = 0, or wflow.solve"
            )
    for energy in (flow.energy, *flow.observations.values()):
        energy.by_outputs()
    return pair  # type: ignore[no-any-return]


def _parts(shards: Any, count: int) -> list[Any]:
    """What each shard is made of: the function, or its part of the measure."""
    if callable(shards):
        return [shards] * count
    if getattr(shards, "kind", None) != "particles":
        raise InputError(
            f"shards = {shown(shards)}: give a wflow.Particles, or a function of the number of a shard"
        )
    x, w, n = shards.points(), shards.weights(), len(shards.weights())
    if count > n:
        raise InputError(f"n_shards = {count} for {n} particles: give {n} or fewer")
    cuts = [n * k // count for k in range(count + 1)]
    for k in range(count):
        if not w[cuts[k] : cuts[k + 1]].any():
            raise InputError(f"the particles of shard {k} of {count} weigh nothing: leave them out")
    return [Particles(x[a:b], w[a:b] * count, names=shards.names) for a, b in pairwise(cuts)]


def _folder(output: Any, overwrite: bool) -> Path | None:
    """The folder to write to, there and without another run unless that may be written over."""
    if output is None:
        return None
    folder = check_path("output", output).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite and _old(folder):
            raise StorageError(
                f"{folder} holds a run in shards: pass overwrite=True, or another folder"
            )
    except OSError as e:
        raise _unmade(folder, e) from None
    return folder


def _old(folder: Path) -> list[Path]:
    """The files of a run in the folder."""
    return [*folder.glob("shard-*.h5"), *folder.glob(SUMMARY)]


def _unmade(folder: Path, e: OSError) -> StorageError:
    return StorageError(f"output {folder} cannot be made ({e}): give another folder")
