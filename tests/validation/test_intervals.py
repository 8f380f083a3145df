"""Intervals of means and deviations miss about as often as they say, also of skewed numbers."""

import numpy as np
import pytest

from wflow.validation.intervals import LEVEL, deviation_band, excess_kurtosis, reaches, student

COUNT = 40_000


def missed_by_student(values, mean):
    error = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return np.mean(np.abs(values.mean(axis=-1) - mean) > student(values.shape[-1] - 1) * error)


def missed(values, mean):
    down, up = reaches(values)
    at = values.mean(axis=-1)
    return np.mean((at - down > mean) | (at + up < mean))


@pytest.mark.parametrize(
    "n, law, mean, most",
    [
        (8, lambda rng, size: rng.standard_normal(size), 0.0, 1.0),
        (32, lambda rng, size: rng.standard_normal(size), 0.0, 1.0),
        (8, lambda rng, size: rng.exponential(size=size), 1.0, 8.0),
        (32, lambda rng, size: rng.exponential(size=size), 1.0, 2.0),
        (32, lambda rng, size: rng.chisquare(1, size), 1.0, 3.0),
        (32, lambda rng, size: rng.lognormal(0, 1, size), np.exp(0.5), 6.0),
    ],
    ids=["normal, 8", "normal", "exponential, 8", "exponential", "chi-square", "lognormal"],
)
def test_the_interval_of_a_mean_covers_it(n, law, mean, most):
    """In units of LEVEL; Student's own misses 9, 17 and 27 times as often for 32 of the last three."""
    values = law(np.random.default_rng(1), (COUNT, n))
    chance = 3 * np.sqrt(most * LEVEL / COUNT)
    share = missed(values, mean)
    assert share <= most * LEVEL + chance
    if most > 1.0:
        assert share < missed_by_student(values, mean) / 2


def test_it_is_wider_on_the_side_of_the_long_tail_and_never_narrower_than_students():
    values = np.random.default_rng(0).exponential(size=(50, 8))
    down, up = reaches(values)
    least = student(7) * values.std(axis=1, ddof=1) / np.sqrt(8)
    assert (up >= least * (1 - 1e-4)).all()
    assert (down >= least * (1 - 1e-4)).all()
    assert np.median(up / down) > 1.5
    other = reaches(-values)
    np.testing.assert_allclose(other, (up, down), rtol=1e-9)
    # The same whatever the unit, and nothing of numbers that are all the same.
    np.testing.assert_allclose(reaches(1e-9 * values), (1e-9 * down, 1e-9 * up), rtol=1e-6)
    assert reaches(np.ones(8)) == (0.0, 0.0)


@pytest.mark.parametrize(
    "law, deviation, most, before",
    [
        (lambda rng, size: rng.standard_normal(size), 1.0, 1.0, 0.9),
        (lambda rng, size: rng.lognormal(0, 0.5, size), 0.6039, 8.0, 20.0),
        (lambda rng, size: rng.exponential(size=size), 1.0, 8.0, 20.0),
    ],
    ids=["normal", "lognormal", "exponential"],
)
def test_the_interval_of_a_deviation_presumes_no_normal_law(law, deviation, most, before):
    """8 numbers and 4 × 32 more of their kind, in units of LEVEL; by χ² alone it misses ``before``, or more."""
    rng, count = np.random.default_rng(2), 3000
    few, like = law(rng, (count, 8)), law(rng, (count, 4, 32))
    bands = np.array([deviation_band(*both) for both in zip(few, like, strict=True)])
    share = np.mean((bands[:, 0] > deviation) | (bands[:, 1] < deviation))
    assert share <= most * LEVEL + 3 * np.sqrt(most * LEVEL / count)
    if most > 1.0:
        s, normal = few.std(axis=1, ddof=1), np.array([-1.0, 1.0] * 4)
        low, high = np.array(deviation_band(normal)) / normal.std(ddof=1)
        assert np.mean((low * s > deviation) | (high * s < deviation)) > before * LEVEL


def test_kurtosis_is_that_of_groups_about_their_own_means():
    rng = np.random.default_rng(0)
    scale = np.array([[1.0], [30.0], [1e-5]])
    normal = 5.0 * scale + scale * rng.standard_normal((3, 4000))
    assert excess_kurtosis(normal) == pytest.approx(0.0, abs=0.1)
    assert excess_kurtosis(rng.exponential(size=(40, 4000))) == pytest.approx(6.0, abs=0.5)
    assert excess_kurtosis(np.ones((2, 8))) == excess_kurtosis(np.ones((2, 3))) == 0.0
