"""Clusters in a plane that two classes share (SYSTEMS D5): the law of the data, golden run, SGD, requests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wflow
from wflow.errors import InputError

GOLDEN = [0.69987023, 0.55323507, 0.24744633]
"""Risks at t = 0, 5, 20; descent of step h comes to them like h, as far as h = 0.01."""


def get(**given):
    return wflow.systems.get("clusters", **given)


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(2, 6),
    d=st.integers(3, 8),
    samples=st.integers(1, 300),
    seed=st.integers(0, 2**31),
    bias=st.sampled_from(["yes", "no"]),
)
def test_the_law_of_the_data(k, d, samples, seed, bias):
    """Every point lies within Δ of one centre, which has its label; ⌊k²/2⌋ clusters are negative."""
    system = get(k=k, d=d, samples=samples, test=10, data_seed=seed, bias=bias)
    labels, centres, gap = system.labels(), system.centres(), 1 / (3 * k - 1)
    assert (labels < 0).sum() == k**2 // 2
    assert np.isin(labels, (-1.0, 1.0)).all()
    sides = np.unique(centres[:, 0])
    np.testing.assert_allclose(sides, gap * (1 + 3 * np.arange(k)) - 0.5, atol=1e-15)
    for x, y in (system.data(), system.held_out()):
        assert x.shape == (len(y), d if bias == "yes" else d - 1)
        if bias == "yes":
            assert (x[:, 0] == 1.0).all()
            x = x[:, 1:]
        off = np.linalg.norm(x[:, None, :2] - centres, axis=2)
        near = off.argmin(axis=1)
        assert off.min(axis=1).max(initial=0.0) <= gap
        np.testing.assert_array_equal(y, labels[near])
        assert np.abs(x).max() <= 0.5
    # Points of different clusters are Δ apart: rounding aside, none is nearer to another centre than 2Δ.
    assert np.sort(off, axis=1)[:, 1].min() >= 2 * gap * (1 - 1e-12)


def test_radii_angles_and_clusters_are_uniform():
    """Kolmogorov and Smirnov, and χ² over the clusters, of 20,000 points."""
    system = get(k=4, d=5, samples=20_000, test=0)
    x, centres = system.data()[0], system.centres()
    off = x[:, None, 1:3] - centres
    size = np.linalg.norm(off, axis=2)
    near = size.argmin(axis=1)
    own = off[np.arange(len(x)), near]
    gap = system.spacing
    chance = [
        stats.kstest(np.linalg.norm(own, axis=1) / gap, "uniform").pvalue,
        stats.kstest(np.arctan2(own[:, 1], own[:, 0]) / (2 * np.pi) % 1.0, "uniform").pvalue,
        stats.kstest(x[:, 4] + 0.5, "uniform").pvalue,
        stats.chisquare(np.bincount(near, minlength=16)).pvalue,
    ]
    assert min(chance) > 1e-3
    assert abs(np.corrcoef(np.linalg.norm(own, axis=1), x[:, 3])[0, 1]) < 0.03


def test_fewer_samples_are_a_prefix_and_test_points_are_others():
    few, many = get(samples=20, test=5), get(samples=50, test=50)
    np.testing.assert_array_equal(few.data()[0], many.data()[0][:20])
    np.testing.assert_array_equal(few.held_out()[0], many.held_out()[0][:5])
    assert not np.isin(many.held_out()[0][:, 1], many.data()[0][:, 1]).any()
    other = get(samples=20, data_seed=1)
    assert not np.array_equal(few.data()[0], other.data()[0])
    assert get(test=0).held_out() is None
    # Without the constant the points are the same.
    np.testing.assert_array_equal(get(samples=20, bias="no").data()[0], few.data()[0][:, 1:])


def test_golden_run(invariants):
    system = get(d=3, samples=40, test=100)
    start = system.initial("particles", 60)
    assert start.names == ("a", "w1", "w2", "w3")
    sol = wflow.solve(system.flow(), start, (0, 20), t_eval=[0.0, 5.0, 20.0], rtol=1e-5)
    invariants(sol)
    assert np.abs(sol.risk - GOLDEN).max() < 4e-5
    x, y = system.held_out()
    theta = sol.measures[-1].points()
    f = np.maximum(x @ theta[:, 1:].T, 0.0) @ theta[:, 0] / 60
    assert sol.series["test_accuracy"][-1] == pytest.approx(np.mean(np.sign(f) == y), rel=1e-12)
    assert sol.series["test_risk"][-1] == pytest.approx(np.log1p(np.exp(-y * f)).mean(), rel=1e-12)
    # Units are homogeneous of degree 2 and layers balanced: a² − |w|² of every neuron stays.
    first = start.points()
    kept = [p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1) for p in (first, theta)]
    np.testing.assert_allclose(kept[1], kept[0], atol=1e-4 * np.abs(kept[0]).max())


def test_sgd_follows_the_flow():
    system = get(d=3, samples=40, test=0)
    start = system.initial("particles", 60)
    times = [0.0, 5.0, 20.0]
    flow = wflow.solve(system.flow(), start, (0, 20), t_eval=times, rtol=1e-5)
    off = []
    for step in (0.08, 0.02):
        run = wflow.networks.sgd(
            system,
            initial=start,
            step_size=step,
            n_steps=round(20 / step),
            t_eval=times,
            batch_size="full",
        )
        off.append(np.abs(run.risk - flow.risk).max())
    assert off[1] < 5e-4
    # Descent with the whole batch is Euler's method; where neurons pass samples the order is no more than observed.
    assert off[1] < off[0] / 3


def test_one_sample_at_a_time_and_epochs():
    system = get(d=4, samples=30, test=0)
    for order in ({}, {"epochs": 3, "replacement": False, "n_steps": None}):
        run = wflow.networks.sgd(
            system, **{"n_neurons": 50, "step_size": 0.05, "n_steps": 600, "batch_size": 2} | order
        )
        assert run.measures[-1].points().shape == (50, 5)
        assert np.isfinite(run.risk).all()
    wide = system.network().start(200, 3)
    np.testing.assert_array_equal(system.network().start(50, 3), wide[:50])
    doubled = get(d=4, kappa=2.0).network().start(200, 3)
    np.testing.assert_array_equal(doubled[:, 1:], 2 * wide[:, 1:])


@pytest.mark.parametrize(
    "given, line",
    [
        ({"k": 1}, "k"),
        ({"d": 2}, "d"),
        ({"samples": 0}, "samples"),
        ({"samples": 10**14}, "samples = 100000000000000"),
        ({"test": 10**14}, "test = 100000000000000"),
        ({"k": 10**8}, "k"),
        ({"bias": "maybe"}, "bias"),
        ({"kappa": 0.0}, "kappa"),
        ({"measure": "grid"}, "belongs to the start"),
    ],
)
def test_wrong_requests(given, line):
    with pytest.raises(InputError, match=line):
        get(**given).data()
