"""The 3-spin error over widths: free charges fall faster than 1/n, fixed ones stall, random centres lie between."""

import math

import numpy as np
import pytest

import wflow
from wflow.errors import InputError
from wflow.validation.widths import ErrorAgainstN, descend, error_against_n, optimal_charges


@pytest.fixture(scope="module")
def small():
    return error_against_n(
        5, neurons=[16, 64], seeds=2, horizon=50.0, evaluations=200, sgd_neurons=[16], workers=2
    )


def test_free_charges_fall_faster_than_one_over_n_and_fixed_ones_stall(small):
    # Two seeds leave Student's t wide: the claim is about both of them.
    each = small.errors["free"]
    assert (each[1] < each[0] * small.neurons[0] / small.neurons[1]).all()
    assert (small.mean("fixed") > 0.9).all()
    assert (small.mean("free") < small.mean("random centres")).all()
    assert (small.mean("random centres") < small.mean("fixed")).all()


def test_slope_band_and_envelope_of_known_errors():
    """Errors 6/n and 6/n³ at n = 2, 4, 8, ‖f‖² = 3: slopes −1 and −3, means (1 + 1/n²)/n."""
    n = np.array([2, 4, 8])
    errors = {"free": np.stack([6.0 / n, 6.0 / n**3], axis=1)}
    known = ErrorAgainstN(5, 1.0, 3.0, 50.0, 200, n, errors)
    fit, low, high = known.slope("free")
    assert fit == pytest.approx(-2.0)
    # Two fits, one degree of freedom: Student's t is tan(0.475π), the standard error of −1 and −3 is 1.
    assert (low, high) == pytest.approx(
        (-2 - math.tan(0.475 * math.pi), -2 + math.tan(0.475 * math.pi))
    )
    lowest, highest = known.band("free")
    np.testing.assert_allclose(lowest, [1 / 4, 1 / 32, 1 / 256])
    np.testing.assert_allclose(highest, [1.0, 1 / 2, 1 / 4])
    assert known.envelope("free") == pytest.approx(1.25)  # at n = 2
    assert known.envelope("free") == pytest.approx(2 * known.mean("free")[0])


def test_at_the_horizon_the_error_is_the_limits_whatever_n(small):
    at_t = small.mean("free at T")
    assert at_t[0] == pytest.approx(at_t[1], rel=0.1)
    assert (small.mean("free") < 0.1 * at_t).all()
    # SGD with batches of n² ends where its flow does.
    gap = small.errors["SGD at T"][0] - small.errors["free at T"][0]
    assert np.abs(gap).max() < 0.03 * small.scale
    assert np.isnan(small.errors["SGD at T"][1]).all()


def test_threads_do_not_change_a_bit(small):
    again = error_against_n(
        5, neurons=[16, 64], seeds=2, horizon=50.0, evaluations=200, sgd_neurons=[16], workers=1
    )
    for kind, e in small.errors.items():
        assert np.array_equal(e, again.errors[kind], equal_nan=True), kind


def test_optimal_charges_solve_the_quadratic_problem():
    system = wflow.systems.get("spherical-3-spin", d=4)
    energy, centres = system.energy(), system.draw(12, 3)[:, 1:]
    best = optimal_charges(energy, centres)
    matrix = energy.kernel.matrix(centres, centres)
    charges = 12 * np.linalg.solve(matrix, energy.target.values(centres))
    theta = np.column_stack([charges, centres])
    field = energy.prepare(theta).field(np.full(12, 1 / 12))
    assert best == pytest.approx(field.risk, rel=1e-8)
    assert np.abs(field.gradient()[:, 0]).max() < 1e-9 * np.abs(energy.target.values(centres)).max()


def test_the_descent_stays_below_its_start_and_keeps_fixed_charges():
    system = wflow.systems.get("spherical-3-spin", d=4)
    theta = system.draw(10, 0)
    weights = np.full(10, 0.1)
    start = system.energy().prepare(theta).field(weights).risk
    for fixed in (False, True):
        risk, after = descend(system.energy(), theta, 40, fixed_charges=fixed)
        assert risk == pytest.approx(system.energy().prepare(after).field(weights).risk, rel=1e-10)
        assert risk < start
        assert (after[:, 0] == theta[:, 0]).all() == fixed


def test_the_table_names_what_it_shows(small):
    text = small.table()
    for part in ("d = 5", "kappa = 1", "T = 50", "200 evaluations", "slope in n, free"):
        assert part in text


@pytest.mark.parametrize(
    "given, named",
    [
        ({"neurons": []}, "neurons"),
        ({"neurons": [0]}, "neurons = 0"),
        ({"seeds": 0}, "seeds = 0"),
        ({"horizon": -1.0}, "horizon"),
    ],
)
def test_bad_input_is_named(given, named):
    with pytest.raises(InputError, match=named):
        error_against_n(5, **given)
    with pytest.raises(InputError, match="kind 'other'"):
        error_against_n(5, neurons=[4], seeds=1, horizon=1.0, evaluations=4, sgd_neurons=()).mean(
            "other"
        )


@pytest.mark.slow
@pytest.mark.parametrize("d, sizes", [(5, (16, 32, 64, 128)), (25, (64, 128, 256))])
def test_the_published_fall(d, sizes):
    """About a minute. At d = 25 the fall sets in beyond n = 64, which are too few for a cubic form of 2925 entries."""
    found = error_against_n(d, neurons=sizes, seeds=2, sgd_neurons=())
    free = found.errors["free"] * found.neurons[:, None]
    assert (np.diff(free, axis=0) < 0).all(), "n × error rises: slower than 1/n"
    assert (found.mean("fixed") > 0.9).all()
    assert (found.mean("free") < 0.8 * found.mean("random centres")).all()
