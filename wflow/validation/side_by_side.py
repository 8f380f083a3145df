"""Calls that know nothing of each other, side by side: by threads of this process, or by an executor that is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from typing import Any, TypeVar

from wflow.tools.workers import cores, in_one_thread
from wflow.validation.progress import meter

T = TypeVar("T")


def side_by_side(
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    costs: Sequence[float],
    *,
    workers: int | None,
    executor: Executor | None,
    progress: bool,
    what: str,
) -> list[T]:
    """What a function answers to each of several arguments, in their order; the dearest are begun first.

    >>> kwargs = {"workers": 2, "executor": None, "progress": False, "what": "powers"}
    >>> side_by_side(pow, [(2, 3), (3, 2)], [1.0, 2.0], **kwargs)
    [8, 9]
    """
    bar = meter(progress, f"{len(jobs)} {what}", sum(costs))
    found: dict[int, T] = {}
    with ExitStack() as stack:
        if bar is not None:
            stack.callback(bar.close)
        order = sorted(range(len(jobs)), key=lambda k: -costs[k])
        if executor is None:
            count = min(cores() if workers is None else workers, len(jobs))
            executor = stack.enter_context(ThreadPoolExecutor(count))
        waiting: dict[Future[T], int] = {
            executor.submit(in_one_thread, function, *jobs[k]): k for k in order
        }
        try:
            for done in as_completed(waiting):
                k = waiting[done]
                found[k] = done.result()
                if bar is not None:
                    bar.update(costs[k])
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
    return [found[k] for k in range(len(jobs))]
