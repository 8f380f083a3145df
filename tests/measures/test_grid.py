"""Densities on grids against closed forms, and the requests they refuse."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wflow.errors import InputError
from wflow.measures import GridDensity


def gaussian(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (x**2).sum(axis=-1))


@st.composite
def grids(draw: Callable[..., Any], cells: int = 12) -> GridDensity:
    """Any 1-D density: graded cells, some of them empty."""
    n = draw(st.integers(1, cells))
    widths = draw(st.lists(st.floats(1e-3, 10), min_size=n, max_size=n))
    start = draw(st.floats(-10, 10))
    share = st.one_of(st.just(0.0), st.floats(1e-3, 1))
    masses = np.array(draw(st.lists(share, min_size=n, max_size=n).filter(any)))
    edges = start + np.concatenate([[0.0], np.cumsum(widths)])
    return GridDensity(masses / masses.sum() / np.diff(edges), [edges])


def test_cell_averages_are_exact_for_polynomials() -> None:
    # ∫ 8x^7 over [a, b] = b^8 − a^8, of degree 2·4 − 1.
    edges = np.array([0.0, 0.1, 0.4, 1.0])
    rho = GridDensity.from_function(lambda x: x[..., 0] ** 7, edges=[edges])
    assert rho.weights() == pytest.approx(np.diff(edges**8), rel=1e-13)
    assert not rho.uniform


@pytest.mark.parametrize("order, expected", [(1, 2.0), (2, 4.0)])
def test_quadrature_converges_at_twice_its_points(order: int, expected: float) -> None:
    def error(n: int) -> float:
        rho = GridDensity.from_function(lambda x: 1 / (1 + x[..., 0]), [(0, 3)], n, order=order)
        exact = np.diff(np.log1p(rho.edges[0])) / np.log(4)
        return float(np.abs(rho.weights() / exact - 1).max())

    observed = np.log2(error(160) / error(320))
    assert observed == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_moments_of_a_gaussian(dimension: int) -> None:
    # Cells of 0.25 standard deviations: the midpoint rule is exact to rounding on a Gaussian's cell averages, but
    # for the h²/12 by which averaging over a cell widens it.
    rho = GridDensity.from_function(gaussian, [(-8, 8)] * dimension, 64)
    h = 0.25
    assert rho.mass == pytest.approx(1, abs=1e-14)
    assert rho.mean() == pytest.approx(np.zeros(dimension), abs=1e-13)
    assert rho.covariance() == pytest.approx(np.eye(dimension) * (1 + h * h / 12), abs=1e-11)
    assert rho.second_moment() == pytest.approx(dimension * (1 + h * h / 12), rel=1e-11)


def test_entropy_of_a_gaussian_converges_at_second_order() -> None:
    def error(n: int) -> float:
        rho = GridDensity.from_function(gaussian, [(-9, 9)], n)
        return abs(rho.entropy() + 0.5 * np.log(2 * np.pi * np.e))

    assert error(400) < 1e-4
    assert np.log2(error(100) / error(200)) == pytest.approx(2, abs=0.05)


def test_entropy_of_empty_cells_is_zero() -> None:
    rho = GridDensity([0.0, 4.0, 0.0], [[0, 1, 1.25, 2]])
    assert rho.entropy() == pytest.approx(np.log(4))


def test_from_cdf_gives_exact_masses() -> None:
    law = stats.chi(5)
    rho = GridDensity.from_cdf(law.cdf, [(0.0, 8.0)], n=200, names=("r",))
    assert rho.weights() == pytest.approx(np.diff(law.cdf(rho.edges[0])), abs=1e-9)
    assert rho.mass == pytest.approx(1, abs=2e-16)
    assert rho.names == ("r",)


def test_from_cdf_refuses_a_lost_tail_and_can_put_it_to_the_wall() -> None:
    with pytest.raises(InputError, match=r"leave mass 0\.0455 outside.*widen the bounds"):
        GridDensity.from_cdf(stats.norm.cdf, [(-2, 2)], 10)
    rho = GridDensity.from_cdf(stats.norm.cdf, [(-2, 2)], 10, tail=1.0)
    assert rho.mass == pytest.approx(1, abs=2e-16)
    assert rho.weights()[0] == pytest.approx(stats.norm.cdf(-1.6), rel=1e-14)


def test_volumes_and_points_keep_the_order_of_the_density() -> None:
    x, y, z = np.array([0, 1, 3.0]), np.array([0, 2, 3, 7.0]), np.array([0, 0.5])
    rho = GridDensity(np.ones((2, 3, 1)), [x, y, z], periodic=(False, True, False))
    assert rho.mass == pytest.approx(3 * 7 * 0.5)
    assert rho.volumes[1, 2, 0] == pytest.approx(2 * 4 * 0.5)
    assert rho.points()[5].tolist() == [2.0, 5.0, 0.25]
    assert rho.weights()[5] == pytest.approx(4)
    assert rho.periodic == (False, True, False)
    assert rho.names == ("x", "y", "z")


@given(grids(), st.floats(0, 1))
def test_cdf_undoes_quantile(rho: GridDensity, u: float) -> None:
    x = rho.quantile(u)
    assert rho.edges[0][0] <= x <= rho.edges[0][-1]
    # What x rounds off is a share of the narrowest cell.
    lost = 4 * np.spacing(abs(x)) / rho.widths[0].min()
    assert rho.cdf(x) == pytest.approx(u, abs=1e-12 + lost)


@given(grids(), st.floats(1e-3, 1))
def test_quantile_undoes_cdf_inside_the_support(rho: GridDensity, share: float) -> None:
    i = int(np.argmax(rho.density))
    x = rho.edges[0][i] + share * rho.widths[0][i]
    assert rho.quantile(rho.cdf(x)) == pytest.approx(x, abs=1e-11 * (1 + abs(x)))


@given(grids())
def test_quantile_is_monotone_and_cdf_is_the_running_mass(rho: GridDensity) -> None:
    u = np.linspace(0, 1, 57)
    q = rho.quantile(u)
    assert (np.diff(q) >= -1e-12).all()
    running = np.concatenate([[0.0], np.cumsum(rho.weights())])
    assert rho.cdf(rho.edges[0]) == pytest.approx(running, abs=1e-12)


def test_quantile_jumps_over_an_empty_cell() -> None:
    rho = GridDensity([0.5, 0.0, 0.5], [[0, 1, 2, 3]])
    assert rho.quantile([0.0, 0.25, 0.5, 0.75, 1.0]).tolist() == [0, 0.5, 1, 2.5, 3]
    assert rho.quantile(np.nextafter(0.5, 1)) == 2
    assert rho.cdf([-1, 1.5, 9]).tolist() == [0, 0.5, 1]


def test_samples_follow_the_law() -> None:
    rho = GridDensity([0.5, 0.0, 4.0, 0.25], [[-1.0, 0.0, 0.5, 0.6, 1.0]])
    x = rho.sample(20_000, seed=3)
    assert x.shape == (20_000, 1)
    assert np.array_equal(x, rho.sample(20_000, seed=3))
    assert not np.array_equal(x, rho.sample(20_000, seed=4))
    assert stats.kstest(x[:, 0], lambda t: np.asarray(rho.cdf(t))).pvalue > 1e-4
    assert not ((x >= 0.0) & (x < 0.5)).any()


def test_samples_in_two_dimensions_fill_their_cells() -> None:
    rho = GridDensity([[0.0, 0.1], [0.6, 0.1]], [[0, 1, 2], [0, 1, 3]])
    x = rho.sample(40_000, seed=0)
    found = np.histogram2d(*x.T, bins=rho.edges)[0].ravel()
    assert found[0] == 0
    assert stats.chisquare(found[1:], 40_000 * rho.weights()[1:]).pvalue > 1e-4
    # Inside the largest cell the law is uniform in y.
    y = x[(x[:, 0] > 1) & (x[:, 1] < 1), 1]
    assert stats.kstest(y, "uniform").pvalue > 1e-4


def test_it_cannot_be_changed() -> None:
    rho = GridDensity([1.0, 3.0], [[0, 0.25, 0.5]])
    for array in (rho.density, rho.weights(), rho.points(), rho.edges[0], rho.volumes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
    with pytest.raises(AttributeError, match="read-only"):
        rho.density = np.ones(2)


def test_the_callers_arrays_stay_theirs() -> None:
    density, edges = np.ones(2), np.array([0.0, 0.5, 1.0])
    rho = GridDensity(density, [edges])
    density[0], edges[0] = 5, -5
    assert rho == GridDensity([1.0, 1.0], [[0.0, 0.5, 1.0]])


def test_with_density_keeps_the_grid_and_checks() -> None:
    rho = GridDensity([1.0, 3.0], [[0, 0.25, 0.5]], names=("r",))
    other = rho.with_density([2.0, 2.0])
    assert other.grid is rho.grid
    assert other.mass == 1
    assert rho.density.tolist() == [1, 3]
    with pytest.raises(InputError, match=r"density\[1\] is nan"):
        rho.with_density([1.0, np.nan])
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        rho.with_density([1.0, 1.0, 1.0])


def test_equality_and_pickle() -> None:
    rho = GridDensity([1.0, 3.0], [[0, 0.25, 0.5]])
    assert pickle.loads(pickle.dumps(rho)) == rho  # noqa: S301
    assert rho != rho.with_density([2.0, 2.0])
    assert rho != GridDensity([1.0, 3.0], [[0, 0.25, 0.5]], periodic=True)
    assert rho != GridDensity([1.0, 3.0], [[0, 0.25, 0.5]], names=("r",))
    assert repr(rho) == "GridDensity(x in [0, 0.5] 2 cells, mass 1)"


EDGES = [[0.0, 0.5, 1.0]]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GridDensity([1, np.nan], EDGES), r"density\[1\] is nan: finite"),
        (lambda: GridDensity([1, -2.0], EDGES), r"density\[1\] is -2: nothing negative"),
        (lambda: GridDensity([1, 1, 1], EDGES), r"shape \(3,\).*cells of shape \(2,\)"),
        (lambda: GridDensity([1, 1], [[0, 1, 1]]), r"edges of 'x' go from 1 to 1 at index 1"),
        (lambda: GridDensity([1], [[0]]), r"edges of 'x' have shape \(1,\)"),
        (lambda: GridDensity([1, "a"], EDGES), "density is not an array of real numbers"),
        (lambda: GridDensity([1j, 1], EDGES), "density is not an array of real numbers"),
        (lambda: GridDensity([1], 3), "edges is 3: give a list"),
        (lambda: GridDensity(np.ones((1,) * 4), [[0, 1]] * 4), "4 axes: 1 to 3"),
        (lambda: GridDensity([1, 1], EDGES, names=("x", "y")), "names has 2 entries for 1"),
        (lambda: GridDensity(np.ones((1, 1)), [[0, 1]] * 2, names=("a", "a")), "different"),
        (lambda: GridDensity([1, 1], EDGES, periodic=(True, False)), "periodic has 2 entries"),
        (lambda: GridDensity.from_function(gaussian, [(1, 0)], 4), r"'x' are \(1, 0\).*lo < hi"),
        (lambda: GridDensity.from_function(gaussian, [(0, 1)], 0), "n = 0"),
        (lambda: GridDensity.from_function(gaussian, [(0, 1)], 2.5), r"n = 2\.5"),
        (lambda: GridDensity.from_function(gaussian, [(0, 1)], (2, 3)), "n has 2 entries for 1"),
        (
            lambda: GridDensity.from_function(gaussian, [(0, 1)]),
            ": give bounds and n, or edges alone",
        ),
        (lambda: GridDensity.from_function(lambda x: x[..., 0], [(-1, 1)], 2), r"f\(-0\.9.* is -0"),
        (lambda: GridDensity.from_function(lambda x: x[..., 0] * np.nan, [(0, 1)], 2), "is nan"),
        (lambda: GridDensity.from_function(lambda x: 0 * x[..., 0], [(0, 1)], 2), "f vanishes"),
        (lambda: GridDensity.from_function(lambda x: x, [(0, 1)], 2), r"give \(2,\), one value"),
        (lambda: GridDensity.from_cdf(lambda x: 1 - x, [(0, 1)], 2), "cdf falls from 0 to 0.5"),
        (lambda: GridDensity.from_cdf(lambda x: 2 * x, [(0, 1)], 2), "a cdf lies in"),
        (lambda: GridDensity([1, 1], EDGES).quantile(1.5), r"u is 1\.5"),
        (lambda: GridDensity([0, 0], EDGES).quantile(0.5), "mass 0"),
        (lambda: GridDensity([0, 0], EDGES).mean(), "mass 0"),
        (lambda: GridDensity([1, 1], EDGES).cdf(np.nan), "NaN"),
        (lambda: GridDensity([1, 1], EDGES).sample(0, 0), "n = 0"),
        (lambda: GridDensity([1, 1], EDGES).sample(1, -1), "seed is -1"),
        (lambda: GridDensity([[1.0]], [[0, 1]] * 2).quantile(0.5), "need 1 coordinate"),
        (lambda: GridDensity([[1.0]], [[0, 1]] * 2).to_particles(3), "give a seed"),
    ],
)
def test_refusals_are_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
