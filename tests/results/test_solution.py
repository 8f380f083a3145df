"""What comes back: frames that do not bend the path, measures read lazily, files that open, reasons that are named."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from forks import fork

import wflow
import wflow.run.record
from wflow import GradientFlow, GridDensity, InputError, Particles
from wflow.energies import PairEnergy
from wflow.run.trackers import SteadyState


def well(temperature: float = 0.0) -> GradientFlow:
    energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x)
    return GradientFlow(energy, temperature=temperature)


def cloud(n: int = 6) -> Particles:
    return Particles(np.linspace(-1, 2, n)[:, None])


def bump(n: int = 60) -> GridDensity:
    return GridDensity.from_function(lambda x: np.exp(-((x[..., 0] - 1) ** 2)), [(-5, 5)], n=n)


def radial(kind: str = "grid", **options: Any) -> Any:
    system = wflow.systems.get("isotropic-gaussians", d=10)
    return wflow.solve(system.flow(), system.initial(kind, n=30), (0, 1), **options)


KINDS = {
    "muscl": lambda **o: radial(**o),
    "scharfetter-gummel": lambda **o: wflow.solve(well(0.2), bump(), (0, 1), rtol=1e-3, **o),
    "strang": lambda **o: wflow.solve(
        GradientFlow(well().energy, temperature=0.2, reaction_rate=1.0),
        bump(),
        (0, 1),
        rtol=1e-3,
        **o,
    ),
    "runge-kutta": lambda **o: wflow.solve(well(), cloud(), (0, 1), **o),
    "langevin": lambda **o: wflow.solve(well(0.2), cloud(), (0, 1), **o),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_do_not_bend_the_path(name: str) -> None:
    run = KINDS[name]
    few = run(t_eval=[1.0])
    many = run(t_eval=np.linspace(0, 1, 38))
    assert few.attributes["method"] == name
    assert few.steps.keys() == many.steps.keys()
    for series in few.steps:
        assert few.steps[series].tobytes() == many.steps[series].tobytes(), series
    assert few.risk[-1] == many.risk[-1]
    assert few.measures[-1].weights().tobytes() == many.measures[-1].weights().tobytes()


@pytest.mark.parametrize("name", KINDS)
def test_t_eval_is_hit_exactly(name: str) -> None:
    times = np.array([0.0, 0.1, 1 / 3, 0.5, 1.0])
    sol = KINDS[name](t_eval=times)
    if name == "langevin":  # its own clock
        times = np.array([0.0, 0.1, 0.33, 0.5, 1.0])
        assert sol.t == pytest.approx(times, abs=1e-12)
    else:
        assert sol.t.tobytes() == times.tobytes()
    assert sol.risk.shape == sol.free_energy.shape == sol.mass.shape == times.shape
    assert len(sol.measures) == times.size


@pytest.mark.parametrize(
    "method, order, options",
    [("muscl", 2, {"cfl": 0.45}), ("runge-kutta", 5, {})],
)
def test_side_frames_have_the_order_of_the_method(
    method: str, order: int, options: dict[str, Any]
) -> None:
    """A frame inside a step is as good as the steps themselves: here every particle is x0 e^-t."""
    if method == "runge-kutta":
        sol = wflow.solve(well(), cloud(), (0, 1), t_eval=np.linspace(0, 1, 50), rtol=1e-8)
        exact = cloud().points()[:, 0] * np.exp(-sol.t)[:, None]
        got = np.array([m.points()[:, 0] for m in sol.measures])
        assert np.abs(got - exact).max() < 1e-7
    else:
        errors = []
        for n in (100, 200):
            sol = wflow.solve(well(), bump(n), (0, 0.5), t_eval=[0.123], method_options=options)
            errors.append(abs(sol.measures[0].mean()[0] - bump(n).mean()[0] * math.exp(-0.123)))
        assert math.log2(errors[0] / errors[1]) > order - 0.3


# ---- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_file_equals_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    inside, written = radial(kind), radial(kind, output=path)
    for sol in (written, wflow.load(path)):
        assert sol.success
        assert sol.message == inside.message
        assert sol.path == str(path)
        for name, values in inside.series.items():
            assert sol.series[name].tobytes() == values.tobytes()
        for name, values in inside.steps.items():
            assert sol.steps[name].tobytes() == values.tobytes()
        for m, n in zip(sol.measures, inside.measures, strict=True):
            assert type(m) is type(n)
            assert m.names == n.names
            assert m.points().tobytes() == n.points().tobytes()
            assert m.weights().tobytes() == n.weights().tobytes()
        assert sol.stats["steps"] == inside.stats["steps"] == sol.steps["t"].size
        for key in ("system", "parameters", "method", "seed", "rtol", "fingerprint", "versions"):
            assert sol.attributes[key] == inside.attributes[key]
    assert inside.path is None


def test_measures_are_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    sol = radial(output=path, t_eval=[0, 0.5, 1])
    assert len(sol.measures) == 3
    assert sol.measures[-1].points().shape == (30, 1)
    assert len(sol.measures[:2]) == len(list(sol.measures)[1:]) == 2
    with pytest.raises(IndexError, match="frame 3"):
        sol.measures[3]
    path.unlink()
    assert sol.risk.shape == (3,)  # in memory
    with pytest.raises(wflow.StorageError, match="no file"):
        sol.measures[0]


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_between_frames(kind: str) -> None:
    sol = radial(kind, t_eval=[0, 0.4, 1])
    assert sol(0.4).weights().tobytes() == sol.measures[1].weights().tobytes()
    assert sol(1).points().tobytes() == sol.measures[2].points().tobytes()
    low, high = (m.mean()[0] for m in sol.measures[1:])
    assert sol(0.7).mean()[0] == pytest.approx(0.5 * (low + high), rel=1e-12)
    assert sol(0.7).mass == pytest.approx(1, rel=1e-12)
    for t in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="outside the saved times"):
            sol(t)


@pytest.mark.parametrize("t", [[0.1], np.array([0.1, 0.2]), "0.1", None])
def test_one_time_at_once(t: Any) -> None:
    sol = wflow.solve(well(), cloud(), (0, 1))
    with pytest.raises(InputError, match="give one time"):
        sol(t)
    assert sol(np.float64(0.0)) == sol(np.array(0)) == sol(0)


def test_between_frames_is_second_order() -> None:
    gaps = []
    for frames in (11, 21):
        sol = wflow.solve(well(), cloud(), (0, 1), t_eval=np.linspace(0, 1, frames), rtol=1e-10)
        t = 0.5 / (frames - 1)
        gaps.append(np.abs(sol(t).points() - cloud().points() * math.exp(-t)).max())
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(2, abs=0.1)


def test_unknown_series() -> None:
    sol = wflow.networks.sgd("isotropic-gaussians", n_neurons=2, step_size=1e-2, n_steps=4)
    sol.series.pop("free_energy", None)  # as a method's own problem may leave out
    with pytest.raises(InputError, match="no series 'free_energy': it has"):
        _ = sol.free_energy


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_to_xarray(kind: str, tmp_path: Path) -> None:
    for options in ({}, {"output": tmp_path / "run.h5"}):
        sol = radial(kind, t_eval=[0, 0.5, 1], **options)
        data = sol.to_xarray()
        assert data["t"].values.tolist() == [0, 0.5, 1]
        assert data["risk"].dims == ("t",)
        check_labels(data, kind, sol)


def check_labels(data: Any, kind: str, sol: Any) -> None:
    n = sol.t.size
    if kind == "grid":
        assert data["density"].dims == ("t", "r")
        assert data["r"].values.tobytes() == sol.measures[0].centers[0].tobytes()
        for i in range(n):
            assert np.array_equal(data["density"].values[i], sol.measures[i].density)
    else:
        assert data["positions"].dims == ("t", "particle", "coordinate")
        assert data["weights"].dims == ("t", "particle")
        assert [str(c) for c in data["coordinate"].values] == ["r"]
        for i in range(n):
            assert np.array_equal(data["positions"].values[i], sol.measures[i].points())


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_xarray_opens_the_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    sol = radial(kind, output=path)
    with xarray.load_dataset(path, engine="h5netcdf") as data:
        check_labels(data, kind, sol)
        assert data["risk"].values.tobytes() == sol.risk.tobytes()
        for name in ("risk", "free_energy", "mass"):
            assert data[name].dims == ("t",)
            assert data[name].attrs["units"]
            assert data[name].attrs["long_name"]
        assert data.attrs["system"] == "isotropic-gaussians"
    with xarray.open_dataset(path, engine="h5netcdf", group="steps") as steps:
        assert steps["risk"].dims == ("step",)
        assert steps["h"].values.tobytes() == sol.steps["h"].tobytes()


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_xarray_opens_the_file_of_a_killed_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room for frames that were never written is there, as NaN; the counts tell."""
    path = tmp_path / "run.h5"
    # Half the run takes less than the second that frames may wait for one another.
    monkeypatch.setattr(wflow.run.record, "SECONDS_AT_RISK", 0.0)

    class Killer(SteadyState):
        """Kills its own process when half the run is done."""

        def handle(self, t: float, observed: dict[str, float]) -> None:
            if t > 0.5:
                os.kill(os.getpid(), signal.SIGKILL)

    radial(kind)  # compiled here, not in the fork
    frames = np.linspace(0, 1, 11)
    child = fork(lambda: radial(kind, output=path, t_eval=frames, trackers=[Killer()]))
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    sol = wflow.load(path)
    assert not sol.success
    assert "resume" in sol.message
    assert 5 <= sol.t.size < 11
    with xarray.load_dataset(path, engine="h5netcdf") as data:
        check_labels(data, kind, sol)
        assert data.sizes["t"] == 11
        assert int(data["n_frames"]) == sol.t.size
        assert np.isnan(data["t"].values[sol.t.size :]).all()


def test_summary_and_repr() -> None:
    sol = radial(t_eval=np.linspace(0, 1, 40))
    lines = sol.summary().splitlines()
    assert len(lines) <= 24  # one screen
    assert "isotropic-gaussians" in lines[0]
    assert "done: reached t = 1" in lines[1]
    assert "Solution(muscl, 40 frames" in repr(sol)
    sol.stats["steps"] = 10791
    assert "steps 10791," in sol.summary()


# ---- why it stopped -------------------------------------------------------------------------------------------------


def test_free_energy_is_nan_where_undefined() -> None:
    """Particles with noise have no entropy: the risk is told, F is not, and the picture says why."""
    sol = wflow.solve(well(0.1), cloud(), (0, 0.1))
    assert sol.success
    assert np.isfinite(sol.risk).all()
    assert np.isnan(sol.free_energy).all()
    texts = [t.get_text() for axis in sol.plot().axes for t in axis.texts]
    assert any("no entropy" in t for t in texts)


@pytest.mark.parametrize("options", [{}, {"output": "run.h5"}])
def test_steady_state_ends_a_run(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = SteadyState(1e-6)
    sol = wflow.solve(
        well(), cloud(), (0, 100), t_eval=[0, 1, 50, 100], trackers=[tracker], **options
    )
    assert sol.success
    assert sol.message.startswith("steady state: |dF/dt| <= 1e-06 at t = ")
    assert sol.t[:2].tolist() == [0, 1]
    assert sol.t[-1] == sol.steps["t"][-1] < 50
    assert sol.free_energy[-1] < 1e-5


def test_max_steps() -> None:
    sol = radial(max_steps=7)
    assert not sol.success
    assert sol.stats["steps"] == 7
    assert "7 steps taken" in sol.message
    assert "max_steps" in sol.message


class Breaking:
    """A well whose values are not a number once anything is beyond x = 2.

    Particles that start at 1 in the field -x reach it at t = log 2.
    """

    @staticmethod
    def flow(temperature: float = 0.0) -> GradientFlow:
        def v(x: np.ndarray) -> np.ndarray:
            return np.where(x[..., 0] < 2, -0.5 * x[..., 0] ** 2, np.nan)

        def grad(x: np.ndarray) -> np.ndarray:
            return np.where(x < 2, -x, np.nan)

        return GradientFlow(PairEnergy(v, grad_V=grad), temperature=temperature)


@pytest.mark.parametrize("output", [None, "run.h5"])
def test_energy_that_breaks_midway_adaptive(
    output: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step shrinks toward the wall and then ends, with the reason and all good frames."""
    monkeypatch.chdir(tmp_path)
    start = Particles(np.array([[0.5], [1.0]]))
    frames = np.linspace(0, 1, 11)
    sol = wflow.solve(Breaking.flow(), start, (0, 1), t_eval=frames, output=output)
    assert not sol.success
    assert "not a number" in sol.message
    assert "step size fell below" in sol.message
    assert "\n" not in sol.message
    assert sol.t.tobytes() == frames[:7].tobytes()  # 0.6 < log 2 < 0.7
    assert sol.steps["t"][-1] == pytest.approx(math.log(2), abs=1e-6)
    assert all(np.isfinite(m.points()).all() for m in sol.measures)
    assert np.isfinite(sol.risk).all()
    assert "FAILED" in sol.summary()
    if output:
        assert wflow.load(output).message == sol.message


def test_energy_that_breaks_midway_fixed_step() -> None:
    start = Particles(np.array([[0.5], [1.0]]))
    sol = wflow.solve(
        Breaking.flow(),
        start,
        (0, 1),
        method="langevin",
        method_options={"step_size": 1e-2},
        t_eval=np.linspace(0, 1, 11),
    )
    assert not sol.success
    assert "not a number" in sol.message
    assert "step_size" in sol.message
    assert sol.stats["rejections"] == 1
    assert sol.t[-1] == pytest.approx(0.6)
    assert sol.steps["t"][-1] == pytest.approx(0.69)  # 1.01^69 < 2 < 1.01^70
    assert np.isfinite(sol.risk).all()


def test_tracker_that_fails_names_its_reason() -> None:
    class Impatient(SteadyState):
        def handle(self, t: float, observed: dict[str, float]) -> Any:
            return wflow.trackers.Fail(f"enough at t = {t:.1g}") if t > 0.2 else None

    sol = wflow.solve(well(), cloud(), (0, 1), trackers=[Impatient()])
    assert not sol.success
    assert sol.message.startswith("enough")
    assert sol.t[-1] <= sol.steps["t"][-1]
