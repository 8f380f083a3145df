"""What is predicted of finite networks: bands, and what directions add where the limit is one of radii."""

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import InputError
from wflow.solvers.statics import expected_excess
from wflow.validation import band, fluctuations
from wflow.validation import rotations as module
from wflow.validation.prediction import predict
from wflow.validation.rotations import Harmonics, multiplicity, rotational
from wflow.validation.training import Job, train


@pytest.fixture(scope="module")
def gaussians():
    return wflow.systems.get("isotropic-gaussians", d=10)


def test_harmonics_are_moments_of_the_activation():
    """σ(s u₁) on S²: u₁ is uniform on [−1, 1], so that λ_ℓ is a Legendre moment; derivatives by differences."""
    knots = ((0.5, -2.5), (1.5, 7.5))
    found = Harmonics(knots, 3, 20.0)
    s = np.array([0.3, 1.1, 4.0])
    x, w = np.polynomial.legendre.leggauss(4000)
    for degree in range(5):
        p = np.polynomial.legendre.Legendre.basis(degree)(x)
        for argument in s:
            exact = 0.5 * np.sum(w * p * np.interp(argument * x, *zip(*knots, strict=True)))
            assert found.value(degree, np.array([argument]))[0] == pytest.approx(exact, abs=2e-4)
        h = 1e-4
        for order in (1, 2):
            up, down = (found.value(degree, s + e, order - 1) for e in (h, -h))
            np.testing.assert_allclose(
                found.value(degree, s, order), (up - down) / (2 * h), atol=2e-2
            )
    assert multiplicity(2, 40) == 40 * 41 / 2 - 1


def test_at_the_start_directions_add_the_excess_of_independent_neurons(gaussians):
    model, flow = gaussians.network(), gaussians.flow()
    radii = gaussians.initial("particles", 48).points()[:, 0]
    bias, variance, square = rotational(model.rotations, radii, flow.schedule, np.array([0.0]))
    neurons = wflow.Particles(model.start(2000, 0))
    assert bias[0] == pytest.approx(expected_excess(model.risk_energy(), neurons), rel=0.05)
    assert variance[0] == pytest.approx(bias[0], rel=1e-9)
    assert 0 < square[0] < 2 * variance[0] ** 2


def test_of_radii_alone_it_is_the_bias_of_their_flow(gaussians, monkeypatch):
    """Degree 0 by itself, and nothing left over, is what the tangent flow of the reduced problem says."""
    times = np.array([0.05, 0.2])
    flow, model = gaussians.flow(), gaussians.network()
    law = gaussians.initial("particles", 24)
    monkeypatch.setattr(module, "multiplicity", lambda degree, d: float(degree == 0) or 1e-300)
    monkeypatch.setattr(Harmonics, "square", lambda self, s, order=0: radial_square(self, s, order))

    def radial_square(self, s, order):
        h, h1 = self.value(0, s), self.value(0, s, 1)
        return 2 * h * h1 if order else h**2

    bias, variance, _ = rotational(model.rotations, law.points()[:, 0], flow.schedule, times)
    exact = fluctuations(flow, law, times)
    # 24 radii have a spread of their own, which the remainder of E σ² counts once: h² against (E h)².
    np.testing.assert_allclose(bias, exact.bias, rtol=0.02, atol=2e-3 * exact.output_variance[0])
    np.testing.assert_allclose(variance, exact.output_variance, rtol=0.02)


@pytest.mark.slow
def test_networks_are_off_by_the_predicted_mean(gaussians):
    """d = 40 up to t = 0.1, 64 networks of 100 neurons: N E(R_N − R) within 4 standard errors, 2% each (20 s)."""
    system = wflow.systems.get("isotropic-gaussians")
    times = (0.02, 0.05, 0.1)
    flow, model = system.flow(), system.network()
    found = predict(system, flow, model, np.array(times), 50)
    radial = fluctuations(flow, system.initial("particles", 200), times)
    jobs = [Job((s,), system, 100, 4e-6, 25_000, times, 5000 + s) for s in range(64)]
    off = np.array([train(job).risk for job in jobs]) - radial.risk
    off -= found.control(model, [model.start(100, job.seed) for job in jobs], np.array(times))
    mean, error = 100 * off.mean(axis=0), 100 * off.std(axis=0, ddof=1) / 8
    # ε adds a hundredth to a fiftieth here, and 1/N² as much.
    assert (np.abs(mean - found.series["bias"]) < 4 * error + 0.03 * mean).all()
    assert (error < 0.025 * mean).all()


def test_a_band_holds_the_networks_it_is_of():
    """32 gradient flows of 60 tanh neurons each: their mean within 5 s.e. of the band's, 95% of them within it."""
    x = np.linspace(-2, 2, 12)
    energy = wflow.energies.FeatureEnergy("tanh", x, np.sin(2 * x), charges=True)
    flow = wflow.GradientFlow(energy)
    law = wflow.Particles(np.random.default_rng(0).normal(size=(200, 2)))
    times = [0.0, 1.0, 2.0]
    sol = wflow.solve(flow, law, (0, 2), t_eval=times)
    found = band(sol, neurons=60, flow=flow)
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
    wide = band(sol, neurons=60, step_size=0.1, batch_size=2, flow=flow)
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
        band(noisy, neurons=10)
    net = wflow.networks.sgd(gaussians, n_neurons=3, step_size=1e-2, n_steps=3)
    with pytest.raises(InputError, match="a network's own"):
        band(net, neurons=10)
    for wrong, said in (
        (["--neurons", "10"], "temperature = 0.1"),
        (["--step-size", "1e-3"], "give --neurons too"),
        (["--neurons", "10", "--movie", "m.gif"], "--movie with --neurons"),
    ):
        assert main(["plot", "n.h5", *wrong]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_draws_a_band(gaussians, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    start = gaussians.initial("particles", 50)
    sol = wflow.solve(gaussians.flow(), start, (0, 0.1), t_eval=[0.0, 0.05, 0.1], output="r.h5")
    assert main(["plot", "r.h5", "--neurons", "100", "--step-size", "1e-4"]) == 0
    out = capsys.readouterr().out
    assert "note: what the step size adds is left out" in out
    assert "written: r.png" in out
    found = band(sol, neurons=100)
    axes = sol.plot(band=found).axes[0]
    shown = {line.get_label(): line for line in axes.lines}["predicted, N = 100, ± 2 s.d."]
    at = np.searchsorted(shown.get_xdata(), 0.1)
    assert shown.get_ydata()[at] == pytest.approx(found.mean[-1])
    assert found.mean[-1] - sol.risk[-1] == pytest.approx(
        predict(gaussians, gaussians.flow(), gaussians.network(), sol.t, 10).series["bias"][-1]
        / 100
    )
