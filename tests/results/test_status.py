"""A file is read whoever holds it open, and says whether its run ended, goes on, or was cut off."""

import os
import signal

import h5py
import pytest
from cut import Cut
from forks import fork

import wflow
from wflow.cli.main import main
from wflow.errors import BusyError

SPAN = {"t_eval": [0, 0.01, 0.02]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


def problem():
    system = wflow.systems.get("isotropic-gaussians", d=5)
    return system.flow(), system.initial("grid", 12)


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("locking", [None, False])
def test_a_file_that_h5py_holds_open_is_read(path, mode, locking):
    sol = wflow.solve(*problem(), (0, 0.02), **SPAN, output=path)
    with h5py.File(path, mode, locking=locking):
        assert sol.measures[-1].mass == pytest.approx(1)
        assert wflow.load(path).risk.tolist() == sol.risk.tolist()


def test_a_file_that_h5py_reads_is_carried_on(path):
    wflow.solve(*problem(), (0, 0.02), **SPAN, output=path)
    with h5py.File(path) as held:
        assert wflow.resume(path, t_end=0.03).t[-1] == 0.03
        assert held["t"][-1] == 0.02  # what was opened stays what it was
    assert wflow.load(path).t[-1] == 0.03


def test_a_file_that_xarray_holds_open_is_read(path):
    xarray = pytest.importorskip("xarray")
    sol = wflow.solve(*problem(), (0, 0.02), **SPAN, output=path)
    held = xarray.open_dataset(path, engine="h5netcdf")
    try:
        assert wflow.load(path).risk.tolist() == sol.risk.tolist()
        assert wflow.resume(path, t_end=0.03).t[-1] == 0.03
    finally:
        held.close()


def test_a_file_that_h5py_changes_is_not_carried_on(path):
    wflow.solve(*problem(), (0, 0.02), **SPAN, output=path)
    with (
        h5py.File(path, "r+"),
        pytest.raises(BusyError, match=r"is open for writing in this process \(h5py\): close it"),
    ):
        wflow.resume(path, t_end=0.03)
    assert wflow.resume(path, t_end=0.03).success


def test_a_live_run_is_running_and_an_interrupted_one_stopped(path, capsys):
    class Look:
        name, seen = "look", ""

        def state(self):
            return []

        def restore(self, state):
            pass

        def handle(self, t, observed):
            if t > 0.01 and not self.seen:
                self.seen = wflow.load(path).summary()

    look, (flow, start) = Look(), problem()
    with pytest.raises(KeyboardInterrupt):
        wflow.solve(
            flow,
            start,
            (0, 0.02),
            **SPAN,
            output=path,
            max_step=1e-3,
            trackers=[look, Cut(t=0.015)],
        )
    assert "\nrunning: at t = 0" in look.seen
    sol = wflow.load(path)
    assert (sol.status, sol.success) == ("stopped", False)
    assert sol.message.startswith("stopped at t = 0.015 of 0.02: wflow.resume goes on")
    assert main(["info", str(path)]) == 0
    said = capsys.readouterr().out
    assert "\nstopped at t = 0.015 of 0.02" in said
    assert "FAILED" not in said
    assert "stopped)" in repr(sol)
    assert wflow.resume(path, trackers=[look]).status == "done"


class Kill:
    """A kill between two steps."""

    name = "kill"

    def state(self):
        return []

    def restore(self, state):
        pass

    def handle(self, t, observed):
        if t > 0.01:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_is_stopped(path):
    options = {"t_eval": [0, 0.005, 0.02], "max_step": 1e-3, "trackers": [Kill()]}
    child = fork(lambda: wflow.solve(*problem(), (0, 0.02), output=path, **options))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    sol = wflow.load(path)
    assert sol.status == "stopped"
    assert sol.message.startswith("stopped at t = ")
    assert wflow.resume(path).status == "done"


def test_what_a_file_says_moves_no_cursor(path, capsys):
    wflow.solve(*problem(), (0, 0.02), **SPAN, output=path)
    with h5py.File(path, "r+") as file:
        del file.attrs["checksums"]
        file.attrs["message"] = "\x1b]0;x\x07done"
        file.attrs["note\x1b[2J"] = "\u202egnp"
        file.attrs["method"] = "m\x9b31m"
    assert main(["info", str(path)]) == 0
    said = capsys.readouterr().out
    assert "done: \\x1b]0;x\\x07done" in said
    assert "note\\x1b[2J: \\u202egnp" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert repr(wflow.load(path)).isprintable()
    with pytest.raises(wflow.errors.InputError) as refused:
        wflow.resume(path, t_end=0.03)
    assert "m\\x9b31m" in str(refused.value)
