"""Networks of Gaussian bumps: the definition, gradients, blocks, coordinates and bad input."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from wflow.energies import FeatureEnergy
from wflow.energies.features import rbf
from wflow.energies.features.rbf import RbfFeatures
from wflow.errors import InputError


def example(n, q, d, seed=0, **options):
    rng = np.random.default_rng(seed)
    features = RbfFeatures(rng.standard_normal((q, d)), **options)
    theta = rng.standard_normal((n, features.dimension))
    return features, theta, rng.random(n), rng.standard_normal(q)


def values(features, theta):
    """σ*(x_q; θ_i) (n, Q) from the definition, for numpy and autograd."""
    charges, y = (theta[:, :1], theta[:, 1:]) if features.charges else (1.0, theta)
    square = anp.sum((y[:, None, :] - features.nodes[None]) ** 2, axis=2)
    v = 1 / features.kappa
    amplitude = (2 * np.pi * v) ** (-features.nodes.shape[1] / 2) if features.normalised else 1.0
    return charges * amplitude * anp.exp(-square / (2 * v))


@pytest.mark.parametrize("charges", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("n,q,d", [(1, 1, 1), (40, 23, 1), (17, 31, 2), (9, 12, 7)])
def test_against_the_definition_and_automatic_differentiation(charges, normalised, n, q, d):
    features, theta, weights, c = example(
        n, q, d, variance=0.7, charges=charges, normalised=normalised
    )
    prepared = features.prepare(theta)
    value = values(features, theta)
    np.testing.assert_allclose(prepared.predict(weights), weights @ value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(prepared.potential(c), value @ c, rtol=1e-12, atol=1e-14)
    exact = grad(lambda points: anp.sum(anp.dot(values(features, points), c)))(theta)
    np.testing.assert_allclose(prepared.gradient(c), exact, rtol=1e-9, atol=1e-13)


def test_far_from_the_origin_distances_keep_their_digits():
    features, theta, weights, c = example(8, 6, 2, kappa=3.0)
    moved = RbfFeatures(features.nodes + 1024.0, kappa=3.0)
    there = theta + np.array([0.0, 1024.0, 1024.0])
    # 1024 + x is rounded by 1e-13; squares of 1024 would cost another factor of 1e3.
    for one, other in (
        (moved.prepare(there).predict(weights), features.prepare(theta).predict(weights)),
        (moved.prepare(there).potential(c), features.prepare(theta).potential(c)),
        (moved.prepare(there).gradient(c), features.prepare(theta).gradient(c)),
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-12)


def test_a_normalised_bump_has_integral_one():
    x = np.linspace(-10, 10, 2001)
    features = RbfFeatures(x, variance=0.5, normalised=True)
    bump = features.prepare(np.array([[1.0, 0.3]])).predict(np.ones(1))
    assert bump.sum() * 0.01 == pytest.approx(1.0, rel=1e-12)


def test_blocks_do_not_change_the_answer(monkeypatch):
    features, theta, weights, c = example(50, 40, 2, kappa=1.0)
    whole = features.prepare(theta)
    monkeypatch.setattr(rbf, "BLOCK_ENTRIES", 120)
    blocked = features.prepare(theta)
    np.testing.assert_allclose(blocked.predict(weights), whole.predict(weights), rtol=1e-13)
    np.testing.assert_allclose(blocked.potential(c), whole.potential(c), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(blocked.gradient(c), whole.gradient(c), rtol=1e-12, atol=1e-14)


def test_a_batch_forms_its_bumps_once():
    """Outputs and gradient of 64 bumps at 4096 samples: one pass over the pairs, not one each."""
    features, theta, weights, c = example(64, 4096, 3, kappa=1.0)
    formed = []

    def counted(y, x, once=features.bumps):
        formed.append(y.shape[0])
        return once(y, x)

    features.bumps = counted
    prepared = features.prepare(theta)
    prepared.predict(weights)
    prepared.gradient(c)
    assert formed == [64]


@pytest.mark.parametrize("m, n, d", [(1, 1, 1), (3, 511, 2), (2, 513, 5), (4, 1030, 25)])
def test_bumps_as_numpy_forms_them(m, n, d):
    """The ends of the chunks that a pass is made in; nodes that are not a number stay so."""
    rng = np.random.default_rng(4)
    features = RbfFeatures(rng.standard_normal((n, d)), kappa=0.3, normalised=True)
    y = 3.0 * rng.standard_normal((m, d))
    square = ((y[:, None] - features.nodes) ** 2).sum(axis=2)
    exact = features.amplitude * np.exp(-0.15 * square)
    np.testing.assert_allclose(features.bumps(y, features.nodes), exact, rtol=1e-13)
    y[0, 0] = np.nan
    assert np.isnan(features.bumps(y, features.nodes)[0]).all()


def test_bumps_far_away_underflow_in_silence():
    prepared = RbfFeatures([[0.0]], kappa=1.0).prepare(np.array([[1.0, 38.0], [1.0, 1e3]]))
    assert 0 <= prepared.predict(np.ones(2))[0] < 1e-300
    assert np.abs(prepared.gradient(np.ones(1))).max() < 1e-300


def test_as_the_features_of_an_energy():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20, 2))
    energy = FeatureEnergy(features=RbfFeatures(x, 2.0), targets=rng.standard_normal(20))
    theta, w = rng.standard_normal((5, 3)), rng.random(5)

    def risk(points):
        f = anp.dot(w, values(energy.features, points))
        return anp.mean((energy.targets - f) ** 2)

    half = grad(risk)(theta) / (2 * w[:, None])
    np.testing.assert_allclose(
        energy.prepare(theta).field(w).gradient(), half, rtol=1e-9, atol=1e-13
    )


def test_coordinates_and_fingerprints():
    assert RbfFeatures([0.0, 1.0], 2.0).coordinates == ("c", "y")
    assert RbfFeatures([[0.0, 1.0]], 2.0, charges=False).coordinates == ("y1", "y2")
    assert RbfFeatures([[0.0, 1.0]], 2.0, charge_name="a").coordinates == ("a", "y1", "y2")
    assert RbfFeatures([0.0], variance=0.5).kappa == 2.0
    prints = {
        RbfFeatures([0.0], 2.0, **options).fingerprint()
        for options in ({}, {"charges": False}, {"normalised": True})
    }
    prints |= {RbfFeatures([0.0], 3.0).fingerprint(), RbfFeatures([1.0], 2.0).fingerprint()}
    assert len(prints) == 5


@pytest.mark.parametrize(
    "arguments,options,message",
    [
        (([0.0],), {}, "exactly one"),
        (([0.0], 1.0), {"variance": 1.0}, "exactly one"),
        (([0.0], -1.0), {}, "kappa = -1: must be positive"),
        (([0.0],), {"variance": np.inf}, "variance = inf: must be positive and finite"),
        (([0.0], "wide"), {}, "kappa = 'wide': give a positive number"),
        (([np.nan], 1.0), {}, r"nodes\[0, 0\] is nan: finite values only"),
        (("text", 1.0), {}, "nodes is not an array of real numbers"),
        (([], 1.0), {}, "expected"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, options, message):
    with pytest.raises(InputError, match=message) as caught:
        RbfFeatures(*arguments, **options)
    assert "\n" not in str(caught.value)
