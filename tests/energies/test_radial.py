"""Radial features against brute-force quadrature, the table against the closed form, nodes against moments."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm

from wflow.energies import FeatureEnergy, RadialFeatures, RadialProfile, radial_nodes
from wflow.errors import InputError

RAMP = [(0.5, -2.5), (1.5, 7.5)]
DIP = [(0.0, -2.5), (0.5, -4.0), (1.5, 7.5)]
SHIFTED = [(-0.3, 1.0), (0.2, 2.0), (0.9, -1.0)]
RADII = np.array([0.0, 0.1, 0.25, 0.7, 1.3, 3.0, 10.0, 40.0])


def brute_force(knots, d, s):
    """E σ(sω₁) by Gauss–Legendre in the polar angle, panel by panel between the kinks."""
    k, v = np.array(knots).T
    log_c = gammaln(d / 2) - gammaln((d - 1) / 2) - 0.5 * math.log(math.pi)
    kinks = [math.asin(np.clip(a / s, -1, 1)) for a in k] if s else []
    # A high power of cos is a narrow peak: many panels around the equator.
    width = 1 / math.sqrt(d)
    inner = width * np.linspace(-9, 9, 37)
    inner = inner[np.abs(inner) < math.pi / 2]
    ends = np.unique([-math.pi / 2, *kinks, *inner, math.pi / 2])
    u, w = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for a, b in pairwise(ends):
        phi = (a + b) / 2 + (b - a) / 2 * u
        sigma = np.interp(s * np.sin(phi), k, v)
        density = np.exp(log_c + (d - 2) * np.log(np.maximum(np.cos(phi), 1e-300)))
        total += (b - a) / 2 * float(w @ (sigma * density))
    return total


@pytest.mark.parametrize("d", [2, 3, 4, 5, 13, 14, 40, 41, 320])
@pytest.mark.parametrize("knots", [RAMP, DIP, SHIFTED])
def test_features_match_brute_force(d, knots):
    exact = [brute_force(knots, d, s) for s in RADII]
    profile = RadialProfile(knots, d)
    assert profile.exact(RADII)[0] == pytest.approx(exact, abs=1e-11)
    assert profile(RADII)[0] == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("knots", [RAMP, DIP, SHIFTED])
def test_one_dimension_is_the_even_part(knots):
    k, v = np.array(knots).T
    even = 0.5 * (np.interp(RADII, k, v) + np.interp(-RADII, k, v))
    assert RadialProfile(knots, 1)(RADII)[0] == pytest.approx(even, abs=1e-13)


@pytest.mark.parametrize("knots", [RAMP, DIP, SHIFTED])
def test_infinite_dimension_is_a_gaussian_average(knots):
    k, v = np.array(knots).T
    for s in RADII[1:]:
        ends = np.unique(np.clip([-12, *(k / s), *np.linspace(-12, 12, 49), 12], -12, 12))
        u, w = np.polynomial.legendre.leggauss(30)
        total = 0.0
        for a, b in pairwise(ends):
            g = (a + b) / 2 + (b - a) / 2 * u
            total += (b - a) / 2 * float(w @ (np.interp(s * g, k, v) * norm.pdf(g)))
        assert RadialProfile(knots, math.inf)(np.array([s]))[0][0] == pytest.approx(
            total, abs=1e-11
        )


@pytest.mark.parametrize("d", [2, 3, 7, 14, 40, 320, math.inf])
def test_slope_is_the_derivative(d):
    # Away from the corners, where for d = 2 and 3 the slope itself has a kink.
    s = np.array([0.05, 0.9, 2.0, 8.0])
    e = 1e-5
    profile = RadialProfile(DIP, d)
    difference = (profile(s + e)[0] - profile(s - e)[0]) / (2 * e)
    assert profile(s)[1] == pytest.approx(difference, abs=1e-7)


@pytest.mark.parametrize("d", [14, 20, 40, 320])
@pytest.mark.parametrize("knots", [RAMP, DIP])
def test_table_is_the_closed_form(d, knots):
    s = np.concatenate([np.linspace(0, 3, 4001), np.random.default_rng(0).uniform(0, 90, 4000)])
    profile = RadialProfile(knots, d)
    (h, slope), (h0, slope0) = profile(s), profile.exact(s)
    assert np.abs(h - h0).max() < 5e-12
    assert np.abs(slope - slope0).max() < 5e-10


def test_table_keeps_its_bits_when_it_grows():
    s = np.linspace(0, 5, 301)
    profile = RadialProfile(RAMP, 40)
    before = profile(s)[0].copy()
    profile(np.array([400.0]))
    assert (profile(s)[0] == before).all()


@pytest.mark.parametrize("d", [1, 2, 3, 15, 16, 31, 32, 40, 320, 1000])
def test_radial_nodes_integrate_moments(d):
    t, p = radial_nodes(d)
    assert p.sum() == pytest.approx(1, abs=1e-13)
    assert p @ t**2 == pytest.approx(d, rel=1e-12)
    assert p @ t**4 == pytest.approx(d * (d + 2), rel=1e-12)


@pytest.mark.parametrize("d", [16, 32, 40, 320])
def test_default_nodes_suffice(d):
    r = np.linspace(0.1, 4, 60)[:, None]
    risks = []
    for n in (None, 120):
        t, p = radial_nodes(d, n)
        y = np.concatenate([np.ones(t.size), -np.ones(t.size)])
        features = RadialFeatures(RAMP, np.concatenate([1.8 * t, 0.2 * t]), d)
        energy = FeatureEnergy(features=features, targets=y, weights=np.tile(p / 2, 2))
        risks.append(energy.prepare(r).field(np.full(60, 1 / 60)).risk)
    assert risks[0] == pytest.approx(risks[1], abs=1e-12)


@pytest.mark.parametrize("d", [0, -1, 2.5, "many", True, math.nan])
def test_a_wrong_dimension_is_refused(d):
    with pytest.raises(InputError, match=r"d = .*integer >= 1 or inf"):
        RadialProfile(RAMP, d)
