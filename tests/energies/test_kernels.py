"""Closed kernels against quadrature, central differences, and what every positive kernel is."""

import numpy as np
import pytest
from scipy.special import erf, ndtr

from wflow.energies import (
    ArcCosineKernel,
    ErfKernel,
    GaussianKernel,
    GaussianSum,
    KernelSum,
    ProbitKernel,
    StepKernel,
)
from wflow.errors import InputError

KERNELS = [
    GaussianKernel(0.7, 1),
    GaussianKernel(0.7, 2),
    GaussianKernel(0.7, 3, amplitude=2.0),
    GaussianKernel(6.0, 7, amplitude=1.0),
    ArcCosineKernel(2),
    ArcCosineKernel(5, "sphere"),
    ArcCosineKernel(3, "unit-sphere"),
    StepKernel(3),
    ErfKernel(3),
    ProbitKernel(2),
    ProbitKernel(3, offset=False),
]


def points_of(kernel, n, seed):
    return np.random.default_rng(seed).standard_normal((n, kernel.dimension))


def gaussian_inputs():
    """Trapezoid nodes and weights of N(0, I) in two dimensions: exponentially accurate for smooth functions."""
    t = np.linspace(-9, 9, 241)
    w = np.exp(-(t**2) / 2)
    w /= w.sum()
    x = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    return x, np.outer(w, w).ravel()


@pytest.mark.parametrize(
    "kernel,unit",
    [
        (ErfKernel(2), lambda p, x: erf(p @ x.T / np.sqrt(2))),
        (ProbitKernel(2), lambda p, x: ndtr(p[:, :1] + p[:, 1:] @ x.T)),
        (ProbitKernel(2, offset=False), lambda p, x: ndtr(p @ x.T)),
    ],
)
def test_smooth_units_against_gaussian_quadrature(kernel, unit):
    a, b = points_of(kernel, 12, 0), points_of(kernel, 9, 1)
    a[0], a[1], a[2, 0] = b[0], -b[1], 0.0
    a[3] = 0.0
    x, p = gaussian_inputs()
    expected = (unit(a, x) * p) @ unit(b, x).T
    assert kernel.matrix(a, b) == pytest.approx(expected, abs=1e-13)


def test_probit_with_long_weights_and_far_offsets():
    """x enters through u = ⟨w, x⟩ and v = ⟨w', x⟩: for parallel weights one integral, E Φ(b+su)Φ(b'+s'u)."""
    u = np.linspace(-10, 10, 40001)
    p = np.exp(-(u**2) / 2)
    p /= p.sum()
    kernel = ProbitKernel(1)
    a = np.array([[0.0, 30.0], [1.0, -30.0], [3.0, 10.0], [-4.0, 0.2], [1e-9, 5.0], [0.3, 0.0]])
    values = ndtr(a[:, :1] + a[:, 1:] * u)
    assert kernel.matrix(a, a) == pytest.approx((values * p) @ values.T, abs=1e-12)


@pytest.mark.parametrize("inputs,scale", [("gaussian", 1.0), ("sphere", 1.0), ("unit-sphere", 0.5)])
def test_arc_cosines_against_an_integral_over_the_circle(inputs, scale):
    """In two dimensions both kernels are integrals over an arc of length π − θ; Gauss–Legendre is exact there."""
    a = np.array([[1.0, 0.2], [-0.3, 2.0], [1.0, 0.2], [0.5, -1.0]])
    b = np.array([[0.4, 0.9], [2.0, 0.4], [-3.0, -0.6]])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    relu, step = np.zeros((4, 3)), np.zeros((4, 3))
    for i, w in enumerate(a):
        for j, v in enumerate(b):
            alpha, beta = np.arctan2(w[1], w[0]), np.arctan2(v[1], v[0])
            beta += 2 * np.pi * round((alpha - beta) / (2 * np.pi))
            low, high = max(alpha, beta) - np.pi / 2, min(alpha, beta) + np.pi / 2
            phi = 0.5 * (low + high) + 0.5 * (high - low) * nodes
            x = np.stack([np.cos(phi), np.sin(phi)])
            # E|x|² = 2 for N(0, I) and for the circle of radius √2, 1 for the unit circle.
            density = 0.5 * (high - low) * weights / (2 * np.pi)
            relu[i, j] = 2 * scale * density @ ((w @ x) * (v @ x))
            step[i, j] = density.sum()
    assert ArcCosineKernel(2, inputs).matrix(a, b) == pytest.approx(relu, abs=1e-14)
    assert StepKernel(2).matrix(a, b) == pytest.approx(step, abs=1e-14)


def test_gaussian_is_the_overlap_of_two_bumps():
    """∫N(x; y, σ²)N(x; z, σ²)dx = N(y; z, 2σ²)."""
    x = np.linspace(-12, 12, 4001)
    bump = np.exp(-((x - np.array([[-0.4], [1.3]])) ** 2) / (2 * 0.3)) / np.sqrt(2 * np.pi * 0.3)
    expected = bump[0] @ bump[1] * (x[1] - x[0])
    value = GaussianKernel(0.6).sums([[-0.4]], [[1.3]], [1.0])[0]
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_sums_gradients_and_matrix_agree(kernel):
    at, points = points_of(kernel, 7, 2), points_of(kernel, 600, 3)
    q = np.random.default_rng(4).standard_normal(600) / 25
    values, gradients = kernel.sums_and_gradients(at, points, q)
    assert values == pytest.approx(kernel.sums(at, points, q), abs=1e-13)
    assert values == pytest.approx(kernel.matrix(at, points) @ q, abs=1e-12)
    # Step kernels have kinks: far from every pair's, eighth-order differences serve all.
    one = points[:1]
    _, slope = kernel.sums_and_gradients(at, one, [1.0])
    h = 4e-3
    for k, e in enumerate(np.eye(kernel.dimension)):
        f = [kernel.sums(at + s * h * e, one, [1.0]) for s in range(-4, 5)]
        numeric = (
            0.8 * (f[5] - f[3])
            - 0.2 * (f[6] - f[2])
            + 4 / 105 * (f[7] - f[1])
            - (f[8] - f[0]) / 280
        ) / h
        assert slope[:, k] == pytest.approx(numeric, abs=1e-9)
    total = sum(
        c * kernel.sums_and_gradients(at, p[None], [1.0])[1] for c, p in zip(q, points, strict=True)
    )
    assert gradients == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_symmetric_and_positive(kernel):
    points = points_of(kernel, 60, 5)
    k = kernel.matrix(points, points)
    assert k == pytest.approx(k.T, abs=1e-14)
    assert np.diag(k) == pytest.approx(kernel.diagonal(points), abs=1e-14)
    assert np.linalg.eigvalsh(k).min() > -1e-13


def test_relu_and_step_where_they_have_no_gradient():
    w = np.array([[1.0, 2.0], [0.0, 0.0]])
    relu, step = ArcCosineKernel(2), StepKernel(2)
    for v, expected in [(w[:1], w[0] / 2), (-w[:1], [0, 0]), (0 * w[:1], [0, 0])]:
        value, slope = relu.sums_and_gradients(w, v, [1.0])
        assert slope[0] == pytest.approx(expected, abs=1e-7)
        assert value[1] == 0
        assert slope[1].tolist() == [0, 0]
        assert np.all(step.sums_and_gradients(w, v, [1.0])[1] == 0)
    assert step.sums(w, w, [1.0, 0.0]).tolist() == [0.5, 0.0]


def test_sum_of_gaussians_with_their_own_variances():
    z, c, v = [[0.0], [1.0], [3.0]], [1.0, -2.0, 1.0], [0.5, 1.0, 0.5]
    at = np.array([[0.3], [-1.0]])
    pdf = np.exp(-((at - np.ravel(z)) ** 2) / (2 * np.array(v))) / np.sqrt(2 * np.pi * np.array(v))
    values, slopes = GaussianSum(z, c, v).values_and_gradients(at)
    assert values == pytest.approx(pdf @ c, rel=1e-13)
    pulled = (pdf * (np.ravel(z) - at) / v) @ c
    assert slopes[:, 0] == pytest.approx(pulled, rel=1e-13)


def test_square_of_a_teacher():
    teacher = KernelSum(ErfKernel(2), [[1.0, 0.0], [0.0, 1.0]], [1.0, 2.0])
    assert teacher.square() == pytest.approx(5 / 3, rel=1e-14)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: GaussianKernel(-1.0), "variance = -1: must be positive"),
        (lambda: GaussianKernel("a"), "variance = 'a': give a positive number"),
        (lambda: GaussianKernel(1.0, 0), "dimension = 0: give a whole number"),
        (lambda: ArcCosineKernel(2, "cube"), "unknown inputs 'cube'"),
        (lambda: ErfKernel(2).sums([[1.0]], [[1.0]], [1.0]), r"expected \(n, 2\)"),
        (lambda: ErfKernel(1).sums([[1.0]], [[1.0]], [1.0, 2.0]), r"charges of shape \(2,\)"),
        (lambda: KernelSum(ErfKernel(1), [[np.nan]], [1.0]), "not finite"),
        (lambda: GaussianSum([[0.0]], [1.0], 0.0), "variance = 0"),
    ],
)
def test_bad_input_is_one_clear_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
