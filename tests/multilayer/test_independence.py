"""The test of independence: uniform where it holds, and it sees what neurons put into the mean of their weights."""

import numpy as np
import pytest
from scipy.stats import kstest

from wflow.errors import InputError
from wflow.multilayer import independence

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("law", ["normal", "exponential", "cauchy"])
def test_uniform_under_one_law_of_all_entries(law):
    draw = {
        "normal": RNG.standard_normal,
        "exponential": RNG.standard_exponential,
        "cauchy": RNG.standard_cauchy,
    }[law]
    p = independence(draw((1600, 1600)), size=8, draws=99)
    assert p.shape == (200,)
    assert kstest(p, "uniform").pvalue > 1e-3
    assert p.min() >= 1 / 100


@pytest.mark.parametrize("axis", [0, 1])
def test_what_rows_or_columns_share_is_seen(axis):
    w = RNG.normal(size=(320, 320)) + 0.7 * np.expand_dims(RNG.normal(size=320), axis)
    p = independence(w, draws=199)
    assert (p < 0.05).mean() > 0.7
    # What they share at the order 1/√N is not, as it has to be.
    small = RNG.normal(size=(320, 320)) + np.expand_dims(RNG.normal(size=320), axis) / np.sqrt(320)
    assert (independence(small, draws=199) < 0.05).mean() < 0.4


def test_products_without_means_are_hardly_seen():
    """w = a_j b_k depends on both neurons, but rows and columns share in mean what their block's a and b are off 0."""
    a, b = RNG.normal(size=(2, 640))
    assert 0.1 < (independence(np.outer(a, b), draws=199) < 0.05).mean() < 0.6
    a, b = (v - np.repeat(v.reshape(-1, 16).mean(axis=1), 16) for v in (a, b))
    assert independence(np.outer(a, b), draws=199).min() > 0.9


def test_neither_scale_nor_place_nor_size_of_the_rest_matters():
    w = RNG.normal(size=(50, 70))
    p = independence(w, draws=99, seed=3)
    assert p.shape == (3,)
    np.testing.assert_array_equal(p, independence(2.0**400 * w, draws=99, seed=3))
    np.testing.assert_array_equal(p[:1], independence(w[:16, :16], draws=99, seed=3))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: independence(np.ones(3)), r"matrix has shape \(3,\): give the weights"),
        (lambda: independence(np.ones((8, 30))), r"size = 16 and the matrix is of shape \(8, 30\)"),
        (lambda: independence(np.ones((8, 8)), size=1), "size = 1"),
        (lambda: independence(np.ones((8, 8)), size=4), r"matrix\[0:4, 0:4\] is 1 throughout"),
        (lambda: independence(np.eye(4), 2, draws=10**17), "draws = 100000000000000000 needs"),
    ],
)
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)
