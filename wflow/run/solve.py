"""``wflow.solve``: a flow, a measure, a time span; out comes a Solution."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from wflow.equation import Equation
from wflow.errors import InputError
from wflow.results.kinds import Task
from wflow.results.solution import Solution
from wflow.run.events import as_events
from wflow.run.execute import Underway, begin, execute
from wflow.run.record import Settings
from wflow.run.times import check_span, check_times
from wflow.run.trackers import Tracker
from wflow.solvers.method import AnyMethod, Tolerance, choose_method, get_method
from wflow.tools.checks import check_kind, check_seed, positive
from wflow.views import view_of

ASKED_FOR = "asked for"
"""Why a method was chosen that the request named."""


def solve(
    flow: Equation,
    rho0: Any,
    t_span: Sequence[float],
    *,
    method: str | AnyMethod = "auto",
    t_eval: Any = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    first_step: float | None = None,
    max_step: float = math.inf,
    method_options: Mapping[str, Any] | None = None,
    trackers: Sequence[Tracker] = (),
    events: Any = (),
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    checkpoint_every: float = 30.0,
    max_steps: int = 10_000_000,
    attributes: Mapping[str, Any] | None = None,
) -> Solution:
    r"""Solve a gradient flow from an initial measure.

    .. math:: \partial_t\rho = \xi\bigl[\nabla\cdot(\rho\nabla\Phi) - \alpha(\Phi-\textstyle\int\Phi d\rho)\rho\bigr]

    Parameters
    ----------
    flow : GradientFlow, or a wflow.multilayer.Flow
    rho0 : GridDensity or Particles; a wflow.multilayer.Ensemble for a multilayer flow
    t_span : (t0, t1), t1 > t0
    method : a name of ``wflow.solvers.methods()``, a method object, or "auto"
    t_eval : increasing times in t_span to save at, 11 even ones by default; they are hit exactly and do not bend the
        path, except that methods with noise save at the nearest multiple of their step and report that t
    rtol, atol : tolerance of one step, for adaptive methods: on grids rtol + atol is the share of the mass that may be
        misplaced; particles may be off by atol + rtol |θ|, and by rtol in the logarithm of their weight
    first_step, max_step : step sizes of adaptive and CFL methods; a schedule ξ(t) is looked at up to one step past t1
    method_options : options of the method by name, e.g. {"step_size": 1e-3} for "langevin"
    trackers : watchers beside those the method's declarations call for: functions f(t, rho) that answer True or a
        reason to end the run, or objects that remember (:mod:`wflow.trackers`)
    events : what to watch for, one or several: functions f(t, rho) whose zeros count, with scipy's attributes
        ``terminal`` and ``direction`` if wanted, pairs (name of a series, level), or :class:`wflow.Event`. They are
        located without bending the path, at the ends of steps where there is noise; two passages in one step are
        none: set max_step. Their times are ``sol.t_events``
    seed : key of the noise
    output : HDF5 file to write; an existing file is refused unless ``overwrite``
    progress : a bar on a terminal or in a notebook, a line every half minute elsewhere
    checkpoint_every : seconds between checkpoints
    max_steps : accepted steps after which the run stops as failed
    attributes : further entries for the file's header, under names that the run does not use itself

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        for anything wrong in the request; a computation that fails returns ``success = False`` with the reason

    >>> import numpy as np
    >>> from wflow import GradientFlow, GridDensity
    >>> from wflow.energies import PairEnergy
    >>> flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2), temperature=1.0)
    >>> rho = GridDensity.from_function(lambda x: np.exp(-((x[..., 0] - 1) ** 2)), [(-6, 6)], n=120)
    >>> sol = solve(flow, rho, (0, 3), t_eval=[0, 3])
    >>> bool(abs(sol.measures[-1].mean()[0] - np.exp(-3)) < 1e-3)
    True
    """
    settings = Settings(output, overwrite, progress, checkpoint_every, max_steps)
    run = flow_run(
        flow,
        rho0,
        t_span,
        method=method,
        method_options=method_options,
        t_eval=t_eval,
        rtol=rtol,
        atol=atol,
        first_step=first_step,
        max_step=max_step,
        trackers=trackers,
        events=events,
        seed=seed,
        attributes=attributes,
        settings=settings,
    )
    return execute(run)


def flow_run(
    flow: Equation,
    rho0: Any,
    t_span: Sequence[float],
    *,
    method: str | AnyMethod = "auto",
    method_options: Mapping[str, Any] | None = None,
    t_eval: Any = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    first_step: float | None = None,
    max_step: float = math.inf,
    trackers: Sequence[Tracker] = (),
    events: Any = (),
    seed: int = 0,
    attributes: Mapping[str, Any] | None = None,
    settings: Settings,
) -> Underway:
    """The run that :func:`solve` carries out, checked and at its start."""
    check_kind("flow", flow, Equation, "pass a wflow.GradientFlow (system.flow())")
    flow.refuse_start("rho0", rho0)
    span = check_span(t_span)
    why = ASKED_FOR
    if isinstance(method, str) and method == "auto":
        method, why = choose_method(flow, rho0.kind)
    chosen = get_method(method, method_options)
    if chosen.acts_on != rho0.kind:
        raise InputError(
            f"method '{chosen.name}' acts on {chosen.acts_on} and rho0 is {rho0.kind}: "
            f"choose another, e.g. '{choose_method(flow, rho0.kind)[0]}'"
        )
    flow.refuse_method(chosen.name, chosen.reacts)
    view = view_of(rho0)
    kept = 0 if settings.output is not None else check_times(t_eval, span).size
    view.refuse_too_large(sum(v.nbytes for v in view.store(rho0).values()), kept)
    tolerance = Tolerance(positive("rtol", rtol), positive("atol", atol))
    problem = chosen.prepare(flow, rho0, tolerance, check_seed(seed))
    flow.check(rho0)
    about = {
        "run": flow.run,
        "method_reason": why,
        "rtol": rtol,
        "atol": atol,
        "first_step": first_step,
        "max_step": max_step,
        "seed": seed,
        "fingerprint": flow.fingerprint(),
    }
    about |= flow.constants()
    return begin(
        Task(problem, chosen, flow.predictor),
        rho0,
        t_span=span,
        t_eval=t_eval,
        first_step=first_step,
        max_step=max_step,
        trackers=trackers,
        events=as_events(events),
        attributes=about | flow.origin,
        further=attributes,
        settings=settings,
    )
