"""Wrong requests: one clear line that names the thing, its value and what is right; nothing on the disk is touched.

A table of what users do. Each entry is a call and the words that its message must hold. The command line's own
mistakes stand here too: exit status 2 (the request) or 1 (the computation), one line on stderr, no traceback.
"""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from flows import well

import wflow
from wflow import GradientFlow, GridDensity, InputError, Particles, StorageError
from wflow.cli.main import main
from wflow.energies import FeatureEnergy, PairEnergy


def cloud(n: int = 5, d: int = 1) -> Particles:
    return Particles(np.linspace(-1, 1, n * d).reshape(n, d))


def line() -> GridDensity:
    return GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-5, 5)], n=20)


def solve(**changed: Any) -> Any:
    request: dict[str, Any] = {
        "flow": GradientFlow(well()),
        "rho0": cloud(),
        "t_span": (0, 1),
    } | changed
    return wflow.solve(request.pop("flow"), request.pop("rho0"), request.pop("t_span"), **request)


def gaussians(**given: Any) -> Any:
    return wflow.systems.get("isotropic-gaussians", **given)


def sgd(**changed: Any) -> Any:
    return wflow.networks.sgd(
        "isotropic-gaussians", **{"n_neurons": 3, "step_size": 1e-2, "n_steps": 3} | changed
    )


NAN, INF = float("nan"), float("inf")
ONES = np.ones((4, 2))

REQUESTS: dict[str, tuple[Callable[[], Any], str]] = {
    # names
    "system": (lambda: wflow.systems.get("isotropic"), "unknown system 'isotropic'"),
    "system attribute": (lambda: gaussians(delt=1), "did you mean 'delta'"),
    "flow's constant": (lambda: gaussians(temperature=0.1), "it belongs to the flow, system.flow("),
    "start's size": (lambda: gaussians(n=100), "it belongs to the start, system.initial("),
    "method": (lambda: solve(method="runge"), "unknown method 'runge': did you mean 'runge-kutta'"),
    "method of a type": (lambda: solve(method=3), "method 3: give a name"),
    "method option": (lambda: solve(method="langevin", method_options={"step": 1}), "'step_size'"),
    "method on the wrong measure": (lambda: solve(method="muscl"), "acts on grid"),
    "noise on muscl": (
        lambda: solve(flow=GradientFlow(well(), temperature=1), rho0=line(), method="muscl"),
        "scharfetter-gummel",
    ),
    "activation": (lambda: FeatureEnergy("rel", nodes=ONES, targets=np.ones(4)), "'relu'"),
    # parameters of a system
    "text for a number": (lambda: gaussians(d="many"), "d = 'many': expected a number"),
    "true for a number": (lambda: gaussians(d=True), "d = True"),
    "None for a number": (lambda: gaussians(d=None), "d = None"),
    "list for a number": (lambda: gaussians(d=[3]), "d = [3]"),
    "d nan": (lambda: gaussians(d=NAN), "d = nan: expected an integer >= 1 or inf"),
    "d -inf": (lambda: gaussians(d=-INF), "d = -inf: expected an integer >= 1 or inf"),
    "d 0": (lambda: gaussians(d=0), "d = 0"),
    "d broken": (lambda: gaussians(d=2.5), "d = 2.5"),
    "delta outside": (lambda: gaussians(delta=1.5), "delta = 1.5: expected in [0, 1]"),
    "delta nan": (lambda: gaussians(delta=NAN), "delta = nan"),
    "spread": (lambda: gaussians(spread="wide"), '"scale" or "variance"'),
    "measure": (lambda: gaussians().initial("mesh"), "'mesh'"),
    "n 0": (lambda: gaussians().initial("grid", n=0), "n = 0"),
    "n negative": (lambda: gaussians().initial("particles", n=-3), "n = -3"),
    "n broken": (lambda: gaussians().initial("grid", n=2.5), "n = 2.5"),
    # the flow
    "energy of a type": (lambda: GradientFlow(lambda x: x), "energy is a function"),
    "temperature negative": (lambda: gaussians().flow(temperature=-0.1), "temperature = -0.1"),
    "temperature nan": (lambda: gaussians().flow(temperature=NAN), "temperature = nan"),
    "temperature text": (lambda: gaussians().flow(temperature="hot"), "temperature = 'hot'"),
    "temperature at d = inf": (lambda: gaussians(d=INF).flow(temperature=0.1), "d = inf"),
    "ridge inf": (lambda: gaussians().flow(ridge=INF), "ridge = inf"),
    "reaction rate": (lambda: gaussians().flow(reaction_rate=-1), "reaction_rate = -1"),
    "schedule 0": (lambda: GradientFlow(well(), schedule=0), "schedule 0"),
    "schedule nan": (
        lambda: solve(flow=GradientFlow(well(), schedule=lambda t: NAN)),
        "schedule(0) = nan",
    ),
    "ridge_on": (lambda: GradientFlow(well(), ridge_on=["w"]), "ridge_on names 'w'"),
    # the measure
    "no particles": (lambda: Particles(np.empty((0, 1))), "particle"),
    "particles in a box": (lambda: Particles(np.ones((3, 1, 1))), "(3, 1, 1)"),
    "particles nan": (lambda: Particles(np.array([[NAN]])), "finite"),
    "weights nan": (lambda: Particles(np.ones((2, 1)), np.array([1.0, NAN])), "finite"),
    "weights negative": (lambda: Particles(np.ones((2, 1)), np.array([1.0, -1.0])), "negative"),
    "weights shape": (lambda: Particles(np.ones((2, 1)), np.ones(3)), "(3,)"),
    "grid n 0": (lambda: GridDensity.from_function(lambda x: 1, [(0, 1)], n=0), "n = 0"),
    "grid reversed": (lambda: GridDensity.from_function(lambda x: 1, [(1, 0)], n=4), "(1, 0)"),
    "density negative": (
        lambda: GridDensity.from_function(lambda x: x[..., 0], [(-1, 1)], n=4),
        "negative",
    ),
    "density nan": (
        lambda: GridDensity.from_function(lambda x: x[..., 0] * NAN, [(-1, 1)], n=4),
        "finite",
    ),
    "density shape": (lambda: GridDensity(np.ones(3), [np.linspace(0, 1, 3)]), "3"),
    "wrong dimension": (lambda: solve(rho0=cloud(3, 2)), "2"),
    "rho0 of a type": (lambda: solve(rho0=np.ones((3, 1))), "rho0 is a ndarray"),
    "flow of a type": (lambda: solve(flow=well()), "flow is a PairEnergy"),
    "grid outside the domain": (
        lambda: wflow.solve(gaussians().flow(), line(), (0, 1)),
        "domain [[0.0, inf]]",
    ),
    # the data
    "data nan": (lambda: FeatureEnergy("relu", nodes=ONES * NAN, targets=np.ones(4)), "nodes"),
    "targets nan": (lambda: FeatureEnergy("relu", nodes=ONES, targets=[1, 1, 1, NAN]), "targets"),
    "targets shape": (lambda: FeatureEnergy("relu", nodes=ONES, targets=np.ones(3)), "targets"),
    "data of text": (lambda: FeatureEnergy("relu", nodes=[["a"]], targets=[1]), "nodes"),
    "data ragged": (lambda: FeatureEnergy("relu", nodes=[[1], [1, 2]], targets=[1, 1]), "nodes"),
    "no data": (lambda: FeatureEnergy("relu", nodes=np.empty((0, 2)), targets=[]), "node"),
    "loss": (lambda: FeatureEnergy("relu", nodes=ONES, targets=np.ones(4), loss="l1"), "'l1'"),
    "potential's shape": (lambda: PairEnergy(lambda x: x), "V returned shape (2, 1)"),
    # the time
    "t_span reversed": (lambda: solve(t_span=(1, 0)), "t_span = (1, 0)"),
    "t_span empty": (lambda: solve(t_span=(1, 1)), "t_span = (1, 1)"),
    "t_span nan": (lambda: solve(t_span=(0, NAN)), "t_span = (0, nan)"),
    "t_span one number": (lambda: solve(t_span=3), "t_span = 3"),
    "t_eval outside": (lambda: solve(t_eval=[0, 2]), "outside t_span [0, 1]"),
    "t_eval reversed": (lambda: solve(t_eval=[1, 0]), "increasing"),
    "t_eval twice": (lambda: solve(t_eval=[0, 0.5, 0.5]), "increasing"),
    "step with a fixed step": (
        lambda: solve(method="kinetic", method_options={"step_size": 0.1}, max_step=0.05),
        "max_step = 0.05 with a fixed step",
    ),
    "t_eval empty": (lambda: solve(t_eval=[]), "t_eval = []: give a list of times"),
    "t_eval text": (lambda: solve(t_eval="now"), "t_eval = 'now'"),
    "t_eval nan": (lambda: solve(t_eval=[0, NAN]), "finite"),
    # how
    "rtol 0": (lambda: solve(rtol=0), "rtol = 0"),
    "rtol text": (lambda: solve(rtol="fine"), "rtol = 'fine'"),
    "atol nan": (lambda: solve(atol=NAN), "atol = nan"),
    "first_step": (lambda: solve(first_step=-1), "first_step = -1"),
    "max_step": (lambda: solve(max_step=0), "max_step = 0"),
    "step_size": (lambda: solve(method="langevin", method_options={"step_size": 0}), "step_size"),
    "max_steps": (lambda: solve(max_steps=-1), "max_steps = -1"),
    "checkpoint_every": (lambda: solve(checkpoint_every="often"), "checkpoint_every = 'often'"),
    "seed negative": (lambda: solve(seed=-1), "seed is -1"),
    "seed broken": (lambda: solve(seed=0.5), "seed is 0.5"),
    "seed text": (lambda: solve(seed="a"), "seed is 'a'"),
    "seed None": (lambda: solve(seed=None), "seed is None"),
    "tracker rate": (lambda: wflow.trackers.SteadyState(-1), "rate = -1"),
    # SGD and validation
    "sgd neurons": (lambda: sgd(n_neurons=0), "n_neurons = 0"),
    "sgd steps": (lambda: sgd(n_steps=1.5), "n_steps = 1.5"),
    "sgd batch": (lambda: sgd(batch_size=0), "batch_size = 0"),
    "sgd step size": (lambda: sgd(step_size=-1), "step_size = -1"),
    "sgd step size nan": (lambda: sgd(step_size=NAN), "step_size = nan"),
    "sgd step size inf": (lambda: sgd(step_size=INF), "step_size = inf"),
    "sgd step size text": (lambda: sgd(step_size="small"), "step_size = 'small'"),
    "sgd seed": (lambda: sgd(seed=-1), "seed is -1"),
    "sgd order": (lambda: sgd(order=[0]), "order"),
    "sgd initial shape": (lambda: sgd(initial=cloud(3, 2)), "2"),
    "sgd at d = inf": (lambda: wflow.networks.sgd(gaussians(d=INF)), "d = inf"),
    "validate seeds": (lambda: wflow.validate("isotropic-gaussians", seeds=1), "seeds = 1"),
    "validate sizes": (lambda: wflow.validate("isotropic-gaussians", neurons=[0]), "neurons = 0"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_wrong_request(name: str) -> None:
    call, words = REQUESTS[name]
    with pytest.raises(InputError) as refusal:
        call()
    message = str(refusal.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize("method", ["auto", "langevin"])
def test_energy_that_is_not_a_number_at_the_start(method: str, tmp_path: Path) -> None:
    flow = GradientFlow(PairEnergy(lambda x: np.where(x[..., 0] == 0.5, 0.0, np.nan)))
    with pytest.raises(InputError, match="not finite at the start"):
        wflow.solve(flow, cloud(), (0, 1), method=method, output=tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = tmp_path / "finished.h5"
    solve(output=path, t_eval=[0, 1])
    return path


def spoil_truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def spoil_foreign(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (spoil_truncate, "cut short"),
    "a few bytes": (lambda p: p.write_bytes(p.read_bytes()[:20]), "damaged"),
    "foreign": (spoil_foreign, "no run of wflow"),
    "text": (lambda p: p.write_text("t,risk\n0,1\n"), "not an HDF5 file"),
    "empty": (lambda p: p.write_bytes(b""), "is empty"),
    "gone": (lambda p: p.unlink(), "no file"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "is a folder"),
    "zeros inside": (lambda p: p.write_bytes(p.read_bytes()[:512] + bytes(10000)), ""),
}


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt_file(how: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, words = SPOILT[how]
    spoil(finished)
    before = finished.read_bytes() if finished.is_file() else None
    for call in (wflow.load, wflow.resume, lambda p: wflow.resume(p, GradientFlow(well()), 2.0)):
        with pytest.raises(StorageError) as refusal:
            call(finished)
        assert words in str(refusal.value)
        assert str(finished) in str(refusal.value)
        assert "\n" not in str(refusal.value)
    for command in (
        ["info", str(finished)],
        ["plot", str(finished)],
        ["run", "isotropic-gaussians", "--resume", "-o", str(finished)],
    ):
        assert main(command) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert str(finished) in said.err
    assert (finished.read_bytes() if finished.is_file() else None) == before
    assert not finished.with_suffix(".png").exists()


def test_report_is_no_run(tmp_path: Path) -> None:
    """A validation report is ours, but not a run; the message says so."""
    path = tmp_path / "report.h5"
    small = {"neurons": [4], "seeds": 2, "step_sizes": [1e-2], "t_end": 0.05, "rates": False}
    small |= {"n_grid": 32, "n_particles": 20}
    wflow.validate(gaussians(d=4), **small, output=path)
    with pytest.raises(StorageError, match="no run of wflow: it holds the numbers of a picture"):
        wflow.load(path)


PLACES: dict[str, tuple[str, str]] = {
    "existing output": ("finished.h5", "exists"),
    "missing folder": ("nope/run.h5", "does not exist"),
    "output is a folder": (".", "is a folder"),
    "a file for a folder": ("finished.h5/run.h5", "does not exist"),
}


@pytest.mark.parametrize("place", PLACES)
def test_wrong_place(
    place: str, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, words = PLACES[place]
    monkeypatch.chdir(finished.parent)
    before = finished.read_bytes()
    with pytest.raises(StorageError, match=words):
        solve(output=name)
    with pytest.raises(StorageError, match=words):
        sgd(output=name)
    assert main(["run", "isotropic-gaussians", "-p", "n=8", "-o", name]) == 2
    assert words in capsys.readouterr().err.replace("give a file name", words)
    if name == ".":
        with pytest.raises(StorageError, match=words):
            solve(output=name, overwrite=True)
    assert finished.read_bytes() == before
    assert [p.name for p in finished.parent.iterdir()] == ["finished.h5"]


def test_a_pipe_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a device: to be renamed over, /dev/null need only be named by root."""
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    assert main(["run", "isotropic-gaussians", "--overwrite", "-o", str(pipe)]) == 2
    assert "device or a pipe" in capsys.readouterr().err
    assert pipe.is_fifo()


def test_a_png_for_an_hdf5_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The picture would replace the run it shows."""
    assert main(["run", "isotropic-gaussians", "-o", str(tmp_path / "a.png")]) == 2
    assert "a.h5" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_request_that_is_refused_leaves_the_file_it_would_replace(finished: Path) -> None:
    before = finished.read_bytes()
    for wrong in ({"t_eval": [9]}, {"rho0": cloud(3, 2)}, {"method": "x"}, {"seed": -1}):
        with pytest.raises(InputError):
            solve(output=finished, overwrite=True, **wrong)
        assert finished.read_bytes() == before


def in_a_child_with_a_full_disk(room: int, work: Callable[[], int]) -> int:
    """Exit status of ``work`` in a fork that may write files of ``room`` bytes at most."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead of death
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_full_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    run = ["run", "isotropic-gaussians", "-p", "n=60", "--t-end", "0.3", "--quiet", "-o", str(path)]
    assert main(run) == 0
    size = path.stat().st_size
    kept = path.read_bytes()
    rooms = [1000, size // 4, size // 2, size - 1, 2 * size, 4 * size, 8 * size, 10**6]
    for room in rooms:
        for more in ([], ["--overwrite"]):
            target = path if more else tmp_path / f"{room}.h5"
            command = [*run[:-1], str(target), *more]
            capfd.readouterr()
            status = in_a_child_with_a_full_disk(room, lambda c=command: main(c))
            said = capfd.readouterr()
            if status == 0:
                continue
            assert status == 2, said.err  # a file that cannot even be begun is a wrong request
            assert said.err.count("\n") == 1, said.err
            assert "full" in said.err or "large" in said.err or "room" in said.err, said.err
            assert target.exists() == bool(more)
            assert path.read_bytes() == kept
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".tmp", ".lock")]


def test_a_disk_that_fills_under_way_is_status_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The request is right: the run has begun, keeps what it has, and goes on when there is room."""
    run = ["run", "isotropic-gaussians", "-p", "measure=particles", "-p", "n=4", "--quiet"]
    run += ["-p", "temperature=0.01", "--method", "langevin", "--option", "step_size=1e-5"]
    # 5000 steps: more than a file begins with
    run += ["--t-end", "0.05", "--t-eval", "0,0.02,0.05", "-o"]
    whole = tmp_path / "whole.h5"
    assert main([*run, str(whole)]) == 0
    statuses = []
    for room in (100_000, 600_000, 2_000_000):
        path = tmp_path / f"{room}.h5"
        capfd.readouterr()
        status = in_a_child_with_a_full_disk(room, lambda c=[*run, str(path)]: main(c))
        said = capfd.readouterr().err
        statuses.append(status)
        assert path.exists() == (status != 2)
        if status == 1:
            assert said.count("\n") == 1, said
            assert "the disk is full" in said
            assert "make room, then resume" in said
            assert wflow.load(path).t.tolist() == [0.0, 0.02]
            assert wflow.resume(path).risk.tobytes() == wflow.load(whole).risk.tobytes()
    assert statuses == sorted(statuses, key=[2, 1, 0].index)
    assert set(statuses) == {0, 1, 2}
