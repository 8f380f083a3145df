"""Fits in F₁: certified minima, the long-time flow with ridge, interpolants, Barron norms from both sides."""

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import wflow
from wflow.energies import FeatureEnergy
from wflow.errors import ComputationError, InputError
from wflow.solvers.statics import expected_excess
from wflow.spaces import barron_norm, least_norm, penalised, random_features, ridge_fit
from wflow.spaces.columns import joined, least_penalty
from wflow.spaces.pricing import largest

RNG = np.random.default_rng(7)
X = RNG.normal(size=(14, 1))
Y = np.abs(X[:, 0]) - 0.5 + 0.2 * RNG.normal(size=14)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_draws_whatever_runs_before():
    RNG.bit_generator.state = STATE


def relu(x, theta, bias=True):
    z = np.concatenate([x, np.ones((len(x), 1))], axis=1) if bias else x
    return np.maximum(z @ theta.T, 0.0)


@pytest.mark.parametrize("power", [1, 2])
def test_masters_satisfy_their_conditions(power):
    """Slopes of the square are λ sign c, or λ(Σ|c|) sign c, at charges, and no larger elsewhere."""
    columns, y = RNG.normal(size=(30, 50)), RNG.normal(size=30)
    c = least_penalty(columns, y, 0.1, power)
    slope = columns.T @ (y - columns @ c) / 30
    level = 0.1 if power == 1 else 0.1 * np.abs(c).sum()
    assert np.abs(slope).max() <= level * (1 + 1e-9)
    np.testing.assert_allclose(slope[c != 0], level * np.sign(c[c != 0]), rtol=1e-9)
    assert 3 < (c != 0).sum() < 30


def test_joining_keeps_the_function_and_shortens_charges():
    theta = RNG.normal(size=(40, 2))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    c, z = RNG.normal(size=40), np.concatenate([X, np.ones((14, 1))], axis=1)
    new, charges = joined(z, theta, c)
    np.testing.assert_allclose(
        np.maximum(z @ new.T, 0) @ charges, np.maximum(z @ theta.T, 0) @ c, atol=1e-12
    )
    assert len(charges) < 40
    assert np.abs(charges).sum() < np.abs(c).sum()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_certificates(d, power):
    """No other function is better: a grid of directions, random networks; and the gap closes."""
    x = RNG.normal(size=(12, d))
    y = np.sin(2 * x[:, 0])
    fit = penalised(x, y, 0.03, power=power, tolerance=1e-9)
    assert fit.scope == "proof"
    assert -1e-15 <= fit.gap <= 1e-9 * 0.5 * (y**2).mean()
    assert fit.norm == pytest.approx(np.abs(fit.charges).sum())
    np.testing.assert_allclose(np.linalg.norm(fit.directions, axis=1), 1.0)
    value = 0.5 * ((y - fit.predict(x)) ** 2).mean() + 0.03 * fit.norm**power / power
    assert fit.objective == pytest.approx(value, rel=1e-12)
    theta = RNG.normal(size=(300, d + 1))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    c = least_penalty(relu(x, theta), y, 0.03, power)
    other = 0.5 * ((y - relu(x, theta) @ c) ** 2).mean() + 0.03 * np.abs(c).sum() ** power / power
    assert fit.objective <= other
    assert other < 1.1 * fit.objective
    # The dual by hand.
    u = fit.weights
    worth = np.abs(u @ relu(x, np.concatenate([theta, fit.directions])) / 12).max()
    if power == 1:
        assert worth <= 0.03 * (1 + 1e-9)
    else:
        # No constraint of the second dual: λ‖f‖ to the root of the gap.
        assert worth == pytest.approx(0.03 * fit.norm, rel=1e-3)


def test_scales_are_free():
    """y by 1e5 and x by 1e-4 are the same problem in other units."""
    fit = penalised(X, Y, 0.05, bias=False)
    far = penalised(1e-4 * X, 1e5 * Y, 0.05 * 1e5 * 1e-4, bias=False)
    assert far.objective == pytest.approx(1e10 * fit.objective, rel=1e-9)
    assert far.norm == pytest.approx(1e9 * fit.norm, rel=1e-6)
    nothing = penalised(X, Y, 1e3)
    assert nothing.norm == 0.0
    assert nothing.objective == pytest.approx(0.5 * (Y**2).mean())
    assert nothing.to_particles().n == 1
    assert penalised(X, 0 * Y, 0.1).norm == 0.0


def test_the_flow_with_ridge_on_both_layers_comes_to_it():
    """F(∞) = min ½R + λ‖f‖, to 2e-3 of it at t = 60, and never below the bound."""
    lam = 0.05
    fit = penalised(X, Y, lam, tolerance=1e-9)
    energy = FeatureEnergy("relu", X, Y, charges=True, offset=True)
    flow = wflow.GradientFlow(energy, ridge=lam)
    best = fit.to_particles()
    assert flow.free_energy(best) == pytest.approx(fit.objective, rel=1e-12)
    assert best.names == energy.coordinates
    np.testing.assert_allclose(energy.predict(best, X), fit.predict(X), atol=1e-12)
    start = wflow.Particles(np.random.default_rng(0).normal(size=(60, 3)))
    sol = wflow.solve(flow, start, (0, 60), t_eval=[0.0, 1.0, 30.0, 60.0], rtol=1e-3)
    excess = sol.free_energy / fit.lower - 1
    print("excess", excess)
    assert (excess >= 0).all()
    assert excess[1] > 0.1
    assert excess[-1] < 2e-3
    moments = sol.series["second_moment"]
    assert moments[-1] == pytest.approx(
        2 * fit.norm, rel=0.06
    )  # F is flat: its square root is what f is off
    np.testing.assert_allclose(energy.predict(sol.measures[-1], X), fit.predict(X), atol=0.03)


def test_a_ridge_on_charges_of_units_of_length_one_is_the_square():
    """(λ/2)∫a² over laws of directions: its least value at charges of one size."""
    fit = penalised(X, Y, 0.05, power=2)
    theta = fit.to_particles().points()
    a = np.abs(theta[:, 0]) * np.linalg.norm(theta[:, 1:], axis=1)
    np.testing.assert_allclose(a, fit.norm)
    w = fit.to_particles().weights()
    assert fit.objective == pytest.approx(0.5 * fit.risk + 0.025 * w @ a**2)
    other = RNG.dirichlet(np.ones(len(w)), 20)
    assert (((np.abs(fit.charges) / other) ** 2 * other).sum(axis=1) >= fit.norm**2).all()


@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interpolants_have_the_least_norm(d):
    x = RNG.normal(size=(10, d))
    y = np.sin(2 * x[:, 0])
    fit = least_norm(x, y)
    assert fit.scope == "proof"
    assert 0 <= fit.gap <= 1e-6 * fit.norm
    np.testing.assert_allclose(fit.predict(x), y, atol=1e-9)
    angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    theta = (
        np.stack([np.cos(angle), np.sin(angle)], axis=1) if d == 1 else RNG.normal(size=(500, 3))
    )
    columns = relu(x, theta / np.linalg.norm(theta, axis=1, keepdims=True))
    grid = linprog(
        np.ones(2 * columns.shape[1]), A_eq=np.concatenate([columns, -columns], axis=1), b_eq=y
    )
    assert fit.lower <= grid.fun
    assert grid.fun < (1.01 if d == 1 else 1.3) * fit.norm
    if d == 1:
        assert 0.9 * fit.norm < penalised(x, y, 1e-4).norm <= fit.norm


def test_beyond_three_coordinates_it_is_a_search():
    x = RNG.normal(size=(15, 5))
    y = np.sin(x[:, 0])
    for fit in (penalised(x, y, 0.02), penalised(x, y, 0.02, power=2), least_norm(x, y)):
        assert fit.scope == "search"
        assert fit.gap >= -1e-12


@pytest.mark.parametrize("power", [0, 1, 2])
def test_what_a_search_bounds_is_gone_once_there_is_a_proof(power, monkeypatch):
    """A first search that misses the best direction bounds too high: what is proved later is below it."""

    def fit(share=None):
        calls = []

        def missing(z, c, rng):
            theta, worth, exact = largest(z, c, rng)
            calls.append(worth)
            return (
                (theta, share * worth, False)
                if share and len(calls) == 1
                else (theta, worth, exact)
            )

        module = import_module("wflow.spaces.penalised" if power else "wflow.spaces.norms")
        monkeypatch.setattr(module, "largest", missing)
        monkeypatch.setattr(module, "worth_more", lambda z, c, level, rng: np.zeros((0, 2)))
        return penalised(X, Y, 0.03, power=power) if power else least_norm(X, Y)

    whole = fit()
    for share in (0.3, 0.5, 0.7, 0.9):
        found = fit(share)
        assert found.scope == "proof"
        assert found.lower <= whole.objective * (1 + 1e-9), share
        assert found.objective == pytest.approx(whole.objective, rel=1e-5)


def test_no_function_passes_through_two_values_at_one_input():
    with pytest.raises(ComputationError, match="no function passes"):
        least_norm([1.0, 1.0], [0.0, 1.0])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 12))
def test_norms_of_f1_are_not_larger_than_those_of_f2(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 1)), rng.normal(size=n)
    ridge = float(10 ** rng.uniform(-4, 0))
    kernel, features = ridge_fit(x, y, ridge), random_features(x, y, ridge, 30, seed=seed)
    at = rng.normal(size=(8, 1))
    for fit in (kernel, features):
        lower = least_norm(at, fit.predict(at), tolerance=1e-4).lower
        assert lower <= fit.norm * (1 + 1e-9)
    assert least_norm(x, kernel.fitted, tolerance=1e-4).lower <= kernel.norm * (1 + 1e-9)
    assert np.abs(features.charges).sum() <= features.norm * (1 + 1e-12)


@pytest.mark.parametrize("power", [1, 2])
def test_minimisers_are_spread_by_the_squared_norm(power):
    """∫U(θ, θ)dμ* ≤ C‖f*‖² with C the largest second moment of a unit of length 1, and with it the rate 1/n."""
    teacher = wflow.Particles(RNG.normal(size=(3, 3)))
    x = RNG.uniform(-2, 2, size=(30, 1))
    energy = FeatureEnergy("relu", x, np.zeros(30), charges=True, offset=True)
    y = energy.predict(teacher, x)
    energy = FeatureEnergy("relu", x, y, charges=True, offset=True)
    target = barron_norm(energy, teacher)
    assert target.lower <= target.upper <= target.written
    z = np.concatenate([x, np.ones((30, 1))], axis=1)
    largest = np.linalg.eigvalsh(z.T @ z / 30).max()
    for lam in (1e-3, 1e-2, 0.1):
        fit = penalised(x, y, lam, power=power)
        assert fit.norm <= target.upper * (1 + 1e-5)
        best = fit.to_particles()
        spread = best.weights() @ energy.diagonal(best.points())
        assert spread <= largest * target.upper**2
        # E‖f_n − f‖² over n neurons drawn from it, exactly.
        assert expected_excess(energy, best, 10) <= largest * target.upper**2 / 10


def test_barron_norms_meet():
    """Neurons whose kinks lie between nodes: the bounds meet where the nodes are dense."""
    theta = np.random.default_rng(1).normal(size=(5, 3))
    energy = FeatureEnergy("relu", np.linspace(-4, 4, 60), np.zeros(60), charges=True, offset=True)
    norm = barron_norm(energy, wflow.Particles(theta))
    assert norm.scope == "proof"
    assert norm.lower == pytest.approx(norm.upper, rel=1e-3)
    assert norm.written == pytest.approx(
        np.mean(np.abs(theta[:, 0]) * np.linalg.norm(theta[:, 1:], axis=1))
    )
    # Neurons twice, one of them with less charge and more weight: written alike, and one direction each.
    twice = np.concatenate([theta, theta * [-0.5, 1, 1]])
    half = barron_norm(energy, wflow.Particles(twice))
    assert half.upper == pytest.approx(norm.upper / 4, rel=1e-12)
    assert half.written == pytest.approx(norm.written * 0.75)
    long = barron_norm(energy, wflow.Particles(theta), length="l1")
    assert norm.upper < long.upper <= np.sqrt(2) * norm.upper
    assert long.lower == norm.lower


def test_barron_norms_of_a_closed_kernel_need_inputs():
    system = wflow.systems.get("teacher-student", d=3, teachers=2)
    none = barron_norm(system.energy(), system.planted())
    assert (none.scope, none.lower) == ("none", 0.0)
    x = np.random.default_rng(3).normal(size=(12, 3))
    some = barron_norm(system.energy(), system.planted(), x)
    assert some.scope == "proof"
    assert 0 < some.lower <= some.upper == pytest.approx(np.sqrt(3))


def test_wrong_requests():
    with pytest.raises(InputError, match="penalty"):
        penalised(X, Y, 0.0)
    with pytest.raises(InputError, match="power = 3"):
        penalised(X, Y, 0.1, power=3)
    with pytest.raises(ComputationError, match="give more max_rounds"):
        penalised(X, Y, 0.01, max_rounds=1)
    for rounds in (1, 2, 3):
        with pytest.raises(ComputationError, match="give more max_rounds"):
            least_norm(RNG.normal(size=(10, 2)), RNG.normal(size=10), max_rounds=rounds)
    with pytest.raises(InputError, match="does not declare relu_units"):
        barron_norm(FeatureEnergy("tanh", X, Y, charges=True), wflow.Particles([[1.0, 1.0]]))
    with pytest.raises(InputError, match=r"x of shape \(1, 2\)"):
        penalised(X, Y, 0.1).predict([[1.0, 2.0]])
    for call in (least_norm, lambda x, y: penalised(x, y, 0.1)):
        with pytest.raises(InputError, match=r"^x of shape \(0, 1\)"):
            call([], [])


def test_inputs_at_0_without_a_bias_ask_for_nothing_but_0():
    zeros = np.zeros((3, 5))
    assert penalised(zeros, [1.0, -2.0, 0.0], 0.1, bias=False).norm == 0.0
    assert least_norm(zeros, np.zeros(3), bias=False).norm == 0.0
    fit = least_norm([[0.0], [1.0]], [0.0, 1.0], bias=False)
    assert (fit.norm, fit.lower, fit.scope) == (1.0, 1.0, "proof")
    with pytest.raises(ComputationError, match="no function passes"):
        least_norm([[0.0], [1.0]], [1.0, 1.0], bias=False)


def test_programmes_that_fail_at_high_prices_say_that_nothing_passes():
    """Five points of a line without a bias: at a price of 1e7 the solver gives up."""
    x, y = [[0.54], [-0.23], [-1.09], [0.55], [-1.5]], [1.3, -1.1, 0.2, -0.3, -1.6]
    with pytest.raises(ComputationError, match="no function passes"):
        least_norm(x, y, bias=False)


def test_proved_bounds_are_in_order_to_the_last_digit():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=int(rng.integers(3, 9)))
        energy = FeatureEnergy("relu", x, 0 * x, charges=True, offset=bool(seed % 2))
        theta = np.abs(rng.normal(size=(2, 2 + seed % 2)))
        norm = barron_norm(energy, wflow.Particles(theta), tolerance=1e-6)
        assert norm.scope == "proof"
        assert norm.lower <= norm.upper <= norm.written
        fit = penalised(x, rng.normal(size=x.size), 1.0, power=1 + seed % 2)
        assert type(fit.lower) is float
        assert fit.gap >= 0
