"""Two isotropic Gaussians (SYSTEMS A3): grid against particles, a golden run, and what is known in closed form."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root
from scipy.stats import chi

import wflow
from wflow.measures import Particles

TIMES = [0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0]
# The particle flow with 8000 particles, rtol 1e-9, atol 1e-12; 2000 and 8000 particles differ by 7e-7 at most.
GOLDEN = np.array(
    [
        1.70448154, 1.33897956, 1.18058113, 1.07060711,
        1.01142931, 0.94963229, 0.69968672, 0.17532419,
    ]
)  # fmt: skip


def solution(kind, n):
    system = wflow.systems.get("isotropic-gaussians")
    return wflow.solve(system.flow(), system.initial(kind, n), (0, 10), t_eval=TIMES)


@pytest.fixture(scope="module")
def particles():
    return solution("particles", 2000)


def test_golden_run(particles, invariants):
    invariants(particles)
    assert np.abs(particles.risk - GOLDEN).max() < 1e-5


def test_the_grid_against_particles(particles, invariants):
    """t = 5 is the hard time: the law is splitting in two there."""
    grid = solution("grid", 512)
    invariants(grid)
    error = np.abs(grid.risk - particles.risk)
    assert error.max() <= 2e-2
    assert error[:5].max() <= 2e-4
    for k in range(len(TIMES)):
        assert wflow.measures.wasserstein_2(grid.measures[k], particles.measures[k]) < 5e-2


@pytest.mark.slow
def test_the_grid_converges_with_second_order(particles, invariants):
    worst = []
    for n in (1024, 2048, 4096):
        grid = solution("grid", n)
        invariants(grid)
        worst.append(np.abs(grid.risk - particles.risk).max())
    assert worst[1] <= 2e-3
    assert math.log(worst[0] / worst[2]) / math.log(4) >= 1.8


@pytest.mark.parametrize("d", [1, 2, 40, 1000])
def test_the_initial_law_has_the_moments_of_chi(d):
    """|w| = κ/√d χ_d with κ = 0.8."""
    system = wflow.systems.get("isotropic-gaussians", d=d)
    scale = 0.8 / math.sqrt(d)
    mean, square = scale * chi(d).mean(), 0.8**2
    particles = system.initial("particles", 2000)
    # Conditional means of equal quantile bins: the mean is exact, the variance short by that inside the bins,
    # which is largest (5e-4 of it) for the two outer bins.
    assert particles.mean()[0] == pytest.approx(mean, rel=1e-12)
    assert particles.second_moment() == pytest.approx(square, rel=5e-4)
    assert particles.second_moment() < square
    grid = system.initial("grid", 512)
    h = 6.5 / 512
    assert abs(grid.mass - 1.0) < 1e-12
    # Exact masses in cells of width h: midpoints err by h²/12 times the jump of density × r at the wall r = 0.
    assert grid.mean()[0] == pytest.approx(mean, abs=h**2)
    assert particles.quantile(0.3) == pytest.approx(scale * chi(d).ppf(0.3), abs=2e-3 * mean)
    assert grid.quantile(0.3) == pytest.approx(scale * chi(d).ppf(0.3), abs=h / 2)


def ramp_average(s):
    """E σ(sG) for σ = −2.5, 7.5 outside [0.5, 1.5], by quadrature between the knots."""

    def density(g):
        return math.exp(-g * g / 2) / math.sqrt(2 * math.pi)

    low, high = 0.5 / s, 1.5 / s
    inside = quad(lambda g: (10 * (s * g - 0.5) - 2.5) * density(g), low, high, epsabs=1e-13)[0]
    below = 0.5 * math.erfc(-low / math.sqrt(2))
    above = 0.5 * math.erfc(high / math.sqrt(2))
    return inside - 2.5 * below + 7.5 * above


def test_the_risk_at_infinite_dimension_is_that_of_the_closed_form():
    """R = ½(1 − ⟨q₊⟩)² + ½(1 + ⟨q₋⟩)², q±(r) = E σ((1±Δ) r G)."""
    system = wflow.systems.get("isotropic-gaussians", d=math.inf, delta=0.8)
    radii, weights = np.array([0.3, 1.1, 2.7]), np.array([0.2, 0.5, 0.3])
    q = [
        sum(w * ramp_average(s * r) for r, w in zip(radii, weights, strict=True))
        for s in (1.8, 0.2)
    ]
    expected = 0.5 * (1 - q[0]) ** 2 + 0.5 * (1 + q[1]) ** 2
    risk = system.energy().prepare(radii[:, None]).field(weights).risk
    assert risk == pytest.approx(expected, abs=1e-12)


def test_one_shell_interpolates_where_both_averages_are_right():
    """q₊(r) = 1 and q₋(r) = −1 have one root, at Δ = 0.474, r = 1.749; there the flow stands still."""
    found = root(
        lambda v: [ramp_average((1 + v[0]) * v[1]) - 1, ramp_average((1 - v[0]) * v[1]) + 1],
        [0.47, 1.75],
        tol=1e-14,
    )
    assert found.success
    delta, r = found.x
    assert (round(delta, 3), round(r, 3)) == (0.474, 1.749)
    system = wflow.systems.get("isotropic-gaussians", d=math.inf, delta=float(delta))
    flow = system.flow()
    at_root = Particles([[r]], names=("r",))
    assert system.energy().prepare(at_root.points()).field(at_root.weights()).risk < 1e-24
    rest = wflow.solve(flow, at_root, (0, 5), t_eval=[5.0])
    assert abs(rest.measures[-1].mean()[0] - r) < 1e-10
    near = wflow.solve(flow, Particles([[r - 0.2]], names=("r",)), (0, 5), t_eval=[5.0])
    assert near.risk[-1] < 1e-8
    assert near.measures[-1].mean()[0] == pytest.approx(r, abs=1e-5)


def test_one_shell_stays_one_shell(invariants):
    """At d = ∞ all weights start at |w| = κ; the grid, which spreads them over a cell, ends at the same risk."""
    system = wflow.systems.get("isotropic-gaussians", d=math.inf, delta=0.4)
    one = wflow.solve(system.flow(), system.initial("particles"), (0, 3), t_eval=[0.0, 1.0, 3.0])
    invariants(one)
    grid = wflow.solve(system.flow(), system.initial("grid", 256), (0, 3), t_eval=[0.0, 1.0, 3.0])
    invariants(grid)
    assert one.measures[-1].n == 1
    assert grid.risk[-1] == pytest.approx(one.risk[-1], abs=2e-3)
