"""Two radii (SYSTEMS A4): modes against brute force and the two-angle form, gradients, limits; exact pairs likewise."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf, eval_genlaguerre, gammaln
from scipy.stats import multivariate_normal, norm

from wflow.energies import RadialFeatures, radial_nodes
from wflow.energies.features.two_radii import TwoRadiiFeatures, laguerre_modes, two_radii_energy
from wflow.energies.pairs.ramps import RampsOnGaussians
from wflow.errors import InputError

SCALES = (1.5, 0.5)
STATES = np.array(
    [
        [1.0, 1.0, 0.35, 0.72],
        [-0.7, -0.4, 1.1, 0.3],
        [0.4, 0.0, 0.2, 0.9],
        [1.3, 0.2, 0.8, 0.0],
        [-0.2, 0.6, 0.0, 0.5],
    ]
)
MASSES = np.array([0.1, 0.3, 0.2, 0.15, 0.25])


def angle_rule(m, n=120):
    """Gauss–Legendre in the polar angle of S^{m−1}: cosines and weights."""
    u, w = np.polynomial.legendre.leggauss(n)
    angle = math.pi / 2 * (1 + u)
    w = w * np.sin(angle) ** (m - 2)
    return np.cos(angle), w / w.sum()


def mean_ramp(theta, x1, x2, sizes):
    """E relu(r1 x1 ω1 + r2 x2 ω2 + b): the inner angle in closed form for S³ (ω1 ∝ √(1−u²)), the outer by panels."""
    assert sizes[0] == 4
    _, b, r1, r2 = theta
    m = sizes[1]
    scale, width = r1 * x1, r2 * x2
    kinks = [b_ / width for b_ in (-b - scale, -b + scale) if width and abs(b_ / width) < 1]
    total = 0.0
    log_c = gammaln(m / 2) - gammaln((m - 1) / 2) - 0.5 * math.log(math.pi)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for low, high in pairwise(sorted([-1.0, -0.5, 0.0, 0.5, 1.0, *kinks])):
        # Squares at both ends: what is a root there becomes smooth.
        middle, half = (
            (math.asin(low) + math.asin(high)) / 2,
            (math.asin(high) - math.asin(low)) / 2,
        )
        angle = middle + half * nodes
        k = b + width * np.sin(angle)
        inner = np.maximum(k, 0.0)
        inside = np.abs(k) < scale
        c = np.clip(-k[inside] / scale, -1, 1) if scale else np.empty(0)
        # ∫_c^1 (sω + k) (2/π)√(1−ω²) dω.
        tail = (np.arccos(c) - c * np.sqrt(1 - c**2)) / math.pi
        first = 2 / (3 * math.pi) * (1 - c**2) ** 1.5
        inner[inside] = scale * first + k[inside] * tail
        density = np.exp(log_c) * np.cos(angle) ** (m - 2)
        total += half * float((weights * density) @ inner)
    return total


def radii_rule(size, s, panels=24):
    """Composite rule for |x| = s χ_size."""
    t, p = radial_nodes(size, None if size < 16 else panels)
    return s * t, p


def test_modes_are_projections_of_the_mean_ramp():
    """c_jk against E[f(|x1|, |x2|) L_j L_k]/√(h_j h_k), f by angles, at s0 = 4, d = 10."""
    sizes, s, theta = (4, 6), 1.5, np.array([1.0, 0.3, 0.6, 0.5])
    features = TwoRadiiFeatures([s], sizes)
    predicted = features.prepare(theta[None]).predict(np.ones(1))
    u, w = np.polynomial.legendre.leggauss(28)
    t = 4.5 * (1 + u)
    rules = []
    for size in sizes:
        log_p = (size - 1) * np.log(t) - t**2 / 2 - (size / 2 - 1) * math.log(2) - gammaln(size / 2)
        rules.append(4.5 * w * np.exp(log_p))
    f = np.array([[mean_ramp(theta, s * t1, t2, sizes) for t2 in t] for t1 in t])
    for mode in range(10):
        j, k = features.modes[mode]
        basis = []
        for degree, size in zip((j, k), sizes, strict=True):
            a = size / 2 - 1
            h = math.exp(gammaln(degree + a + 1) - gammaln(degree + 1) - gammaln(a + 1))
            basis.append(eval_genlaguerre(degree, a, t**2 / 2) / math.sqrt(h))
        exact = (rules[0] * basis[0]) @ f @ (rules[1] * basis[1])
        # 28 Legendre points on [0, 9]; f has a few derivatives only where r1 x1 + r2 x2 = b.
        assert predicted[mode] == pytest.approx(exact, abs=4e-9)


def pair_mean(rho, h, k, sigma, tau):
    """E (σ(h + g))₊ (τ(k + g′))₊ through scipy's bivariate normal."""
    s = math.sqrt(1 - rho**2)
    both = multivariate_normal.cdf([h, k], cov=[[1, rho], [rho, 1]], abseps=1e-13, releps=1e-13)
    part = h * norm.pdf(k) * norm.cdf((h - rho * k) / s) + k * norm.pdf(h) * norm.cdf(
        (k - rho * h) / s
    )
    return (
        sigma * tau * ((h * k + rho) * both + part + s * norm.pdf(h) * norm.pdf((k - rho * h) / s))
    )


@pytest.mark.parametrize("sizes", [(60, 260), (20, 20), (4, 6)])
def test_the_risk_is_that_of_the_two_angle_form(sizes):
    """U(θ,θ′) as the mean of E U₊V₊ over the angles between w and w′ of both blocks."""
    c1, p1 = angle_rule(sizes[0], 200)
    c2, p2 = angle_rule(sizes[1], 200)
    if sizes[1] == 260:
        # The angle of S^259 is within 0.06 of a right one: Gauss–Gegenbauer.
        from scipy.special import roots_gegenbauer

        c1, p1 = roots_gegenbauer(10, sizes[0] / 2 - 1)
        c2, p2 = roots_gegenbauer(10, sizes[1] / 2 - 1)
        p1, p2 = p1 / p1.sum(), p2 / p2.sum()
    states, masses = STATES[:3], np.array([0.3, 0.3, 0.4])
    risk = 1.0
    for y, s in zip((1, -1), SCALES, strict=True):
        a, b, r1, r2 = states.T
        q = masses * a
        sigma = np.hypot(s * r1, r2)
        z = b / sigma
        risk -= y * float(q @ (sigma * norm.pdf(z) + b * norm.cdf(z)))
        energy = RampsOnGaussians(np.array([[s**2, 1.0]] * 2))
        assert energy.dimension == 4
        for i in range(3):
            for j in range(3):
                cov = s**2 * r1[i] * r1[j] * c1[:, None] + r2[i] * r2[j] * c2
                from wflow.kernels.pairs.ramps import ramp_pairs

                flat = cov.ravel()
                sums = np.zeros((flat.size, 3))
                own = np.tile([b[i], sigma[i]], (flat.size, 1))
                ramp_pairs(
                    own,
                    np.array([[b[j], sigma[j]]]),
                    flat[:, None],
                    np.ones(1),
                    False,
                    sums,
                    np.empty((0, 0)),
                )
                u = float(p1 @ sums[:, 0].reshape(cov.shape) @ p2)
                risk += 0.5 * q[i] * q[j] * u
    field = two_radii_energy(SCALES, sizes).prepare(states).field(masses)
    # Modes end at degree 60: the rest of the risk is of order 60^-(1 + s0/2) for small blocks.
    assert field.risk == pytest.approx(risk, abs=1e-11 if min(sizes) >= 20 else 1e-9)


@pytest.mark.parametrize("sizes", [(60, 260), (4, 6), (math.inf, math.inf)])
def test_the_gradient_is_the_derivative_of_the_risk(sizes):
    """∇Ψ of a particle is ∂R/∂θ_i/(2 w_i); central differences of fourth order."""
    energy = two_radii_energy(SCALES, sizes)
    gradient = energy.prepare(STATES).field(MASSES).gradient()
    h = 2e-3
    for i in range(3):
        for k in range(4):
            total = 0.0
            for factor, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                moved = STATES.copy()
                moved[i, k] += factor * h
                total += weight * energy.prepare(moved).field(MASSES).risk
            assert total / (24 * h * MASSES[i]) == pytest.approx(gradient[i, k], abs=4e-9)


@given(
    st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 2), st.floats(0, 2), st.sampled_from([4, 60])
)
def test_neurons_are_homogeneous(a, b, r1, r2, s0):
    """a ∂_aΨ = b ∂_bΨ + r·∂_rΨ = Ψ, so that a² − b² − r² is conserved; no force at a radius 0."""
    field = two_radii_energy(SCALES, (s0, 2 * s0)).prepare(STATES).field(MASSES)
    point = np.array([[a, b, r1, r2]])
    psi, g = field.first_variation(point)[0], field.gradient(point)[0]
    assert a * g[0] == pytest.approx(psi, abs=1e-14)
    assert b * g[1] + r1 * g[2] + r2 * g[3] == pytest.approx(psi, abs=1e-12)
    assert r1 > 0 or g[2] == 0
    assert r2 > 0 or g[3] == 0


def test_at_infinity_the_one_mode_is_the_gaussian_average():
    features = TwoRadiiFeatures(SCALES, (math.inf, math.inf))
    for theta in STATES:
        a, b, r1, r2 = theta
        for value, s in zip(features.prepare(theta[None]).predict(np.ones(1)), SCALES, strict=True):
            sigma = math.hypot(s * r1, r2)
            pdf = math.exp(-((b / sigma) ** 2) / 2) / math.sqrt(2 * math.pi)
            cdf = 0.5 * (1 + erf(b / sigma / math.sqrt(2)))
            assert value == pytest.approx(a * (sigma * pdf + b * cdf), abs=1e-14)


def test_infinite_dimension_is_the_limit_with_order_one_over_d():
    limit = two_radii_energy(SCALES, (math.inf, math.inf)).prepare(STATES).field(MASSES).risk
    gaps = np.array(
        [
            two_radii_energy(SCALES, (3 * m, 13 * m)).prepare(STATES).field(MASSES).risk - limit
            for m in (20, 80, 320)
        ]
    )
    orders = np.log(gaps[:-1] / gaps[1:]) / math.log(4)
    print("observed orders in 1/d", orders)
    assert np.all(gaps > 0)
    assert np.all(np.abs(orders - 1) < 0.01)


def test_one_radius_alone_agrees_with_the_radial_features():
    """b = −½ and r2 = 0: E(s r |z1| ω − ½)₊, a ramp without its top, in both reductions."""
    size, s, r = 40, 1.5, 0.9
    t, p = radial_nodes(size)
    top = 100.0  # beyond every input: the truncated ramp is a ReLU
    ramp = RadialFeatures([(0.5, 0.0), (top, top - 0.5)], s * t, size)
    f = ramp.prepare(np.array([[r]])).predict(np.ones(1))
    modes = TwoRadiiFeatures([s], (size, size)).prepare(np.array([[1.0, -0.5, r, 0.0]]))
    c = modes.predict(np.ones(1))
    assert c[0] == pytest.approx(p @ f, abs=1e-12)
    assert c @ c == pytest.approx(p @ f**2, abs=1e-12)


def test_a_neuron_without_weights_is_constant():
    field = (
        two_radii_energy(SCALES, (60, 260)).prepare(np.array([[0.5, 0.4, 0, 0]])).field(np.ones(1))
    )
    assert field.risk == pytest.approx(1 + 0.2**2, abs=1e-15)
    assert np.isfinite(field.gradient()).all()


def test_the_modes_that_are_kept():
    modes, norms = laguerre_modes(60, 260)
    assert tuple(modes[0]) == (0, 0)
    assert norms[0] == 1
    assert len(norms) < 60
    assert norms[1] == pytest.approx(-0.5 / math.sqrt(30), rel=1e-14)


@pytest.mark.parametrize("sizes", [(0, 3), (2.5, 3), (True, 4), (4, math.inf)])
def test_wrong_blocks_are_refused(sizes):
    with pytest.raises(InputError, match="block size"):
        TwoRadiiFeatures(SCALES, sizes)


def test_temperature_needs_a_finite_dimension():
    finite = two_radii_energy(SCALES, (60, 260))
    assert finite.refuse_temperature() is None
    assert "d = inf" in str(two_radii_energy(SCALES, (math.inf, math.inf)).refuse_temperature())
    r = np.array([[1.0, 1.0, 0.3, 0.7]])
    volume = 59 * math.log(0.3) + 259 * math.log(0.7)
    assert finite.reference_log_volume(r)[0] == pytest.approx(volume, rel=1e-14)
    assert finite.reference_drift(r)[0] == pytest.approx([0, 0, 59 / 0.3, 259 / 0.7], rel=1e-14)


VARIANCES = np.array([[2.25, 2.25, 1.0, 1.0, 1.0], [0.25, 0.25, 1.0, 1.0, 1.0]])


def neurons():
    theta = np.random.default_rng(5).normal(size=(6, 7))
    parallel, opposite, alike = theta[0] * 0.5, -theta[0], theta[1].copy()
    alike[2:] += 1e-5
    return np.vstack([theta, parallel, opposite, alike])


def test_pairs_agree_with_quadrature_in_two_dimensions():
    """E f² over x ~ N(0, diag) by a fine polar rule: relu has no kink along a ray but where b meets it."""
    theta = neurons()[:, :4]
    weights = np.full(len(theta), 1 / len(theta))
    variances = VARIANCES[:, 1:3]
    u, w = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(0, 9, 101)
    r = (edges[:-1, None] + 0.09 / 2 * (1 + u)).ravel()
    radial = np.tile(0.09 / 2 * w, 100) * r * np.exp(-(r**2) / 2)
    angles = 2 * math.pi * (np.arange(600) + 0.5) / 600
    z = np.stack([np.outer(r, np.cos(angles)), np.outer(r, np.sin(angles))], axis=-1)
    risk = 0.0
    for y, v in zip((1, -1), variances, strict=True):
        f = np.maximum(z * np.sqrt(v) @ theta[:, 2:].T + theta[:, 1], 0) @ (weights * theta[:, 0])
        risk += 0.5 * float(radial @ ((y - f) ** 2).mean(axis=1))
    found = RampsOnGaussians(variances).prepare(theta).field(weights).risk
    # 600 angles across the kinks.
    assert found == pytest.approx(risk, abs=1e-5)


@pytest.mark.parametrize("rho", [-0.999999, -0.9, -0.3, 0.2, 0.7, 0.93, 0.9999])
def test_a_pair_agrees_with_scipy(rho):
    from wflow.kernels.pairs.ramps import ramp_pairs

    for h, k in ((0.3, -0.4), (1.5, 1.4), (-2.0, 0.5), (0.0, 0.0)):
        sums = np.zeros((1, 3))
        own, other = np.array([[1.3 * h, 1.3]]), np.array([[0.7 * k, 0.7]])
        ramp_pairs(
            own, other, np.array([[rho * 1.3 * 0.7]]), np.ones(1), False, sums, np.empty((0, 0))
        )
        assert sums[0, 0] == pytest.approx(pair_mean(rho, h, k, 1.3, 0.7), abs=1e-12)


def test_the_pair_gradient_is_the_derivative_of_the_risk():
    theta, energy = neurons(), RampsOnGaussians(VARIANCES)
    weights = np.full(len(theta), 1 / len(theta))
    gradient = energy.prepare(theta).field(weights).gradient()
    h = 1e-5
    for i in range(len(theta)):
        for k in range(7):
            up, down = theta.copy(), theta.copy()
            up[i, k] += h
            down[i, k] -= h
            change = (
                energy.prepare(up).field(weights).risk - energy.prepare(down).field(weights).risk
            )
            assert change / (4 * h * weights[i]) == pytest.approx(gradient[i, k], abs=1e-9)


def test_pairs_without_weights_and_the_first_variation():
    theta = np.vstack([neurons(), [[0.7, 0.4, 0, 0, 0, 0, 0]]])
    weights = np.full(len(theta), 1 / len(theta))
    field = RampsOnGaussians(VARIANCES).prepare(theta).field(weights)
    psi, gradient = field.first_variation(), field.gradient()
    assert np.isfinite(gradient).all()
    assert theta[:, 0] * gradient[:, 0] == pytest.approx(psi, abs=1e-13)
    assert (theta[:, 1:] * gradient[:, 1:]).sum(axis=1) == pytest.approx(psi, abs=1e-12)
    assert field.gradient(theta[2:4]) == pytest.approx(gradient[2:4], abs=1e-15)
