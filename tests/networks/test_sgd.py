"""Online SGD of finite networks against a plain numpy loop, automatic differentiation and the laws of its noise."""

import math

import autograd
import autograd.numpy
import numpy as np
import pytest
from cut import Cut
from same import same_bits
from scipy.stats import ortho_group

import wflow
from wflow.energies import FeatureEnergy, get_activation
from wflow.errors import InputError
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.systems.catalogue import System
from wflow.tools.streams import stream

RNG = np.random.default_rng(7)
X = RNG.normal(size=(30, 4))
Y = np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0)


class Model:
    """Any network of two layers on the fixed data X, Y: the protocol NetworkModel, written out."""

    def __init__(self, activation, charges, offset, loss):
        self.activation = get_activation(activation)
        self.charges, self.offset, self.loss = charges, offset, loss
        self.input_dimension = X.shape[1]

    def samples(self, seed, first, count):
        pick = stream(seed, "order", first).integers(0, X.shape[0], count)
        return X[pick], Y[pick]

    def start(self, n_neurons, seed):
        width = self.input_dimension + self.charges + self.offset
        return stream(seed, "start").normal(size=(n_neurons, width))

    def risk_energy(self):
        return FeatureEnergy(
            self.activation, X, Y, loss=self.loss, charges=self.charges, offset=self.offset
        )

    def reduce(self, neurons):
        return neurons


class Small(System):
    """A system around the model, with a clock of its own."""

    name = "small"
    parameters = ()
    measures = ("particles",)

    def __init__(self, activation="tanh", charges=True, offset=True, loss="square", schedule=1.0):
        super().__init__()
        self._model = Model(activation, charges, offset, loss)
        self._inner = schedule

    clock = 1.0

    def schedule(self):
        return self._inner

    def energy(self):
        return self._model.risk_energy()

    def network(self):
        return self._model


def direct(theta, x, y, steps, *, charges, offset, loss="square", ridge=0.0, batch=1):
    """θ += s [mean over the batch of r ∇(a tanh(⟨w, x⟩ + b)) − λθ], one neuron's formula, no blocks."""
    theta = theta.copy()
    head = int(charges) + int(offset)
    for k, s in enumerate(steps):
        change = np.zeros_like(theta)
        a = theta[:, 0] if charges else np.ones(theta.shape[0])
        b = theta[:, int(charges)] if offset else 0.0
        for p in range(k * batch, (k + 1) * batch):
            v = np.tanh(theta[:, head:] @ x[p] + b)
            f = (a * v).mean()
            r = y[p] - f if loss == "square" else 0.5 * y[p] / (1 + math.exp(y[p] * f))
            pull = a * (1 - v**2)
            change[:, head:] += r * pull[:, None] * x[p]
            if charges:
                change[:, 0] += r * v
            if offset:
                change[:, int(charges)] += r * pull
        theta += s * (change / batch - ridge * theta)
    return theta


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
@pytest.mark.parametrize(
    "charges, offset, loss",
    [
        (True, True, "square"),
        (True, False, "square"),
        (False, True, "square"),
        (False, False, "square"),
        (True, True, "logistic"),
    ],
)
def test_sgd_equals_the_formula(charges, offset, loss, ridge, batch):
    system = Small(charges=charges, offset=offset, loss=loss)
    run = sgd(
        system, n_neurons=12, step_size=0.05, n_steps=200, batch_size=batch, ridge=ridge, seed=3
    )
    x, y = system.network().samples(3, 0, 200 * batch)
    start = system.network().start(12, 3)
    options = {"charges": charges, "offset": offset, "loss": loss}
    end = direct(start, x, y, [0.05] * 200, ridge=ridge, batch=batch, **options)
    assert np.abs(end - start).max() > 0.1, "the network must have moved"
    assert np.abs(run.measures[-1].points() - end).max() < 1e-12
    assert run.risk[-1] < run.risk[0]
    assert run.t[-1] == pytest.approx(10.0)


def test_the_schedule_scales_each_step():
    """s_k = ε ξ(kε), on the clock of the system."""
    system = Small(schedule=lambda t: 2.0 / (1.0 + t))
    run = sgd(system, n_neurons=10, step_size=0.02, n_steps=150, seed=5)
    x, y = system.network().samples(5, 0, 150)
    steps = [0.02 * 2.0 / (1.0 + 0.02 * k) for k in range(150)]
    end = direct(system.network().start(10, 5), x, y, steps, charges=True, offset=True)
    assert np.abs(run.measures[-1].points() - end).max() < 1e-12


def test_mmns_clock_carries_their_two():
    """On A3, θ += 2ε(y − f)σ′x: half the step on twice the clock is the formula without the 2."""
    system = wflow.systems.get("isotropic-gaussians", d=5)
    run = sgd(system, n_neurons=15, step_size=1e-2, n_steps=300, seed=2)
    model = system.network()
    x, y = model.samples(2, 0, 300)
    w = model.start(15, 2)
    for k in range(300):
        z = w @ x[k]
        value, slope = model.activation.value_and_derivative(z)
        w += 2 * 1e-2 * (y[k] - value.mean()) * slope[:, None] * x[k]
    assert np.abs(run.measures[-1].points() - w).max() < 1e-12


def test_the_reported_risk_is_the_population_risk():
    """The inputs' directions are a fixed sample; over rotations of the network its error averages out."""
    model = wflow.systems.get("isotropic-gaussians", d=5).network()
    w = 3 * model.start(15, 2)
    weights = np.full(15, 1 / 15)
    turned = [
        model.risk_energy().prepare(w @ q).field(weights).risk
        for q in ortho_group.rvs(5, 60, random_state=0)
    ]
    x, y = model.samples(99, 0, 60_000)
    sample = (y - model.activation(x @ w.T).mean(axis=1)) ** 2
    error = math.hypot(np.std(turned) / math.sqrt(60), sample.std() / math.sqrt(60_000))
    assert error < 0.03 * sample.mean()
    assert np.mean(turned) == pytest.approx(sample.mean(), abs=4 * error)


def test_the_reported_risk_of_one_network_is_sharp():
    """Turning a network leaves its population risk alone; the sampled directions move the reported one by less
    than a third of what it differs by from network to network (0.0066 at this size)."""
    model = wflow.systems.get("isotropic-gaussians").network()
    w, weights = model.start(800, 0), np.full(800, 1 / 800)
    energy = model.risk_energy()
    turned = [
        energy.prepare(w @ q).field(weights).risk for q in ortho_group.rvs(40, 8, random_state=1)
    ]
    assert np.std(turned) < 0.002


def test_the_gradient_of_the_reported_risk_is_that_of_its_value():
    model = wflow.systems.get("isotropic-gaussians", d=5).network()
    w, weights, h = 3 * model.start(4, 2), np.full(4, 0.25), 1e-6
    energy = model.risk_energy()
    step = np.zeros_like(w)
    step[1, 2] = h
    up, down = (energy.prepare(w + s).field(weights).risk for s in (step, -step))
    # F = R/2 and a neuron's share is 1/N.
    gradient = energy.prepare(w).field(weights).gradient()[1, 2]
    assert gradient / 4 == pytest.approx((up - down) / (4 * h), rel=1e-5)


def test_the_training_loss_is_that_before_each_step():
    system = Small()
    run = sgd(system, n_neurons=8, step_size=1e-12, n_steps=1024, seed=1)
    x, y = system.network().samples(1, 0, 1024)
    theta = system.network().start(8, 1)
    f = np.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / 8
    assert run.steps["loss"][-1] == pytest.approx(((y - f) ** 2).mean(), rel=1e-8)


@pytest.mark.parametrize("n_steps", [1, 20, 1023, 1024, 2600])
def test_steps_are_those_of_sgd_and_the_rows_cover_all_of_them(n_steps, tmp_path):
    """Rows are stretches of 1024 steps; what is left at the end is one, too, though no frame is there."""
    common = {"n_neurons": 4, "step_size": 2.0**-10, "n_steps": n_steps, "seed": 1}
    end, stretches = n_steps * 2.0**-10, -(-n_steps // 1024)
    run = sgd(Small(), **common)
    assert run.stats["steps"] == n_steps
    assert run.steps["t"].tolist() == [min(k + 1.0, end) for k in range(stretches)]
    assert run.steps["h"].sum() == end
    rows = {"t_eval": [0.0], "output": tmp_path / "run.h5"}
    assert sgd(Small(), **common, **rows).steps["t"].tolist() == run.steps["t"].tolist()
    stored = wflow.load(tmp_path / "run.h5")
    assert stored.stats["steps"] == n_steps
    assert stored.steps["loss"].tobytes() == run.steps["loss"].tobytes()


def test_the_last_rows_are_the_mean_loss_of_what_was_left():
    """A run of 1024 + 300 steps holds the samples of both its rows."""
    system = Small()
    run = sgd(system, n_neurons=8, step_size=1e-12, n_steps=1324, seed=1)
    theta, means = system.network().start(8, 1), []
    for part in ((0, 1024), (1024, 300)):
        x, y = system.network().samples(1, *part)
        f = np.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / 8
        means.append(((y - f) ** 2).mean())
    assert run.steps["loss"] == pytest.approx(means, rel=1e-8)


def test_a_longer_run_takes_the_whole_stretch_in_place_of_its_beginning(tmp_path):
    """Watchers see the end of both runs, and what they remember is that of the longer one."""
    system = wflow.systems.get("isotropic-gaussians", d=4)
    common = {"n_neurons": 4, "step_size": 2.0**-10, "seed": 1, "temperature": 0.01}

    def seen():
        times = []
        return times, [lambda t, rho: times.append(t)]

    path, (whole_times, watch) = tmp_path / "run.h5", seen()
    whole = sgd(system, n_steps=2600, t_eval=[0, 0.5, 2600 / 1024], trackers=watch, **common)
    assert whole_times == [0.0, 1.0, 2.0, 2600 / 1024]
    short_times, watch = seen()
    short = sgd(system, n_steps=512, t_eval=[0, 0.5], output=path, trackers=watch, **common)
    assert short_times == [0.0, 0.5] == [0.0, *short.steps["t"]]
    same_bits(wflow.resume(path, t_end=2600 / 1024), whole)


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 2}, {"temperature": 0.01}, {"ridge": 0.1}], ids=str
)
def test_neither_saves_nor_the_length_of_a_run_change_a_bit(options):
    """5000 steps cross several blocks of the sample stream; saves fall inside, outside and on their ends."""
    system, e = Small(), 1e-2
    common = {"n_neurons": 9, "step_size": e, "seed": 4, **options}
    marks = [0, 1, 1000, 1024, 1025, 2047, 3333, 5000]
    whole = sgd(system, n_steps=5000, t_eval=[5000 * e], **common)
    saved = sgd(system, n_steps=5000, t_eval=[k * e for k in marks], **common)
    np.testing.assert_array_equal(whole.measures[-1].points(), saved.measures[-1].points())
    for i, k in enumerate(marks[1:-1], 1):
        short = sgd(system, n_steps=k, t_eval=[k * e], **common)
        np.testing.assert_array_equal(short.measures[-1].points(), saved.measures[i].points())


def test_seeds():
    system = Small()
    options = {"n_neurons": 9, "step_size": 1e-2, "n_steps": 50}
    one, same, other = (sgd(system, seed=s, **options).measures[-1].points() for s in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_an_order_of_samples_is_replayed(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    system = wflow.systems.get("dataset", path=str(tmp_path / "mine.npz"), scaled="no")
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 50))
    start = system.initial("particles", 11)
    options = {"initial": start, "step_size": 0.02, "batch_size": 2, "n_steps": 700}
    run = sgd(system, order=order, **options)
    end = direct(
        start.points(), X[order], Y[order], [0.02] * 700, charges=True, offset=True, batch=2
    )
    assert np.abs(run.measures[-1].points() - end).max() < 1e-12
    for wrong, message in (
        (order[:1399], "1399 samples and the run needs 1400"),
        (order + 1, "samples are numbered from 0 to 29"),
        (order[None], "1-D"),
        (order / 1.0, "1-D array of sample indices"),
    ):
        with pytest.raises(InputError, match=message):
            sgd(system, order=wrong, **options)
    with pytest.raises(InputError, match="only data sets replay"):
        sgd("isotropic-gaussians", n_neurons=2, step_size=1e-3, n_steps=5, order=[0, 1])


def test_initial_neurons_are_used_and_left_alone():
    system = Small()
    start = Particles(np.random.default_rng(8).normal(size=(6, 6)))
    before = start.points().copy()
    run = sgd(system, initial=start, step_size=0.05, n_steps=40, t_eval=[0.0, 2.0])
    np.testing.assert_array_equal(start.points(), before)
    np.testing.assert_array_equal(run.measures[0].points(), before)
    assert np.abs(run.measures[1].points() - before).max() > 0.05
    with pytest.raises(InputError, match=r"expected \(N, 6\)"):
        sgd(system, initial=Particles(np.ones((6, 5))), step_size=0.05, n_steps=4)
    with pytest.raises(InputError, match="n_neurons = 7 and initial has 6"):
        sgd(system, initial=start, n_neurons=7, step_size=0.05, n_steps=4)
    heavy = Particles(start.points(), [0.1, 0.1, 0.1, 0.1, 0.1, 0.5])
    with pytest.raises(InputError, match=r"neurons of equal weight, and these weigh 0.1 to 0.5"):
        sgd(system, initial=heavy, step_size=0.05, n_steps=4)
    names = tuple(reversed(run.view.coordinates))
    with pytest.raises(InputError, match="bring those of initial into the energy's order"):
        sgd(system, initial=Particles(start.points(), names=names), step_size=0.05, n_steps=4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_size": 0.0},
        {"step_size": -1.0},
        {"step_size": math.nan},
        {"step_size": math.inf},
        {"step_size": "small"},
        {"n_steps": 0},
        {"n_steps": 2.5},
        {"n_neurons": 0},
        {"n_neurons": True},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 1.5},
        {"temperature": -0.1},
        {"ridge": math.nan},
        {"t_eval": [0.0, 1.0]},
        {"t_eval": [0.1, 0.05]},
    ],
    ids=str,
)
def test_wrong_requests_get_one_line(wrong):
    good = {"n_neurons": 3, "step_size": 1e-2, "n_steps": 20}
    with pytest.raises(InputError) as caught:
        sgd(Small(), **(good | wrong))
    assert "\n" not in str(caught.value)


def test_a_step_far_too_large_is_a_failure_with_a_reason():
    with np.errstate(over="ignore", invalid="ignore"):
        run = sgd(Small("identity"), n_neurons=3, step_size=1e3, n_steps=3000)
    assert not run.success
    assert "smaller step_size" in run.message


@pytest.mark.parametrize("clock", [1.0, 2.0])
def test_noise_has_the_mean_and_variance_of_ornstein_and_uhlenbeck(clock):
    """σ = 0, ridge 1, noise τ: dθ = −ξθ dt + √(2ξτ) dB. SGD's own recursion exactly, the limit to O(ε)."""
    n, tau, e, m0, v0 = 40_000, 0.3, 0.02, 1.0, 0.04
    start = np.random.default_rng(1).normal(m0, math.sqrt(v0), size=(n, 4))
    run = sgd(
        Small("zero", charges=False, offset=False, schedule=clock),
        initial=Particles(start),
        step_size=e,
        n_steps=50,
        temperature=tau,
        ridge=1.0,
        seed=6,
        t_eval=[0.5, 1.0],
    )
    for k, t, measure in zip((25, 50), (0.5, 1.0), run.measures, strict=True):
        q = 1 - e * clock
        mean = m0 * q**k
        variance = v0 * q ** (2 * k) + 2 * e * clock * tau * (1 - q ** (2 * k)) / (1 - q * q)
        theta = measure.points()
        error = math.sqrt(variance / theta.size)
        assert theta.mean() == pytest.approx(mean, abs=4 * error)
        assert theta.var() == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / theta.size))
        decay = math.exp(-clock * t)
        assert abs(mean - m0 * decay) < clock * e
        assert abs(variance - (v0 * decay**2 + tau * (1 - decay**2))) < clock * e * tau
    assert math.isnan(run.free_energy[-1])


def test_noise_is_fresh_in_every_step_and_neuron():
    """Without drift θ is a random walk: variance 2τkε, also across the ends of blocks, nothing correlated."""
    n, tau, e = 300, 0.5, 1e-3
    marks = [1024, 2048, 4096]
    run = sgd(
        Small("zero", charges=True, offset=True),
        initial=Particles(np.zeros((n, 6))),
        step_size=e,
        n_steps=marks[-1],
        temperature=tau,
        seed=2,
        t_eval=[k * e for k in marks],
    )
    walks = [m.points() for m in run.measures]
    pieces = [walks[0], walks[1] - walks[0], walks[2] - walks[1]]
    for piece, steps in zip(pieces, (1024, 1024, 2048), strict=True):
        variance = 2 * tau * steps * e
        assert piece.var() == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / piece.size))
        # Charges, offsets and weights alike.
        assert np.abs(piece.var(axis=0) / variance - 1).max() < 5 * math.sqrt(2 / n)
    rows = np.corrcoef(np.concatenate(pieces, axis=1).T)
    assert np.abs(rows - np.eye(18)).max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("batch, loss", [(1, "square"), (4, "square"), (1, "logistic")])
def test_automatic_differentiation_gives_the_same_network(batch, loss):
    """An autodiff framework on the same stream, its loss halved and its 1/N undone, equals ours to rounding."""
    system, e, n, steps = Small(loss=loss), 0.05, 10, 150
    run = sgd(system, n_neurons=n, step_size=e, n_steps=steps, batch_size=batch, ridge=0.1, seed=9)
    inputs, targets = system.network().samples(9, 0, steps * batch)

    def objective(theta, x, y):
        f = autograd.numpy.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / n
        value = (
            (y - f) ** 2 if loss == "square" else autograd.numpy.log1p(autograd.numpy.exp(-y * f))
        )
        return 0.5 * n * autograd.numpy.mean(value) + 0.05 * autograd.numpy.sum(theta**2)

    theta = system.network().start(n, 9)
    for k in range(steps):
        rows = slice(k * batch, (k + 1) * batch)
        theta = theta - e * autograd.grad(objective)(theta, inputs[rows], targets[rows])
    assert np.abs(run.measures[-1].points() - theta).max() < 1e-12


def test_a_cut_run_ends_in_the_same_bits(tmp_path):
    """A run stopped by a tracker goes on from its file to the bits of the run that was never stopped."""
    system = wflow.systems.get("isotropic-gaussians", d=8)
    options = {"n_neurons": 10, "step_size": 1e-4, "n_steps": 6000, "seed": 3, "t_eval": [0.3, 0.6]}
    whole = sgd(system, **options)

    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt):
        sgd(system, output=path, trackers=[Cut(t=0.2)], **options)
    resumed = wflow.resume(path)
    assert resumed.success
    for a, b in zip(whole.measures, resumed.measures, strict=True):
        np.testing.assert_array_equal(a.points(), b.points())
    np.testing.assert_array_equal(whole.risk, resumed.risk)
