"""A run killed at any moment, or cut and extended, ends in the same bits as one that was not.

Every victim is a fork of a process whose kernels are compiled already, so that fifty kills cost seconds. A kill is
`SIGKILL`, at a random moment of the run's own time: between two writes, in the middle of one, in the middle of a step.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cut import Cut
from forks import fork
from same import same_bits, same_measure

import wflow
from wflow.energies import PairEnergy

"""A run; six kinds of run make 54."""


@dataclass(frozen=True)
class Case:
    """A way to run into a file, and the flow to pass again when it is taken up."""

    start: Callable[..., Any]
    flow: Callable[[], wflow.GradientFlow | None] = lambda: None


def own_flow(strength: float = 1.0, temperature: float = 0.0) -> wflow.GradientFlow:
    """A user's own: a quadratic well with attraction."""
    energy = PairEnergy(
        lambda x: strength * x[..., 0] ** 2,
        lambda x, y: 0.1 * (x - y)[..., 0] ** 2,
        grad_V=lambda x: 2 * strength * x,
        grad_U=lambda x, y: 0.2 * (x - y),
    )
    return wflow.GradientFlow(energy, temperature=temperature)


def gaussians(
    end: float, method: str = "auto", method_options: dict[str, Any] | None = None, **flow: float
) -> Callable[..., Any]:
    def start(t_end: float = end, **options: Any) -> Any:
        system = wflow.systems.get("isotropic-gaussians", d=10)
        options = {"t_eval": np.linspace(0, end, 13), "rtol": 1e-3, "atol": 1e-6} | options
        rho0 = system.initial("grid", n=80)
        options |= {"method": method, "method_options": method_options}
        return wflow.solve(system.flow(**flow), rho0, (0, t_end), **options)

    return start


def own_particles(method: str, end: float, **more: Any) -> Callable[..., Any]:
    def start(t_end: float = end, **options: Any) -> Any:
        x = np.random.default_rng(0).standard_normal((60, 1))
        flow = own_flow(temperature=more.get("temperature", 0.0))
        options = {"t_eval": np.linspace(0, end, 13)} | more.get("options", {}) | options
        return wflow.solve(flow, wflow.Particles(x), (0, t_end), method=method, seed=3, **options)

    return start


def networks(
    blocks: int, system: str = "isotropic-gaussians", frames: int = 13
) -> Callable[..., Any]:
    """SGD in blocks of 1024 steps, after each of which the driver may save; a frame within one trains up to it anew."""
    size = 2.0**-14
    end = blocks * 1024 * size

    def start(t_end: float = end, **options: Any) -> Any:
        return wflow.networks.sgd(
            wflow.systems.get(system),
            n_neurons=4,
            step_size=size,
            n_steps=round(t_end / size),
            seed=5,
            **{"t_eval": np.linspace(0, end, frames), "temperature": 0.01, "ridge": 0.1} | options,
        )

    return start


CASES = {
    "muscl": Case(gaussians(2.0)),
    "scharfetter-gummel": Case(gaussians(1.0, temperature=0.05)),
    "strang": Case(gaussians(0.5, reaction_rate=1.0)),
    "runge-kutta": Case(
        own_particles("runge-kutta", 4.0, options={"rtol": 1e-10}), lambda: own_flow()
    ),
    "langevin": Case(
        own_particles(
            "langevin", 1.0, temperature=0.1, options={"method_options": {"step_size": 5e-3}}
        ),
        lambda: own_flow(temperature=0.1),
    ),
    "quantiles": Case(gaussians(0.5, "quantiles", {"cells": 60})),
    "sgd": Case(networks(60)),
    "sgd of features": Case(networks(2, "gaussian-mixture", frames=5)),
}


def assert_same_bits(a: Any, b: Any) -> None:
    """Both are done, and in every bit alike."""
    assert a.success, a.message
    assert b.success, b.message
    same_bits(a, b)


def take_up(path: Path, flow: wflow.GradientFlow | None) -> Any:
    """The resumed run; None where the kill came before its first checkpoint was whole."""
    try:
        return wflow.resume(path, flow)
    except wflow.StorageError as e:
        if "no valid checkpoint" not in str(e):
            raise
        return None


def run_and_kill(work: Callable[[], Any], after: float) -> bool:
    """Do ``work`` in a fork and kill it; whether it was killed before it was done."""
    child = fork(work)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed before it was killed"
    return False


@pytest.mark.parametrize("kills", [2, pytest.param(9, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_ends_in_the_same_bits(name: str, kills: int, tmp_path: Path) -> None:
    case = CASES[name]
    whole = case.start(output=tmp_path / "whole.h5")  # compiles, too
    seconds = {}
    for every in (0.0, 0.01):  # at every step, and now and then
        began = time.perf_counter()
        again = case.start(output=tmp_path / f"every{every}.h5", checkpoint_every=every)
        seconds[every] = time.perf_counter() - began
        assert_same_bits(again, whole)
    rng = np.random.default_rng()
    killed = tries = 0
    while killed < kills and tries < 4 * kills:
        tries += 1
        path = tmp_path / f"{tries}.h5"
        every = 0.01 * (tries % 2)
        if not run_and_kill(
            lambda p=path, e=every: case.start(output=p, checkpoint_every=e),
            after=rng.uniform(0.01, 0.9) * seconds[every],
        ):
            continue
        killed += 1
        if not path.exists():  # killed before there was a run
            continue
        left = wflow.load(path)
        n = left.t.size
        assert not np.isnan(left.t).any()
        assert left.t.tobytes() == whole.t[:n].tobytes()
        for series, right in left.series.items():
            assert right.tobytes() == whole.series[series][:n].tobytes()
        for i in range(n):
            same_measure(left.measures[i], whole.measures[i])
        if n == 0 and take_up(path, case.flow()) is None:
            continue
        if rng.random() < 0.3:  # the resumed run is killed, too
            run_and_kill(
                lambda p=path: wflow.resume(p, case.flow(), checkpoint_every=0.0),
                after=rng.uniform(0.0, 0.5) * seconds[0.0],
            )
        assert_same_bits(wflow.resume(path, case.flow()), whole)
        assert_same_bits(wflow.load(path), whole)
    assert killed == kills, f"{killed} kills of {tries}: the run is over too soon"
    # A run killed before it was there may leave what it began to write, and its lock.
    assert {p.suffix for p in tmp_path.iterdir()} <= {".h5", ".tmp", ".lock"}


@pytest.mark.parametrize("name", CASES)
def test_extended_equals_the_longer_run(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "run.h5"
    whole = case.start()
    end = float(whole.t[-1])
    frames = np.concatenate([whole.t, end * np.array([1.25, 1.5])])
    longer = case.start(t_end=1.5 * end, t_eval=frames, output=tmp_path / "longer.h5")
    case.start(output=path)
    extended = wflow.resume(path, case.flow(), 1.5 * end, t_eval=frames[-2:])
    assert_same_bits(extended, longer)
    # Again, by the end alone: the new end is saved.
    twice = wflow.resume(path, case.flow(), 2 * end)
    assert twice.t[:-1].tobytes() == extended.t.tobytes()
    assert twice.t[-1] == pytest.approx(2 * end)


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    first = gaussians(0.2)(output=path)
    before = path.read_bytes()
    assert_same_bits(wflow.resume(path), first)
    assert_same_bits(wflow.resume(path, t_end=0.2), first)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "flow, named",
    [
        (None, "flow of your own"),
        (own_flow(strength=1.1), "fingerprints differ"),
        (own_flow(temperature=0.1), "fingerprints differ"),
        (wflow.GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2)), "fingerprints differ"),
        ("isotropic-gaussians", "pass a wflow.GradientFlow"),
    ],
)
def test_wrong_flow_is_refused(flow: Any, named: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    own_particles("runge-kutta", 0.2)(output=path)
    before = path.read_bytes()
    with pytest.raises(wflow.InputError, match=named) as refusal:
        wflow.resume(path, flow, t_end=0.4)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == before


def test_right_flow_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    own_particles("runge-kutta", 0.2)(output=path)
    assert wflow.resume(path, own_flow(), t_end=0.4).t[-1] == 0.4


def test_a_replayed_order_is_kept(tmp_path: Path) -> None:
    """A longer run goes on in the order that the shorter one was given; beyond its end there is nothing to replay."""
    path, order = tmp_path / "run.h5", np.arange(40)[::-1]
    common = {"n_neurons": 4, "step_size": 1e-3, "order": order}
    wflow.networks.sgd("digits", n_steps=20, t_eval=[0.02], output=path, **common)
    longer = wflow.networks.sgd("digits", n_steps=40, t_eval=[0.02, 0.04], **common)
    resumed = wflow.resume(path, t_end=0.04)
    for mine, theirs in zip(resumed.measures, longer.measures, strict=True):
        same_measure(mine, theirs)
    with pytest.raises(wflow.InputError, match="order has 40 samples and the run needs 50"):
        wflow.resume(path, t_end=0.05)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_exception_leaves_a_checkpoint_of_the_last_step(
    stop: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "run.h5"
    run = gaussians(0.5)
    with pytest.raises(stop):
        run(output=path, trackers=[Cut(20, stop=stop)])
    assert wflow.load(path).steps["t"].size == 20
    assert_same_bits(wflow.resume(path), run())


def test_a_damaged_run_is_not_carried_on(tmp_path: Path) -> None:
    """Damage is told as damage, whatever the room on the disk; the file stays as it was."""
    import h5py

    path = tmp_path / "run.h5"
    cloud = wflow.Particles(np.linspace(-1.0, 1.0, 50)[:, None])
    wflow.solve(own_flow(), cloud, (0, 1), t_eval=[0, 0.5, 1], output=path)
    with h5py.File(path) as file:
        place = file["positions"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 20 : place + 24] = b"\xff\x00\xff\x00"
    path.write_bytes(content)
    for act in (
        lambda: wflow.load(path).measures[0],
        lambda: wflow.resume(path, flow=own_flow(), t_end=2.0),
    ):
        with pytest.raises(wflow.StorageError, match=r"run.h5 is damaged: .*restore a copy"):
            act()
    assert path.read_bytes() == content
