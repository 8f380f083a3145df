"""Powers through four widths: told from the next order where the widths show it, and as open as they leave them."""

import numpy as np
import pytest

from wflow.validation.exponents import NEXT, line, power, slope

N = np.array([16, 32, 64, 128])
X = 16 / N


def networks(beta, p=-0.5, chance=0.05, seed=0):
    """A mean of 32 seeds at each width, ‖f_N − f‖ say, and 400 draws of it."""
    rng = np.random.default_rng(seed)
    y = N[:, None] ** p * np.exp(beta * X[:, None])
    seen = y * rng.lognormal(0, chance, (4, 1))
    return seen, seen * rng.lognormal(0, chance, (400, 4, 1))


def test_the_error_is_that_of_the_fit_with_what_is_known_of_the_next_order():
    seen, drawn = networks(0.0)
    rows = np.vstack([np.stack([np.ones(4), np.log(N), X], axis=1) / 0.05, [0.0, 0.0, 1 / NEXT]])
    exact = np.sqrt(np.linalg.inv(rows.T @ rows)[1, 1])
    fit = power(N, seen, drawn)
    assert fit.error == pytest.approx(exact, rel=0.1)
    assert not fit.bent
    short = line(N, seen, drawn)
    assert short.value == pytest.approx(slope(N, seen), abs=0.01)
    assert short.error == pytest.approx(0.05 / np.log(2) / np.sqrt(5), rel=0.1)


@pytest.mark.parametrize("beta", [0.0, 0.2, 0.5, 1.0, 2.0])
def test_a_bent_line_is_no_other_power(beta):
    """A line alone would miss −½ by four tenths of β: 200 studies, each held to 1 in 1000."""
    missed = []
    for seed in range(200):
        fit = power(N, *networks(beta, chance=0.04, seed=seed))
        down, up = fit.reach(31)
        missed.append(not fit.value - down <= -0.5 + 0.05 or not fit.value + up >= -0.5 - 0.05)
    assert np.mean(missed) <= 0.03
    assert slope(N, networks(beta, chance=0.0)[0]) == pytest.approx(-0.5 - 0.415 * beta, abs=1e-3)


def test_another_power_is_seen():
    """N^−0.2 in place of N^−½, straight or bent, by widths that tell it."""
    for beta in (0.0, 1.0):
        fit = power(N, *networks(beta, p=-0.2, chance=0.01))
        assert fit.bent is bool(beta)
        assert fit.value - fit.reach(31)[0] > -0.45
