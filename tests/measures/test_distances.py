"""Distances against closed forms, against each other, and as metrics."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, spatial, stats

from wflow.errors import InputError
from wflow.measures import (
    GridDensity,
    Measure,
    Particles,
    bounded_lipschitz,
    bounded_lipschitz_interval,
    maximum_mean_discrepancy,
    sliced_wasserstein_2,
    wasserstein_2,
)


@st.composite
def lines(draw: Callable[..., Any]) -> Measure:
    """A grid or a cloud on the line, of mass 1."""
    n = draw(st.integers(1, 8))
    w = np.array(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any)), dtype=float)
    if draw(st.booleans()):
        x = draw(st.lists(st.floats(-5, 5), min_size=n, max_size=n))
        return Particles(x, w / w.sum())
    widths = draw(st.lists(st.floats(0.01, 2), min_size=n, max_size=n))
    edges = draw(st.floats(-5, 5)) + np.concatenate([[0.0], np.cumsum(widths)])
    return GridDensity(w / w.sum() / np.diff(edges), [edges])


def planes(seed: int, n: int, m: int) -> tuple[Particles, Particles]:
    rng = np.random.default_rng(seed)
    return Particles(rng.normal(size=(n, 2))), Particles(rng.normal(size=(m, 2)) * 0.5 + 1)


def assigned(x: np.ndarray, y: np.ndarray) -> float:
    """W2 between equally many equal masses, by the optimal assignment."""
    cost = spatial.distance.cdist(x, y, "sqeuclidean")
    rows, columns = optimize.linear_sum_assignment(cost)
    return float(np.sqrt(cost[rows, columns].mean()))


# W2 on the line


def test_w2_of_gaussians_on_grids_converges_at_second_order() -> None:
    # W2(N(a, s²), N(b, t²))² = (a − b)² + (s − t)².
    exact = np.hypot(1.0, 0.5)

    def error(n: int) -> float:
        grids = [
            GridDensity.from_cdf(stats.norm(m, s).cdf, [(-12, 14)], n)
            for m, s in [(0, 1), (1, 1.5)]
        ]
        return abs(wasserstein_2(*grids) - exact)

    errors = [error(n) for n in (100, 200, 400)]
    assert errors[2] < 1e-4
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.3)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.3)


@given(lines(), st.floats(-4, 4))
def test_w2_of_a_shift_is_the_shift(mu: Measure, shift: float) -> None:
    if isinstance(mu, GridDensity):
        # The same masses: those of the shifted cells differ by the rounding of their widths.
        edges = mu.edges[0] + shift
        nu: Measure = GridDensity(mu.weights() / np.diff(edges), [edges])
    else:
        nu = Particles(mu.points() + shift, mu.weights())
    assert wasserstein_2(mu, nu) == pytest.approx(abs(shift), rel=1e-9, abs=1e-6)


def test_w2_of_a_shift_is_exact_to_rounding() -> None:
    rho = Particles.from_quantile(stats.norm.ppf, 1000)
    moved = Particles(rho.positions + 0.5)
    assert wasserstein_2(rho, moved) == pytest.approx(0.5, rel=1e-14)
    assert wasserstein_2(rho, rho) == 0


def test_w2_of_a_point_and_an_interval() -> None:
    # ∫₀¹ (u − c)² du = 1/3 − c + c².
    interval = GridDensity([1.0, 1.0, 1.0], [[0, 0.2, 0.7, 1.0]])
    assert wasserstein_2(interval, Particles([0.25])) ** 2 == pytest.approx(1 / 3 - 0.25 + 0.0625)
    stretched = GridDensity([0.5], [[0, 2]])
    assert wasserstein_2(interval, stretched) ** 2 == pytest.approx(1 / 3)


def test_w2_of_a_cloud_is_the_optimal_assignment() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 1)), rng.exponential(size=(60, 1))
    assert wasserstein_2(Particles(x), Particles(y)) == pytest.approx(assigned(x, y), rel=1e-13)


def test_w2_does_not_see_how_masses_are_split() -> None:
    x = np.random.default_rng(2).normal(size=300)
    whole, halves = Particles(x), Particles(np.tile(x, 2))
    assert wasserstein_2(whole, halves) < 1e-12


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_w2_of_a_grid_and_its_particles_is_the_spread_in_the_bins(n: int) -> None:
    # Each bin of the uniform law on [0, 1] is an interval of 1/n about its particle: variance 1/(12 n²).
    rho = GridDensity(np.ones(37), [np.linspace(0, 1, 38)])
    assert wasserstein_2(rho, rho.to_particles(n)) == pytest.approx(1 / (n * np.sqrt(12)), rel=1e-9)


@given(lines(), lines(), lines())
def test_w2_is_a_metric(a: Measure, b: Measure, c: Measure) -> None:
    assert wasserstein_2(a, b) == pytest.approx(wasserstein_2(b, a), rel=1e-12, abs=1e-12)
    assert wasserstein_2(a, c) <= wasserstein_2(a, b) + wasserstein_2(b, c) + 1e-7
    assert wasserstein_2(a, a) == 0
    # W1 ≤ W2, and the means are no farther apart.
    assert wasserstein_2(a, b) >= abs(a.mean()[0] - b.mean()[0]) - 1e-7


def test_w2_scales_with_the_root_of_the_mass() -> None:
    mu, nu = Particles([0.0], [4.0]), Particles([3.0], [4.0])
    assert wasserstein_2(mu, nu) == pytest.approx(6)


def test_w2_is_fast_at_size() -> None:
    # Memory stands for speed: anything quadratic would need 80 GB.
    x = np.random.default_rng(3).normal(size=(2, 100_000))
    assert 0 < wasserstein_2(Particles(x[0]), Particles(x[1])) < 0.05


# sliced W2


def test_sliced_w2_of_a_shift() -> None:
    # The mean of ⟨e, v⟩² over the sphere of R^D is |v|²/D.
    x = np.random.default_rng(0).normal(size=(50, 3))
    v = np.array([1.0, -2.0, 2.0])
    found = sliced_wasserstein_2(Particles(x), Particles(x + v), n_projections=5000, seed=1)
    assert found == pytest.approx(3 / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_sliced_w2_is_at_most_w2(seed: int) -> None:
    mu, nu = planes(seed, 40, 40)
    full = assigned(mu.positions, nu.positions)
    assert 0.3 * full < sliced_wasserstein_2(mu, nu, seed=seed) <= full


def test_sliced_w2_is_a_metric_and_repeats() -> None:
    (a, b), (c, _) = planes(0, 30, 45), planes(1, 20, 20)
    ab = sliced_wasserstein_2(a, b)
    assert ab == sliced_wasserstein_2(a, b)
    assert ab == pytest.approx(sliced_wasserstein_2(b, a), rel=1e-13)
    assert ab != sliced_wasserstein_2(a, b, seed=1)
    assert ab <= sliced_wasserstein_2(a, c) + sliced_wasserstein_2(c, b)
    assert sliced_wasserstein_2(a, a) == 0


def test_sliced_w2_on_the_line_is_w2() -> None:
    a, b = Particles([0.0, 1.0, 5.0]), Particles([2.0, 2.5])
    assert sliced_wasserstein_2(a, b) == pytest.approx(wasserstein_2(a, b), rel=1e-14)


def test_sliced_w2_takes_grids() -> None:
    rho = GridDensity.from_function(lambda x: np.exp(-(x**2).sum(-1)), [(-4, 4)] * 2, 24)
    cloud = Particles(rho.points(), rho.weights())
    assert sliced_wasserstein_2(rho, cloud) == 0


# maximum mean discrepancy


def test_mmd_of_gaussians() -> None:
    # With a Gaussian kernel of variance h², E k(x, y) for Gaussians of variances s², t² at distance m is
    # h / √(h² + s² + t²) · exp(−m² / (2 (h² + s² + t²))).
    h, s, t, m = 0.7, 1.0, 1.5, 1.0

    def mean_kernel(variance: float, distance: float) -> float:
        total = h * h + variance
        return float(h / np.sqrt(total) * np.exp(-(distance**2) / (2 * total)))

    exact = (
        mean_kernel(2 * s * s, 0) + mean_kernel(2 * t * t, 0) - 2 * mean_kernel(s * s + t * t, m)
    )
    mu = GridDensity.from_cdf(stats.norm(0, s).cdf, [(-12, 14)], 1500)
    nu = GridDensity.from_cdf(stats.norm(m, t).cdf, [(-12, 14)], 1300)
    assert maximum_mean_discrepancy(mu, nu, bandwidth=h) ** 2 == pytest.approx(exact, rel=1e-3)


def test_mmd_is_the_plain_double_sum_and_blocks_do_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mu, nu = planes(5, 31, 44)
    nu = Particles(nu.positions, np.linspace(1, 2, 44) / np.linspace(1, 2, 44).sum())
    z = np.concatenate([mu.positions, nu.positions])
    signed = np.concatenate([mu.weights(), -nu.weights()])
    kernel = np.exp(-spatial.distance.cdist(z, z, "sqeuclidean") / (2 * 0.8**2))
    plain = float(np.sqrt(signed @ kernel @ signed))
    assert maximum_mean_discrepancy(mu, nu, 0.8) == pytest.approx(plain, rel=1e-12)
    monkeypatch.setattr("wflow.measures.distances.BLOCK", 100)
    assert maximum_mean_discrepancy(mu, nu, 0.8) == pytest.approx(plain, rel=1e-12)


def test_mmd_is_a_metric_and_holds_far_from_the_origin() -> None:
    (a, b), (c, _) = planes(0, 30, 45), planes(1, 20, 20)
    ab = maximum_mean_discrepancy(a, b, 1.0)
    assert ab == pytest.approx(maximum_mean_discrepancy(b, a, 1.0), rel=1e-12)
    assert ab <= maximum_mean_discrepancy(a, c, 1.0) + maximum_mean_discrepancy(c, b, 1.0)
    assert maximum_mean_discrepancy(a, a, 1.0) == 0
    far = [Particles(m.positions + 1e6, m.weights()) for m in (a, b)]
    assert maximum_mean_discrepancy(far[0], far[1], 1.0) == pytest.approx(ab, rel=1e-8)


def test_mmd_takes_the_median_distance_unless_told() -> None:
    mu, nu = planes(7, 60, 80)
    median = float(np.median(spatial.distance.pdist(np.concatenate([mu.positions, nu.positions]))))
    by_default = maximum_mean_discrepancy(mu, nu)
    assert by_default == pytest.approx(maximum_mean_discrepancy(mu, nu, median), rel=1e-12)
    assert by_default == pytest.approx(maximum_mean_discrepancy(nu, mu), rel=1e-12)
    # Empty cells of a wide grid do not stretch it.
    wide = GridDensity.from_function(lambda x: np.exp(-0.5 * x[..., 0] ** 2), [(-100, 100)], 10_000)
    narrow = GridDensity.from_function(lambda x: np.exp(-0.5 * x[..., 0] ** 2), [(-10, 10)], 1000)
    other = Particles.from_quantile(stats.norm(1).ppf, 300)
    assert maximum_mean_discrepancy(wide, other) == pytest.approx(
        maximum_mean_discrepancy(narrow, other), rel=1e-6
    )


def test_mmd_never_holds_the_whole_kernel() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6000, 1))
    tracemalloc.start()
    maximum_mean_discrepancy(Particles(x[0]), Particles(x[1]), 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6, "the matrix alone would be 288 MB"


# bounded Lipschitz


def test_bounded_lipschitz_is_w1_when_near() -> None:
    # Within a diameter of 2 the bound on |f| costs nothing: f may be shifted into [-1, 1].
    rng = np.random.default_rng(0)
    x, y = rng.random(40), 0.5 + rng.random(50)
    exact = stats.wasserstein_distance(x, y)
    assert bounded_lipschitz(Particles(x), Particles(y)) == pytest.approx(exact, abs=1e-6)


def test_bounded_lipschitz_is_twice_the_share_when_far() -> None:
    mu, nu = Particles([0.0, 100.0]), Particles([0.0, 200.0])
    assert bounded_lipschitz(mu, nu) == pytest.approx(1.0, abs=1e-6)
    assert bounded_lipschitz(mu, mu) == 0
    assert bounded_lipschitz(Particles([1.0]), Particles([1.0, 1.0])) == 0


@given(lines(), lines(), lines())
def test_bounded_lipschitz_is_a_metric(a: Measure, b: Measure, c: Measure) -> None:
    assert bounded_lipschitz(a, b) == pytest.approx(bounded_lipschitz(b, a), abs=1e-6)
    assert bounded_lipschitz(a, c) <= bounded_lipschitz(a, b) + bounded_lipschitz(b, c) + 1e-6
    assert bounded_lipschitz(a, b) <= 2 + 1e-9


def clouds(seed: int, n: int, d: int, equal: bool) -> Particles:
    rng = np.random.default_rng(seed)
    w = np.ones(n) if equal else rng.random(n)
    return Particles(rng.normal(scale=1.5, size=(n, d)) + seed, w / w.sum())


@pytest.mark.parametrize("d", [2, 3, 7])
def test_bounded_lipschitz_of_two_points_in_space(d: int) -> None:
    for length in (0.25, 1.0, 1.9, 2.0, 30.0):
        x, e = np.full(d, 0.7), np.full(d, 1 / np.sqrt(d))
        near, far = Particles([x]), Particles([x + length * e])
        assert bounded_lipschitz(near, far) == pytest.approx(min(length, 2.0), rel=1e-12)
        # Half of the mass stays; the other half is of unequal atoms, a linear programme.
        shared = Particles([x, x + length * e], [0.75, 0.25])
        assert bounded_lipschitz(near, shared) == pytest.approx(min(length, 2.0) / 4, abs=1e-7)


@pytest.mark.parametrize("equal", [True, False])
def test_bounded_lipschitz_is_a_metric_in_space(equal: bool) -> None:
    a, b, c = (clouds(seed, n, 3, equal) for seed, n in ((0, 6), (1, 9), (2, 12)))
    ab = bounded_lipschitz(a, b)
    assert bounded_lipschitz(b, a) == pytest.approx(ab, abs=1e-7)
    assert bounded_lipschitz(a, c) <= ab + bounded_lipschitz(b, c) + 1e-7
    assert bounded_lipschitz(a, a) == pytest.approx(0, abs=1e-7)
    assert 0 < ab <= 2


@pytest.mark.parametrize("equal", [True, False])
def test_bounded_lipschitz_in_space_is_that_of_the_line_that_all_lies_on(equal: bool) -> None:
    a, b = clouds(3, 12, 1, equal), clouds(4, 18, 1, equal)
    e = np.array([[0.6, 0.0, 0.8]])
    on_it = [Particles(m.positions @ e, m.weights()) for m in (a, b)]
    assert bounded_lipschitz(*on_it) == pytest.approx(bounded_lipschitz(a, b), abs=1e-6)


def test_bounded_lipschitz_in_space_is_the_supremum_that_defines_it() -> None:
    # The programme of its definition: values of f at all points, restricted by all pairs.
    a, b = clouds(0, 7, 2, False), clouds(1, 5, 2, False)
    x = np.concatenate([a.positions, b.positions])
    i, j = (k.ravel() for k in np.indices((12, 12)))
    rows = np.eye(12)[i] - np.eye(12)[j]
    apart = np.linalg.norm(x[i] - x[j], axis=1)
    charge = np.concatenate([a.weights(), -b.weights()])
    best = optimize.linprog(-charge, A_ub=rows, b_ub=apart, bounds=(-1, 1))
    assert bounded_lipschitz(a, b) == pytest.approx(-best.fun, abs=1e-7)


def test_bounded_lipschitz_in_space_is_at_most_w1_and_equal_to_it_when_near() -> None:
    mu, nu = planes(2, 20, 30)
    cost = spatial.distance.cdist(np.repeat(mu.positions, 3, 0), np.repeat(nu.positions, 2, 0))
    w1 = float(cost[optimize.linear_sum_assignment(cost)].mean())
    assert bounded_lipschitz(mu, nu) < w1
    close = [Particles(0.1 * m.positions) for m in (mu, nu)]
    assert bounded_lipschitz(*close) == pytest.approx(0.1 * w1, rel=1e-12)


def test_bounded_lipschitz_of_many_atoms_lies_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    mu, nu = Particles(rng.normal(size=(200, 2))), Particles(rng.normal(size=(200, 2)) + 0.4)
    exact = bounded_lipschitz(mu, nu)
    widths = []
    for atoms in (9, 36, 144):
        low, high = bounded_lipschitz_interval(mu, nu, atoms)
        assert low <= exact <= high
        widths.append(high - low)
    assert np.polyfit(np.log([9, 36, 144]), np.log(widths), 1)[0] == pytest.approx(-0.5, abs=0.1)
    # Cells of one atom, or of parts of one, leave it where it is.
    for atoms in (200, 400):
        assert bounded_lipschitz_interval(mu, nu, atoms) == pytest.approx((exact, exact), rel=1e-12)
    heavy = [Particles(m.positions, 3 * m.weights()) for m in (mu, nu)]
    assert bounded_lipschitz(*heavy) == pytest.approx(3 * exact, rel=1e-12)
    assert bounded_lipschitz_interval(*heavy, 200)[0] == pytest.approx(3 * exact, rel=1e-12)


def test_bounded_lipschitz_of_grids_in_the_plane_lies_in_its_interval() -> None:
    rho, other = (
        GridDensity.from_function(lambda x, a=a: np.exp(-((x - a) ** 2).sum(-1)), [(-3, 3)] * 2, 16)
        for a in (0.0, 0.5)
    )
    low, high = bounded_lipschitz_interval(rho, other, 64)
    assert low < bounded_lipschitz(rho, other) < high
    # Both are cut alike: far nearer than the interval says.
    assert (low + high) / 2 == pytest.approx(bounded_lipschitz(rho, other), abs=0.1)


# refusals

LINE = Particles([0.0, 1.0])
PLANE = Particles([[0.0, 1.0]])
MANY = Particles(np.zeros((2500, 2)))
CIRCLE = GridDensity([1.0, 1.0], [[0, 0.5, 1]], periodic=True)


@pytest.mark.parametrize(
    "distance",
    [
        wasserstein_2,
        sliced_wasserstein_2,
        maximum_mean_discrepancy,
        bounded_lipschitz,
        bounded_lipschitz_interval,
    ],
)
def test_what_every_distance_refuses(distance: Callable[..., float]) -> None:
    with pytest.raises(InputError, match=r"masses are 1 and 1\.00000001: they must agree to 1e-9"):
        distance(LINE, Particles([0.0], [1 + 1e-8]))
    with pytest.raises(InputError, match="1 and 2 coordinates"):
        distance(LINE, PLANE)
    with pytest.raises(InputError, match="got a ndarray: pass"):
        distance(np.zeros(3), LINE)
    with pytest.raises(InputError, match="mass 0"):
        distance(CIRCLE.with_density([0, 0]), CIRCLE.with_density([0, 0]))
    distance(LINE, Particles([0.5], [1 + 1e-10]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: wasserstein_2(PLANE, PLANE), "exact on 1 coordinate.*use sliced_wasserstein_2"),
        (lambda: wasserstein_2(CIRCLE, LINE), "the axis is periodic"),
        (lambda: bounded_lipschitz(MANY, MANY), "of 2500 and 2500 atoms in 2 coord.*use bounded_l"),
        (lambda: bounded_lipschitz_interval(MANY, MANY, 2500), "atoms = 2500: at most 2400 a side"),
        (lambda: bounded_lipschitz_interval(PLANE, PLANE, 0), "atoms = 0"),
        (lambda: sliced_wasserstein_2(PLANE, PLANE, n_projections=0), "n_projections = 0"),
        (lambda: maximum_mean_discrepancy(LINE, LINE, bandwidth=0.0), "bandwidth is 0"),
        (lambda: maximum_mean_discrepancy(LINE, LINE, bandwidth=np.nan), "bandwidth is nan"),
        (lambda: maximum_mean_discrepancy(LINE, LINE, kernel="gausian"), "did you mean 'gaussian'"),
        (lambda: maximum_mean_discrepancy(PLANE, PLANE), "median distance.*is 0: give a bandwidth"),
    ],
)
def test_refusals(call: Callable[[], float], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
