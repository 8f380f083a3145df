"""Plans of a sweep: which runs they spell out, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow.sweeps.plan import read_plan

NETWORKS: dict[str, Any] = {
    "system": "isotropic-gaussians",
    "run": "network",
    "t_end": 1.0,
    "step_size": 1e-3,
}
TOML = """
system = "isotropic-gaussians"
t_end = 1.0
t_eval = [0.0, 1.0]

[parameters]
d = [5, 10]

[[runs]]
run = "network"
n_neurons = [10, 20]
step_size = 1e-3
seeds = 3

[[runs]]
run = "limit"
parameters.n = 100
"""


def test_lists_are_multiplied_and_tables_of_runs_added(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TOML)
    plan = read_plan(path)
    assert len(plan.jobs) == 2 * 2 * 3 + 2
    assert plan.axes == ("d", "run", "n_neurons", "seed")
    places = {(j.places["d"], j.places["n_neurons"], j.places["seed"]) for j in plan.jobs[:12]}
    assert places == {(d, n, s) for d in (5, 10) for n in (10, 20) for s in range(3)}
    assert all(job.about["t_eval"] == [0.0, 1.0] for job in plan.jobs)
    # The limit has no seed and no neurons: it does not depend on them.
    assert not {"seed", "n_neurons"} & plan.jobs[-1].places.keys()


def test_a_kind_leaves_out_what_only_another_one_knows() -> None:
    plan = read_plan(NETWORKS | {"run": ["limit", "network"], "n_neurons": [5, 10], "seeds": 4})
    assert [job.about["run"] for job in plan.jobs] == ["limit"] + 8 * ["network"]


def test_equal_runs_are_one_run_however_they_are_asked_for() -> None:
    one = read_plan(NETWORKS | {"n_neurons": 800, "parameters": {"d": 40, "delta": 0.8}})
    two = read_plan(NETWORKS | {"runs": [{}, {"n_neurons": np.int64(800)}, {"seed": [0]}]})
    assert [job.digest for job in one.jobs] == [job.digest for job in two.jobs]
    other = read_plan(NETWORKS | {"parameters": {"delta": 0.7}})
    assert other.jobs[0].digest != one.jobs[0].digest


PASSES: dict[str, Any] = {
    "system": "dataset",
    "run": "network",
    "step_size": 0.05,
    "t_eval": [0, 1],
    "parameters": {"path": "seven.npz"},
}


@pytest.fixture
def seven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven samples in a file beside the plan."""
    monkeypatch.chdir(tmp_path)
    np.savez("seven.npz", x=np.arange(14.0).reshape(7, 2), y=np.arange(7.0))


@pytest.mark.usefixtures("seven")
def test_passes_end_where_networks_end_them() -> None:
    table = [[0, 2], [1.0, 3]]
    passes = PASSES | {"batch_size": table}
    plan = read_plan(passes | {"epochs": [7, 8], "replacement": [True, False]})
    assert plan.axes == ("epochs", "replacement")
    for job in plan.jobs:
        run = wflow.networks.sgd(
            wflow.systems.get("dataset", path="seven.npz"),
            n_neurons=1,
            step_size=0.05,
            epochs=job.places["epochs"],
            batch_size=table,
            replacement=job.places["replacement"],
        )
        assert job.about["t_end"] == run.t[-1]
    # Passes after the last change are alike, and not counted one by one.
    assert read_plan(passes | {"epochs": 10**12}).jobs[0].about["t_end"] > 1e11


@pytest.mark.usefixtures("seven")
def test_a_batch_size_that_changes_in_time_is_one_value() -> None:
    schedule = [[0, 16], [0.5, "full"]]
    one = read_plan(PASSES | {"t_end": 1, "batch_size": schedule})
    assert (len(one.jobs), one.axes) == (1, ())
    assert one.jobs[0].about["batch_size"] == [[0.0, 16], [0.5, "full"]]
    plan = read_plan(PASSES | {"t_end": 1, "batch_size": [16, "full", schedule]})
    assert [j.places["batch_size"] for j in plan.jobs] == [16, "full", "16 from 0, full from 0.5"]
    assert plan.jobs[2].digest == one.jobs[0].digest
    assert plan.jobs[2].weight == (plan.jobs[0].weight + plan.jobs[1].weight) / 2


@pytest.mark.parametrize(
    "method, noise, n",
    [("auto", 0.0, 1), ("auto", 0.1, 3), ("langevin", 0.1, 3), ("runge-kutta", 0.0, 1)],
)
def test_seeds_multiply_only_limits_that_draw_from_them(method: str, noise: float, n: int) -> None:
    plan = {"system": "isotropic-gaussians", "run": "limit", "method": method, "seeds": 3}
    plan["parameters"] = {"measure": "particles", "temperature": noise}
    if method == "langevin":
        plan["options"] = {"step_size": [1e-2, 1e-3]}
        n *= 2
    found = read_plan(plan)
    assert len(found.jobs) == n
    assert ("options.step_size" in found.axes) == (method == "langevin")


def test_a_parameter_called_like_an_option_keeps_apart() -> None:
    plan = read_plan(
        {"system": "teacher-student", "run": "network", "step_size": 0.1, "t_end": 1.0}
        | {"seed": [0, 1], "n_neurons": 4, "parameters": {"teacher_seed": [0, 1]}}
    )
    assert plan.axes == ("seed", "teacher_seed")
    from wflow.sweeps.jobs import axis

    assert axis("parameters", "seed") == "parameters.seed"


LIMIT = {"system": "isotropic-gaussians", "run": "limit"}


@pytest.mark.parametrize(
    "plan, words",
    [
        ([LIMIT], "give a dict, or the name of a TOML file"),
        ({"run": "limit"}, "plan: system is missing: give one or several of anisotropic-gaussians"),
        ({"system": "isotropic-gaussians"}, "plan: run is missing: give one or several of limit, net"),
        ({"system": "isotropic", "run": "limit"}, "unknown system 'isotropic': did you mean"),
        ({**LIMIT, "run": "limits"}, "unknown run 'limits': did you mean 'limit'?"),
        ({**LIMIT, "tend": 1}, "unknown key 'tend': did you mean 't_end'?"),
        ({**LIMIT, "t_end": []}, "t_end = []: an axis needs at least one value"),
        ({**LIMIT, "t_end": [1, 1]}, "t_end = [1, 1]: give each value once"),
        ({**LIMIT, "t_end": [[1]]}, "t_end = [1]: give a number or a word, or a list of them"),
        ({**LIMIT, "t_end": -1}, "t_end = -1: expected in (0, inf)"),
        ({**LIMIT, "t_eval": [0, 20]}, "t_eval runs over [0, 20], outside t_span [0, 10]"),
        ({**LIMIT, "parameters": {"delta": 2}}, "parameter delta = 2: expected in [0, 1]"),
        ({**LIMIT, "parameters": {"dleta": 1}}, "unknown parameter 'dleta' of system 'isotropic-gaussians': did"),
        ({**LIMIT, "parameters": 3}, "parameters = 3: give a dict, values by their names"),
        ({**LIMIT, "n_neurons": 5}, "n_neurons = 5: a limit takes none; it is for run = 'network'"),
        ({**LIMIT, "method": "muscle"}, "unknown method 'muscle': did you mean 'muscl'"),
        ({**LIMIT, "options": {"theta": 1}}, "options = {'theta': 1} of no method: name the method too"),
        ({**LIMIT, "method": "muscl", "options": {"thet": 1}}, "unknown option 'thet' of method 'muscl': did you"),
        ({**LIMIT, "method": "sgd"}, "measure = network: system 'isotropic-gaussians' starts from"),
        (
            {**LIMIT, "method": "muscl", "parameters": {"reaction_rate": 1}},
            "reaction_rate = 1: method 'muscl' has no birth-death; leave method out",
        ),
        (
            {**LIMIT, "method": "muscl", "parameters": {"measure": "particles"}},
            "measure = particles: method 'muscl' acts on grid; give another method, or measure = grid",
        ),
        ({**LIMIT, "parameters": {"n": 10**15}}, "of memory"),
        (
            {"system": "teacher-student", "run": "limit", "method": "conic"}
            | {"parameters": {"reaction_rate": 1.0, "temperature": [0.0, 0.1]}},
            "has no noise",
        ),
        (
            {"system": "bump", "run": "limit", "method": "birth-death", "options": {"reinject": True}}
            | {"parameters": {"reaction_rate": 1.0, "measure": "particles"}},
            "reinject = True, and this flow's system has no base law",
        ),
        ({**NETWORKS, "n_neurons": 0}, "parameter n_neurons = 0: expected in [1, inf)"),
        ({**NETWORKS, "n_neurons": 10**15}, "of memory"),
        ({**NETWORKS, "step_size": 0.7}, "for t_eval = [0.0, 0.1, 0.3, 1.0]: two fall on one step; give at most 0.1"),
        ({**NETWORKS, "seeds": 0}, "seeds = 0: give a whole number of at least 1"),
        ({**NETWORKS, "seeds": 2, "seed": 1}, "seed = 1 and seeds = 2: give seed, the keys themselves, or seeds"),
        ({**NETWORKS, "seeds": 10**9}, "1000000000 runs: a sweep has at most 100000"),
        (
            {**NETWORKS, "optimizer": "adam", "parameters": {"temperature": 0.1}},
            "temperature = 0.1 with optimizer = 'adam', whose scaled steps have no Gibbs state",
        ),
        ({**NETWORKS, "optimizer": "adams"}, "'adams': did you mean 'adam'"),
        ({**NETWORKS, "seeds": [1, 2]}, "seeds = [1, 2]: it is how many; give a list as seed"),
        ({**NETWORKS, "d": 5}, "system stand in [parameters]: parameters.d."),
        ({**NETWORKS, "t_eval": [0.1, 0]}, "t_eval = [0.1, 0]: give a list of times"),
        ({**NETWORKS, "t_eval": [[0, 0.1], [0, 0.2]]}, "t_eval = [[0, 0.1], [0, 0.2]]: give a list of times"),
        ({**NETWORKS, "options": {"beta1": 0.9}}, "'beta1' of optimizer 'sgd', which has none: leave it out"),
        ({**NETWORKS, "batch_size": 10**15}, "batch_size = 1000000000000000 needs about"),
        ({**NETWORKS, "batch_size": "all"}, 'or give "full", or pairs [t, P]'),
        ({**NETWORKS, "batch_size": [[0, 16], [1]]}, "batch_size holds (1,): give pairs (t, P)"),
        ({**NETWORKS, "batch_size": [[1, 16]]}, "the times [1.0]: they must begin at 0 and rise"),
        ({**NETWORKS, "batch_size": [[0, 0]]}, "P of batch_size = 0: give a whole number"),
        ({**NETWORKS, "batch_size": [4, [0, 16]]}, "batch_size = [0, 16]: give a number or a word"),
        ({**NETWORKS, "epochs": 2}, "epochs = 2 and t_end = 1: give one"),
        ({**PASSES, "epochs": 0}, "parameter epochs = 0: expected in [1, inf)"),
        ({**PASSES, "epochs": 1, "batch_size": 10**6, "replacement": False}, "larger than the data set of"),
        ({**PASSES, "t_end": 1, "batch_size": 10**6, "replacement": False}, "larger than the data set of"),
        ({"system": "bump", "run": "network", "epochs": 2}, "epochs: system 'bump' draws fresh samples"),
        ({**NETWORKS, "replacement": False}, "replacement = false: system 'isotropic-gaussians' draws"),
        ({**NETWORKS, "parameters": {"d": "inf"}}, "at d = inf has no finite network"),
        (
            {**NETWORKS, "parameters": {"reaction_rate": 1}},
            "reaction_rate = 1: a network takes none; it is for run = 'limit'",
        ),
        ({**NETWORKS, "runs": []}, "plan: runs = []: give a list of tables, each under [[runs]]"),
        ({**NETWORKS, "runs": {"seeds": 2}}, "give a list of tables, each under [[runs]]"),
        ({**NETWORKS, "runs": [{"runs": []}]}, "plan, [[runs]] 1: runs = []: tables of runs stand in no other"),
        ({**NETWORKS, "runs": [{}, {"seed": "a"}]}, "plan, [[runs]] 2: parameter seed = 'a': expected a"),
        (
            {**NETWORKS, "runs": [{}, {"t_eval": [0, 1]}]},
            "two runs differ in t_eval alone, which is no axis: give them the same",
        ),
        ({"system": "dataset", "run": "limit", "parameters": {"path": "no.csv"}}, "no.csv"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("seven")
def test_what_is_wrong_is_refused_in_a_line(plan: dict[str, Any], words: str) -> None:
    with pytest.raises(wflow.InputError) as refused:
        read_plan(plan)
    line = str(refused.value)
    assert words in line
    assert line.startswith("plan")
    assert "\n" not in line


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    with pytest.raises(wflow.InputError, match=r"plan no\.toml: No such file"):
        read_plan("no.toml")
    path = tmp_path / "plan.toml"
    path.write_text("system = ")
    with pytest.raises(wflow.InputError, match="is not TOML"):
        read_plan(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(wflow.InputError, match="is not TOML"):
        read_plan(path)


@pytest.mark.usefixtures("seven")
def test_data_that_are_written_anew_make_other_runs() -> None:
    plan = PASSES | {"epochs": 1, "step_size": 0.5, "seeds": 2, "parameters": {"path": "seven.npz"}}
    one, same = read_plan(plan), read_plan(plan)
    assert [job.digest for job in one.jobs] == [job.digest for job in same.jobs]
    np.savez("seven.npz", x=np.arange(12.0).reshape(6, 2), y=np.arange(6.0))
    two = read_plan(plan)
    assert not {job.digest for job in one.jobs} & {job.digest for job in two.jobs}
    assert [job.about["t_end"] for job in (one.jobs[0], two.jobs[0])] == [3.5, 3.0]  # of 7 and 6
    with pytest.raises(wflow.InputError, match="have changed since the plan was read: put them"):
        one.jobs[0].carry_out(Path("never.h5"))
    assert not Path("never.h5").exists()


@pytest.mark.parametrize(
    "system, measure, n",
    [
        ("teacher-student", "particles", 3),
        ("spherical-3-spin", "particles", 3),
        ("dataset", "particles", 3),
        ("gaussian-mixture", "particles", 3),
        ("gaussian-mixture", "grid", 1),
    ],
)
@pytest.mark.usefixtures("seven")
def test_seeds_key_a_limits_random_start(system: str, measure: str, n: int) -> None:
    own = {"path": "seven.npz"} if system == "dataset" else {}
    plan = {"system": system, "run": "limit", "t_end": 1.0, "seeds": 3}
    found = read_plan(plan | {"parameters": {"measure": measure, **own}})
    assert found.axes == (("seed",) if n == 3 else ())
    about = [job.about for job in found.jobs]
    assert [a["parameters"].get("seed") for a in about] == [*range(n)]
    # A start that has a key of its own stays, and nothing is drawn from the other one.
    assert len(read_plan(plan | {"parameters": {"seed": 7, "measure": measure, **own}}).jobs) == 1


@pytest.mark.usefixtures("seven")
def test_a_limits_start_of_a_seed_is_the_networks() -> None:
    for name, own in (("dataset", {"path": "seven.npz"}), ("spherical-3-spin", {"d": 3})):
        system = wflow.systems.get(name, seed=4, **own)
        start = system.initial("particles", 5).points()
        assert np.array_equal(start, system.network().start(5, 4))
