"""Calls in other processes: shares of the cores, lost workers, and what is refused."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, as_completed
from pathlib import Path

import numba
import pytest
from distributed import LocalCluster
from distributed.comm.core import CommClosedError

import wflow
from wflow.kernels.parallel import threads
from wflow.tools import workers

NUMBA_BEFORE = os.environ.get(workers.NUMBA)


@pytest.fixture(scope="module")
def two() -> Iterator[Executor]:
    with workers.executor(2) as pool:
        yield pool


def test_calls_come_back_with_what_they_answer_or_raise(two: Executor) -> None:
    calls = [two.submit(pow, k, 2) for k in range(5)]
    assert sorted(call.result(60) for call in as_completed(calls)) == [0, 1, 4, 9, 16]
    with pytest.raises(ZeroDivisionError):
        two.submit(divmod, 1, 0).result(60)


def test_a_scheduler_that_goes_while_it_hands_over_an_answer_is_gone() -> None:
    class Called:
        async def _result(self) -> int:
            raise CommClosedError("in <TCP (closed) ConnectionPool.gather>: Stream is closed")

    outcome: Future[int] = Future()
    asyncio.run(workers._hand_on(outcome, Called()))
    with pytest.raises(CancelledError):
        outcome.result(1)


def test_each_process_has_its_share_of_the_cores(two: Executor) -> None:
    assert two.submit(threads).result(60) == max(1, workers.cores() // 2)
    for name in (*workers.LIBRARIES, workers.NUMBA):
        assert two.submit(os.getenv, name).result(60) == str(max(1, workers.cores() // 2))


def test_this_process_compiles_as_before_meanwhile(two: Executor) -> None:
    # numba reads its environment at every compilation, and refuses another number of threads.
    assert threads() >= 1
    assert numba.njit(lambda x: x + 1)(1) == 2
    assert os.environ.get(workers.NUMBA) == NUMBA_BEFORE


@pytest.mark.slow
def test_a_lost_worker_costs_no_call_and_one_that_kills_them_all_is_named(two: Executor) -> None:
    waiting = [two.submit(time.sleep, 0.2) for _ in range(6)]
    os.kill(two.submit(os.getpid).result(60), signal.SIGKILL)
    assert [call.result(60) for call in waiting] == [None] * 6
    with pytest.raises(Exception, match="_exit") as lost:
        two.submit(os._exit, 1).result(60)
    assert workers.lost_its_workers(lost.value)
    assert not workers.lost_its_workers(ValueError())
    assert two.submit(pow, 2, 2).result(60) == 4


@pytest.mark.slow
def test_a_script_needs_no_guard_and_keeps_its_environment(tmp_path: Path) -> None:
    # Spawned processes would run it again, and each of them start two more.
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nbefore = dict(os.environ)\nfrom wflow.tools.workers import executor\n"
        "with executor(1) as pool:\n    print(pool.submit(os.getpid).result(60) != os.getpid())\n"
        "print(before == dict(os.environ), __file__.endswith('script.py'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True\nTrue True\n", "")


@pytest.fixture
def scheduler() -> Iterator[str]:
    """One with two workers in threads of this process, which costs no spawning."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=":0",
        protocol="tcp://",
    ) as cluster:  # type: ignore[no-untyped-call]
        yield cluster.scheduler_address


def test_workers_that_others_started_compute_in_one_thread(scheduler: str) -> None:
    with workers.executor(scheduler=scheduler) as pool:
        assert pool.submit(threads).result(60) == 1
        assert pool.submit(threading.get_ident).result(60) != threading.get_ident()


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**given: object) -> str:
        with pytest.raises(wflow.InputError) as e, workers.executor(**given):  # type: ignore[arg-type]
            pass
        return str(e.value)

    assert "workers = 0: give a whole number of at least 1" in refused(workers=0)
    assert "workers = 2 with scheduler = 'tcp://a:1'" in refused(workers=2, scheduler="tcp://a:1")
    assert "scheduler = 3: give an address" in refused(scheduler=3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    assert f"scheduler {address}: none answers there" in refused(scheduler=address)
    with monkeypatch.context() as patched:
        # A client of no address at all would wait for it, and complain in its own words when it is thrown away.
        patched.setattr("distributed.Client", None)
        for nowhere in ("no such thing", "", "http://127.0.0.1:8786", "tcp://127.0.0.1:99999"):
            assert f"scheduler {nowhere}: none answers there" in refused(scheduler=nowhere)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty:  # type: ignore[no-untyped-call]
        assert "has no workers: start some" in refused(scheduler=empty.scheduler_address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "need Dask: python -m pip install 'dask[distributed]'" in refused(workers=2)


@pytest.mark.parametrize(
    "address", ["localhost", "", "tcp://", "8786", "http://127.0.0.1:1", "tcp://127.0.0.1:99999"]
)
def test_what_is_no_address_is_refused_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's client takes 40 s to give it up, and ends the process with a traceback."""
    monkeypatch.delattr("distributed.Client.__init__")
    with pytest.raises(wflow.InputError, match="none answers there"):
        workers.executor(scheduler=address).__enter__()


def test_encryption_needs_certificates() -> None:
    """Dask's client asks for them in a traceback."""
    with pytest.raises(
        wflow.InputError, match=r"tls://127.0.0.1:1: encrypted, and .* no certificate"
    ):
        workers.executor(scheduler="tls://127.0.0.1:1").__enter__()


def test_another_server_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web server waits for a request, and Dask's client waits with it for ever."""
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(wflow.InputError, match="no scheduler of Dask answers"):
            workers.executor(scheduler=address).__enter__()


def test_a_lost_scheduler_ends_every_call() -> None:
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address=":0",
        protocol="tcp://",
    )  # type: ignore[no-untyped-call]
    with workers.executor(scheduler=cluster.scheduler_address) as pool:
        calls = [pool.submit(time.sleep, 1.0) for _ in range(3)]
        cluster.close()
        for call in calls:
            with pytest.raises(CancelledError):
                call.result(60)
