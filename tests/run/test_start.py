"""A run's file holds what the run started from, and what is taken up again is prepared with exactly that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import wflow
from wflow import InputError, Particles, StorageError
from wflow.results.kinds import KINDS, RunKind, Task, kind_of
from wflow.run.execute import begin, execute
from wflow.run.record import Settings
from wflow.solvers import get_method
from wflow.solvers.method import Method, Tolerance
from wflow.storage import read_run


def gaussians(method: str, path: Path, **options: Any) -> Any:
    """A run whose first frame is not its start, cut after three steps; and the start."""
    system = wflow.systems.get("isotropic-gaussians", d=10)
    rho0 = system.initial(get_method(method).acts_on, 40)
    options = {"t_eval": [0.3, 0.4], "max_steps": 3} | options
    sol = wflow.solve(system.flow(), rho0, (0, 0.4), method=method, output=path, **options)
    return sol, rho0


@pytest.mark.parametrize("method", ["runge-kutta", "muscl", "quantiles"])
def test_prepare_gets_the_start_again(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = tmp_path / "run.h5", []
    cut, rho0 = gaussians(method, path)
    assert "max_steps" in cut.message
    kind: type[Method] = type(get_method(method))
    really = kind.prepare

    def prepare(self: Method, flow: Any, measure: Any, *more: Any) -> Any:
        given.append(measure)
        return really(self, flow, measure, *more)

    monkeypatch.setattr(kind, "prepare", prepare)
    assert wflow.resume(path).success
    assert given[0] == rho0


def test_the_start_survives_every_rewriting_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    _, rho0 = gaussians("runge-kutta", path, max_steps=1000)
    wflow.resume(path, t_end=0.8)
    start = read_run(path).read_start()
    assert start["positions"].tobytes() == rho0.points().tobytes()
    assert start["weights"].tobytes() == rho0.weights().tobytes()


def test_a_file_without_a_start_is_read_and_not_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    gaussians("runge-kutta", path, max_steps=1000)
    with h5py.File(path, "r+") as file:
        del file["start"]
    assert wflow.load(path).success
    with pytest.raises(StorageError, match="does not hold what the run started from") as refusal:
        wflow.resume(path, t_end=0.8)
    assert "\n" not in str(refusal.value)


# ---- kinds of run ----------------------------------------------------------------------------------------------------


def test_the_kinds_of_run_are_found() -> None:
    assert {"flow", "network"} <= set(KINDS)
    assert kind_of({"run": "sgd"}) is KINDS["network"]  # as older files say
    with pytest.raises(InputError, match="unknown kind of run 'no such'"):
        kind_of({"run": "no such"})


def test_a_network_takes_no_flow(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    wflow.networks.sgd("teacher-student", n_neurons=4, step_size=1e-3, n_steps=20, output=path)
    flow = wflow.systems.get("teacher-student").flow()
    with pytest.raises(InputError, match="takes no flow"):
        wflow.resume(path, flow, t_end=0.04)


def test_neurons_of_ones_own_are_the_start(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    own = wflow.systems.get("teacher-student").network().start(4, 77) + 1.0
    run = {"step_size": 1e-3, "seed": 3, "initial": Particles(own)}
    whole = wflow.networks.sgd("teacher-student", n_steps=2048, t_eval=[1.024, 2.048], **run)
    wflow.networks.sgd("teacher-student", n_steps=1024, t_eval=[1.024], output=path, **run)
    assert np.array_equal(read_run(path).read_start()["positions"], own)
    longer = wflow.resume(path, t_end=2.048)
    assert longer.measures[-1] == whole.measures[-1]


class TwiceRun(RunKind):
    """A kind of a user's own: the flow of a system, twice as warm as the file says."""

    name = "twice"

    def rebuild(self, stored: Any, start: Any, flow: Any) -> Task:
        return self.task(stored.attributes, start)

    def task(self, about: Mapping[str, Any], start: Any) -> Task:
        flow = wflow.systems.get("isotropic-gaussians", d=10).flow(temperature=2 * about["half"])
        method = get_method("scharfetter-gummel")
        return Task(method.prepare(flow, start, Tolerance(1e-4), 0), method, flow.energy)

    def energy(self, about: Mapping[str, Any]) -> Any:
        return wflow.systems.get("isotropic-gaussians", d=10).energy()


def test_a_new_kind_of_run_is_one_class(tmp_path: Path) -> None:
    kind = TwiceRun()
    KINDS.enter(kind)
    start = wflow.systems.get("isotropic-gaussians", d=10).initial("grid", 40)

    def run(end: float, path: Path | None = None) -> Any:
        about = {"run": kind.name, "half": 0.05}
        task, settings = kind.task(about, start), Settings(path)
        whole = begin(
            task, start, t_span=(0, end), t_eval=[end], attributes=about, settings=settings
        )
        return execute(whole)

    path = tmp_path / "run.h5"
    run(0.1, path)
    assert wflow.resume(path, t_end=0.2).measures[-1] == run(0.2).measures[-1]
