"""A cluster that loses workers and its scheduler under a sweep: every run lands, and lands once."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

import wflow
from wflow.sweeps.plan import read_plan

PLAN = """
system = "bump"
run = "network"
t_end = 0.1
t_eval = [0.0, 0.1]
step_size = 1e-2
n_neurons = [3, 4, 5, 6]
seeds = 50
"""


class Cluster:
    """A scheduler and workers in processes of their own, as on a cluster."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, *line: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *line, "--no-dashboard"]
        self.processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.start("dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port))

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("dask_worker", self.address, "--nthreads", "1", "--no-nanny")

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.end()


@pytest.mark.slow
def test_200_runs_survive_two_workers_and_the_scheduler(tmp_path: Path, cluster: Cluster) -> None:
    plan, folder = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(PLAN)
    scheduler, first, second = cluster.scheduler(), cluster.worker(), cluster.worker()
    line = [sys.executable, "-m", "wflow", "sweep", str(plan), "-o", str(folder)]
    line += ["--scheduler", cluster.address]
    sweep = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def landed() -> dict[str, int]:
        place = folder / "runs"
        files = place.glob("*.h5") if place.is_dir() else ()
        return {file.name: file.stat().st_mtime_ns for file in files}

    def until(count: int) -> None:
        deadline = time.monotonic() + 300
        while len(landed()) < count:
            assert sweep.poll() is None, sweep.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    until(20)
    first.kill()
    cluster.worker()
    until(40)
    second.kill()
    until(60)
    scheduler.kill()
    scheduler.wait()
    before = landed()
    cluster.scheduler()
    cluster.worker()
    cluster.worker()
    out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, err
    assert f"scheduler {cluster.address} is gone: waiting for it" in err
    assert "200 done" in out
    after = landed()
    assert len(after) == 200
    assert set(after) == {f"{job.digest}.h5" for job in read_plan(plan).jobs}
    # What had landed was not touched again, and nothing is left half done.
    assert before.items() <= after.items()
    assert not list((folder / "unfinished").glob("*.h5"))
    risk = wflow.load_sweep(folder).to_xarray().risk
    assert risk.shape == (4, 50, 2)
    assert bool(risk.notnull().all())


def in_threads(stack: ExitStack, workers: int) -> str:
    """The address of a scheduler whose workers are threads of this process, which costs no spawning."""
    cluster = stack.enter_context(
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            dashboard_address=":0",
            protocol="tcp://",
        )
    )
    return str(cluster.scheduler_address)


def test_a_scheduler_gives_what_one_process_gives(tmp_path: Path) -> None:
    plan = {"system": "bump", "run": "network", "t_end": 0.1, "t_eval": [0, 0.1], "seeds": 3}
    plan |= {"n_neurons": 4, "step_size": 1e-2}
    with ExitStack() as stack:
        address = in_threads(stack, 2)
        found = wflow.sweep(plan, tmp_path / "a", scheduler=address)
    alone = wflow.sweep(plan, tmp_path / "b", workers=1)
    assert found.count("done") == 3
    assert found.to_xarray().risk.equals(alone.to_xarray().risk)


def test_two_workers_that_take_up_one_run_land_it_once(tmp_path: Path) -> None:
    plan = {"system": "bump", "run": "limit", "t_end": 1.0, "parameters": {"n": 60}}
    from concurrent.futures import ThreadPoolExecutor

    from wflow.sweeps.folder import Folder
    from wflow.sweeps.work import carry_out

    asked = read_plan(plan)
    with Folder(tmp_path / "a").held(asked), ThreadPoolExecutor(4) as pool:
        about = asked.jobs[0].about
        assert list(pool.map(carry_out, [about] * 4, [str(tmp_path / "a")] * 4)) == [None] * 4
    assert os.listdir(tmp_path / "a" / "runs") == [f"{asked.jobs[0].digest}.h5"]
    assert wflow.load_sweep(tmp_path / "a").status == ["done"]


def test_a_scheduler_that_stays_away_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wflow.sweeps import run
    from wflow.tools import workers

    monkeypatch.setattr(run, "WAIT", 0.0)
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    plan = {"system": "bump", "run": "network", "t_end": 0.1, "t_eval": [0, 0.1], "seeds": 200}
    plan |= {"n_neurons": 4, "step_size": 1e-2}
    with ExitStack() as stack:
        address = in_threads(stack, 1)

        def lose(job: object, reason: str | None) -> None:
            stack.close()

        monkeypatch.setattr(run._Progress, "__call__", lambda self, job, reason: lose(job, reason))
        with pytest.raises(wflow.ComputationError, match=r"is gone: \d+ of 200 runs have landed"):
            wflow.sweep(plan, tmp_path / "a", scheduler=address)
    assert wflow.load_sweep(tmp_path / "a").count("done") >= 1


def test_validate_trains_on_a_scheduler() -> None:
    size: dict[str, Any] = {
        "neurons": [5],
        "seeds": 2,
        "t_end": 0.02,
        "step_sizes": [1e-2],
        "rates": False,
    }
    size["t_eval"] = [0, 0.02]
    with ExitStack() as stack:
        address = in_threads(stack, 1)
        found = wflow.validate("bump", scheduler=address, n_grid=20, **size)
    alone = wflow.validate("bump", workers=1, n_grid=20, **size)
    assert found.risk.tobytes() == alone.risk.tobytes()
    with pytest.raises(wflow.InputError, match="scheduler with workers or executor"):
        wflow.validate("bump", scheduler="tcp://a:1", workers=2)
