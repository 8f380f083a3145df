"""``wflow run``: start a system's flow, carry its file on, do whichever is due, or say what it would cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wflow.cli import options
from wflow.cli.request import Request
from wflow.errors import BusyError, ComputationError, InputError, StorageError, WriteError

if TYPE_CHECKING:
    from wflow.results.solution import Solution
    from wflow.storage import StoredRun

POLL = 0.5
"""Seconds between two looks at a file that another run writes."""


def run_system(arguments: Any) -> int:
    """``wflow run SYSTEM``."""
    modes = [m for m in ("dry_run", "resume", "requeue", "overwrite") if getattr(arguments, m)]
    if len(modes) > 1:
        one, other = (f"--{m.replace('_', '-')}" for m in modes[:2])
        raise InputError(f"{one} with {other}: each says how to begin; choose one")
    request = Request(arguments)
    if arguments.dry_run:
        return _dry_run(request)
    if arguments.requeue:
        solution = _requeue(request)
    elif arguments.resume:
        solution = _resume(request)
    else:
        solution = _start(request)
    if solution is None:
        return 0
    solution.plot(str(request.picture))
    request.say(solution.summary())
    request.say(f"written: {request.output}, {request.picture}")
    if not solution.success:
        at = f"{solution.t[-1]:g}" if solution.t.size else "none"
        raise ComputationError(f"{solution.message}; last good frame t = {at} in {request.output}")
    return 0


def _start(request: Request) -> Solution:
    from wflow.run.solve import solve

    arguments = request.arguments
    options.free_places([request.output, request.picture], arguments.overwrite)
    return solve(
        request.flow,
        request.start,
        (0.0, request.t_end),
        output=request.output,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        **request.solve_options(),
    )


def _resume(request: Request) -> Solution:
    from wflow.storage import read_run

    if not request.output.exists():
        raise InputError(f"--resume: there is no {request.output}; run without --resume first")
    stored = read_run(request.output)
    request.refuse_another(stored, whole=False)
    return _carry_on(request, stored, request.arguments.t_end)


def _requeue(request: Request) -> Solution | None:
    """Start if there is no file, carry it on if there is one; None if it is finished.

    Of two that begin together one writes; the other waits until that one is done, or takes over where it was killed.
    """
    from wflow.results.load import load
    from wflow.storage import read_run
    from wflow.storage.disk import being_written

    waiting = late = False
    while True:
        try:
            if not request.output.exists():
                return _start(request)
            stored = read_run(request.output)
            request.refuse_another(stored, whole=True)
            request.later_times(stored)
            if stored.status == "done" and float(stored.attributes["t_span"][1]) >= request.t_end:
                request.say(f"finished: {request.output}")
                return None if request.picture.exists() else load(request.output)
            if being_written(request.output):
                raise BusyError(f"{request.output} is being written by another run")
            return _carry_on(request, stored, request.t_end)
        except BusyError as e:
            if not waiting:
                request.say(f"waiting: {e}")
            waiting = True
            time.sleep(POLL)
        except WriteError:
            raise
        except StorageError:
            # Another one may have made or changed the file between two of these lines: look again, once.
            if late or not request.output.exists():
                raise
            late = True


def _carry_on(request: Request, stored: StoredRun, t_end: float | None) -> Solution:
    from wflow.run.resume import resume

    later: list[float] | None = request.later_times(stored)
    if later and t_end is None:
        raise InputError("--resume with --t-eval: only a longer run saves more; add --t-end")
    longer = t_end is not None and t_end > float(stored.attributes["t_span"][1])
    if not (later or (longer and request.t_eval)):
        later = None  # its own end alone
    quiet = request.arguments.quiet
    return resume(request.output, t_end=t_end, t_eval=later, progress=not quiet)


def _dry_run(request: Request) -> int:
    """Say what the run would cost; nothing is written."""
    from wflow.run.forecast import forecast
    from wflow.run.record import Settings
    from wflow.run.solve import flow_run
    from wflow.tools.memory import free_memory, size

    span = (0.0, request.t_end)
    # As with a file: no frame stays in memory.
    run = flow_run(
        request.flow, request.start, span, settings=Settings(), **request.solve_options()
    )
    found = forecast(run)
    about, free = run.attributes, free_memory()
    exact = found.tried == found.steps
    print(f"{request.arguments.system} · {about['method']} ({about['method_reason']})")
    if found.memory is not None:
        of = "" if free is None else f"; {size(free)} are free"
        print(f"memory  {size(found.memory)} at the peak of the first {found.tried} steps{of}")
    if exact:
        print(f"steps   {found.steps}")
    elif found.growing:
        print(
            f"steps   at most about {found.steps}: as long as the last of {found.tried} tried, {found.step:.3g}, and "
            "they grow where the run comes to rest"
        )
    else:
        print(
            f"steps   about {found.steps}, if they stay as long as the last of {found.tried} tried, {found.step:.3g}"
        )
    word = "at most about" if found.growing else "about"
    compiling = f"beside {found.compile_seconds:.3g} s of compiling spent now"
    print(f"time    {word} {found.seconds:.3g} s, {compiling}")
    print(f"file    at most {size(found.file)}, {run.t_eval.size} frames")
    return 0
