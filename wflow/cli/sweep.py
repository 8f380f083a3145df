"""``wflow sweep``: all runs of a plan into a folder, or what they would cost."""

from __future__ import annotations

from typing import Any

from wflow.errors import ComputationError, InputError


def sweep_plan(arguments: Any) -> int:
    """``wflow sweep PLAN.toml -o DIR``."""
    from wflow.sweeps.run import sweep

    if arguments.dry_run:
        return _dry_run(arguments)
    if arguments.output is None:
        raise InputError("-o is missing: give a folder for the sweep")
    result = sweep(
        arguments.plan,
        arguments.output,
        scheduler=arguments.scheduler,
        workers=arguments.workers,
        retry_failed=arguments.retry_failed,
        progress=not arguments.quiet,
    )
    if not arguments.quiet:
        print(result.summary())
        print(
            f"written: {', '.join(str(result.path / name) for name in ('runs', 'table.csv', 'sweep.h5'))}"
        )
    failed = len(result) - result.count("done")
    if failed:
        job = next(
            j for j, state in zip(result.jobs, result.status, strict=True) if state != "done"
        )
        raise ComputationError(
            f"{failed} of {len(result)} runs failed, the first at {job.at(result.axes)}: {result.reason(job)}; "
            "--retry-failed tries them again"
        )
    return 0


def _dry_run(arguments: Any) -> int:
    """Say how many runs there are and what they would cost; nothing is written."""
    from wflow.sweeps.cost import reckon
    from wflow.sweeps.plan import read_plan
    from wflow.tools.checks import check_count
    from wflow.tools.memory import size
    from wflow.tools.workers import cores

    count = cores() if arguments.workers is None else check_count("workers", arguments.workers)
    plan = read_plan(arguments.plan)
    found = reckon(plan.jobs)
    axes = ", ".join(plan.axes)
    print(f"runs    {len(plan.jobs)}{f' over {axes}' if axes else ''}")
    print(
        f"time    about {_time(found.seconds)} on one core, {_time(found.seconds / count)} on {count}"
    )
    if found.memory is not None:
        print(f"memory  {size(found.memory)} a process at the peak of the steps tried")
    print(f"files   at most {size(found.files)}")
    print(f"        reckoned from the first steps of {found.tried} of the runs")
    return 0


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
