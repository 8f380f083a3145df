"""The 3-spin error over widths: free charges fall faster than 1/n, fixed ones stall, random centres lie between."""

import dataclasses
import math

import numpy as np
import pytest

import wflow
from wflow.errors import InputError
from wflow.systems.spherical_3_spin import SphericalThreeSpin
from wflow.validation.widths import (
    ErrorAgainstN,
    error,
    error_against_n,
    flowed,
    fresh,
    gap,
    optimal_charges,
)

SMALL = {
    "neurons": [8, 16],
    "seeds": 2,
    "horizon": 1e4,
    "times": (100.0,),
    "sgd_neurons": [8, 16],
    "sgd_horizon": 25.0,
}


@pytest.fixture(scope="module")
def small():
    return error_against_n(5, **SMALL, workers=2)


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
    known = ErrorAgainstN(5, "rbf", 3.0, 50.0, n, np.empty(0), np.empty((0, 3, 2)), errors)
    fit, low, high = known.slope("free")
    assert fit == pytest.approx(-2.0)
    # Two fits, one degree of freedom: Student's t is tan(0.475π), the standard error of −1 and −3 is 1.
    assert (low, high) == pytest.approx(
        (-2 - math.tan(0.475 * math.pi), -2 + math.tan(0.475 * math.pi))
    )
    lowest, highest = known.band("free")
    np.testing.assert_allclose(lowest, [1 / 4, 1 / 32, 1 / 256])
    np.testing.assert_allclose(highest, [1.0, 1 / 2, 1 / 4])
    assert known.findings() == [
        "rbf, d = 5, free: 1.27e-01 |f|^2 at n = 8, error ~ n^-2.00 (95% over starts -14.71 … 10.71)"
    ]
    few = dataclasses.replace(known, neurons=n[:2], errors={"free": errors["free"][:2]})
    with pytest.raises(InputError, match="a slope of 'free' needs at least three sizes"):
        few.slope("free")
    assert few.findings() == ["rbf, d = 5, free: 2.66e-01 |f|^2 at n = 4"]
    # Where errors are 8 times as large, the widest is half a target away.
    far = ErrorAgainstN(
        5, "rbf", 3.0, 50.0, n, np.empty(0), np.empty((0, 3, 2)), {"free": 8 * errors["free"]}
    )
    assert far.findings()[0].endswith("; no width is near the target at t = 50 yet")
    assert known.envelope("free") == pytest.approx(1.25)  # at n = 2
    assert known.envelope("free") == pytest.approx(2 * known.mean("free")[0])


def test_early_the_error_is_the_limits_whatever_n(small):
    early = small.course[0].mean(axis=1) / small.scale
    assert early[0] == pytest.approx(early[1], rel=0.1)
    assert (small.mean("free") < 0.5 * early).all()


def test_a_quench_brings_sgd_nearer_to_its_flow(small):
    assert (small.errors["quenched SGD"] < small.errors["SGD"]).all()
    assert small.mean("SGD").max() < 0.03
    again = SphericalThreeSpin(d=5)
    networks = [flowed(again, 8, seed, (25.0,), 1e-3).measures[-1] for seed in (0, 1)]
    assert gap(again, networks[0], networks[0]) == 0.0
    # Closed: qᵀKq of both networks' units together, those of the second one subtracted.
    c, y = again.energy().split(np.concatenate([m.points() for m in networks]))
    q = np.concatenate([c[:8], -c[8:]]) / 8
    exact = q @ again.energy().kernel.matrix(y, y) @ q
    assert gap(again, *networks) == pytest.approx(exact, rel=0.05)


def test_threads_do_not_change_a_bit(small):
    again = error_against_n(5, **SMALL, workers=1)
    for kind, e in small.errors.items():
        assert np.array_equal(e, again.errors[kind]), kind
    assert np.array_equal(small.course, again.course)


def test_sigmoids_are_measured_where_they_were_not_trained():
    found = error_against_n(4, unit="sigmoid", neurons=[4, 8], seeds=1, nodes=128, horizon=300.0)
    assert list(found.errors) == ["free", "fixed"]
    assert (found.errors["free"][1] < found.errors["free"][0]).all()
    assert (found.mean("fixed") > found.mean("free")).all()
    system = SphericalThreeSpin(d=4, unit="sigmoid", nodes=32768)
    nodes, seen = system.energy().features.nodes, fresh(4)
    assert not {row.tobytes() for row in nodes} & {row.tobytes() for row in seen}
    assert np.linalg.norm(seen, axis=1) == pytest.approx(2.0)
    zero = wflow.Particles(np.zeros((1, 6)))
    assert error(system, zero) == pytest.approx(system.form().square_norm(), rel=0.05)


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


def test_the_table_names_what_it_shows(small):
    text = small.table()
    for part in ("d = 5", "rbf", "T = 10000", "2 seeds", "rbf, d = 5, free: "):
        assert part in text


@pytest.mark.parametrize(
    "given, named",
    [
        ({"neurons": []}, "neurons"),
        ({"neurons": [0]}, "neurons = 0"),
        ({"seeds": 0}, "seeds = 0"),
        ({"horizon": -1.0}, "horizon"),
        ({"sgd_horizon": 0.0}, "sgd_horizon"),
        ({"unit": "relu"}, "unit"),
    ],
)
def test_bad_input_is_named(given, named):
    with pytest.raises(InputError, match=named):
        error_against_n(5, **given)


def test_an_unknown_kind_is_named(small):
    with pytest.raises(InputError, match="kind 'other'"):
        small.mean("other")


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit, d, sizes", [("rbf", 5, (16, 32, 64)), ("sigmoid", 5, (8, 16, 32)), ("rbf", 10, (16, 32))]
)
def test_the_published_fall(unit, d, sizes):
    """At T = 10⁶, by the flow alone; some 30 s."""
    found = error_against_n(d, unit=unit, neurons=sizes, seeds=2, nodes=2048)
    free = found.errors["free"] * found.neurons[:, None]
    assert (np.diff(free, axis=0) < 0).all(), "n × error rises: slower than 1/n"
    assert len(sizes) < 3 or found.slope("free")[0] < -1.0
    assert (found.mean("fixed") > 0.8).all()
