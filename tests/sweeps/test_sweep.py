"""Sweeps: every run once, whatever is interrupted; what is found is what single calls find."""

import csv
import io
import json
import os
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from cut import Cut
from forks import Fork

import wflow
from wflow.cli.main import main
from wflow.sweeps.folder import Folder
from wflow.sweeps.jobs import Job
from wflow.sweeps.plan import read_plan

PLAN: dict[str, Any] = {
    "system": "bump",
    "t_end": 0.1,
    "t_eval": [0, 0.05, 0.1],
    "runs": [
        {"run": "network", "n_neurons": 4, "step_size": 1e-2, "seed": [1, 2]},
        {"run": "limit", "parameters": {"n": 20}},
    ],
}
ONE = PLAN | {"runs": [{"run": "network", "n_neurons": 4, "step_size": 1e-2}]}


def runs(folder: Path) -> dict[str, int]:
    """The finished runs, and when each was written."""
    return {p.name: p.stat().st_mtime_ns for p in (folder / "runs").glob("*.h5")}


def command(*line: str) -> tuple[int, str, str]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = main(["sweep", *line])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "done"
    assert wflow.sweep(PLAN, folder, workers=1).count("done") == 3
    return folder


def test_it_finds_what_single_calls_find(done: Path) -> None:
    data = wflow.load_sweep(done).to_xarray()
    assert data.risk.dims == ("run", "seed", "t")
    system, times = wflow.systems.get("bump"), [0, 0.05, 0.1]
    for seed in (1, 2):
        net = wflow.networks.sgd(
            system, n_neurons=4, step_size=1e-2, n_steps=10, t_eval=times, seed=seed
        )
        assert data.risk.sel(run="network", seed=seed).values.tobytes() == net.risk.tobytes()
    limit = wflow.solve(system.flow(), system.initial("grid", 20), (0, 0.1), t_eval=times)
    # It does not depend on the seed, and stands at each.
    for seed in (1, 2):
        assert data.risk.sel(run="limit", seed=seed).values.tobytes() == limit.risk.tobytes()
    assert data.minimum.sel(run="network").isnull().all()
    assert data.attrs["system"] == "bump"


def test_what_it_writes_is_read_without_wflow(done: Path) -> None:
    data = wflow.load_sweep(done).to_xarray()
    with xarray.open_dataset(done / "sweep.h5", engine="h5netcdf") as stored:
        xarray.testing.assert_equal(stored.load(), data)
    with open(done / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 3
    assert [row["seed"] for row in rows] == ["1", "2", ""]
    assert float(rows[2]["risk"]) == data.risk.sel(run="limit", seed=1, t=0.1)
    assert all((done / row["file"]).is_file() for row in rows)
    job = wflow.load_sweep(done).jobs[0]
    assert wflow.load_sweep(done).solution(job).measures[-1].points().shape[0] == 4


def test_a_run_of_another_sweep_and_a_word_for_none_are_refused(done: Path) -> None:
    found = wflow.load_sweep(done)
    other = read_plan(PLAN | {"t_end": 0.2}).jobs[0]
    for ask in (found.solution, found.reason):
        with pytest.raises(wflow.InputError, match="none of this sweep's jobs"):
            ask(other)
        with pytest.raises(wflow.InputError, match="give one of the sweep's jobs"):
            ask(0)  # type: ignore[arg-type]
    with pytest.raises(
        wflow.InputError, match=r"unknown status 'finished': Known: begun, damaged, done"
    ):
        found.count("finished")


def test_the_same_again_computes_nothing(done: Path) -> None:
    before = runs(done)
    assert len(wflow.sweep(PLAN, done, workers=1)) == 3
    assert runs(done) == before


def test_another_plan_is_refused_unless_it_adds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a"
    wflow.sweep(ONE, folder, workers=1)
    before = runs(folder)
    other = ONE | {"runs": [ONE["runs"][0] | {"seed": 5}]}
    with pytest.raises(
        wflow.StorageError, match=r"1 of which this plan leaves out \(the first: se"
    ):
        wflow.sweep(other, folder, workers=1)
    more = ONE | {"runs": [ONE["runs"][0] | {"seed": [0, 5]}]}
    result = wflow.sweep(more, folder, workers=1, progress=True)
    assert f"{folder} is extended by 1 run: seed = 5" in capsys.readouterr().err
    assert result.status == ["done", "done"]
    assert result.axes["seed"].tolist() == [0, 5]
    assert before.items() < runs(folder).items()


def test_an_unfinished_sweep_is_read_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with Folder(folder).held(read_plan(PLAN)):
        pass
    nothing = wflow.load_sweep(folder)
    assert nothing.count("missing") == 3
    assert "3 missing" in nothing.summary()
    from wflow.sweeps.work import carry_out

    assert carry_out(nothing.jobs[0].about, str(folder)) is None
    data = wflow.load_sweep(folder).to_xarray()
    assert np.isfinite(data.risk.sel(run="network", seed=1)).all()
    assert np.isnan(data.risk.sel(run="network", seed=2)).all()
    assert np.isnan(data.risk.sel(run="limit")).all()
    with redirect_stdout(io.StringIO()) as out:
        assert main(["info", str(folder)]) == 0
    assert "1 done, 2 missing" in out.getvalue()


@pytest.mark.parametrize("torn", [False, True])
def test_a_run_that_was_cut_goes_on_from_its_checkpoint(tmp_path: Path, torn: bool) -> None:
    folder = tmp_path / "a"
    plan = {"system": "bump", "run": "limit", "t_end": 0.1, "parameters": {"n": 20}, "rtol": 1e-8}
    asked = read_plan(plan)
    with Folder(folder).held(asked):
        draft = Folder(folder).draft(asked.jobs[0])
    system = wflow.systems.get("bump")
    arguments: dict[str, Any] = {"t_eval": asked.jobs[0].about["t_eval"], "rtol": 1e-8}
    start = system.initial("grid", 20)
    cut: dict[str, Any] = {
        "output": draft,
        "trackers": [Cut(t=0.04)],
        "attributes": {"begun": "before"},
    }
    with pytest.raises(KeyboardInterrupt):
        wflow.solve(system.flow(), start, (0, 0.1), **cut, **arguments)
    assert 0 < wflow.load(draft).t.size < 11
    if torn:
        draft.write_bytes(draft.read_bytes()[:1000])
    assert wflow.load_sweep(folder).status == ["begun"]
    result = wflow.sweep(plan, folder, workers=1)
    found = result.solution(result.jobs[0])
    whole = wflow.solve(system.flow(), start, (0, 0.1), **arguments)
    assert found.risk.tobytes() == whole.risk.tobytes()
    assert ("begun" in found.attributes) is not torn
    assert not draft.exists()


def test_failures_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    folder, plan = tmp_path / "a", tmp_path / "plan.toml"
    plan.write_text(
        'system = "teacher-student"\nrun = "network"\nn_neurons = 4\nt_eval = [0.0, 1e200]\n'
        "t_end = 1e200\nstep_size = [1e199, 1e200]\n"
    )
    line = [str(plan), "-o", str(folder), "--workers", "1"]
    status, out, err = command(*line)
    assert status == 1
    assert "2 of 2 runs failed, the first at step_size = 1e+199: " in err
    assert "--retry-failed tries them again" in err
    assert "sweep of 2 runs over step_size 2: 2 failed" in out
    result = wflow.load_sweep(folder)
    assert result.status == ["failed", "failed"]
    # What it has left is shown, and nothing after.
    risk = result.to_xarray().risk
    assert np.isfinite(risk[:, 0]).all()
    assert np.isnan(risk[:, 1]).all()
    why = next((folder / "failed").glob("*.json"))
    assert json.loads(why.read_text())["reason"] in err + str(result.rows())
    before = why.stat().st_mtime_ns
    assert command(*line)[0] == 1
    assert why.stat().st_mtime_ns == before
    assert command(*line, "--retry-failed")[0] == 1
    assert why.stat().st_mtime_ns > before


def test_passes_and_batches_that_change_in_time_are_an_axis(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    np.savez(tmp_path / "data.npz", x=x, y=np.tanh(x[:, 0]))
    data = {"path": str(tmp_path / "data.npz")}
    plan = {
        "system": "dataset",
        "run": "network",
        "n_neurons": 4,
        "step_size": 0.1,
        "epochs": [1, 2],
    }
    plan |= {"t_eval": [0, 0.3], "batch_size": [5, [[0, 5], [0.2, 30]]], "parameters": data}
    found = wflow.sweep(plan, tmp_path / "a", workers=1).to_xarray()
    assert found.risk.dims == ("epochs", "batch_size", "t")
    single = wflow.networks.sgd(
        wflow.systems.get("dataset", **data),
        n_neurons=4,
        step_size=0.1,
        epochs=2,
        batch_size=[(0, 5), (0.2, 30)],
        t_eval=[0, 0.3],
    )
    last = found.risk.sel(epochs=2, batch_size="5 from 0, 30 from 0.2")
    assert last.values.tobytes() == single.risk.tobytes()
    assert wflow.sweep(plan, tmp_path / "a", workers=1).count("done") == 4


def test_what_cannot_be_written_is_no_failure_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = "unfinished/1.h5 cannot be created: the disk is full: choose another place or make room"

    def create(job: Job, output: Path) -> None:
        raise wflow.StorageError(full)

    with monkeypatch.context() as patched:
        patched.setattr(Job, "carry_out", create)
        with pytest.raises(wflow.StorageError, match="the disk is full"):
            wflow.sweep(ONE, tmp_path / "a", workers=1)
    assert wflow.load_sweep(tmp_path / "a").status == ["missing"]
    assert wflow.sweep(ONE, tmp_path / "a", workers=1).status == ["done"]


def test_a_damaged_result_is_told_and_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    result = wflow.sweep(ONE, folder, workers=1)
    file = folder / "runs" / f"{result.jobs[0].digest}.h5"
    file.write_bytes(file.read_bytes()[:2000])
    damaged = wflow.load_sweep(folder)
    assert damaged.rows()[0]["status"] == "damaged"
    assert np.isnan(damaged.to_xarray().risk).all()
    assert wflow.sweep(ONE, folder, workers=1, retry_failed=True).rows()[0]["status"] == "done"


def test_folders_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for place, words in [
        ("mine", "holds other files: give a new folder"),
        ("file", "is a file: give a folder"),
        ("no/where", "does not exist: make it first"),
    ]:
        with pytest.raises(wflow.StorageError, match=words):
            wflow.sweep(ONE, tmp_path / place, workers=1)
    with pytest.raises(wflow.StorageError, match="is no folder of a sweep"):
        wflow.load_sweep(tmp_path / "mine")
    (tmp_path / "b").mkdir()
    for text in ("[", "{}", '{"format": "wflow-sweep-1", "runs": [{}], "axes": []}'):
        (tmp_path / "b" / "plan.json").write_text(text)
        with pytest.raises(wflow.StorageError, match=r"plan\.json is damaged"):
            wflow.load_sweep(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "file", "mine"]


def test_two_sweeps_into_one_folder(tmp_path: Path) -> None:
    plan = read_plan(ONE)
    with (
        Folder(tmp_path / "a").held(plan),
        pytest.raises(wflow.StorageError, match="is being written by another run"),
    ):
        wflow.sweep(ONE, tmp_path / "a", workers=1)


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('system = "bump"\nrun = "network"\nt_end = 0.1\nstep_size = 1e-2\nseeds = 40\n')
    status, out, _ = command(str(plan), "--dry-run", "--workers", "2")
    assert status == 0
    assert "runs    40 over seed" in out
    assert "on one core" in out
    assert "on 2\n" in out
    status, _, err = command(str(plan), "--dry-run", "--workers", "0")
    assert (status, err) == (2, "wflow: workers = 0: give a whole number of at least 1\n")
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]


def test_ctrl_c_keeps_what_has_landed(tmp_path: Path) -> None:
    plan, folder = tmp_path / "plan.toml", tmp_path / "a"
    plan.write_text(
        'system = "bump"\nrun = "network"\nt_end = 0.1\nstep_size = 1e-2\nn_neurons = 4\nseeds = 500\n'
    )
    line = ["sweep", str(plan), "-o", str(folder), "--workers", "1"]
    process = Fork(lambda: sys.exit(main(line)))
    deadline = time.monotonic() + 120
    while not (folder / "runs").is_dir() or len(os.listdir(folder / "runs")) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        err
        == f"wflow: interrupted; {folder} keeps what has landed: run the same line again to go on\n"
    )
    assert len(runs(folder)) >= 2
