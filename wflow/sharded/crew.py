"""Who holds the shards: this process, or the workers of a Dask cluster, each of which keeps what it was given.

A shard on a worker is an actor of Dask: it is made there, and is gone when its worker is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, Protocol

from wflow.errors import ComputationError
from wflow.kernels.parallel import one_blas_thread
from wflow.sharded.shard import Shard
from wflow.tools.workers import client_of, in_one_thread

LOOK = 5.0
"""Seconds to wait for an answer before one looks whether the worker is still there."""


class Crew(Protocol):
    """All shards, asked the same at once."""

    def each(self, what: str, *args: Any) -> list[Any]:
        """The answers of all shards to a method of theirs, in the order of the shards."""


class Here:
    """Shards in this process, one after the other."""

    def __init__(self, given: Sequence[tuple[Any, ...]]) -> None:
        self._shards = [Shard(*one) for one in given]

    def each(self, what: str, *args: Any) -> list[Any]:
        return [getattr(shard, what)(*args) for shard in self._shards]


class Hosted:
    """A shard on a worker, whose errors are answers: what else goes wrong is the worker's."""

    def __init__(self, alone: bool, part: Any, flow: Any, given: tuple[Any, ...]) -> None:
        self._alone = alone
        self._shard: Shard | None = None
        self._wrong: Exception | None = None
        try:
            self._shard = Shard(part, flow, *given)
        except Exception as e:  # noqa: BLE001  raised where it is asked for
            self._wrong = e

    def do(self, what: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether it went well, and the answer or the error."""
        try:
            if self._wrong is not None:
                raise self._wrong
            if not self._alone:
                return True, in_one_thread(getattr(self._shard, what), *args)
            with one_blas_thread():
                return True, getattr(self._shard, what)(*args)
        except Exception as e:  # noqa: BLE001  raised where the answer is asked for
            return False, e


class OnWorkers:
    """Shards dealt out to the workers of a client in turn, where they stay."""

    def __init__(self, client: Any, alone: bool, given: Sequence[tuple[Any, ...]]) -> None:
        self._client = client
        homes = sorted(client.nthreads())
        self._homes = [homes[k % len(homes)] for k in range(len(given))]
        # What may be large goes to the workers at once, and not into the scheduler's graph: the flow to all of them.
        flow = client.scatter(given[0][1], broadcast=True, hash=False)
        self._futures = []
        for (part, _, *rest), home in zip(given, self._homes, strict=True):
            held = part if callable(part) else client.scatter(part, workers=[home], hash=False)
            made = (Hosted, alone, held, flow, tuple(rest))
            self._futures.append(client.submit(*made, actor=True, workers=[home], pure=False))
        self._actors = [self._answer(k, future) for k, future in enumerate(self._futures)]

    def each(self, what: str, *args: Any) -> list[Any]:
        asked = [self._ask(k, actor, what, args) for k, actor in enumerate(self._actors)]
        answers = [self._answer(k, answer) for k, answer in enumerate(asked)]
        for well, answer in answers:
            if not well:
                raise answer
        return [answer for _, answer in answers]

    def _ask(self, k: int, actor: Any, what: str, args: tuple[Any, ...]) -> Any:
        try:
            return actor.do(what, args)
        except (OSError, RuntimeError):
            raise self._lost(k) from None

    def _answer(self, k: int, answer: Any) -> Any:
        """An answer when it comes; the worker may be gone meanwhile, and Dask wait for another one for ever."""
        from distributed import KilledWorker

        while True:
            try:
                return answer.result(timeout=LOOK)
            except TimeoutError:
                try:
                    there = self._homes[k] in self._client.nthreads()
                except (OSError, RuntimeError, TimeoutError):
                    there = False
                if not there:
                    raise self._lost(k) from None
            except (OSError, RuntimeError, ValueError, KilledWorker, CancelledError):
                raise self._lost(k) from None

    def _lost(self, k: int) -> ComputationError:
        return ComputationError(
            f"worker {self._homes[k]} was lost, and shard {k} with it: start again, from the frames in the output "
            "folder if there is one (wflow.sharded.read_shard); one short of memory wants more shards on more workers"
        )


@contextlib.contextmanager
def crew_of(
    given: Sequence[tuple[Any, ...]], workers: int, scheduler: str | None
) -> Iterator[Crew]:
    """The shards that are made of ``given``, here for one worker and no scheduler."""
    if scheduler is None and workers == 1:
        with one_blas_thread():
            yield Here(given)
        return
    own = scheduler is None
    with client_of(workers if own else None, scheduler) as client, client.as_current():
        if own:
            client.wait_for_workers(workers)
        yield OnWorkers(client, own, given)
