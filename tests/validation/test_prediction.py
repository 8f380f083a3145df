"""What is predicted of finite networks of a system, with its own error, and bands about a solution's risk."""

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import InputError
from wflow.solvers.statics import expected_excess
from wflow.validation import band


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
    with pytest.raises(InputError, match="a network's own"):
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
