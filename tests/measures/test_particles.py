"""Particles: quantile bins, sampling, deposition, and the requests they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wflow.errors import InputError
from wflow.measures import GridDensity, Particles, wasserstein_2


@st.composite
def clouds(draw: Callable[..., Any], dimension: int = 1) -> Particles:
    """Particles in [-1, 1]^D, some on top of each other, some without weight."""
    n = draw(st.integers(1, 10))
    # Multiples of 1/64 meet, and sit on edges and centres of cells.
    place = st.integers(-64, 64).map(lambda k: k / 64)
    x = draw(
        st.lists(st.lists(place, min_size=dimension, max_size=dimension), min_size=n, max_size=n)
    )
    w = np.array(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any)), dtype=float)
    return Particles(np.array(x), w / w.sum())


def test_moments() -> None:
    rho = Particles([[0.0, 1.0], [2.0, 5.0]], [0.25, 0.75], names=("a", "w"))
    assert rho.mean().tolist() == [1.5, 4.0]
    assert rho.covariance() == pytest.approx(np.array([[0.75, 1.5], [1.5, 3.0]]))
    assert rho.second_moment() == pytest.approx(0.25 + 0.75 * 29)
    assert (rho.n, rho.dimension, rho.mass, rho.names) == (2, 2, 1.0, ("a", "w"))


def test_the_mass_is_a_property() -> None:
    rho = Particles([0.0, 1.0], [1.5, 1.5])
    assert rho.mass == 3
    assert rho.weights().tolist() == [1.5, 1.5]
    assert rho.mean()[0] == 0.5
    assert rho.to_grid([(0, 1)], 4).mass == 3
    assert rho.to_grid([(0, 1)], 4).to_particles(7).mass == pytest.approx(3, rel=1e-15)


@pytest.mark.parametrize("n, tolerance", [(2, 1e-8), (3, 1e-10), (10, 1e-12), (1000, 1e-11)])
def test_quantile_bins_of_a_gaussian(n: int, tolerance: float) -> None:
    # E[g; a < g < b] = φ(a) − φ(b).
    ends = stats.norm.ppf(np.arange(n + 1) / n)
    exact = -n * np.diff(stats.norm.pdf(ends))
    rho = Particles.from_quantile(stats.norm.ppf, n)
    assert rho.positions[:, 0] == pytest.approx(exact, abs=tolerance)


@pytest.mark.parametrize(
    "law", [stats.expon(), stats.chi(40), stats.uniform(2, 3), stats.logistic()]
)
@pytest.mark.parametrize("n", [1, 7, 50])
def test_quantile_bins_keep_the_mean(law: Any, n: int) -> None:
    assert Particles.from_quantile(law.ppf, n).mean()[0] == pytest.approx(law.mean(), abs=1e-8)


def test_quantile_is_left_continuous_and_cdf_right_continuous() -> None:
    rho = Particles([3.0, 1.0, 2.0, 2.0], [0.25, 0.25, 0.5, 0.0])
    assert rho.quantile([0, 0.25, 0.26, 0.75, 0.76, 1]).tolist() == [1, 1, 2, 2, 3, 3]
    assert rho.cdf([0.9, 1.0, 1.9, 2.0, 2.9, 3.0, np.inf]).tolist() == [
        0,
        0.25,
        0.25,
        0.75,
        0.75,
        1,
        1,
    ]


@given(clouds(), st.floats(0.001, 1))
def test_quantile_is_where_the_cdf_first_reaches_u(rho: Particles, u: float) -> None:
    x = rho.quantile(u)
    assert rho.cdf(x) >= u
    assert rho.cdf(np.nextafter(x, -np.inf)) < u


def test_samples_follow_the_weights() -> None:
    rho = Particles([[0.0], [1.0], [2.0], [3.0]], [0.1, 0.0, 0.6, 0.3])
    x = rho.sample(30_000, seed=1)
    assert np.array_equal(x, rho.sample(30_000, seed=1))
    found = np.bincount(x[:, 0].astype(int), minlength=4)
    assert found[1] == 0
    assert stats.chisquare(found[[0, 2, 3]], [3000, 18000, 9000]).pvalue > 1e-4


@pytest.mark.parametrize("method", ["histogram", "linear"])
@pytest.mark.parametrize("periodic", [False, True])
@given(rho=clouds(2))
def test_deposition_keeps_the_mass(method: str, periodic: bool, rho: Particles) -> None:
    grid = rho.to_grid([(-1, 1), (-1, 1.25)], (5, 4), method=method, periodic=periodic)
    assert grid.mass == pytest.approx(rho.mass, rel=1e-14)
    assert grid.density.min() >= 0


@given(clouds(2))
def test_linear_deposition_keeps_the_mean_away_from_walls(rho: Particles) -> None:
    graded = np.array([-3.0, -1.0, -0.9, -0.2, 0.1, 0.4, 1.1, 3.0])
    grid = rho.to_grid(edges=[graded, graded], method="linear")
    assert grid.mean() == pytest.approx(rho.mean(), abs=1e-13)


@given(clouds(), st.integers(-3, 3))
def test_linear_deposition_wraps(rho: Particles, turns: int) -> None:
    bounds = [(-1.0, 1.0)]
    here = rho.to_grid(bounds, 8, method="linear", periodic=True)
    moved = Particles(rho.positions + 2.0 * turns, rho.weights())
    assert moved.to_grid(bounds, 8, method="linear", periodic=True) == here
    # By whole cells the deposit moves with the particles.
    shifted = Particles(rho.positions + 0.25, rho.weights())
    rolled = shifted.to_grid(bounds, 8, method="linear", periodic=True).density
    assert rolled == pytest.approx(np.roll(here.density, 1), abs=1e-13)


def test_histogram_is_numpys() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.random((500, 3)), rng.random(500)
    edges = [np.array([0, 0.1, 0.5, 1]), np.linspace(0, 1, 6), np.array([0, 1.0])]
    found = Particles(x, w).to_grid(edges=edges)
    expected = np.histogramdd(x, edges, weights=w)[0]
    assert found.density * found.volumes == pytest.approx(expected, rel=1e-13)


def test_a_particle_on_the_last_edge_is_inside() -> None:
    assert Particles([1.0]).to_grid([(0, 1)], 2).weights().tolist() == [0, 1]


@pytest.mark.parametrize("method, farthest", [("histogram", 1 / np.sqrt(3)), ("linear", 1.5)])
@pytest.mark.parametrize("n", [20, 57, 400])
def test_deposition_moves_mass_by_about_a_cell(method: str, farthest: float, n: int) -> None:
    # A cell about a particle at offset o of its centre is at W2² = h²/12 + o².
    rho, h = Particles([-3.3, 0.2, 2.7]), 10 / n
    moved = wasserstein_2(rho, rho.to_grid([(-5, 5)], n, method=method))
    assert h / np.sqrt(12) * (1 - 1e-9) <= moved <= farthest * h * (1 + 1e-9)


def test_grid_to_particles_takes_conditional_means() -> None:
    rho = GridDensity([0.5, 0.0, 0.5], [[0, 1, 2, 3]], names=("r",))
    assert rho.to_particles(1).positions[:, 0].tolist() == [1.5]
    assert rho.to_particles(2).positions[:, 0].tolist() == [0.5, 2.5]
    assert rho.to_particles(4).positions[:, 0] == pytest.approx([0.25, 0.75, 2.25, 2.75])
    assert rho.to_particles(4).names == ("r",)
    # The bin (1/3, 2/3) holds [2/3, 1] and [2, 7/3].
    assert rho.to_particles(3).positions[1, 0] == pytest.approx(0.5 * (5 / 6 + 13 / 6))


@given(clouds(), st.integers(1, 40))
def test_grid_to_particles_keeps_mass_and_mean(cloud: Particles, n: int) -> None:
    rho = cloud.to_grid([(-1, 1)], 9)
    particles = rho.to_particles(n)
    assert particles.mass == pytest.approx(rho.mass, rel=1e-14)
    assert particles.mean() == pytest.approx(rho.mean(), abs=1e-12)
    x = particles.positions[:, 0]
    assert (np.diff(x) >= 0).all()
    assert -1 <= x[0] <= x[-1] <= 1


def test_grid_to_particles_by_sampling() -> None:
    rho = GridDensity.from_function(lambda x: np.exp(-(x**2).sum(-1)), [(-4, 4)] * 2, 32)
    particles = rho.to_particles(10_000, seed=0)
    assert particles.dimension == 2
    assert particles.mean() == pytest.approx(np.zeros(2), abs=5 * np.sqrt(0.5 / 10_000))
    assert np.array_equal(particles.positions, rho.sample(10_000, seed=0))


def test_it_cannot_be_changed() -> None:
    x = np.zeros((2, 1))
    rho = Particles(x)
    x[0] = 5
    assert rho.positions.tolist() == [[0], [0]]
    with pytest.raises(ValueError, match="read-only"):
        rho.weights()[0] = 7
    with pytest.raises(AttributeError, match="read-only"):
        rho.positions = x
    with pytest.raises(AttributeError, match="read-only"):
        del rho.positions


def test_equality_and_one_line() -> None:
    rho = Particles([[0.0, 1.0]])
    assert rho == Particles([[0.0, 1.0]], [1.0])
    assert rho != Particles([[0.0, 1.0]], names=("a", "b"))
    assert repr(rho) == "Particles(n = 1 in (x, y), mass 1)"
    assert (
        repr(Particles(np.zeros((3, 66))))
        == "Particles(n = 3 in (x1, x2, x3, x4, x5, x6, …), mass 1)"
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Particles([]), r"positions have shape \(0, 1\): give at least 1"),
        (lambda: Particles([0.0, np.nan]), r"positions\[1\] is nan"),
        (lambda: Particles([[0.0], [np.inf]]), r"positions\[1, 0\] is inf"),
        (lambda: Particles([[0.0], [1.0, 2.0]]), "regular shape"),
        (lambda: Particles(np.zeros((1, 1, 1))), r"shape \(1, 1, 1\)"),
        (lambda: Particles([0.0, 1.0], [1.0]), r"weights have shape \(1,\) for 2 particles"),
        (lambda: Particles([0.0, 1.0], [1.5, -0.5]), r"weights\[1\] is -0\.5"),
        (lambda: Particles([0.0, 1.0], [np.nan, 1.0]), r"weights\[0\] is nan"),
        (lambda: Particles([0.0, 1.0], [0.0, 0.0]), "weights are all 0"),
        (lambda: Particles([0.0], names=("a", "b")), "names has 2 entries for 1"),
        (lambda: Particles([0.0, 1.2], names=("r",)).to_grid([(0, 1)], 4),
         r"particle 1 has r = 1\.2, outside \[0, 1\]: widen"),
        (lambda: Particles([-0.1]).to_grid([(0, 1)], 4), r"x = -0\.1"),
        (lambda: Particles([0.1]).to_grid([(0, 1)], 4, method="linaer"), "did you mean 'linear'"),
        (lambda: Particles([0.1]).to_grid([(0, 1)] * 2, 4), "2 axes for 1 coordinates"),
        (lambda: Particles([0.1]).to_grid([(0, 1)]), ": give bounds and n, or edges alone"),
        (lambda: Particles(np.zeros((1, 4))).to_grid([(0, 1)] * 4, 4), "at most 3"),
        (lambda: Particles.from_quantile(lambda u: u, 0), "n = 0"),
        (lambda: Particles.from_quantile(lambda u: u / 0 if u is None else u[0], 5), "ppf gives shape"),
        (lambda: Particles.from_quantile(lambda u: np.full(u.shape, np.inf), 5), "is inf"),
        (lambda: Particles([[0.0, 1.0]]).quantile(0.5), "need 1 coordinate"),
        (lambda: Particles([0.0]).sample(5, 0.5), r"seed is 0\.5"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
