"""A Solution goes to other processes: its frames with it, or read again where the file lies."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.results.solution import Solution


def copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301


def assert_same(a: Solution, b: Solution) -> None:
    assert a.t.tobytes() == b.t.tobytes()
    assert a.series.keys() == b.series.keys()
    assert all(a.series[k].tobytes() == b.series[k].tobytes() for k in a.series)
    assert all(a.steps[k].tobytes() == b.steps[k].tobytes() for k in a.steps)
    assert list(a.measures) == list(b.measures)
    assert a(0.5) == b(0.5)
    assert (a.success, a.message) == (b.success, b.message)


def solve(kind: str, n: int = 20, **options: Any) -> Solution:
    system = wflow.systems.get("isotropic-gaussians", d=10)
    return wflow.solve(system.flow(), system.initial(kind, n), (0, 1), **options)


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_a_solution_in_memory(kind: str) -> None:
    sol = solve(kind)
    there = copied(sol)
    assert_same(sol, there)
    assert there.view.describe() == sol.view.describe()
    with pytest.raises(ValueError, match="read-only"):
        there.measures[0].weights()[0] = 1.0
    assert there.summary() == sol.summary()
    assert (there.stats, there.attributes) == (sol.stats, sol.attributes)


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_a_solution_in_a_file_is_read_where_it_lies(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sol = solve(kind, 50, output="run.h5", t_eval=np.linspace(0, 1, 201))
    data = pickle.dumps(sol)
    frames = 201 * sum(v.nbytes for v in sol.view.store(sol.measures[0]).values())
    assert len(data) < frames  # the frames stay in the file
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = pickle.loads(data)  # noqa: S301
    assert there.path == str(tmp_path / "run.h5")
    monkeypatch.chdir(tmp_path)
    assert_same(sol, there)


def test_a_pool_returns_solutions() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert_same(pool.submit(solve, "particles").result(), solve("particles"))


def test_a_solution_of_functions_without_a_name() -> None:
    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2))
    sol = wflow.solve(flow, Particles([1.0, 2.0]), (0, 1))
    assert_same(sol, copied(sol))


def test_a_network_run() -> None:
    run = wflow.networks.sgd("isotropic-gaussians", n_neurons=5, step_size=1e-3, n_steps=1000)
    assert_same(run, copied(run))


def test_an_energy_of_named_parts_travels() -> None:
    energy = FeatureEnergy("tanh", nodes=[-1.0, 1.0], targets=[-0.5, 0.5])
    sol = wflow.solve(GradientFlow(energy), Particles([0.1, 0.2]), (0, 1))
    assert copied(sol).predict([0.5]).tolist() == sol.predict([0.5]).tolist()
