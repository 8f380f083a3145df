"""SGD's scatter and drift as predicted, against closed forms and against many runs of SGD."""

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy
from wflow.energies.features.base import FeatureMap
from wflow.validation import band, dean, fluctuations, sgd_drift, sgd_noise

T = np.array([0.0, 0.5, 1.0, 2.0])


def test_one_linear_neuron():
    # One input, labels 2 and 4: dm = (3 − m)dt + √(ε/P) dW, and explicit steps contract as (1 − ε)^k.
    energy = FeatureEnergy("identity", [1.0, 1.0], [2.0, 4.0])
    found = sgd_noise(
        wflow.GradientFlow(energy), wflow.Particles([1.0]), T, batch_size=5, rtol=1e-8
    )
    variance = 0.5 * (1 - np.exp(-2 * T))
    off, late = -2.0 * np.exp(-T), -0.5 * T * -2.0 * np.exp(-T)
    assert found.output_variance == pytest.approx(variance, rel=1e-3)
    assert found.risk_variance == pytest.approx(4 * off**2 * variance, rel=1e-3, abs=1e-12)
    assert found.drift[:, 0, 0] == pytest.approx(late, rel=1e-3)
    assert found.risk_bias == pytest.approx(variance / 5 + 2 * off * late, rel=1e-3, abs=1e-9)
    assert found.parameter_covariance(2)[0, 0, 0, 0] == pytest.approx(variance[2], rel=1e-3)
    assert found.covariance(2) == pytest.approx(np.full((2, 2), variance[2]), rel=1e-3)


def toy(n=6):
    """Few tanh neurons on noisy labels at nodes of unequal probability, with a clock and a ridge."""
    rng = np.random.default_rng(1)
    x, p = np.linspace(-2.0, 2.0, 8), rng.dirichlet(np.full(8, 5.0))
    energy = FeatureEnergy("tanh", x, np.sin(2 * x) + 0.3 * rng.normal(size=8), p, charges=True)
    flow = wflow.GradientFlow(energy, schedule=lambda t: 1.5 / (1 + t), ridge=0.02)
    return flow, rng.normal(size=(n, 2))


def test_noise_is_common_to_all_neurons():
    # Twice as many neurons, two at each place, scatter as much: nothing averages out.
    flow, start = toy()
    one = sgd_noise(flow, wflow.Particles(start), T)
    two = sgd_noise(flow, wflow.Particles(np.repeat(start, 2, axis=0)), T)
    assert two.output_variance == pytest.approx(one.output_variance, rel=1e-8)
    assert two.risk_bias == pytest.approx(one.risk_bias, rel=1e-6)
    pair = two.parameter_covariance(2)[:2, :, :2]
    assert pair[0, :, 0] == pytest.approx(pair[0, :, 1], rel=1e-9)


def descents(flow, start, step, seeds):
    """Parameters (seeds, N, 2) of SGD with one sample a step at the times T."""
    rng, e = np.random.default_rng(0), flow.energy
    x, y = e.features.nodes[:, 0], e.targets
    a, w = (np.tile(start[:, k], (seeds, 1)) for k in (0, 1))
    saves = np.rint(T / step).astype(int)
    for k in range(saves[-1] + 1):
        if k in saves:
            yield np.stack([a, w], axis=2)
        q = rng.choice(x.size, seeds, p=e.weights)
        s, at = step * flow.schedule(k * step), x[q][:, None]
        unit = np.tanh(w * at)
        r = (a * unit).mean(axis=1, keepdims=True) - y[q][:, None]
        pull = r * a * (1 - unit**2) * at
        a, w = a - s * (r * unit + 0.02 * a), w - s * (pull + 0.02 * w)


def test_many_runs_scatter_as_predicted():
    step, seeds = 0.004, 6000
    flow, start = toy()
    law = wflow.Particles(start)
    found = sgd_noise(flow, law, T)
    e = flow.energy
    for k, theta in enumerate(descents(flow, start, step, seeds)):
        if k == 0:
            continue
        f = (theta[..., :1] * np.tanh(theta[..., 1:] * e.features.nodes[:, 0])).mean(axis=1)
        risk = (e.targets - f) ** 2 @ e.weights
        spread = np.cov(theta.reshape(seeds, -1).T) / step
        predicted = found.parameter_covariance(k).reshape(spread.shape)
        print(f.var(axis=0) @ e.weights / step / found.output_variance[k])
        assert np.abs(spread - predicted).max() < 0.05 * np.abs(predicted).max()
        assert f.var(axis=0) @ e.weights / step == pytest.approx(found.output_variance[k], rel=0.05)
        # Of the risk's variance a part of order ε remains.
        assert risk.var() / step == pytest.approx(found.risk_variance[k], rel=0.12)
        error = risk.std() / np.sqrt(seeds) / step
        measured = (risk.mean() - found.risk[k]) / step
        assert abs(measured - found.risk_bias[k]) < 4 * error + 0.1 * abs(found.risk_bias[k])


def test_deans_equation_scatters_as_its_linearisation():
    flow, start = toy()
    law = wflow.Particles(start)
    found = dean(flow, law, T, step_size=1e-4, batch_size=2, paths=200, steps=4)
    linear = sgd_noise(flow, law, T, rtol=1e-3)
    scatter = found.output.var(axis=0) @ flow.energy.weights / 5e-5
    assert found.points.shape == (200, 4, 6, 2)
    assert scatter == pytest.approx(linear.output_variance, rel=0.3)
    assert found.risk.mean(axis=0) == pytest.approx(linear.risk, abs=4e-3)
    # Without noise it is the flow.
    still = dean(flow, law, T, step_size=0.0, paths=1, steps=20)
    assert still.risk[0] == pytest.approx(linear.risk, rel=1e-4)
    steep = wflow.GradientFlow(FeatureEnergy("identity", [1.0], [1.0]), schedule=1e99)
    with pytest.raises(
        wflow.ComputationError, match=r"run off by t = 1 in steps of 0\.2: give more"
    ):
        dean(steep, wflow.Particles([0.0]), [0.0, 1.0], step_size=0.0, paths=1, steps=5)


@pytest.mark.slow
def test_deans_equation_is_the_law_of_sgd():
    # 6,000 runs of each tell the variance to 2.6%; explicit steps are off by ε in it.
    step, seeds = 0.02, 6000
    flow, start = toy()
    law, p = wflow.Particles(start), flow.energy.weights
    found = dean(flow, law, T, step_size=step, paths=seeds, steps=6)
    lag = step * sgd_noise(flow, law, T, batch_size=10**9).risk_bias
    for k, theta in enumerate(descents(flow, start, step, seeds)):
        if k == 0:
            continue
        f = (theta[..., :1] * np.tanh(theta[..., 1:] * flow.energy.features.nodes[:, 0])).mean(1)
        risk, spread = (flow.energy.targets - f) ** 2 @ p, f.var(axis=0) @ p
        print(spread / (found.output[:, k].var(axis=0) @ p), risk.mean(), found.risk[:, k].mean())
        assert spread == pytest.approx(found.output[:, k].var(axis=0) @ p, rel=0.07)
        error = np.hypot(risk.std(), found.risk[:, k].std()) / np.sqrt(seeds)
        assert abs(risk.mean() - found.risk[:, k].mean() - lag[k]) < 3 * error + 0.1 * abs(lag[k])


@pytest.mark.slow
def test_scatter_does_not_know_the_number_of_neurons():
    # SGD of 4, 25 and 100 neurons from quadratures of one law: Var f/(ε/P) alike, and as predicted.
    step, seeds = 0.01, 4000
    flow, _ = toy()
    for root in (2, 5, 10):
        a, b = np.meshgrid(*[(np.arange(root) + 0.5) / root * 2 - 1] * 2)
        start = 1.5 * np.column_stack([a.ravel(), b.ravel()])
        found = sgd_noise(flow, wflow.Particles(start), T, rtol=1e-4)
        theta = list(descents(flow, start, step, seeds))[-1]
        f = (theta[..., :1] * np.tanh(theta[..., 1:] * flow.energy.features.nodes[:, 0])).mean(1)
        measured = f.var(axis=0) @ flow.energy.weights / step
        print(root**2, measured, found.output_variance[-1])
        assert measured == pytest.approx(found.output_variance[-1], rel=0.05)


@pytest.mark.parametrize("outputs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_both_predictions_of_the_drift_agree(tmp_path, outputs):
    # The same data set by the Lyapunov equation, and by pairs of noise paths of its network.
    rng = np.random.default_rng(5)
    x = rng.normal(size=(12, 2))
    y = np.column_stack([np.sin(x[:, 0]), np.cos(x[:, 1])])[:, :outputs]
    np.savez(tmp_path / "data.npz", x=x, y=y.reshape((12, 2)[:outputs]))
    system = wflow.systems.get("dataset", path=str(tmp_path / "data.npz"), activation="tanh")
    paths = sgd_drift(system, [0.0, 0.5, 1.0], n_neurons=8, paths=60, steps=6, seed=1)
    start = wflow.Particles(system.network().start(8, 1))
    whole = sgd_noise(system.flow(), start, [0.0, 0.5, 1.0])
    drift = whole.drift.mean(axis=1)
    print(paths.state, drift, paths.state_error, paths.risk_bias, whole.risk_bias)
    assert np.all(np.abs(paths.state - drift) <= 4 * paths.state_error + 0.02 * np.abs(drift))
    off = np.abs(paths.risk_bias - whole.risk_bias)
    assert np.all(off <= 4 * paths.risk_bias_error + 0.02 * np.abs(whole.risk_bias))
    assert np.all(paths.risk_bias_error <= 0.3 * np.abs(whole.risk_bias))


def test_both_predictions_of_the_scatter_agree(tmp_path):
    # A data set by the Lyapunov equation, and by adjoints: 8 neurons, samples drawn with replacement.
    rng = np.random.default_rng(5)
    x = rng.normal(size=(12, 2))
    np.savez(tmp_path / "data.npz", x=x, y=np.sin(x[:, 0]))
    system = wflow.systems.get("dataset", path=str(tmp_path / "data.npz"), activation="tanh")
    found = sgd_drift(system, [0.5, 1.0], n_neurons=8, paths=2, steps=3, seed=1)
    start = wflow.Particles(system.network().start(8, 1))
    whole = sgd_noise(system.flow(), start, [0.5, 1.0], rtol=1e-3)
    mean = [whole.parameter_covariance(k).mean(axis=(0, 2)).diagonal() for k in range(2)]
    print(found.state_variance / mean, found.risk_variance / whole.risk_variance)
    assert found.state_variance == pytest.approx(np.array(mean), rel=0.08)
    assert found.risk_variance == pytest.approx(whole.risk_variance, rel=0.08)
    assert np.all(found.risk_variance_error < 0.05 * found.risk_variance)


@pytest.mark.slow
def test_networks_in_full_space_scatter_as_predicted():
    # A3 in 8 dimensions, 2,000 runs of SGD of 10 neurons from one start: |w| and the risk.
    system, step, seeds, end = wflow.systems.get("isotropic-gaussians", d=8), 5e-4, 2000, 0.2
    found = sgd_drift(system, [0.0, end], n_neurons=10, paths=2, steps=8, seed=2)
    model = system.network()
    w = np.repeat(model.start(10, 2)[None], seeds, axis=0)
    for k in range(round(end / step)):
        x, y = model.samples(7, k * seeds, seeds)
        unit, slope = model.activation.value_and_derivative(np.einsum("snd,sd->sn", w, x))
        r = unit.mean(axis=1) - y
        w -= 2 * step * (r[:, None] * slope)[:, :, None] * x[:, None]
    radius = np.linalg.norm(w, axis=2).mean(axis=1)
    energy, even = model.risk_energy(), np.full(10, 0.1)
    risk = np.array([energy.prepare(one).field(even).risk for one in w[:400]])
    print(radius.var() / step / found.state_variance[1], risk.var() / step / found.risk_variance[1])
    assert radius.var() / step == pytest.approx(found.state_variance[1, 0], rel=0.1)
    assert risk.var() / step == pytest.approx(found.risk_variance[1], rel=0.25)


@pytest.mark.slow
def test_two_radii_grow_with_the_step_as_predicted():
    # Mean r₂ of SGD at t = 0.25 lies above the flow's by .0106 at ε = 2.5e-5 and .0207 at twice that (measured).
    found = sgd_drift("anisotropic-gaussians", [0.25], n_neurons=40, paths=8, steps=8)
    slope = dict(zip(found.names, found.state[0], strict=True))["r2"]
    print(slope, found.state_error[0])
    assert 2.5e-5 * slope == pytest.approx(0.0106, rel=0.1)
    assert 5e-5 * slope == pytest.approx(0.0207, rel=0.1)


def test_samples_stand_for_a_quadrature():
    # Radii |x| by Gauss's rule, and drawn: of 1,500 draws the covariance is known to some 5%.
    system = wflow.systems.get("isotropic-gaussians", d=6)
    law, t = system.initial("particles", n=2), [0.0, 0.05]
    exact = sgd_noise(system.flow(), law, t, rtol=1e-3)
    drawn = sgd_noise(system.flow(), law, t, rtol=1e-3, samples=system.sampled(1500, seed=1))
    print(drawn.output_variance[1] / exact.output_variance[1])
    assert drawn.output_variance[1] == pytest.approx(exact.output_variance[1], rel=0.15)


def test_features_at_inputs_have_slopes():
    # Two blocks: all pairs at a time, as one by one.
    system = wflow.systems.get("anisotropic-gaussians", d=8, s0=3)
    features = system.sampled(5).features
    at = system.initial("particles", n=3).points()
    for found, one in zip(features.jacobian(at), FeatureMap.jacobian(features, at), strict=True):
        assert found == pytest.approx(one, rel=1e-12)


@pytest.mark.slow
def test_a_risk_in_space_scatters_as_its_samples_say():
    # A6's risk is an integral dx; its SGD draws x ~ N(0, 4) and divides by the density. 4,000 runs of 5 neurons.
    system, step, seeds, end = wflow.systems.get("gaussian-mixture"), 0.01, 4000, 1.0
    start = system.network().start(5, 3)
    found = sgd_noise(
        system.flow(), wflow.Particles(start), [0.0, end], rtol=1e-4, samples=system.sampled(20_000)
    )
    model, c, y = (
        system.network(),
        np.tile(start[:, 0], (seeds, 1)),
        np.tile(start[:, 1], (seeds, 1)),
    )
    for k in range(round(end / step)):
        x, target = model.samples(1, k * seeds, seeds)
        # √p is that of N(0, 4): targets come divided by it, and so do units.
        unit = np.exp(-((x - y) ** 2)) / np.sqrt(np.pi) * (8 * np.pi) ** 0.25 * np.exp(x**2 / 16)
        r = (c * unit).mean(axis=1, keepdims=True) - target[:, None]
        c, y = c - step * r * unit, y - step * r * c * unit * 2 * (x - y)
    nodes, cell = system.nodes()
    f = (c[..., None] * np.exp(-((nodes[:, 0] - y[..., None]) ** 2)) / np.sqrt(np.pi)).mean(axis=1)
    measured = f.var(axis=0).sum() * cell / step
    print(measured / found.output_variance[1])
    assert measured == pytest.approx(found.output_variance[1], rel=0.05)


def test_samples_of_another_state_are_refused():
    flow, start = toy()
    other = FeatureEnergy("tanh", [0.0, 1.0], [1.0, 1.0], charges=True, offset=True)
    with pytest.raises(
        wflow.InputError, match=r"samples of neurons \(a, b, w\): the flow's are \(a, w\)"
    ):
        sgd_noise(flow, wflow.Particles(start), [1.0], samples=other)
    labels = FeatureEnergy("tanh", [0.0, 1.0], [1.0, -1.0], loss="logistic", charges=True)
    with pytest.raises(
        wflow.InputError, match="samples under loss 'logistic': the flow's is 'square'"
    ):
        sgd_noise(flow, wflow.Particles(start), [1.0], samples=labels)
    mixture = wflow.systems.get("gaussian-mixture").flow()
    line = r"the weights of the nodes sum to 22\.25: SGD draws .* samples=system\.sampled\(4096\)"
    with pytest.raises(wflow.InputError, match=line):
        sgd_noise(mixture, wflow.Particles(start), [0.0])


def test_one_sample_moves_all_outputs():
    # Two outputs with the same labels and charges: f_1 = f_2 goes as one output of twice the pull on w, here on b.
    x, y, rng = np.linspace(-1.0, 1.0, 5), np.arange(5.0) / 5, np.random.default_rng(2)
    start = rng.normal(size=(4, 3))
    one = FeatureEnergy("tanh", x, y, charges=True, offset=True)
    two = FeatureEnergy("tanh", x, np.column_stack([y, y]), charges=True, offset=True)
    still = sgd_noise(
        wflow.GradientFlow(one, frozen=["a"], schedule=2.0), wflow.Particles(start), T
    )
    flow = wflow.GradientFlow(two, frozen=["a1", "a2"])
    both = sgd_noise(flow, wflow.Particles(start[:, [0, 0, 1, 2]]), T)
    assert both.output_variance == pytest.approx(2 * still.output_variance, rel=1e-3)
    assert both.risk_variance == pytest.approx(4 * still.risk_variance, rel=1e-3)


def test_what_is_expected_of_a_network():
    flow, start = toy()
    law = wflow.Particles(start)
    scatter, noise = fluctuations(flow, law, T), sgd_noise(flow, law, T, batch_size=2)
    known = noise.total(scatter, 100, 1e-3)
    assert known.mean == pytest.approx(scatter.risk + scatter.bias / 100 + 1e-3 * noise.risk_bias)
    p = np.sqrt(flow.energy.weights)
    each = [scatter.covariance(k) * np.outer(p, p) for k in range(len(T))]
    second = 2 * np.sum(np.square(each), axis=(1, 2))
    assert known.deviation**2 == pytest.approx(
        scatter.risk_variance / 100 + second / 100**2 + 5e-4 * noise.risk_variance
    )
    assert known.output_variance == pytest.approx(
        scatter.output_variance / 100 + 5e-4 * noise.output_variance
    )
    # The same from a solution.
    sol = wflow.solve(flow, law, (0, T[-1]), t_eval=T, rtol=1e-7)
    same = band(sol, n_neurons=100, step_size=1e-3, batch_size=2, flow=flow)
    assert same.deviation == pytest.approx(known.deviation, rel=1e-3)
    assert same.mean == pytest.approx(known.mean, rel=1e-3)
    assert same.output_variance == pytest.approx(known.output_variance, rel=1e-3)
    with pytest.raises(wflow.InputError, match="of other times: ask for both with one t_eval"):
        noise.total(fluctuations(flow, law, [1.0]), 100, 1e-3)


def test_nodes_that_are_no_samples_are_refused(tmp_path):
    energy = FeatureEnergy("identity", [1.0, 2.0], [1.0, 1.0], [0.2, 0.3])
    with pytest.raises(wflow.InputError, match=r"the weights of the nodes sum to 0\.5: SGD draws"):
        sgd_noise(wflow.GradientFlow(energy), wflow.Particles([1.0]), [1.0])
    np.savetxt(tmp_path / "labels.csv", [[0.5, 1.0], [1.0, -1.0]], delimiter=",")
    labels = wflow.systems.get("dataset", path=str(tmp_path / "labels.csv"), loss="logistic")
    with pytest.raises(wflow.InputError, match="drift of SGD is predicted for the square loss"):
        sgd_drift(labels, [0.1], n_neurons=2, steps=1)
