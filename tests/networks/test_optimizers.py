"""Every optimiser against automatic differentiation on the same samples, its scaling with N, its noise, its map."""

import math

import autograd
import numpy as np
import pytest
from small_data import X, Y, advance, objective

import wflow
from wflow.errors import InputError
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.solvers.networks.optimizers import OPTIMIZERS
from wflow.systems.shared.order import Shuffled


def test_every_optimiser_has_a_twin():
    assert set(OPTIMIZERS) == {"sgd", "momentum", "adam", "adagrad"}


@pytest.mark.parametrize("epochs", [25, pytest.param(125, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name, options, step",
    [
        ("sgd", {}, 0.05),
        ("momentum", {"momentum": 0.8}, 0.02),
        ("adam", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3}, 0.01),
        ("adagrad", {}, 0.1),
    ],
)
def test_automatic_differentiation_gives_the_same_network(system, name, options, step, epochs):
    """200 or 1,000 steps over shuffled epochs, whose last batch of 4 is the mean over these 4."""
    n, batch, ridge = 100, 8, 0.01
    run = sgd(
        system,
        n_neurons=n,
        step_size=step,
        epochs=epochs,
        batch_size=batch,
        replacement=False,
        ridge=ridge,
        decay=0.5,
        optimizer=name,
        optimizer_options=options,
        seed=3,
    )
    assert run.t[-1] == pytest.approx(8 * epochs * step)
    theta = start = system.network().start(n, 3)
    slope, memory = autograd.grad(objective), {}
    for k in range(8 * epochs):
        epoch, j = divmod(k, 8)
        rows = Shuffled(60)(3, 60 * epoch, 60)[batch * j : batch * (j + 1)]
        s = step * (1 + k * step) ** -0.5
        g = slope(theta, X[rows], Y[rows], ridge)
        theta = advance(name, theta, g, s, k, memory, **options)
    assert np.abs(theta - start).max() > 0.5, "the network must have moved"
    assert np.abs(run.measures[-1].points() - theta).max() < 1e-10


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_network_of_pairs_of_twins_moves_as_half_of_it(system, name):
    """Nothing depends on N but through the law of the neurons: with gradients of order 1/N, Adam's ε = 1 would."""
    start = system.network().start(15, 1)
    options = {"epsilon": 1.0} if name in ("adam", "adagrad") else {}
    common = {"step_size": 0.05, "n_steps": 50, "optimizer": name, "optimizer_options": options}
    common |= {"batch_size": 8, "seed": 2}
    one = sgd(system, initial=Particles(start), **common).measures[-1].points()
    two = sgd(system, initial=Particles(np.repeat(start, 2, axis=0)), **common)
    assert np.abs(one - start).max() > 0.05
    assert np.abs(two.measures[-1].points()[::2] - one).max() < 1e-12
    assert np.abs(two.measures[-1].points()[1::2] - one).max() < 1e-12


def test_friction_is_momentum_on_another_clock(system):
    """μ = e^{−γh} and ε = h(1 − μ)/γ: the same ball."""
    friction, h = 3.0, 0.04
    mu = math.exp(-friction * h)
    common = {"n_neurons": 12, "n_steps": 200, "batch_size": 4, "optimizer": "momentum", "seed": 1}
    one = sgd(system, step_size=h, optimizer_options={"friction": friction}, **common)
    two = sgd(
        system, step_size=h * (1 - mu) / friction, optimizer_options={"momentum": mu}, **common
    )
    assert np.abs(one.measures[-1].points() - two.measures[-1].points()).max() < 1e-12
    # So much friction that nothing is left from step to step: plain SGD with h/γ.
    common["n_steps"] = 40
    one = sgd(system, step_size=50.0, optimizer_options={"friction": 1000.0}, **common)
    two = sgd(system, step_size=0.05, **(common | {"optimizer": "sgd"}))
    assert np.abs(one.measures[-1].points() - two.measures[-1].points()).max() < 1e-12


def test_momentum_that_is_fixed_follows_the_gradient_flow_faster(system):
    """At the time kε/(1 − μ), to O(ε)."""
    start, mu, times = system.initial("particles", 40), 0.8, np.array([0.5, 1.0])
    limit = wflow.solve(system.flow(), start, (0, 5), t_eval=times / (1 - mu), rtol=1e-9)
    gaps = []
    for step in (0.02, 0.01):
        run = sgd(
            system,
            initial=start,
            step_size=step,
            n_steps=round(1 / step),
            batch_size="full",
            t_eval=times,
            optimizer="momentum",
            optimizer_options={"momentum": mu},
        )
        gaps.append(np.abs(run.risk - limit.risk).max())
    assert limit.risk[0] - limit.risk[1] > 0.05
    assert gaps[1] < 0.02
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(
    "options, step, variance",
    [
        # v ← μv + G − noise of variance 2(1 − μ)τ/s, G = θ: the stationary variance of θ in closed form.
        ({"momentum": 0.6}, 0.3, lambda s: 1 / (1 - s / (2 * 1.6))),
        # p ← μp − (1 − μ)θ/γ + noise of variance (1 − μ²)τ, θ ← θ + hp, as a ball of step h(1 − μ)/γ.
        ({"friction": 2.0}, 0.5, None),
    ],
    ids=["momentum", "friction"],
)
def test_noise_keeps_its_temperature(system, options, step, variance):
    """Without data and with ridge 1 the law is Gaussian, of variance τ up to O(ε) that is known exactly."""
    tau, n = 0.3, 4000
    blank = wflow.systems.get("dataset", path=system.path, scaled="no", activation="zero")
    run = sgd(
        blank,
        initial=Particles(math.sqrt(tau) * np.random.default_rng(1).standard_normal((n, 5))),
        step_size=step,
        n_steps=100,
        batch_size=1,
        temperature=tau,
        ridge=1.0,
        optimizer="momentum",
        optimizer_options=options,
    )
    if variance is None:
        covariance, mu = np.diag([1.0, 0.0]), math.exp(-2.0 * step)
        p = np.array([-(1 - mu) / 2.0, mu])
        step_matrix = np.array([[1 + step * p[0], step * p[1]], p])
        source = (1 - mu**2) * np.outer([step, 1.0], [step, 1.0])
        for _ in range(100):
            covariance = step_matrix @ covariance @ step_matrix.T + source
        expected = covariance[0, 0]
    else:
        expected = variance(step)
    assert abs(expected - 1) > 0.02, "the test would not see the step"
    theta = run.measures[-1].points()
    assert theta.var() / tau == pytest.approx(expected, abs=4 * math.sqrt(2 / theta.size))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_noise_is_refused_where_it_has_no_gibbs_state(system, name):
    common = {"n_neurons": 4, "step_size": 0.01, "n_steps": 2, "optimizer": name}
    if OPTIMIZERS[name].noisy:
        assert name in ("sgd", "momentum")
        assert sgd(system, temperature=0.5, **common).success
        return
    words = rf"^temperature = 0\.5 with optimizer = '{name}', .*: take 'momentum' or 'sgd', or no noise$"
    with pytest.raises(InputError, match=words):
        sgd(system, temperature=0.5, **common)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_frozen_charges_stay(name):
    system = wflow.systems.get("spherical-3-spin", d=3, unit="sigmoid", charges="fixed", nodes=20)
    start = system.initial("particles", 6)
    run = sgd(system, initial=start, step_size=0.05, n_steps=10, batch_size=3, optimizer=name)
    moved = np.abs(run.measures[-1].points() - start.points()).max(axis=0)
    assert moved[0] == 0
    assert moved[1:].min() > 0


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"optimizer": "adams"}, "unknown optimizer 'adams': did you mean 'adam'"),
        ({"optimizer": 3}, "optimizer"),
        (
            {"optimizer_options": {"momentum": 0.9}},
            "unknown option 'momentum' of optimizer 'sgd', which has none",
        ),
        (
            {"optimizer": "momentum", "optimizer_options": {"momentum": 1.0}},
            "momentum = 1: must be",
        ),
        ({"optimizer": "momentum", "optimizer_options": {"friction": 0.0}}, "friction = 0: must"),
        (
            {"optimizer": "momentum", "optimizer_options": {"friction": 1.0, "momentum": 0.5}},
            "momentum = 0.5 and friction = 1.0: give one",
        ),
        ({"optimizer": "adam", "optimizer_options": {"beta1": 1.5}}, "beta1 = 1.5: must be at"),
        ({"optimizer": "adam", "optimizer_options": {"beta2": -0.1}}, "beta2 = -0.1: must be at"),
        ({"optimizer": "adam", "optimizer_options": {"epsilon": 0.0}}, "epsilon = 0: must be"),
        ({"optimizer": "adagrad", "optimizer_options": {"initial": -1.0}}, "initial = -1: must"),
        ({"optimizer": "adam", "optimizer_options": [1]}, "optimizer_options"),
    ],
    ids=lambda v: str(v)[:50],
)
def test_wrong_requests_get_one_line(system, wrong, message):
    with pytest.raises(InputError) as caught:
        sgd(system, n_neurons=3, step_size=0.01, n_steps=4, **wrong)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
