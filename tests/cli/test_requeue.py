"""`wflow run … --requeue`, one line for a cluster's queue: start, go on, or end at once; several together do no harm.

And `--dry-run`, which says what the line would cost. What is killed, or runs beside others, is a process of its own.
"""

import io
import math
import os
import re
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import numpy as np
import pytest
from forks import Fork

import wflow
from wflow.cli.main import main
from wflow.run import record

LINE = ["run", "isotropic-gaussians", "-p", "n=100", "--t-end", "1", "--t-eval", "0,0.01,1"]
LINE += ["-o", "a.h5", "--requeue"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file that the line leaves in the end."""
    path = tmp_path_factory.mktemp("finished") / "a.h5"
    at = LINE.index("a.h5")
    assert run(*LINE[:at], str(path), *LINE[at + 1 :], "--quiet")[0] == 0
    return path.read_bytes()


def begin(*line: str) -> Fork:
    def work() -> None:
        record.LINES_APART = (
            math.inf
        )  # on a busy machine some seconds become more than half a minute
        sys.exit(main(line))

    return Fork(work)


def run(*line: str) -> tuple[int, str, str]:
    """The command's exact status, and what it says."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            status = main(list(line))
        except SystemExit as end:  # argparse leaves this way
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def long_line() -> list[str]:
    """A run of some seconds."""
    return [word.replace("n=100", "n=6000") for word in LINE]


def whole() -> wflow.Solution:
    system = wflow.systems.get("isotropic-gaussians")
    return wflow.solve(system.flow(), system.initial("grid", 100), (0, 1), t_eval=[0, 0.01, 1])


def assert_whole(path: str) -> None:
    got, right = wflow.load(path), whole()
    assert got.success
    assert got.t.tolist() == right.t.tolist()
    assert got.risk.tobytes() == right.risk.tobytes()
    assert got.steps["t"].tobytes() == right.steps["t"].tobytes()
    assert got.measures[-1] == right.measures[-1]


def until_first_frame(process: Fork, frames: int = 2) -> None:
    """Wait until a running process has written a frame inside its run."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if wflow.load("a.h5").t.size >= frames:
                return
        except wflow.StorageError:
            assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("no frame in two minutes")


def test_it_starts_then_ends_at_once() -> None:
    status, out, err = run(*LINE)
    assert (status, err) == (0, "")
    assert "written: a.h5, a.png" in out
    assert_whole("a.h5")
    before = Path("a.h5").read_bytes(), Path("a.png").stat().st_mtime_ns
    status, out, err = run(*LINE)
    assert (status, out, err) == (0, "finished: a.h5\n", "")
    assert run(*LINE, "--quiet") == (0, "", "")
    assert (Path("a.h5").read_bytes(), Path("a.png").stat().st_mtime_ns) == before


def test_it_draws_the_picture_that_a_kill_left_out() -> None:
    assert run(*LINE, "--quiet")[0] == 0
    Path("a.png").unlink()
    assert run(*LINE, "--quiet") == (0, "", "")
    assert Path("a.png").exists()


@pytest.mark.parametrize("number, status", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_it_goes_on_where_it_was_stopped(number: int, status: int) -> None:
    long = long_line()
    process = begin(*long)
    until_first_frame(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    if number == signal.SIGTERM:
        assert (
            err
            == "wflow: terminated; a.h5 holds the run so far: run the same line again to go on\n"
        )
    assert wflow.load("a.h5").t.size == 2
    assert run(*long, "--quiet") == (0, "", "")
    assert wflow.load("a.h5").t.tolist() == [0.0, 0.01, 1.0]


def test_of_three_that_begin_together_one_writes_and_all_end_well() -> None:
    processes = [begin(*LINE) for _ in range(3)]
    said = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert [err for _, err in said] == ["", "", ""]
    assert sum("steps" in out for out, _ in said) >= 1
    assert_whole("a.h5")
    assert sorted(os.listdir()) == ["a.h5", "a.png"] or all(
        name in {"a.h5", "a.png"} or name.startswith((".", "a.h5")) for name in os.listdir()
    )


def test_who_waits_takes_over_from_one_that_is_killed() -> None:
    first = begin(*long_line())
    until_first_frame(first)
    first.send_signal(signal.SIGSTOP)  # it writes still, however slow the other one is to start
    second = begin(*long_line())
    assert second.first_line() == "waiting: a.h5 is being written by another run\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=180)
    assert (second.returncode, err) == (0, "")
    assert "written: a.h5, a.png" in out
    assert wflow.load("a.h5").t.tolist() == [0.0, 0.01, 1.0]


@pytest.mark.parametrize(
    "change, named",
    [
        ("n=100 n=80", "-p n=80: a.h5 was started with n = 100"),
        ("n=100 d=30", "-p d=30: a.h5 was started with d = 40"),
        ("--requeue --requeue --seed 5", "--seed 5"),
        ("--requeue --requeue --rtol 1e-3", "--rtol 0.001: a.h5 was started with rtol = 1e-06"),
        ("--requeue --requeue --method upwind", "--method upwind"),
        ("0,0.01,1 0,0.02,1", "--t-eval"),
    ],
)
def test_another_run_is_refused_by_name(change: str, named: str, finished: bytes) -> None:
    Path("a.h5").write_bytes(finished)
    old, *new = change.split()
    at = LINE.index(old)
    status, out, err = run(*LINE[:at], *new, *LINE[at + 1 :])
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert named in err
    if "n=100" not in new and "n=80" not in new and "d=30" in new:
        assert "n = 100" not in err


def test_what_is_left_at_its_default_counts_too() -> None:
    # The line must be one that could have started the file.
    assert run(*LINE, "-p", "delta=0.7", "--quiet")[0] == 0
    status, _, err = run(*LINE)
    assert status == 2
    assert "-p delta=0.8: a.h5 was started with delta = 0.7" in err


def test_a_later_end_goes_on() -> None:
    assert run(*LINE, "--quiet")[0] == 0
    at = LINE.index("--t-end")
    longer = [*LINE[:at], "--t-end", "2", *LINE[at + 2 :], "--quiet"]
    longer[longer.index("0,0.01,1")] = "0,0.01,1,2"
    assert run(*longer) == (0, "", "")
    assert wflow.load("a.h5").t.tolist() == [0.0, 0.01, 1.0, 2.0]
    assert run(*longer) == (0, "", "")


def test_a_later_end_saves_what_the_line_names_alone() -> None:
    line = ["run", "isotropic-gaussians", "-p", "n=50", "--quiet", "-o", "b.h5", "--requeue"]
    assert run(*line, "--t-end", "0.1", "--t-eval", "0.05")[0] == 0
    assert run(*line, "--t-end", "0.2", "--t-eval", "0.05") == (0, "", "")
    assert run(*line, "--t-end", "0.3", "--t-eval", "0.05,0.25") == (0, "", "")
    assert wflow.load("b.h5").t.tolist() == [0.05, 0.25]


def test_a_finished_file_from_before_starts_were_kept_is_known() -> None:
    assert run(*LINE, "--quiet")[0] == 0
    with h5py.File("a.h5", "r+") as file:
        del file["start"]
    assert run(*LINE, "--quiet") == (0, "", "")
    other = [*LINE, "--quiet"]
    other[other.index("n=100")] = "n=80"
    status, _, err = run(*other)
    assert status == 2
    assert "-p n=80: a.h5 was started with n = 100" in err


@pytest.mark.parametrize("other", ["--resume", "--overwrite"])
def test_two_ways_to_begin_are_refused(other: str) -> None:
    status, out, err = run(*LINE, other)
    assert (status, out) == (2, "")
    assert "--requeue" in err
    assert other in err


# ---- what it would cost ----------------------------------------------------------------------------------------------


def dry(*words: str) -> str:
    status, out, err = run("run", *words, "--dry-run")
    assert (status, err) == (0, "")
    assert os.listdir() == []  # nothing is written
    return out


def test_a_dry_run_knows_a_short_run_to_the_step() -> None:
    out = dry("isotropic-gaussians", "-p", "n=100", "--t-end", "1")
    steps = re.search(r"^steps +(\d+)$", out, re.MULTILINE)
    assert steps is not None, out
    assert int(steps[1]) == whole().stats["steps"]
    assert "muscl" in out
    assert re.search(r"^memory +\d[\d.]* [MG]B at the peak", out, re.MULTILINE)
    assert re.search(r"^time +about [\d.]+ s", out, re.MULTILINE)
    assert re.search(r"^file +at most [\d.]+ [kM]B, 4 frames$", out, re.MULTILINE)


def test_a_dry_run_reckons_a_long_run_from_its_first_steps() -> None:
    out = dry("isotropic-gaussians", "-p", "measure=particles", "-p", "temperature=0.1",
              "--method", "langevin", "--option", "step_size=1e-5", "--t-end", "10")  # fmt: skip
    steps = re.search(r"^steps +about (\d+), if they stay as long as the last of", out, re.M)
    assert steps is not None, out
    assert int(steps[1]) == 1_000_000


def test_a_dry_run_gives_steps_that_grow_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wflow.run.forecast.TRIAL", 0.01)
    small = ["-p", "n=3", "-p", "d=2"]
    out = dry("teacher-student", *small, "--method", "implicit", "--t-end", "1e6")
    steps = r"^steps +at most about \d+: as long as the last of \d+ tried, [\d.e-]+, and they grow"
    assert re.search(steps, out, re.M), out
    assert re.search(r"^time +at most about [\d.e+]+ s, beside", out, re.M), out


def test_a_dry_run_goes_with_no_other_way_to_begin() -> None:
    status, _, err = run("run", "isotropic-gaussians", "--dry-run", "--requeue")
    assert status == 2
    assert "--dry-run with --requeue" in err


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--requeue"], ["-p", "measure=particles"]])
def test_what_does_not_fit_into_memory_is_refused_with_the_figure(words: list[str]) -> None:
    status, out, err = run("run", "isotropic-gaussians", "-p", "n=100000000000", *words)
    assert (status, out) == (2, "")
    assert re.search(r"needs about [\d.]+ TB of memory, and [\d.]+ [MGT]B are free", err), err
    assert err.count("\n") == 1
    assert os.listdir() == []


def test_solve_refuses_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from wflow.tools import memory

    monkeypatch.setattr(memory, "free_memory", lambda: 2_000_000)
    system = wflow.systems.get("isotropic-gaussians", d=10)
    rho0 = system.initial("grid", 400)
    flow, times = system.flow(), np.linspace(0, 0.1, 2000)
    with pytest.raises(wflow.InputError, match="with 2000 frames in memory needs about 6"):
        wflow.solve(flow, rho0, (0, 0.1), t_eval=times)
    # In a file they need not fit.
    assert wflow.solve(flow, rho0, (0, 0.1), t_eval=times, output="b.h5").success


def test_sgd_refuses_what_does_not_fit() -> None:
    with pytest.raises(wflow.InputError, match="choose fewer neurons"):
        wflow.networks.sgd("isotropic-gaussians", n_neurons=10**11, step_size=1e-3, n_steps=1)
