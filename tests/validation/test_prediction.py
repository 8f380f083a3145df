"""What is predicted of finite networks of a system, with its own error, and bands about a solution's risk."""

import itertools
import time

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import InputError
from wflow.solvers.statics import expected_excess
from wflow.validation import band
from wflow.validation.prediction import predict


@pytest.fixture(scope="module")
def gaussians():
    return wflow.systems.get("isotropic-gaussians", d=10)


def test_a_band_holds_the_networks_it_is_of():
    """32 gradient flows of 60 tanh neurons each: their mean within 5 s.e. of the band's, 95% of them within it."""
    x = np.linspace(-2, 2, 8)
    energy = wflow.energies.FeatureEnergy("tanh", x, np.sin(2 * x), charges=True)
    flow = wflow.GradientFlow(energy)
    law = wflow.Particles(np.random.default_rng(0).normal(size=(80, 2)))
    times = [0.0, 1.0, 2.0]
    sol = wflow.solve(flow, law, (0, 2), t_eval=times)
    found = band(sol, n_neurons=60, flow=flow)
    runs = np.array(
        [
            wflow.solve(flow, wflow.Particles(law.sample(60, seed)), (0, 2), t_eval=times).risk
            for seed in range(32)
        ]
    )
    off = np.abs(runs.mean(axis=0) - found.mean)
    assert (off < 5 * found.deviation / np.sqrt(32) + 0.02 * found.mean).all()
    inside = ((found.low < runs) & (runs < found.high)).mean()
    assert 0.85 < inside <= 1.0
    wide = band(sol, n_neurons=60, step_size=0.1, batch_size=2, flow=flow)
    assert (wide.deviation[1:] > found.deviation[1:]).all()
    assert wide.label == "predicted, N = 60, ε = 0.1, P = 2"


def test_a_network_s_own_band_holds_its_sgd(tmp_path, monkeypatch):
    """48 SGD runs of one start: mean and scatter of their risk are those of the band, at every saved time."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 2))
    y = np.sin(x[:, 0])
    np.savez("own.npz", x=x, y=y)
    system = wflow.systems.get("dataset", path="own.npz", scaled="no")
    start = system.initial("particles", 40)
    times, step = [0.0, 0.5, 1.0, 2.0, 4.0], 0.01
    sol = wflow.solve(system.flow(), start, (0, 4), t_eval=times)
    found = band(sol, n_neurons=None, step_size=step, batch_size=5)
    asked = {"initial": start, "step_size": step, "n_steps": 400, "batch_size": 5, "t_eval": times}
    risks = [wflow.networks.sgd(system, **asked, seed=s).risk for s in range(48)]
    spread = np.std(risks, axis=0, ddof=1)[1:]
    # A standard deviation of 48 is known to 10%.
    assert (abs(spread / found.deviation[1:] - 1) < 0.35).all()
    assert (abs(np.mean(risks, axis=0) - found.mean)[1:] < 4 * spread / np.sqrt(48)).all()
    assert found.deviation[0] == 0
    assert found.label == "predicted, N = 40, ε = 0.01, P = 5"
    same = band(sol, n_neurons=None, step_size=step, batch_size=5, flow=system.flow())
    np.testing.assert_allclose(same.deviation, found.deviation)
    drawn = band(sol, n_neurons=40, step_size=step, batch_size=5, flow=system.flow())
    assert (drawn.deviation > 2 * found.deviation)[:2].all()


def test_a_network_s_own_band_is_refused_where_there_is_no_network(gaussians):
    start, times = gaussians.initial("particles", 20), [0.0, 1e-4]
    sol = wflow.solve(gaussians.flow(), start, (0, 1e-4), t_eval=times)
    with pytest.raises(
        InputError, match="'isotropic-gaussians' solves for less than whole neurons"
    ):
        band(sol, n_neurons=None, step_size=1e-4)
    flow = wflow.GradientFlow(wflow.energies.FeatureEnergy("tanh", [1.0], [1.0]))
    sol = wflow.solve(flow, wflow.Particles([0.0, 1.0]), (0, 1), t_eval=[0, 1])
    with pytest.raises(InputError, match="no step size: the network's flow is the solution itself"):
        band(sol, n_neurons=None, flow=flow)
    uneven = wflow.solve(flow, wflow.Particles([0.0, 1.0], [0.3, 0.7]), (0, 1), t_eval=[0, 1])
    with pytest.raises(InputError, match=r"these weigh 0\.3 to 0\.7: give n_neurons="):
        band(uneven, n_neurons=None, step_size=0.1, flow=flow)
    density = wflow.GridDensity.from_function(lambda x: np.exp(-(x**2).sum(axis=-1)), [(-4, 4)], 16)
    grid = wflow.solve(flow, density, (0, 0.1), t_eval=[0, 0.1])
    with pytest.raises(InputError, match="starts from no neurons"):
        band(grid, n_neurons=None, step_size=0.1, flow=flow)


def test_a_band_is_refused_where_it_cannot_be_known(gaussians, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    noisy = wflow.solve(
        gaussians.flow(temperature=0.1),
        gaussians.initial("grid", 16),
        (0, 0.01),
        t_eval=[0.0, 0.01],
        output="n.h5",
    )
    with pytest.raises(InputError, match=r"scatter and bias are not predicted: temperature = 0\.1"):
        band(noisy, n_neurons=10)
    net = wflow.networks.sgd(gaussians, n_neurons=3, step_size=1e-2, n_steps=3)
    with pytest.raises(InputError, match="a run of kind 'network'"):
        band(net, n_neurons=10)
    for wrong, said in (
        (["--neurons", "10"], "temperature = 0.1"),
        (["--step-size", "1e-3"], "give --neurons too"),
        (["--neurons", "10", "--movie", "m.gif"], "--movie with --neurons"),
    ):
        assert main(["plot", "n.h5", *wrong]) == 2
        assert said in capsys.readouterr().err


def test_the_command_draws_a_band(gaussians, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wflow.validation.prediction.LARGE", 12)
    start, times = gaussians.initial("particles", 50), [0.0, 1e-4]
    sol = wflow.solve(gaussians.flow(), start, (0, 1e-4), t_eval=times, output="r.h5")
    assert main(["plot", "r.h5", "--neurons", "100", "--step-size", "1e-4"]) == 0
    out = capsys.readouterr().out
    assert "note: what the step size adds is left out" in out
    assert "written: r.png" in out
    found = band(sol, n_neurons=100)
    # Before training, independent neurons: c is their excess, of full vectors w and not of |w| alone.
    neurons = wflow.Particles(gaussians.network().start(100, 0))
    excess = expected_excess(gaussians.network().risk_energy(), neurons)
    assert 100 * (found.mean - sol.risk)[0] == pytest.approx(excess, rel=0.1)
    axes = sol.plot(band=found).axes[0]
    shown = {line.get_label(): line for line in axes.lines}["predicted, N = 100, ± 2 s.d."]
    at = np.searchsorted(shown.get_xdata(), 1e-4)
    assert shown.get_ydata()[at] == pytest.approx(found.mean[-1])
    elsewhere = wflow.solve(gaussians.flow(), wflow.Particles([[2.0]], names=("r",)), (0, 1e-4))
    with pytest.raises(InputError, match="did not start from the law of its system"):
        band(elsewhere, n_neurons=10)


def test_a_prediction_does_not_depend_on_the_clock(gaussians, monkeypatch):
    """A machine that takes 100 s for anything finds the same, to the last bit, control variate included."""
    monkeypatch.setattr("wflow.validation.prediction.LARGE", 12)
    model, times = gaussians.network(), np.array([0.0, 1e-4])
    starts = [model.start(30, 0), model.start(20, 1)]

    def found():
        one = predict(gaussians, gaussians.flow(), model, times, 1)
        return {**one.series, "control": one.control(model, starts, times), "risk": one.risk}

    before = found()
    slow = itertools.count(0.0, 100.0)
    for clock in ("process_time", "perf_counter", "monotonic"):
        monkeypatch.setattr(time, clock, lambda: next(slow))
    after = found()
    assert "risk_variance" in before
    assert (before["control"][:, 1] != 0).all()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_a_law_too_large_for_the_count_is_told(monkeypatch):
    """Features that declare 1e9 products a slope leave room for no law, whatever the time they take."""
    system = wflow.systems.get("gaussian-mixture")
    flow = system.flow()
    monkeypatch.setattr(type(flow.energy.on_nodes().features), "work", 1e9)
    (note,) = predict(system, flow, system.network(), np.array([0.0]), 10).notes
    assert "nodes and 2 coordinates take too long here" in note


def test_units_with_a_kink_are_told_in_a_note(tmp_path):
    """relu neurons on data are kicked where they pass a sample: nothing is predicted, and the note says which units."""
    x = np.linspace(-1, 1, 12)
    np.savez(tmp_path / "d.npz", x=x[:, None], y=np.sin(x))
    system = wflow.systems.get("dataset", path=str(tmp_path / "d.npz"), activation="relu")
    found = predict(system, system.flow(), system.network(), np.array([0.0, 0.1]), 1)
    (note,) = found.notes
    assert note.startswith(
        "scatter and bias are not predicted: the slope of the units jumps at z = 0"
    )
    assert note.endswith("softplus for relu say")
    assert found.series == {}
    assert (found.control(system.network(), [np.ones((3, 3))], found.t) == 0).all()
