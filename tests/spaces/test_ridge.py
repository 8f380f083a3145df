"""Fits in F₂: against a system solved otherwise, known norms, and features that come to the kernel."""

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.lazy import tangent_kernel
from wflow.lazy.closed import arc_cosine
from wflow.spaces import random_features, ridge_fit

RNG = np.random.default_rng(11)
X = RNG.normal(size=(25, 2))
Y = np.sin(X[:, 0]) + 0.2 * RNG.normal(size=25)
Z = np.concatenate([X, np.ones((25, 1))], axis=1)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_draws_whatever_runs_before():
    RNG.bit_generator.state = STATE


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("kernel, share", [("sphere", 1 / 3), ("gaussian", 1.0)])
def test_normal_equations(kernel, share, ridge):
    matrix = share * arc_cosine(Z, Z)
    alpha = np.linalg.solve(matrix + 25 * ridge * np.eye(25), Y)
    fit = ridge_fit(X, Y, ridge, kernel=kernel)
    np.testing.assert_allclose(fit.fitted, matrix @ alpha, atol=1e-9)
    assert fit.norm == pytest.approx(np.sqrt(alpha @ matrix @ alpha), rel=1e-8)
    assert fit.risk == pytest.approx(((Y - matrix @ alpha) ** 2).mean(), rel=1e-9)
    assert fit.objective == pytest.approx(fit.risk + ridge * fit.norm**2)
    np.testing.assert_allclose(fit.predict(X), fit.fitted, atol=1e-9)


def test_no_function_of_the_space_is_better():
    """Other coefficients of the kernel's sections, whose norms are known."""
    fit = ridge_fit(X, Y, 0.05)
    matrix = arc_cosine(Z, Z) / 3
    for _ in range(20):
        alpha = fit.charges + 0.1 * RNG.normal(size=25) * np.abs(fit.charges)
        other = ((Y - matrix @ alpha) ** 2).mean() + 0.05 * alpha @ matrix @ alpha
        assert other > fit.objective


def test_interpolation_has_the_least_norm_and_is_the_limit():
    fit = ridge_fit(X, Y, 0.0)
    np.testing.assert_allclose(fit.fitted, Y, atol=1e-9)
    matrix = arc_cosine(Z, Z) / 3
    assert fit.norm == pytest.approx(np.sqrt(Y @ np.linalg.solve(matrix, Y)), rel=1e-6)
    assert ridge_fit(X, Y, 1e-11).norm == pytest.approx(fit.norm, rel=1e-4)
    one = ridge_fit([1.0, 1.0], [0.0, 1.0], 0.0)  # no function takes both: the mean fits best
    np.testing.assert_allclose(one.fitted, 0.5)


def test_a_tangent_kernel_serves():
    """Of charges alone, at a measure of atoms: ridge in the charges of these neurons."""
    theta = wflow.Particles(np.concatenate([RNG.normal(size=(40, 1)), RNG.normal(size=(40, 2))], 1))
    energy = FeatureEnergy("tanh", X, Y, charges=True)

    def kernel(one, two):
        return tangent_kernel(energy, theta, one[:, :2], two[:, :2], frozen=["w1", "w2"])

    fit = ridge_fit(X, Y, 0.1, kernel=kernel)
    phi = np.tanh(X @ theta.points()[:, 1:].T) / np.sqrt(40)
    short = np.linalg.solve(phi.T @ phi + 2.5 * np.eye(40), phi.T @ Y)
    np.testing.assert_allclose(fit.fitted, phi @ short, atol=1e-9)
    assert fit.norm == pytest.approx(np.linalg.norm(short), rel=1e-8)


@pytest.mark.parametrize("law", ["sphere", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_features_come_to_the_kernel_like_the_root(law):
    exact = ridge_fit(X, Y, 0.02, kernel=law)
    sizes, seeds = np.array([100, 400, 1600]), 8
    off = np.array(
        [
            [
                np.sqrt(
                    (
                        (random_features(X, Y, 0.02, n, law=law, seed=s).fitted - exact.fitted) ** 2
                    ).mean()
                )
                for s in range(seeds)
            ]
            for n in sizes
        ]
    )
    logs = np.log(off).mean(axis=1)
    error = np.log(off).std(axis=1, ddof=1).max() / np.sqrt(seeds)
    slope = np.polyfit(np.log(sizes), logs, 1)[0]
    spread = error / np.sqrt(((np.log(sizes) - np.log(sizes).mean()) ** 2).sum())
    print("slope", slope, "+-", spread)
    assert abs(slope + 0.5) < 4 * spread + 0.02
    assert random_features(X, Y, 0.02, 1600, law=law).norm == pytest.approx(exact.norm, rel=0.1)


def test_features_are_their_own_ridge():
    """More features than samples and fewer, against normal equations in the charges."""
    for n in (10, 60):
        fit = random_features(X, Y, 0.03, n, seed=4)
        phi = np.maximum(Z @ fit.centres.T, 0.0)
        a = np.linalg.solve(phi.T @ phi / n + 25 * 0.03 * np.eye(n), phi.T @ Y)
        np.testing.assert_allclose(fit.charges, a / n, atol=1e-10)
        assert fit.norm == pytest.approx(np.sqrt((a**2).mean()), rel=1e-9)
        np.testing.assert_allclose(fit.predict(X), fit.fitted, atol=1e-10)
        assert np.abs(fit.charges).sum() <= fit.norm * (1 + 1e-12)


def test_wrong_requests():
    with pytest.raises(InputError, match=r"y of shape \(2,\): give one number for each of 3"):
        ridge_fit([1.0, 2.0, 3.0], [1.0, 2.0], 0.1)
    with pytest.raises(InputError, match="semidefinite"):
        ridge_fit([1.0, 2.0], [1.0, 2.0], 0.1, kernel=lambda a, b: -a @ b.T)
    with pytest.raises(InputError, match="kernel = 3"):
        ridge_fit([1.0], [1.0], 0.1, kernel=3)
    with pytest.raises(InputError, match="ridge"):
        random_features([1.0], [1.0], -1.0, 3)
    with pytest.raises(InputError, match="give \\(m, m2\\)"):
        ridge_fit([1.0, 2.0], [1.0, 2.0], 0.1, kernel=lambda a, b: np.eye(3))
    with pytest.raises(InputError, match=r"^x\[0, 0\] is nan"):
        ridge_fit([np.nan], [1.0], 0.1)


def test_directions_are_drawn_apart_from_what_else_a_seed_draws():
    """Gaussian inputs of numpy's generator of the same seed were the directions themselves."""
    x = np.random.default_rng(3).standard_normal((6, 2))
    fit = random_features(x, x[:, 0], 0.1, 6, law="gaussian", bias=False, seed=3)
    assert np.abs(fit.centres - x).max() > 0.1
