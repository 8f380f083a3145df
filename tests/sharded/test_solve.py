"""Runs in shards: the twin of wflow.solve, what stays in files and in memory, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.sharded import crew as crews
from wflow.sharded.crew import Here
from wflow.sharded.files import ShardFile

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 2))
POINTS = RNG.normal(size=(31, 3))
TIMES = [0, 0.3, 1.0]


def energy(**more: object) -> FeatureEnergy:
    given: dict[str, object] = {"activation": "tanh", "targets": np.sin(X[:, 0]), "charges": True}
    return FeatureEnergy(**(given | {"nodes": X} | more))  # type: ignore[arg-type]


ENERGY = energy()
START = wflow.Particles(POINTS, RNG.uniform(0.5, 1.5, 31) / 31, names=ENERGY.coordinates)
LABELS = energy(targets=(X[:, 0] > 0) + 2 * (X[:, 1] > 1), loss="softmax", outputs=4)
MANY = wflow.Particles(RNG.normal(size=(10, 6)), names=LABELS.coordinates)
RADII = wflow.systems.get("isotropic-gaussians", d=5)

CASES = {
    "plain": (wflow.GradientFlow(ENERGY), START),
    "ridge, clock, frozen": (
        wflow.GradientFlow(ENERGY, ridge=0.1, frozen=["w1"], schedule=lambda t: 1 + t),
        START,
    ),
    "outputs": (wflow.GradientFlow(LABELS, observations={"test_risk": LABELS}), MANY),
    "wall": (RADII.flow(), RADII.initial("particles", n=30)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["runge-kutta", "bogacki-shampine"])
def test_it_is_solve_to_rounding(case: str, method: str) -> None:
    flow, start = CASES[case]
    fixed = {"method": method, "t_eval": TIMES, "first_step": 0.1, "max_step": 0.1, "rtol": 1e-3}
    whole = wflow.solve(flow, start, (0, 1), **fixed)
    parts = wflow.sharded.solve(flow, start, (0, 1), n_shards=3, **fixed)
    assert parts.success
    assert parts.message == whole.message
    assert parts.series.keys() == whole.series.keys()
    for name, series in whole.series.items():
        assert parts.series[name] == pytest.approx(series, rel=1e-12, abs=1e-14), name
    for name in ("t", "h", "risk", "free_energy"):
        assert parts.steps[name] == pytest.approx(whole.steps[name], rel=1e-12), name
    assert parts.steps["error"] == pytest.approx(whole.steps["error"], rel=1e-6)


def test_steps_are_chosen_and_refused_alike() -> None:
    flow, start = CASES["plain"]
    asked = {"t_eval": TIMES, "first_step": 1.0, "rtol": 1e-8}
    whole = wflow.solve(flow, start, (0, 1), **asked)
    parts = wflow.sharded.solve(flow, start, (0, 1), n_shards=2, **asked)
    assert whole.stats["rejections"] > 0
    for what in ("steps", "rejections"):
        assert parts.stats[what] == whole.stats[what]
    assert parts.risk == pytest.approx(whole.risk, rel=1e-10)


def test_neurons_in_files(tmp_path: Path) -> None:
    flow, start = CASES["ridge, clock, frozen"]
    whole = wflow.solve(flow, start, (0, 1), t_eval=TIMES)
    run = wflow.sharded.solve(flow, start, (0, 1), t_eval=TIMES, n_shards=4, output=tmp_path)
    again = wflow.sharded.load(tmp_path)
    assert again.sizes == run.sizes == (7, 8, 8, 8)
    assert all((again.series[name] == run.series[name]).all() for name in run.series)
    for frame, measure in enumerate(whole.measures):
        found = again.gather(frame)
        assert found.names == start.names
        assert found.points() == pytest.approx(measure.points(), rel=1e-11, abs=1e-12)
        assert (found.weights() == start.weights()).all()
    with pytest.raises(
        wflow.InputError, match="31 neurons are more than n_most = 30: read them shard"
    ):
        run.gather(n_most=30)
    with pytest.raises(wflow.InputError, match=r"frame = 3 of .* which has 3: give one of -3 … 2"):
        run.shard(0, 3)
    with pytest.raises(wflow.InputError, match="k = 4 of 4 shards: give one of 0 … 3"):
        run.shard(4)
    with pytest.raises(wflow.InputError, match="holds a run in shards: pass overwrite=True"):
        wflow.sharded.solve(flow, start, (0, 1), n_shards=2, output=tmp_path)
    wflow.sharded.solve(flow, start, (0, 1), n_shards=2, output=tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("run.json", "shard-00000.h5", "shard-00001.h5")
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    flow, start = CASES["plain"]
    asked: dict[str, object] = {"output": tmp_path, "t_eval": TIMES}
    old = wflow.sharded.solve(flow, start, (0, 1), n_shards=3, **asked)
    (tmp_path / "shard-00007.part").write_text("of a run that was killed")
    t = wflow.sharded.frames(tmp_path)
    assert t.tolist() == TIMES

    def last(k: int) -> wflow.Particles:
        return wflow.sharded.read_shard(tmp_path, k, len(t) - 1)

    asked = {"output": tmp_path, "t_eval": [1, 2], "overwrite": True}
    run = wflow.sharded.solve(flow, last, (t[-1], 2), n_shards=3, **asked)
    assert run.risk[0] == old.risk[-1]
    assert wflow.sharded.frames(tmp_path).tolist() == [1, 2]
    assert (wflow.sharded.load(tmp_path).gather().points() == run.gather().points()).all()
    wflow.sharded.solve(flow, run.gather(), (2, 3), n_shards=2, **asked | {"t_eval": [3]})
    assert sorted(contents(tmp_path)) == ["run.json", "shard-00000.h5", "shard-00001.h5"]


def test_what_fails_leaves_the_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, start = CASES["plain"]
    wflow.sharded.solve(flow, start, (0, 1), n_shards=2, output=tmp_path)
    before = contents(tmp_path)
    again = {"output": tmp_path, "overwrite": True}
    flat = wflow.Particles(POINTS[:, :2], names=("a", "w1"))
    assert "have 2 coordinates" in refused(shards=lambda k: flat if k else start, **again)
    assert contents(tmp_path) == before
    assert "is not there" in refused(
        shards=lambda k: wflow.sharded.read_shard(tmp_path, k), n_shards=3, **again
    )
    assert contents(tmp_path) == before
    huge = wflow.Particles(np.array([[1e150, 0.1, 0.1]] * 3), names=ENERGY.coordinates)
    with np.errstate(over="ignore", invalid="ignore"):
        assert "not finite at the start" in refused(shards=lambda k: huge, **again)
    assert contents(tmp_path) == before
    short = {"t_eval": [1], "max_steps": 1, "first_step": 0.1}
    run = wflow.sharded.solve(flow, start, (0, 1), n_shards=2, **again, **short)
    assert (run.success, run.folder) == (False, None)
    assert contents(tmp_path) == before

    def unreachable(*_: object) -> None:
        raise wflow.InputError("nobody answers")

    monkeypatch.setattr(crews, "client_of", unreachable)
    assert refused(scheduler="tcp://localhost:1", **again) == "nobody answers"
    assert contents(tmp_path) == before


def test_files_that_cannot_take_their_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, start = CASES["plain"]
    again = {"n_shards": 2, "output": tmp_path}
    wflow.sharded.solve(flow, start, (0, 1), **again)
    before, inner = contents(tmp_path), ShardFile.place

    def place(self: ShardFile) -> None:
        if self.path.stem == "shard-00001":
            raise wflow.StorageError("no")
        inner(self)

    monkeypatch.setattr(ShardFile, "place", place)
    with pytest.raises(wflow.InputError, match="no"):
        wflow.sharded.solve(flow, start, (1, 2), overwrite=True, **again)
    after = contents(tmp_path)
    assert sorted(after) == ["shard-00000.h5", "shard-00001.h5", "shard-00001.part"]
    assert after["shard-00001.h5"] == before["shard-00001.h5"]
    with pytest.raises(wflow.InputError, match="are of two runs"):
        wflow.sharded.frames(tmp_path)


def test_shards_of_different_times_are_not_mixed(tmp_path: Path) -> None:
    """A run that is killed between two shards' frames leaves one frame more in the first."""
    flow, start = CASES["plain"]
    run = wflow.sharded.solve(flow, start, (0, 1), n_shards=2, t_eval=TIMES, output=tmp_path)
    ShardFile(tmp_path / "shard-00000.h5", placed=True).add(2.0, POINTS[:15])
    with pytest.raises(
        wflow.InputError, match=r"frame -1 is at t = 2 in shard 0 and at t = 1 in shard 1: the run"
    ):
        run.gather()
    t = wflow.sharded.frames(tmp_path)
    assert t.tolist() == TIMES
    whole = run.gather(np.int64(len(t) - 1)).points()
    parts = [wflow.sharded.read_shard(tmp_path, k, np.int64(2)).points() for k in range(2)]
    assert (whole == np.concatenate(parts)).all()
    ShardFile(tmp_path / "shard-00001.h5", placed=True).add(3.0, POINTS[15:])
    with pytest.raises(
        wflow.InputError, match=r"shards 0 and 1 in .* are at other times: they are"
    ):
        wflow.sharded.frames(tmp_path)
    (tmp_path / "shard-00000.h5").unlink()
    with pytest.raises(wflow.InputError, match=r"shard-00000.h5 is not there"):
        wflow.sharded.frames(tmp_path)


def test_states_that_nobody_comes_back_to_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    most, inner = 0, Here.each

    def each(self: Here, what: str, *args: object) -> list[object]:
        nonlocal most
        answers = inner(self, what, *args)
        most = max(most, *(len(shard._states) for shard in self._shards))
        return answers

    monkeypatch.setattr(crews.Here, "each", each)
    flow, start = CASES["plain"]
    run = wflow.sharded.solve(flow, start, (0, 5), n_shards=2, rtol=1e-9, first_step=1.0)
    assert run.stats["rejections"] > 0
    assert run.stats["steps"] > 20
    # The one stepped from, its step, and a branch to a frame with its half-way states.
    assert most <= 4


def refused(flow: object = None, shards: object = START, **more: object) -> str:
    given = {"t_span": (0, 1), "n_shards": 2} | more
    with pytest.raises(wflow.InputError) as told:
        wflow.sharded.solve(flow or wflow.GradientFlow(ENERGY), shards, **given)  # type: ignore[arg-type]
    return str(told.value)


def test_what_is_refused() -> None:
    pairs = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)
    line = wflow.Particles([0.0, 1.0])
    assert "PairEnergy knows no outputs that parts of a measure add up to" in refused(
        wflow.GradientFlow(pairs), line
    )
    assert "temperature = 0.1 in shards" in refused(wflow.GradientFlow(ENERGY, temperature=0.1))
    assert "reaction_rate = 2 in shards" in refused(wflow.GradientFlow(ENERGY, reaction_rate=2))
    watched = wflow.GradientFlow(
        FeatureEnergy("tanh", [1.0], [0.0]), observations={"test_risk": pairs}
    )
    assert "PairEnergy knows no outputs" in refused(watched, line)
    assert "method 'implicit'" in refused(method="implicit")
    assert "n_shards = 32 for 31 particles" in refused(n_shards=32)
    assert "workers = 3 for n_shards = 2: give as many" in refused(workers=3)
    assert "leave one of the two out" in refused(workers=2, scheduler="tcp://localhost:1")
    assert "give a wflow.Particles, or a function" in refused(shards=POINTS)
    assert "shard 0 of 2: it is a ndarray: give a wflow.Particles" in refused(
        shards=lambda k: POINTS
    )
    assert "shard 1 of 2: the particles have 2 coordinates" in refused(
        shards=lambda k: START if k == 0 else wflow.Particles(POINTS[:, :2], names=("a", "w1"))
    )
    named = [wflow.Particles(POINTS, names=names) for names in (("a", "w1", "w2"), ("a", "x", "y"))]
    assert "shard 1 has coordinates (a, x, y) and shard 0 (a, w1, w2): give all" in refused(
        shards=lambda k: named[k]
    )
    grid = wflow.GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-3, 3)], n=8)
    assert "give a wflow.Particles" in refused(shards=grid)
    kept = wflow.sharded.solve(wflow.GradientFlow(ENERGY), START, (0, 0.1), n_shards=1)
    with pytest.raises(wflow.InputError, match="the run kept no neurons: give it an output folder"):
        kept.gather()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(wflow.InputError, match="is not there: give the folder of a run in shards"):
        wflow.sharded.load(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    (tmp_path / "shard-00000.h5").write_text("x")
    with pytest.raises(wflow.InputError, match="does not tell of a run in shards"):
        wflow.sharded.load(tmp_path)
    with pytest.raises(wflow.InputError, match="is no file of a shard"):
        wflow.sharded.read_shard(tmp_path, 0)
    with pytest.raises(wflow.InputError, match=r"shard-00001.h5 is not there"):
        wflow.sharded.read_shard(tmp_path, 1)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert "need Dask: python -m pip install 'dask[distributed]'" in refused(workers=2)
