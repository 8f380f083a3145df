"""Networks of K outputs under SGD: by automatic differentiation, by loops and energies, resumed, beside the flow."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from small_data import X, advance

import wflow
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.solvers.networks import sgd as method
from wflow.solvers.networks.optimizers import OPTIMIZERS
from wflow.systems.shared.order import Shuffled, WithReplacement

K = 10
LABELS = np.arange(60) % K
ROWS = np.eye(K)[LABELS]
LOSSES = ("square", "softmax")


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, x=X, y=LABELS)
    return {
        loss: wflow.systems.get("dataset", path=str(path), scaled="no", classes=K, loss=loss)
        for loss in LOSSES
    }


def objective(theta, x, y, ridge, loss):
    """N times half the loss with the ridge; θ = (a1 … aK, b, w)."""
    n = theta.shape[0]
    f = anp.dot(anp.tanh(anp.dot(x, theta[:, K + 1 :].T) + theta[:, K]), theta[:, :K]) / n
    if loss == "square":
        each = anp.sum((y - f) ** 2, axis=1)
    else:
        each = anp.log(anp.sum(anp.exp(f), axis=1)) - anp.sum(y * f, axis=1)
    return 0.5 * n * anp.mean(each) + 0.5 * ridge * anp.sum(theta**2)


@pytest.mark.parametrize("epochs", [12, pytest.param(125, marks=pytest.mark.slow)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "name, options, step",
    [
        ("sgd", {}, 0.2),
        ("momentum", {"momentum": 0.8}, 0.1),
        ("adam", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3}, 0.02),
        ("adagrad", {}, 0.1),
    ],
)
def test_automatic_differentiation_gives_the_same_network(
    systems, name, options, step, loss, epochs
):
    """96 or 1,000 steps of 100 neurons and ten outputs."""
    n, batch, ridge, system = 100, 8, 0.01, systems[loss]
    run = sgd(
        system, n_neurons=n, step_size=step, epochs=epochs, batch_size=batch, replacement=False,
        ridge=ridge, decay=0.5, optimizer=name, optimizer_options=options, seed=3,
    )  # fmt: skip
    theta = start = system.network().start(n, 3)
    slope, memory = autograd.grad(objective), {}
    for k in range(8 * epochs):
        epoch, j = divmod(k, 8)
        rows = Shuffled(60)(3, 60 * epoch, 60)[batch * j : batch * (j + 1)]
        g = slope(theta, X[rows], ROWS[rows], ridge, loss)
        theta = advance(name, theta, g, step * (1 + k * step) ** -0.5, k, memory, **options)
    assert np.abs(theta - start).max() > 0.2, "the network must have moved"
    assert np.abs(run.measures[-1].points() - theta).max() < 1e-10


def test_one_sample_a_step(systems):
    for loss in LOSSES:
        run = sgd(systems[loss], n_neurons=30, step_size=0.1, n_steps=300, seed=1)
        theta, slope = systems[loss].network().start(30, 1), autograd.grad(objective)
        order = WithReplacement(60)(1, 0, 300)
        for q in order:
            theta = theta - 0.1 * slope(theta, X[q : q + 1], ROWS[q : q + 1], 0.0, loss)
        assert np.abs(run.measures[-1].points() - theta).max() < 1e-10


@pytest.mark.parametrize("temperature", [0.0, 0.01])
def test_loops_and_energies_take_the_same_steps(systems, temperature, monkeypatch):
    common = {"n_neurons": 20, "step_size": 0.05, "n_steps": 100, "batch_size": 4, "ridge": 0.1}
    runs = []
    for most in (1 << 21, 0):
        monkeypatch.setattr(method, "LOOPED", most)
        runs.append(sgd(systems["softmax"], temperature=temperature, seed=2, **common))
    one, two = (run.measures[-1].points() for run in runs)
    assert np.abs(one - two).max() < 1e-12
    assert runs[0].series["accuracy"][-1] == runs[1].series["accuracy"][-1]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_cut_run_goes_on_to_the_bit(systems, name, tmp_path):
    system, path = systems["softmax"], tmp_path / "run.h5"
    common = {"n_neurons": 9, "step_size": 0.05, "batch_size": 3, "optimizer": name, "seed": 4}
    whole = sgd(system, n_steps=40, t_eval=[0, 1, 2], **common)
    sgd(system, n_steps=20, t_eval=[0, 1], output=path, **common)
    on = wflow.resume(path, t_end=2.0, t_eval=[2.0])
    np.testing.assert_array_equal(on.measures[-1].points(), whole.measures[-1].points())
    np.testing.assert_array_equal(on.risk, whole.risk)
    assert on.predict(X).shape == (60, K)


def test_exact_gradients_are_the_flow(systems):
    """Full batches are Euler's method for the particles of the flow: half the step, half the distance."""
    system = systems["softmax"]
    start = system.initial("particles", 15)
    flow = wflow.solve(system.flow(), start, (0, 2), t_eval=[0, 2], rtol=1e-8)
    gaps = []
    for step in (0.02, 0.01):
        run = sgd(system, initial=start, step_size=step, n_steps=round(2 / step), batch_size="full")
        gaps.append(np.abs(run.measures[-1].points() - flow.measures[-1].points()).max())
    assert gaps[1] < 0.02
    assert gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.1)


def test_frozen_charges_and_some_of_them(systems, monkeypatch):
    system = systems["square"]
    names = system.energy().coordinates
    monkeypatch.setattr(type(system), "frozen", lambda self: names[:K])
    start = system.initial("particles", 5)
    run = sgd(system, initial=start, step_size=0.05, n_steps=10)
    moved = np.abs(run.measures[-1].points() - start.points()).max(axis=0)
    assert moved[:K].max() == 0
    assert moved[K:].min() > 0
    monkeypatch.setattr(type(system), "frozen", lambda self: names[:2])
    with pytest.raises(wflow.InputError, match="names some charges a of a dense network"):
        sgd(system, initial=start, step_size=0.05, n_steps=10)


def test_sgd_and_the_flow_of_ten_digits():
    """One network of 50 neurons, from the flow's own start."""
    system = wflow.systems.get("digits", classes=10, loss="softmax", test=0.3)
    start, times = system.initial("particles", 50), [0.0, 2.0, 4.0]
    flow = wflow.solve(system.flow(), start, (0, 4), t_eval=times, rtol=1e-3)
    network = sgd(system, initial=start, step_size=1e-2, batch_size=8, n_steps=400, t_eval=times)
    assert isinstance(network.measures[-1], Particles)
    assert network.risk == pytest.approx(flow.risk, rel=0.01)
    for series in ("accuracy", "test_accuracy"):
        assert network.series[series] == pytest.approx(flow.series[series], abs=0.04)
    assert network.series["test_accuracy"][-1] > 0.8
