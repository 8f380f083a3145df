"""Full batches, passes over a data set and batches that change in time, against plain loops; cut and resumed."""

import autograd
import h5py
import numpy as np
import pytest
from cut import Cut
from same import same_bits
from small_data import X, Y, objective

import wflow
from wflow.errors import InputError, StorageError
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.solvers.networks.batches import Batches, check_batch_size
from wflow.solvers.networks.problem import DenseProblem, FeatureProblem, network_problem
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.systems.shared.order import Shuffled


def descended(start, batches, step):
    """Plain steps by automatic differentiation on given batches of rows."""
    theta, slope = start, autograd.grad(objective)
    for rows in batches:
        theta = theta - step * slope(theta, X[rows], Y[rows], 0.0)
    return theta


def test_an_epoch_takes_each_sample_once():
    order = Shuffled(7)
    rows = order(4, 0, 21).reshape(3, 7)
    assert (np.sort(rows, axis=1) == np.arange(7)).all()
    assert (rows[0] != rows[1]).any()
    assert (rows[1] != rows[2]).any()
    for first, count in ((0, 3), (5, 9), (20, 1), (13, 0)):
        np.testing.assert_array_equal(
            Shuffled(7)(4, first, count), rows.ravel()[first : first + count]
        )
    assert (Shuffled(7)(5, 0, 21) != rows.ravel()).any()


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_epochs(system, batch):
    """Three passes without replacement; of 60 samples the ninth batch of 7 has 4 and takes their mean."""
    run = sgd(
        system,
        n_neurons=10,
        step_size=0.05,
        epochs=3,
        batch_size=batch,
        replacement=False,
        seed=2,
    )
    per_epoch = -(-60 // batch)
    assert run.t[-1] == pytest.approx(0.05 * 3 * per_epoch)
    rows = [Shuffled(60)(2, 60 * e, 60) for e in range(3)]
    batches = [r[batch * j : batch * (j + 1)] for r in rows for j in range(per_epoch)]
    end = descended(system.network().start(10, 2), batches, 0.05)
    assert np.abs(run.measures[-1].points() - end).max() < 1e-12


def test_epochs_with_replacement_are_as_many_steps(system):
    common = {"n_neurons": 5, "step_size": 0.05, "batch_size": 7, "seed": 2}
    same_bits(sgd(system, epochs=2, **common), sgd(system, n_steps=18, **common))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_full_batch_is_the_exact_gradient(system, name):
    """On a data set the mean over all samples: nothing is drawn, and an epoch is a step."""
    common = {"n_neurons": 10, "step_size": 0.05, "batch_size": "full", "optimizer": name}
    run = sgd(system, epochs=40, **common)
    other = sgd(system, n_steps=40, seed=0, replacement=False, **common)
    np.testing.assert_array_equal(run.measures[-1].points(), other.measures[-1].points())
    if name == "sgd":
        end = descended(system.network().start(10, 0), [slice(None)] * 40, 0.05)
        assert np.abs(run.measures[-1].points() - end).max() < 1e-12
    # The loss of a step is the risk before it.
    before = sgd(system, n_neurons=10, step_size=1e-12, n_steps=1, batch_size="full")
    assert before.steps["loss"][0] == pytest.approx(before.risk[0], rel=1e-9)
    assert run.risk[-1] < run.risk[0]


@pytest.mark.parametrize("name", ["teacher-student", "isotropic-gaussians", "gaussian-mixture"])
def test_the_full_batch_of_a_population_is_the_flow_itself(name):
    """Euler's method for the gradient flow of the population risk, whatever evaluates it."""
    given = {"isotropic-gaussians": {"d": 4}, "teacher-student": {"d": 3}}.get(name, {})
    system = wflow.systems.get(name, **given)
    start = system.network().start(6, 1)
    run = sgd(system, initial=Particles(start), step_size=1e-2, n_steps=3, batch_size="full")
    theta, energy, weights = start, system.network().risk_energy(), np.full(6, 1 / 6)
    for _ in range(3):
        theta = theta - 1e-2 * system.clock * energy.prepare(theta).field(weights).gradient()
    assert np.abs(run.measures[-1].points() - theta).max() < 1e-13
    assert np.abs(theta - start).max() > 1e-4


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_batches_that_change_in_time(system, name):
    """The quench of Rotskoff & Vanden-Eijnden: P, P = n² from a time on; the same as a function of the step."""
    common = {
        "n_neurons": 6,
        "step_size": 0.05,
        "n_steps": 30,
        "replacement": False,
        "optimizer": name,
    }
    table = sgd(system, batch_size=[(0, 2), (0.5, 36), (1.2, "full")], **common)
    function = sgd(system, batch_size=lambda k: 2 if k < 10 else 36 if k < 24 else "full", **common)
    np.testing.assert_array_equal(table.measures[-1].points(), function.measures[-1].points())
    if name == "sgd":
        rows = np.concatenate([Shuffled(60)(0, 60 * e, 60) for e in range(9)])
        sizes, drawn, batches = [2] * 10 + [36] * 14, 0, []
        for size in sizes:
            size = min(size, 60 - drawn % 60)
            batches.append(rows[drawn : drawn + size])
            drawn += size
        end = descended(system.network().start(6, 0), batches + [slice(None)] * 6, 0.05)
        assert np.abs(table.measures[-1].points() - end).max() < 1e-12


def test_sizes_of_batches():
    quench = Batches(check_batch_size([(0, 4), (1.0, 9), (2.0, "full")]), 0.1)
    assert quench.sizes(8, 4, 0) == [4, 4, 9, 9]
    assert quench.sizes(19, 2, 0) == [9, 0]
    assert Batches(4, 0.1, 10).sizes(0, 5, 0) == [4, 4, 2, 4, 4]
    assert Batches(4, 0.1, 10).sizes(2, 2, 8) == [2, 4]
    for batches in (Batches(4, 0.1, 10), Batches(4, 0.1), Batches(lambda k: 4, 0.1)):
        assert batches.steps(3, 10) == 9
    assert Batches("full", 0.1).steps(3, 10) == 3
    assert Batches([[0.0, 4], [0.3, "full"]], 0.1).steps(3, 10) == 5


def test_large_batches_take_the_products_of_matrices(system):
    model, start = system.network(), system.network().start(6, 0)
    assert StochasticGradient(batch_size=20).loops(model, 1000)
    assert StochasticGradient().loops(model, 10**9), "one sample a step has blocks of its own"
    for options in ({"batch_size": 1000}, {"optimizer": "adam"}, {"batch_size": "full"}):
        assert not StochasticGradient(**options).loops(model, 1000)
    constants = {"temperature": 0.01, "ridge": 0.1, "seed": 3}
    ends, losses = [], []
    for looped, kind in ((True, DenseProblem), (False, FeatureProblem)):
        problem = network_problem(model, start, 1.0, looped=looped, **constants)
        assert isinstance(problem, kind)
        method = StochasticGradient(step_size=0.05, batch_size=[(0, 3), (1.0, 5)])
        carry = method.init(problem, 0.0, problem.initial)
        done = method.step(problem, 0.0, 2.0, problem.initial, carry)
        ends.append(problem.neurons(done.y))
        losses.append(float(done.carry["loss"]))
    assert np.abs(ends[0] - ends[1]).max() < 1e-12
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


ORDER = np.random.default_rng(0).integers(0, 60, 400)


@pytest.mark.parametrize(
    "asked",
    [
        {"optimizer": "momentum", "batch_size": 3},
        {"optimizer": "adam", "batch_size": 7, "replacement": False},
        {"optimizer": "adagrad", "order": ORDER},
        {"order": ORDER, "batch_size": 2},
        {"replacement": False, "batch_size": 7, "ridge": 0.1},
        {"batch_size": [(0, 1), (1.0, 3), (1.5, "full")]},
        {"batch_size": lambda k: 2 + k % 2},
        {"optimizer": "momentum", "optimizer_options": {"friction": 2.0}, "temperature": 0.01},
    ],
    ids=lambda asked: ", ".join(asked),
)
def test_cut_and_resumed_it_is_the_whole_run(system, asked, tmp_path, monkeypatch):
    monkeypatch.setattr("wflow.solvers.networks.sgd.STREAM_STEPS", 64)
    path = tmp_path / "run.h5"
    common = {"n_neurons": 4, "step_size": 0.01, "n_steps": 200, "seed": 3} | asked
    marks = [0.0, 0.8, 2.0]
    whole = sgd(system, t_eval=marks, **common)
    with pytest.raises(KeyboardInterrupt):
        sgd(system, t_eval=marks, output=path, trackers=[Cut(1)], **common)
    again = {"batch_size": asked["batch_size"]} if callable(asked.get("batch_size")) else None
    if again is not None:
        with pytest.raises(InputError, match="function of your own"):
            wflow.resume(path)
    same_bits(wflow.resume(path, method_options=again), whole)
    same_bits(wflow.load(path), whole)
    short = sgd(system, t_eval=[0.8], **(common | {"n_steps": 80}))
    np.testing.assert_array_equal(short.measures[0].points(), whole.measures[1].points())


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"epochs": 2, "n_steps": 5}, "n_steps = 5 and epochs = 2: give one"),
        ({"epochs": 0}, "epochs = 0"),
        ({"epochs": 1, "order": [0, 1]}, "it names the samples one by one; leave both out"),
        (
            {"replacement": False, "n_steps": 5, "order": [0]},
            "it names the samples one by one; leave both out",
        ),
        ({"replacement": "no", "n_steps": 5}, "replacement = 'no': give True or False"),
        (
            {"replacement": False, "epochs": 1, "batch_size": 61},
            "61 is larger than the data set of 60",
        ),
        ({"n_steps": 5, "batch_size": "all"}, "batch_size = 'all': give a whole number, or 'full'"),
        ({"n_steps": 5, "batch_size": 2.5}, "batch_size = 2.5"),
        ({"n_steps": 5, "batch_size": []}, "they must begin at 0 and rise"),
        ({"n_steps": 5, "batch_size": [(1.0, 2)]}, "they must begin at 0 and rise"),
        ({"n_steps": 5, "batch_size": [(0, 2), (0, 3)]}, "they must begin at 0 and rise"),
        ({"n_steps": 5, "batch_size": [(0, 0)]}, "P of batch_size = 0"),
        ({"n_steps": 5, "batch_size": [(0, 2, 3)]}, "give pairs (t, P)"),
        ({"n_steps": 5, "batch_size": lambda k: 1.5}, "batch_size(0) = 1.5"),
        ({"n_steps": 5, "batch_size": lambda k: [1, 2][k]}, "batch_size(2) failed (list index"),
        ({"n_steps": 5, "batch_size": lambda k: int("x")}, "batch_size(0) failed (invalid literal"),
        ({"n_steps": 5, "batch_size": lambda k: k.size}, "batch_size(0) failed ('int' object has"),
        ({"n_steps": 5, "order": [0, 1], "batch_size": 2}, "2 samples and the run needs 10"),
        ({"n_steps": 2, "order": [0, 60]}, "order[1] is 60: samples are numbered from 0 to 59"),
        ({"n_steps": 2, "order": [-1, 0]}, "order[0] is -1"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_wrong_requests_get_one_line(system, wrong, message):
    with pytest.raises(InputError) as caught:
        sgd(system, n_neurons=3, step_size=0.01, **wrong)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", [{"epochs": 2}, {"n_steps": 5, "replacement": False}], ids=str)
def test_only_data_sets_are_passed_over(asked):
    with pytest.raises(InputError, match="draws fresh samples; only data sets"):
        sgd("teacher-student", n_neurons=3, step_size=0.01, **asked)


def _without(file):
    del file["start/order"]


def _others(file):
    file["start/order"][3] += 1


def _fewer(file):
    rows = file["start/order"][:-1]
    del file["start/order"]
    file["start/order"] = rows


@pytest.mark.parametrize(
    "harm, message",
    [
        (_without, "start/order"),
        (_others, "the start's 'order'"),
        (_fewer, r"'start/order' is int64 of shape \(29,\)"),
    ],
)
def test_the_order_is_kept_whole(system, harm, message, tmp_path):
    """It stands beside the start, for any reader; a run does not go on by another one."""
    path, order = tmp_path / "run.h5", np.arange(60)[::-2]
    sgd(system, n_neurons=2, step_size=0.1, n_steps=5, batch_size=2, order=order, output=path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["start/order"][()], order)
    with h5py.File(path, "r+") as file:
        harm(file)
    with pytest.raises(StorageError, match=message):
        wflow.resume(path, t_end=1.0)


@pytest.mark.parametrize(
    "batch", [10**12, [(0, 2), (0.1, 10**12)], lambda k: 10**12], ids=["P", "table", "function"]
)
def test_a_batch_that_no_memory_holds_is_refused(batch, tmp_path):
    """Where its size is known beforehand, before there is a file."""
    path = tmp_path / "run.h5"
    with pytest.raises(InputError, match=r"batch_size = 10{12} needs about .* are free: give a"):
        sgd("teacher-student", n_neurons=2, n_steps=3, batch_size=batch, output=path)
    assert path.exists() == callable(batch)
