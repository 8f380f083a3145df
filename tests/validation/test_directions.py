"""What directions add to radial limits: against quadrature over angles, and against networks in full space."""

from itertools import pairwise

import numpy as np
import pytest

import wflow
from wflow.energies.features.radial import RadialProfile
from wflow.validation import fluctuations
from wflow.validation.directions import Harmonic

KNOTS = [(-0.4, 1.0), (0.5, -2.5), (1.5, 7.5)]


@pytest.mark.parametrize("degree", [1, 2, 3, 6])
def test_harmonics_are_averages_over_angles(degree):
    # P_ℓ by Rodrigues' recurrence in numpy, the average by Gauss's rule on the pieces between kinks.
    d, s = 7, np.array([0.3, 0.7, 1.3, 8.0])
    one = Harmonic(RadialProfile(KNOTS, d), degree)
    value, slope = one(s)
    x, w = np.polynomial.legendre.leggauss(40)
    for k, scale in enumerate(s):
        kinks = np.array([p / scale for p, _ in KNOTS])
        ends = np.unique(np.concatenate([[-1.0, 1.0], kinks[np.abs(kinks) < 1]]))
        at = np.concatenate([a + (b - a) * (1 + x) / 2 for a, b in pairwise(ends)])
        share = np.concatenate([(b - a) / 2 * w for a, b in pairwise(ends)])
        share *= (1 - at**2) ** ((d - 3) / 2)
        share /= share.sum()
        before, p = np.zeros_like(at), np.ones_like(at)
        for n in range(degree):
            before, p = p, ((2 * n + d - 2) * at * p - n * before) / (n + d - 2)
        sigma = np.interp(scale * at, *np.transpose(KNOTS))
        assert value[k] == pytest.approx(share @ (sigma * p), abs=1e-12)
        assert 1 / one.multiplicity == pytest.approx(share @ p**2, rel=1e-9)
    wide = 1e-6 * s
    assert slope == pytest.approx((one(s + wide)[0] - one(s - wide)[0]) / (2 * wide), abs=1e-7)


def test_a_start_is_off_by_the_variance_of_its_units():
    # One radius: N E(R_N − R) = E σ(⟨w, x⟩)² − E h(|w||x|)², by samples of x.
    system = wflow.systems.get("isotropic-gaussians", d=16, delta=0.5)
    law = wflow.Particles([[0.9]])
    found = fluctuations(system.flow(), law, [0.0])
    x, _ = system.network().samples(0, 0, 200_000)
    units = np.interp(0.9 * x[:, 0], *np.transpose(system.knots))
    energy = system.energy()
    radial = energy.weights @ energy.prepare(law.points()).field(np.ones(1)).prediction ** 2
    assert found.directions.bias[0] == pytest.approx((units**2).mean() - radial, rel=0.01)
    assert found.directions.bias == pytest.approx(found.directions.resampling_variance)
    assert found.bias[0] == pytest.approx(0.0, abs=1e-12)  # of the radius alone


def test_the_square_of_what_outputs_are_off_by_scatters():
    # One radius: N² Var |f_N − f|² = 2 E U(θ, θ')² over two directions, U centred; by samples of x.
    system = wflow.systems.get("isotropic-gaussians", d=16, delta=0.5)
    found = fluctuations(system.flow(), wflow.Particles([[0.9]]), [0.0]).directions
    x, _ = system.network().samples(0, 0, 10_000)
    w = np.random.default_rng(0).standard_normal((300, 16))
    w *= 0.9 / np.linalg.norm(w, axis=1, keepdims=True)
    units = np.interp(w @ x.T, *np.transpose(system.knots))
    units -= units.mean(axis=0)
    u = units @ units.T / x.shape[0]
    square = (u**2).sum() - np.trace(u**2)
    assert found.square_variance[0] == pytest.approx(2 * square / (300 * 299), rel=0.05)


def test_directions_lose_their_meaning_where_neurons_come_to_the_centre():
    system = wflow.systems.get("predicted-failure", d=20)
    found = fluctuations(system.flow(), system.initial("particles", n=4), [0.0, 0.001, 0.1])
    assert np.isfinite(found.directions.bias).tolist() == [True, True, False]


@pytest.mark.slow
def test_networks_are_off_their_limit_as_predicted():
    # SGD of 100 neurons with so many samples a step that their noise is nothing; the limit of radii alone says 0.
    system, t, size = (
        wflow.systems.get("isotropic-gaussians", d=16, delta=0.5),
        [0.0, 0.25, 1.0],
        100,
    )
    limit = fluctuations(system.flow(), system.initial("particles", n=200), t)
    found = fluctuations(system.flow(), system.initial("particles", n=40), t, rtol=1e-4)
    network, off = system.network(), []
    for seed in range(6):
        start = network.start(size, seed)
        run = wflow.networks.sgd(
            system,
            initial=wflow.Particles(start),
            step_size=2e-3,
            n_steps=500,
            batch_size=400,
            seed=seed,
            t_eval=t,
        )
        lucky = limit.risk_influence(network.reduce(start)).mean(axis=1)
        off.append(size * (run.risk - limit.risk - lucky))
    mean, error = np.mean(off, axis=0), np.std(off, axis=0) / np.sqrt(5)
    print(found.directions.bias, mean, error)
    assert np.all(np.abs(mean - found.directions.bias) < 3 * error)
    assert np.all(error < 0.1 * found.directions.bias)


@pytest.mark.parametrize("d", [3, float("inf")])
def test_few_and_infinitely_many_dimensions_are_refused(d):
    system = wflow.systems.get("isotropic-gaussians", d=d)
    found = fluctuations(system.flow(), system.initial("particles", n=3), [0.0])
    with pytest.raises(wflow.InputError, match="in 4 or more dimensions"):
        _ = found.directions


def test_what_has_no_radius_is_refused():
    energy = wflow.energies.FeatureEnergy("tanh", [-1.0, 1.0], [0.0, 1.0])
    found = fluctuations(wflow.GradientFlow(energy), wflow.Particles([0.5]), [0.0])
    with pytest.raises(wflow.InputError, match="what directions add is known for neurons of a"):
        _ = found.directions
