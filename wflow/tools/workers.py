"""Processes to compute in, here or on a cluster, behind the interface of ``concurrent.futures``.

Dask's scheduler gives the calls out. One whose worker was lost is given to another one; it fails with ``KilledWorker``
when it has taken several workers with it, and with ``CancelledError`` when the scheduler itself is gone.

No more threads compute than there are cores. A process of ours has one call at a time and its share of the cores, for
BLAS, numba and our own pool alike; workers started by others have as many calls as they were started with threads, and
each call one thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from importlib.metadata import version
from typing import Any, TypeVar

from wflow.errors import InputError, shown
from wflow.tools.checks import check_count

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds to wait for a scheduler's answer, and for its first worker."""
LOGGERS = (
    "distributed",
    "distributed.client",
    "distributed.core",
    "distributed.nanny",
    "tornado.application",
)
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Where BLAS reads the number of its threads, when it is loaded."""
NUMBA = "NUMBA_NUM_THREADS"
"""Where numba reads it, whenever it compiles: it is never changed in this process, which has its own."""


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def executor(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor]:
    """Calls for the processes of :func:`client_of`, which any of them may get."""
    with client_of(workers, scheduler) as client:
        yield _Calls(client, alone=scheduler is None)


@contextlib.contextmanager
def client_of(workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """A client of Dask for so many processes of one's own, by default one a core, or for the workers of a scheduler.

    One's own are spawned and are gone afterwards, also when this process is killed; what they have begun is lost then.

    Raises
    ------
    InputError
        without ``dask.distributed``, for an address where no scheduler answers, and for one without workers that have
        this version of wflow
    """
    if workers is not None:
        check_count("workers", workers)
        if scheduler is not None:
            raise InputError(
                f"workers = {workers} with scheduler = {shown(scheduler)}: the scheduler has workers of its own; "
                "leave one of the two out"
            )
    try:
        import dask
        import distributed
    except ImportError:
        raise InputError(
            "several workers, or a scheduler, need Dask: python -m pip install 'dask[distributed]'; one worker "
            "(workers=1) does without"
        ) from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler is None:
            count = workers or cores()
            # Dask looks at every worker's stack a hundred times a second otherwise.
            stack.enter_context(dask.config.set({"distributed.worker.profile.enabled": False}))
            share = stack.enter_context(_share(max(1, cores() // count)))
            stack.enter_context(_main_stays_here())
            cluster: Any = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=count,
                threads_per_worker=1,
                memory_limit=0,  # a run refuses by itself what does not fit
                dashboard_address=":0",  # another sweep may have the usual port
                silence_logs=logging.CRITICAL,
                preload=__name__,
                env=share,
            )
            stack.callback(_close, cluster)
            stack.callback(_end_processes, cluster)
            client: Any = distributed.Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
            stack.callback(_close, client)
        else:
            client = _connected(distributed.Client, scheduler)
            stack.callback(_close, client)
            _refuse_others(client, scheduler)
        yield client


class _Calls(Executor):
    """A client's calls as futures of ``concurrent.futures``, which all come to an end when the scheduler is lost.

    Workers that others have started may have several calls at a time, so each call has one thread there.
    """

    def __init__(self, client: Any, *, alone: bool) -> None:
        self._client, self._alone = client, alone

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()
        what = (function, *args) if self._alone else (in_one_thread, function, *args)
        called = self._client.submit(*what, pure=False, **kwargs)
        # On the client's own loop: a thread that asked for the result would wait for ever once the client is closed.
        self._client.loop.add_callback(_hand_on, outcome, called)
        return outcome


async def _hand_on(outcome: Future[T], called: Any) -> None:
    from distributed.comm.core import CommClosedError

    try:
        outcome.set_result(await called._result())
    except CommClosedError:  # the scheduler went while it was handing over the answer
        outcome.set_exception(CancelledError())
    except BaseException as e:  # noqa: BLE001  raised where the result is asked for
        outcome.set_exception(e)


def lost_its_workers(error: BaseException) -> bool:
    """Whether a call failed because every worker that it was given to was lost."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def in_one_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What a function answers, computed in the calling thread alone.

    >>> import numba
    >>> in_one_thread(numba.get_num_threads)
    1
    """
    import numba

    from wflow.kernels.parallel import one_blas_thread, threads

    before = threads()
    numba.set_num_threads(1)
    try:
        with one_blas_thread():
            return function(*args, **kwargs)
    finally:
        numba.set_num_threads(before)


def dask_setup(worker: Any) -> None:
    """Called by Dask in each process of ours when it begins: Ctrl-C is for the process that has the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_processes(cluster: Any) -> None:
    """At once, in the middle of a call, too, for which Dask would wait."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # it starts no other one
        with contextlib.suppress(TypeError, ProcessLookupError):  # has none, or it has gone
            os.kill(nanny.pid, signal.SIGKILL)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What is lost is told in the caller's words, not in the libraries'."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _close(what: Any) -> None:
    """Close a client or a cluster; one that hangs is left to the end of the process."""
    with contextlib.suppress(TimeoutError, OSError):
        what.close(timeout=5)


def _connected(client: Any, scheduler: str) -> Any:
    if not isinstance(scheduler, str):
        raise InputError(f"scheduler = {shown(scheduler)}: give an address, tcp://host:8786 say")
    try:
        _refuse_address(scheduler)
        return client(scheduler, timeout=PATIENCE, set_as_default=False)
    except InputError:
        raise
    except (OSError, ValueError):
        raise InputError(
            f"scheduler {scheduler}: none answers there; start one (dask scheduler) or give its address, "
            "tcp://host:8786 say"
        ) from None


def _refuse_address(scheduler: str) -> None:
    """Refuse where there can be none: a client would wait for it, and complain when it is thrown away."""
    from distributed import Security
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    protocol, place = parse_address(scheduler)
    get_backend(protocol)
    if protocol not in ("tcp", "tls"):
        return
    host, port = parse_host_port(place)
    if not host or not 0 < port < 2**16:
        raise ValueError
    if protocol == "tls":
        if Security().get_connection_args("client").get("ssl_context") is None:  # type: ignore[no-untyped-call]
            raise InputError(
                f"scheduler {scheduler}: encrypted, and Dask's configuration has no certificate (distributed.comm.tls)"
            )
        return
    try:
        there = socket.create_connection((host, port), PATIENCE)
    except OSError:
        return  # the client waits for one to come
    with there:
        try:
            spoke = there.recv(1)
        except OSError:
            spoke = b""
    if not spoke:
        raise InputError(
            f"scheduler {scheduler}: something listens there, and no scheduler of Dask answers; its port is 8786 "
            "unless said (the dashboard has another one)"
        )


def _refuse_others(client: Any, scheduler: str) -> None:
    """Refuse a scheduler none of whose workers could do anything."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(
            f"scheduler {scheduler} has no workers: start some (dask worker {scheduler})"
        ) from None
    own = version("wflow-meanfield")
    try:
        answers = client.run(_version, on_error="return")
    except OSError:
        raise InputError(f"scheduler {scheduler} is gone: start it again") from None
    for address, found in answers.items():
        if found != own:
            held = "no wflow" if isinstance(found, Exception) else f"wflow {found}"
            raise InputError(
                f"worker {address} has {held}, and this is {own}: install the same there"
            )


def _version() -> str:
    return version("wflow-meanfield")


@contextlib.contextmanager
def _share(threads: int) -> Iterator[dict[str, str]]:
    """Processes spawned meanwhile have so many threads, or fewer where the user says so; what numba is to be told.

    BLAS has to know before it is loaded, so what is spawned inherits it from this process, where it is loaded already.
    """
    before = dict(os.environ)
    share = {
        name: str(
            min(int(asked), threads) if (asked := before.get(name, "")).isdigit() else threads
        )
        for name in (*LIBRARIES, NUMBA)
    }
    os.environ.update({name: share[name] for name in LIBRARIES})
    try:
        yield {NUMBA: share[NUMBA]}
    finally:
        # Dask, too, has set some for its processes.
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _main_stays_here() -> Iterator[None]:
    """Processes spawned meanwhile do not run the caller's script again, which so needs no guard around its main part.

    These two names tell them where it is. Nothing that they are to call is found in it.
    """
    main = sys.modules["__main__"].__dict__
    held: dict[str, Any] = {k: main[k] for k in ("__spec__", "__file__") if k in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(held)
