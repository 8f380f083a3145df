"""Bumps on a sphere in closed form, against quadrature (d = 3), Monte Carlo (d = 10) and SciPy's Bessel functions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp0f1, ive

from wflow.energies.features.rbf import RbfFeatures
from wflow.energies.pairs.sphere import CubicForm, SphereRbfKernel, SphereRbfTarget, log_bessel
from wflow.errors import InputError
from wflow.tools.streams import stream


def sphere_quadrature(m=80):
    """Nodes and weights on the sphere of radius √3: Gauss in the height, trapezia in the angle."""
    height, weight = np.polynomial.legendre.leggauss(m)
    angle = np.arange(2 * m) * np.pi / m
    z, a = np.meshgrid(height, angle, indexing="ij")
    s = np.sqrt(1 - z**2)
    x = np.sqrt(3) * np.stack([s * np.cos(a), s * np.sin(a), z], axis=-1).reshape(-1, 3)
    return x, np.repeat(weight / (4 * m), 2 * m)


def problem(d, kappa, seed=0, n=7, m=5):
    rng = stream(seed, "inputs")
    form = CubicForm(rng.standard_normal((d, d, d)))
    y, z = 1.4 * rng.standard_normal((m, d)), 1.4 * rng.standard_normal((n, d))
    charges = rng.standard_normal(n)
    return form, SphereRbfKernel(d, kappa), SphereRbfTarget(form, kappa), y, z, charges


@pytest.mark.parametrize("kappa", [0.3, 1.7, 12.0])
def test_kernel_and_target_against_quadrature_on_the_two_sphere(kappa):
    """κ = 12 reaches q = κ√d|y + z| > 40, where the series gives way to Debye's expansion."""
    form, kernel, target, y, z, charges = problem(3, kappa)
    y[0], z[0] = 0.0, -y[1]  # q = 0 for both F and K
    x, p = sphere_quadrature()
    at_y, at_z = RbfFeatures(x, kappa, charges=False), RbfFeatures(x, kappa, charges=False)
    f = form.values(x)
    network = at_z.prepare(z).predict(charges)
    for closed, data in (
        (kernel.sums_and_gradients(y, z, charges), network),
        (target.values_and_gradients(y), f),
    ):
        value, gradient = at_y.prepare(y).potential(p * data), at_y.prepare(y).gradient(p * data)
        assert closed[0] == pytest.approx(value, rel=1e-10, abs=1e-12 * np.abs(value).max())
        assert closed[1] == pytest.approx(gradient, rel=1e-9, abs=1e-12 * np.abs(gradient).max())
    square = kernel.matrix(z, z)
    assert kernel.diagonal(z) == pytest.approx(np.diag(square), rel=1e-12)
    assert square == pytest.approx(square.T, rel=1e-12)
    assert kernel.sums(y, z, charges) == pytest.approx(kernel.matrix(y, z) @ charges, rel=1e-12)
    assert form.square_norm() == pytest.approx(p @ f**2, rel=1e-11)


def test_ten_dimensions_against_monte_carlo():
    form, kernel, target, y, z, charges = problem(10, 0.3)
    x = stream(1, "inputs").standard_normal((400_000, 10))
    x *= np.sqrt(10) / np.linalg.norm(x, axis=1, keepdims=True)
    f = form.values(x)
    assert form.square_norm() == pytest.approx((f**2).mean(), rel=1e-2)
    features = RbfFeatures(x, 0.3, charges=False).prepare(y[:2])
    network = RbfFeatures(x, 0.3, charges=False).prepare(z).predict(charges)
    for closed, data in (
        (kernel.sums(y[:2], z, charges), network),
        (target.values(y[:2]), f),
    ):
        sampled = features.potential(data / x.shape[0])
        # √E(φ data)² / √Q is one standard error.
        phi = np.exp(-0.15 * ((x[:, None] - y[:2]) ** 2).sum(axis=2))
        error = np.sqrt(((phi * data[:, None]) ** 2).mean(axis=0) / x.shape[0])
        assert (np.abs(closed - sampled) < 4 * error).all()


@pytest.mark.parametrize("d", [2, 5, 25])
def test_gradients_against_differences(d):
    _, kernel, target, y, z, charges = problem(d, 5 / d)
    h = 1e-3  # sixth-order differences: h⁶ f⁽⁷⁾/140, about 1e-18, and rounding 1e-16/h
    for function, gradient in (
        (lambda v: kernel.sums(v, z, charges), kernel.sums_and_gradients(y, z, charges)[1]),
        (target.values, target.values_and_gradients(y)[1]),
    ):
        differences = np.zeros_like(y)
        for k in range(d):
            step = h * np.eye(d)[k]
            for j, c in ((1, 0.75), (2, -0.15), (3, 1 / 60)):
                change = function(y + j * step) - function(y - j * step)
                differences[:, k] += c * change / h
        scale = np.abs(gradient).max()
        assert np.abs(differences - gradient).max() < 1e-11 * scale


@pytest.mark.parametrize("b", [1.0, 1.5, 2.5, 12.5, 60.0])
def test_the_bessel_function_against_scipy(b):
    """The series up to q = 40, Debye's expansion beyond."""
    small, large = np.array([0.0, 1e-8, 0.3, 3.0, 10.0]), np.array([39.999, 40.001, 60.0, 1e4])
    assert log_bessel(b, small**2) == pytest.approx(np.log(hyp0f1(b, small**2 / 4)), abs=2e-13)
    exact = math.lgamma(b) + (b - 1) * np.log(2 / large) + np.log(ive(b - 1, large)) + large
    # At b = 60, log Γ(60) = 184 cancels against ν log ν, in both forms.
    assert log_bessel(b, large**2) == pytest.approx(exact, rel=1e-14, abs=2e-13)


def test_the_bessel_function_at_half_integers():
    """b = 3/2 is sinh(q)/q; to rounding, on both sides of q = 40."""
    q = np.array([1e-3, 0.3, 3.0, 39.999, 40.001, 60.0, 700.0, 1e6])
    exact = q - np.log(2 * q) + np.log1p(-np.exp(-2 * q))
    assert log_bessel(1.5, q**2) == pytest.approx(exact, rel=1e-15, abs=2e-13)


def test_far_centres_neither_overflow_nor_lose_digits():
    """|y| = 300 on one side, −y on the other: K = e^{−κ(d + |y|²)} there, and its own size elsewhere."""
    kernel = SphereRbfKernel(4, 0.8)
    y = np.zeros((3, 4))
    y[0, 0], y[1, 0], y[2, 1] = 300.0, 10.0, 3.0
    values, gradients = kernel.sums_and_gradients(y, -y[:2], np.ones(2))
    assert values[0] == 0.0
    assert values[1] == pytest.approx(np.exp(-0.8 * 104), rel=1e-12)
    assert np.isfinite(gradients).all()
    q = 0.8 * 2 * 20.0
    log_k = -0.4 * (8 + 200) + math.log(2 * ive(1, q) / q) + q
    assert kernel.diagonal(y[1:2])[0] == pytest.approx(np.exp(log_k), rel=1e-13)


def test_a_cubic_form_against_the_sum_over_all_indices():
    rng = stream(3, "inputs")
    a, x = rng.standard_normal((6, 6, 6)), rng.standard_normal((9, 6))
    form = CubicForm(a)
    assert form.values(x) == pytest.approx(np.einsum("ijk,ni,nj,nk->n", a, x, x, x) / 6, rel=1e-12)
    tensor = form.tensor
    assert form.contract(x) == pytest.approx(np.einsum("ijk,ni,nj->nk", tensor, x, x), rel=1e-12)
    # The Laplacian of d⁻¹ S[x³] is 6 d⁻¹ S_ijj x_i, in whatever order the couplings were given.
    h = 1e-2
    around = x[:, None] + h * np.concatenate([np.eye(6), -np.eye(6)])
    sums = form.values(around.reshape(-1, 6)).reshape(9, 12).sum(axis=1)
    assert (sums - 12 * form.values(x)) / h**2 == pytest.approx(x @ form.trace, rel=1e-8)


@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([2, 3, 7]))
def test_the_kernel_is_positive_and_bounded_by_cauchy_schwarz(seed, n, d):
    y = 2 * np.random.default_rng(seed).standard_normal((n, d))
    matrix = SphereRbfKernel(d, 1.3).matrix(y, y)
    diagonal = np.sqrt(np.diag(matrix))
    assert (matrix > 0).all()
    assert (matrix <= diagonal[:, None] * diagonal * (1 + 1e-12)).all()
    assert np.linalg.eigvalsh(matrix).min() > -1e-13 * np.trace(matrix)


def test_more_points_than_a_block_are_summed_the_same_by_any_number_of_threads(monkeypatch):
    kernel = SphereRbfKernel(5, 1.0)
    rng = stream(4, "inputs")
    y, q = 2 * rng.standard_normal((700, 5)), rng.standard_normal(700)
    values, gradients = kernel.sums_and_gradients(y, y, q)
    few = kernel.sums_and_gradients(y[345:351], y, q)
    assert values[345:351] == pytest.approx(few[0], rel=1e-11)
    assert gradients[345:351] == pytest.approx(few[1], rel=1e-11)
    for threads in (1, 3):
        monkeypatch.setattr("wflow.kernels.parallel.threads", lambda n=threads: n)
        again = kernel.sums_and_gradients(y, y, q)
        assert (again[0] == values).all()
        assert (again[1] == gradients).all()


@pytest.mark.parametrize(
    "make, names",
    [
        (lambda: SphereRbfKernel(1, 1.0), "d = 1"),
        (lambda: SphereRbfKernel(3, -1.0), "kappa = -1"),
        (lambda: SphereRbfKernel(3, np.inf), "kappa = inf"),
        (lambda: SphereRbfKernel(3, 1.0).sums(np.ones((2, 3)), np.ones((4, 3)), [1.0]), "charges"),
        (lambda: CubicForm(np.ones((2, 3, 2))), r"\(2, 3, 2\)"),
        (lambda: CubicForm(np.full((2, 2, 2), np.nan)), "NaN"),
    ],
)
def test_bad_input_is_named(make, names):
    with pytest.raises(InputError, match=names):
        make()
