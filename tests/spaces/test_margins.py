"""Largest margins: known values, exact pricing against search, and both bounds against each other."""

import numpy as np
import pytest
from scipy.optimize import linprog

import wflow
from wflow.errors import ComputationError, InputError
from wflow.spaces import max_margin, trained_margin
from wflow.spaces.pricing import ascended, candidates, largest, sums

RNG = np.random.default_rng(8)
LINE = np.array([[-0.2], [1.7], [0.7], [-1.6]])


def test_three_points():
    """x = −1, 0, 1 with labels +, −, + and a bias."""
    x, y = [-1.0, 0.0, 1.0], [1, -1, 1]
    f1, f2 = (max_margin(x, y, norm) for norm in ("F1", "F2"))
    assert abs(f1.value - 0.2) < 1e-9
    assert abs(f1.upper - 0.2) < 1e-6
    assert abs(f2.value - 0.140955) < 5e-7
    assert abs(f2.upper - f2.value) < 1e-12
    for found in (f1, f2):
        np.testing.assert_allclose((y * found.predict(x)).min(), found.value, rtol=1e-9)
    assert abs(np.abs(f1.charges).sum() - 1.0) < 1e-12


def test_a_grid_of_directions_comes_from_below():
    """In the plane, the programme over 4,000 directions."""
    x, y = RNG.normal(size=(9, 1)), RNG.choice([-1.0, 1.0], 9)
    found = max_margin(x, y, tolerance=1e-9)
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    z = np.concatenate([x, np.ones((9, 1))], axis=1)
    gains = y[:, None] * np.maximum(z @ np.stack([np.cos(angle), np.sin(angle)]), 0.0)
    rows = np.concatenate([-gains, gains, np.ones((9, 1))], axis=1)
    mass = np.append(np.ones(8000), 0.0)
    grid = linprog(
        np.append(np.zeros(8000), -1.0),
        A_ub=np.concatenate([rows, mass[None]]),
        b_ub=np.append(np.zeros(9), 1.0),
        bounds=[(0, None)] * 8000 + [(None, None)],
    )
    assert -grid.fun <= found.upper
    assert found.value - 1e-8 <= found.upper <= found.value * (1 + 1e-8) + 1e-12
    assert -grid.fun > 0.999 * found.value


@pytest.mark.parametrize("d", [1, 2, 3])
def test_no_direction_is_worth_more_than_the_exact_one(d):
    for n in (1, 2, 3, 7, 20):
        z, c = RNG.normal(size=(n, d)), RNG.normal(size=n)
        theta, worth, exact = largest(z, c, RNG)
        assert exact
        assert abs(np.linalg.norm(theta) - 1) < 1e-12
        np.testing.assert_allclose(sums(z, c, theta[None])[0], worth, rtol=1e-12)
        tried = RNG.normal(size=(20_000, d))
        tried /= np.linalg.norm(tried, axis=1, keepdims=True)
        tried = np.concatenate([tried, ascended(z, c, RNG)])
        assert np.abs(sums(z, c, tried)).max() <= abs(worth) * (1 + 1e-12)


def test_degenerate_units():
    """Units that are parallel, opposite, equal or zero, and circles that meet in one corner."""
    z = np.array(
        [[1.0, 0, 0], [2.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0], [0, 0, 0], [0, 0, 1.0]]
    )
    for _ in range(20):
        c = RNG.normal(size=7)
        worth = abs(largest(z, c, RNG)[1])
        tried = RNG.normal(size=(20_000, 3))
        tried /= np.linalg.norm(tried, axis=1, keepdims=True)
        assert np.abs(sums(z, c, tried)).max() <= worth * (1 + 1e-12)
    assert len(candidates(z[5:6], np.ones(1))) > 0


@pytest.mark.parametrize("bias", [True, False])
def test_both_bounds_meet(bias):
    d = 2 if bias else 3
    x = RNG.normal(size=(25, d))
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    found = max_margin(x, y, bias=bias)
    assert 0 < found.value <= found.upper <= found.value * (1 + 1e-6)
    assert (y * found.predict(x)).min() >= found.value - 1e-12
    # Σ p y ⟨θ, z⟩₊ is nowhere more than the margin.
    z = np.concatenate([x, np.ones((25, 1))], axis=1) if bias else x
    theta = RNG.normal(size=(50_000, 3))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    assert np.abs(sums(z, found.weights * y, theta)).max() <= found.upper


def test_the_ball_of_f2_lies_in_that_of_f1():
    """∫|a||θ| dN ≤ √D (E a²)^½: γ₂ ≤ √D γ₁, a bound that F1 keeps even where it is one from below."""
    for d in (1, 2, 5):
        x = RNG.normal(size=(30, d))
        y = np.where(x[:, 0] > 0.2, 1.0, -1.0)
        f1, f2 = (max_margin(x, y, norm) for norm in ("F1", "F2"))
        assert f2.value <= np.sqrt(d + 1) * f1.value
        assert f2.value > 0
        assert f2.upper - f2.value < 1e-9 * f2.upper
        assert np.isinf(f1.upper) == (d > 2)


@pytest.mark.parametrize("size", [1e-150, 1e-8, 1.0, 1e8, 1e150])
def test_margins_are_in_proportion_to_the_inputs(size):
    x, y = np.array([[-1.0, 1.0], [0.3, 1.0], [1.0, 1.0]]), [1, -1, 1]
    for norm in ("F1", "F2"):
        one, other = (max_margin(s * x, y, norm, bias=False) for s in (1.0, size))
        assert other.value == pytest.approx(size * one.value, rel=1e-6)
        assert other.upper == pytest.approx(size * one.upper, rel=1e-6)
        assert (y * other.predict(size * x)).min() == pytest.approx(other.value, rel=1e-9)


def test_bounds_hold_where_samples_are_hardly_told_apart():
    """F2 of x = 100, 101, 102 in 60 digits: 1.5965e-5."""
    found = max_margin([100.0, 101.0, 102.0], [1, -1, 1], "F2")
    assert found.value < 1.5965e-5 < found.upper < 3e-5


@pytest.mark.parametrize("x", [[-1e-8, 0.0, 1e-8], [1000.0, 1000.01, 1000.02]])
def test_where_rounding_decides_that_is_said(x):
    with pytest.raises(ComputationError, match=r"lies between .* rounding decides"):
        max_margin(x, [1, -1, 1], tolerance=1e-9)


def test_inputs_in_a_plane_of_many_dimensions_are_exact():
    x, y = [[-1.3, -0.8, -2.2], [-1.5, -0.6, 0.1]], [-1, 1]
    found = max_margin(x, y)
    assert found.value == pytest.approx(0.9220656, abs=2e-6)
    assert found.upper == pytest.approx(found.value, rel=1e-6)


def test_labels_that_nothing_separates():
    found = max_margin([[1.0], [1.0], [2.0]], [1, -1, 1])
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert max_margin([[1.0], [1.0]], [1, -1], "F2").value == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: max_margin([1.0, 2.0], [1, 0]), "labels of shape"),
        (lambda: max_margin([1.0, 2.0], [1, -1, 1]), "give 1 or -1 for each of the 2 inputs"),
        (lambda: max_margin([1.0, 2.0], [1, -1], "F3"), "norm"),
        (lambda: max_margin([1.0, 2.0], [1, -1]).predict([[1.0, 2.0]]), "x"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(call, words):
    with pytest.raises(InputError, match=words) as told:
        call()
    assert "\n" not in str(told.value)


def test_a_search_that_is_cut_says_where_it_stands():
    x = RNG.normal(size=(25, 2))
    with pytest.raises(ComputationError, match=r"lies between .* after \d+ directions"):
        max_margin(x, np.sign(x[:, 0] * x[:, 1]), max_rounds=2)


def test_the_search_beyond_three_coordinates_is_no_worse_than_training():
    """Six coordinates: a network that was trained for long has no more than half of the margin that is found."""
    x, y = wflow.systems.get("clusters", d=6, samples=30, test=0).data()
    values = [max_margin(x, y, bias=False, tolerance=1e-4, seed=s).value for s in (0, 1)]
    assert values[0] == pytest.approx(values[1], rel=0.01)
    trained = trained_margin(x, y, 200, bias=False, n_steps=6000, precision="single").value
    assert 0.8 * min(values) < 2 * trained < min(values)


def test_searches_of_more_coordinates_find_what_the_exact_one_does():
    """Three coordinates written in five are exact; ascent comes close (0.6% without those it holds)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    best = max_margin(x, y, bias=False).value
    # A fourth coordinate that tells nothing, too small to help: pricing is a search now.
    more = np.concatenate([x, 1e-9 * rng.normal(size=(30, 1))], axis=1)
    found = max_margin(more, y, bias=False)
    assert np.isinf(found.upper)
    assert best * (1 - 3e-3) < found.value < best * (1 + 1e-6)


@pytest.mark.parametrize(
    "x, bias",
    [
        (LINE, False),
        (1e-145 * LINE, True),
        (np.zeros((4, 5)), False),
        (np.zeros((4, 5)), True),
        (LINE * [1.0, 2.0, -1.0, 0.5, 3.0], False),
    ],
    ids=["a line", "tiny", "zero", "one input", "one line in five coordinates"],
)
def test_samples_that_nothing_tells_apart_have_a_margin_of_0_that_is_proved(x, bias):
    found = max_margin(x, [-1, -1, 1, -1], bias=bias)
    assert found.value <= found.upper < 1e-13


def test_a_bound_of_a_plane_in_more_coordinates_is_that_of_the_plane():
    """Where directions are priced exactly, the dual's own weights are priced, not a mean of them and others."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(8, 2)), np.array([1.0, -1, 1, 1, -1, 1, -1, 1])
    flat = max_margin(x, y, bias=False)
    more = max_margin(np.concatenate([x, np.zeros((8, 3))], axis=1), y, bias=False)
    for found in (flat, more):
        assert found.value <= found.upper <= found.value * (1 + 2e-6) + 1e-13
    assert more.value == pytest.approx(flat.value, rel=2e-6, abs=1e-13)


def test_a_margin_of_near_samples_is_found_or_told_with_its_bounds():
    """Gains 1e7 times the margin: programmes in units of the margin fail."""
    x, y = np.random.default_rng(5).normal(size=(8, 1)), np.array([1, -1, 1, 1, -1, 1, -1, 1])
    x, y = np.concatenate([x, x + 1e-6]), np.concatenate([y, -y])
    with pytest.raises(ComputationError, match=r"the margin lies between 2\.99.*e-08 and"):
        max_margin(x, y)
    found = max_margin(x, y, tolerance=1e-3)
    assert 0 < found.value <= found.upper <= found.value * 1.01


def test_inputs_are_named_as_they_are_given():
    for call in (max_margin, trained_margin):
        with pytest.raises(InputError, match=r"^x\[0, 0\] is nan"):
            call([np.nan], [1.0])
