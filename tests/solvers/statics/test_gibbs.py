"""Gibbs states: exact Gaussians, one limit from every start, the flow's end, and the certificate."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wflow
from wflow import GradientFlow, GridDensity, InputError
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.measures import TensorGrid
from wflow.solvers.statics import continue_in_temperature, gibbs_gap, solve_gibbs
from wflow.solvers.statics.fixed_point import FixedPoint

METHODS = ["newton", "anderson", "picard"]


def line(n=400, half=6.0, **walls):
    return TensorGrid.from_bounds([(-half, half)], n, **walls)


def quadratic(a=2.0, b=1.0, k=3.0, dimension=1):
    """½R = ∫(½a|x|² − b·x)dρ + ½k|m|²: the minimiser is N(b/(a + k), τ/a)."""
    return PairEnergy(
        lambda x: 0.5 * a * (x**2).sum(-1) - b * x.sum(-1),
        lambda x, y: k * (x * y).sum(-1),
        dimension=dimension,
    )


def neurons(dimension=2, scale=1.0, loss="square"):
    rng = np.random.default_rng(5)
    targets = scale * rng.standard_normal(20)
    if loss == "logistic":
        targets = np.where(targets > 0, 1.0, -1.0)
    return FeatureEnergy("tanh", rng.standard_normal((20, dimension)), targets, loss=loss)


def bump(grid, at, width):
    rho = np.exp(-((grid.points - at) ** 2).sum(1) / (2 * width**2)).reshape(grid.shape)
    return GridDensity(rho / float((rho * grid.volumes).sum()), grid.edges, periodic=grid.periodic)


def relative_entropy(rho, sigma):
    m, s = rho.weights(), sigma.weights()
    held = m > 0
    return float(m[held] @ np.log(m[held] / s[held]))


def linear(a, b, k, dimension, **constants):
    """The same quadratic energy, from D linear neurons' data and a ridge a; R_# = Db²/k."""
    nodes = np.sqrt(k * dimension) * np.eye(dimension)
    targets = np.full(dimension, b * np.sqrt(dimension / k))
    return GradientFlow(FeatureEnergy("identity", nodes, targets), ridge=a, **constants)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_gaussian_closed_form(dimension, method):
    a, b, k, tau = 2.0, 1.0, 3.0, 0.5
    grid = TensorGrid.from_bounds([(-4, 4.4)] * dimension, {1: 200, 2: 48, 3: 32}[dimension])
    flow = linear(a, b, k, dimension, temperature=tau)
    found = solve_gibbs(flow, grid, method=method)
    assert found.success, found.message
    assert found.residual <= 1e-12
    mean = b / (a + k)
    assert found.measure.mean() == pytest.approx([mean] * dimension, abs=1e-11)
    points, w = found.measure.points(), found.measure.weights()
    assert w @ (points - mean) ** 2 == pytest.approx([tau / a] * dimension, rel=1e-10)
    energy = dimension * (0.5 * tau - 0.5 * b**2 / (a + k) + 0.5 * b**2 / k)
    entropy = -0.5 * dimension * (np.log(2 * np.pi * tau / a) + 1)
    assert found.energy == pytest.approx(energy, rel=1e-10)
    assert found.free_energy == pytest.approx(energy + tau * entropy, rel=1e-10)
    if dimension == 1:
        twin = solve_gibbs(GradientFlow(quadratic(a, b, k), temperature=tau), grid, method=method)
        assert twin.measure.weights() == pytest.approx(w, rel=1e-9, abs=1e-14)
    assert 0.0 <= found.gap < 1e-20


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tau", [0.3, 1e-2])
def test_three_starts_one_limit(tau, method):
    flow = GradientFlow(neurons(), temperature=tau, ridge=0.1)
    grid = TensorGrid.from_bounds([(-6, 6)] * 2, 40)
    starts = [None, bump(grid, [3.0, -2.0], 0.5), bump(grid, [-4.0, 4.0], 2.0)]
    found = [solve_gibbs(flow, grid, start=s, method=method) for s in starts]
    for one in found:
        assert one.success, one.message
        assert np.abs(one.measure.weights() - found[0].measure.weights()).sum() <= 1e-11
    newton = solve_gibbs(flow, grid)
    assert np.abs(found[0].measure.weights() - newton.measure.weights()).sum() <= 1e-11


def test_newton_is_quadratic_and_cold_states_are_found():
    flow = GradientFlow(neurons(scale=3.0), temperature=1e-3, ridge=0.05)
    found = solve_gibbs(flow, TensorGrid.from_bounds([(-6, 6)] * 2, 60))
    assert found.success, found.message
    r = found.history
    print("residuals", r)
    last = int(np.flatnonzero(r > 1e-2)[-1])
    end = [s for s in r[last + 1 :] if s > 1e-11]
    assert len(end) >= 2
    assert all(np.log(b) / np.log(a) > 1.6 for a, b in itertools.pairwise(end))
    assert found.iterations <= 30


def test_product_with_u_is_the_interaction():
    energy = quadratic(k=3.0)
    equation = FixedPoint(GradientFlow(energy, temperature=0.4), line(50))
    point = equation.at(equation.masses_of(None))
    v = np.random.default_rng(1).standard_normal(50)
    x = equation.grid.points()[:, 0]
    assert equation.act(point, v) == pytest.approx(3.0 * x * (x @ v), rel=1e-12, abs=1e-12)
    small = equation.act(point, 1e-9 * v)
    assert small == pytest.approx(3e-9 * x * (x @ v), rel=1e-10, abs=1e-21)


def test_the_flow_converges_to_it():
    flow = GradientFlow(neurons(1), temperature=0.2, ridge=0.5)
    start = GridDensity.from_function(lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [(-6, 6)], n=200)
    best = solve_gibbs(flow, start)
    sol = wflow.solve(
        flow, start, (0, 60), method="scharfetter-gummel", t_eval=[1.0, 4.0, 60.0], rtol=1e-4
    )
    assert sol.success, sol.message
    # The certificate of every frame holds, from both sides.
    for measure, free in zip(sol.measures, sol.free_energy, strict=True):
        excess = free - best.free_energy
        assert 0.2 * relative_entropy(measure, best.measure) <= excess + 1e-13
        assert excess <= gibbs_gap(flow, measure) + 1e-13
    end = sol.measures[-1]
    assert np.abs(end.weights() - best.measure.weights()).sum() < 3e-7
    assert gibbs_gap(flow, end) < 1e-13


@given(seed=st.integers(0, 10**6), tau=st.sampled_from([0.02, 0.3, 3.0]))
@settings(max_examples=25, deadline=None)
def test_certificate_of_any_measure(seed, tau):
    """τ KL(ρ | ρ*) ≤ F(ρ) − F* ≤ τ KL(ρ | T(ρ)), also with empty cells, on graded cells and rings."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(np.concatenate([[-3.0], rng.uniform(0.05, 0.3, 30)]))
    rho = rng.random(30) * (rng.random(30) < 0.7) + 1e-3 * (rng.random(30) < 0.5)
    rho[rng.integers(30)] += 1.0
    measure = GridDensity(rho, [edges], periodic=bool(seed % 2))
    measure = measure.with_density(measure.density / measure.mass)
    flow = GradientFlow(neurons(1, 3.0), temperature=tau, ridge=0.1)
    best = solve_gibbs(flow, measure)
    assert best.success, best.message
    excess = flow.free_energy(measure) - best.free_energy
    slack = 1e-12 * (1 + abs(best.free_energy))
    assert tau * relative_entropy(measure, best.measure) <= excess + slack
    assert excess <= gibbs_gap(flow, measure) + slack
    assert best.free_energy == pytest.approx(flow.free_energy(best.measure), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_logistic_loss(method):
    flow = GradientFlow(neurons(loss="logistic"), temperature=0.02, ridge=0.1)
    grid = TensorGrid.from_bounds([(-6, 6)] * 2, 40)
    found = solve_gibbs(flow, grid, method=method)
    assert found.success, found.message
    other = bump(grid, [1.0, 1.0], 1.0)
    excess = flow.free_energy(other) - found.free_energy
    assert 0 < 0.02 * relative_entropy(other, found.measure) <= excess <= gibbs_gap(flow, other)


def test_reduced_state_carries_its_volume():
    """ρ* ∝ r^{d−1} e^{−Ψ_λ/τ}; with R constant (zero neurons) it is the law of |w|, w ~ N(0, τ/λ I)."""
    system = wflow.systems.get("isotropic-gaussians", d=5, delta=0.5)
    grid = TensorGrid.from_bounds([(0.0, 6.0)], 300, names=["r"])
    found = solve_gibbs(system.flow(temperature=0.3, ridge=0.2), grid)
    assert found.success, found.message
    r = grid.centers[0]
    flat = np.log(found.measure.density) + found.potential / 0.3 - 4 * np.log(r)
    assert np.ptp(flat) < 1e-11

    class Still(PairEnergy):
        def reference_log_volume(self, points):
            return 4 * np.log(points[:, 0])

    still = GradientFlow(Still(lambda x: 0.0 * x[..., 0]), temperature=0.4, ridge=1.0)
    mean = solve_gibbs(still, TensorGrid.from_bounds([(0.0, 8.0)], 800)).measure.mean()[0]
    exact = np.sqrt(0.4) * 2.1276921621  # E|w| = √2 Γ(3)/Γ(5/2) √(τ/λ)
    assert mean == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_energy_excess_of_quadratics(dimension):
    """E(ρ*) − inf E = D/(2β), and inf F − inf E = (D/2β) log(aβ/2π), exactly."""
    a, taus = 2.0, np.array([0.5, 1.0, 0.7])
    flow = linear(a, 0.0, 3.0, dimension)
    grid = TensorGrid.from_bounds([(-6, 6)] * dimension, {1: 301, 2: 61, 3: 31}[dimension])
    path = continue_in_temperature(flow, grid, taus)
    assert path.success
    assert path.energy_excess == pytest.approx(dimension * taus / 2, rel=1e-8)
    gap = dimension / (2 * path.betas) * np.log(a * path.betas / (2 * np.pi))
    assert path.free_energy_gap == pytest.approx(gap, rel=1e-8, abs=1e-8)


def test_gap_to_the_regularised_risk_falls_like_log_beta_over_beta(tmp_path):
    """Neurons, not quadratic: |inf F − inf E| ~ (D/β) log β; slope 1 in D/β after the logarithm."""
    flow = GradientFlow(neurons(1, 2.0), ridge=0.3)
    taus = 0.5 ** np.arange(6, 15)
    path = continue_in_temperature(flow, line(2401, 4.0), taus)
    assert path.success
    order = np.polyfit(np.log(taus), np.log(path.energy_excess), 1)[0]
    c = np.polyfit(np.log(path.betas), path.betas * path.free_energy_gap, 1)
    print("order of the excess", order, "β(inf F − inf E) =", c)
    assert order == pytest.approx(1.0, abs=0.05)
    assert c[0] == pytest.approx(0.5, abs=0.02)  # D/2 log β
    path.plot(tmp_path / "path.png")
    assert (tmp_path / "path.png").stat().st_size > 10_000


@pytest.mark.parametrize("dimension", [1, 2])
def test_picture(tmp_path, dimension):
    flow = GradientFlow(neurons(dimension), temperature=0.1, ridge=0.1)
    found = solve_gibbs(flow, TensorGrid.from_bounds([(-4, 4)] * dimension, 30))
    found.plot(tmp_path / "gibbs.png")
    assert (tmp_path / "gibbs.png").stat().st_size > 10_000
    assert "residual below" in repr(found)


def test_an_interaction_that_is_not_convex():
    """U = −kxy attracts to itself: two Gibbs states, which starts tell apart; Newton refuses."""
    energy = PairEnergy(
        lambda x: 0.25 * x[..., 0] ** 4 - 0.5 * x[..., 0] ** 2,
        lambda x, y: -2.0 * (x * y)[..., 0],
    )
    flow = GradientFlow(energy, temperature=0.1)
    with pytest.raises(InputError, match="not positive semidefinite"):
        solve_gibbs(flow, line(), start=bump(line(), [0.5], 0.5))
    ends = []
    for at in (-1.0, 1.0):
        found = solve_gibbs(flow, line(), start=bump(line(), [at], 0.3), method="anderson")
        assert found.success, found.message
        ends.append(found.measure.mean()[0])
    assert ends[0] == pytest.approx(-ends[1], abs=1e-9)
    assert ends[1] > 1.0


REFUSALS = [
    (lambda f: solve_gibbs(GradientFlow(f.energy), line()), "temperature = 0"),
    (lambda f: solve_gibbs(f.energy, line()), "give a wflow.GradientFlow"),
    (lambda f: solve_gibbs(f, [0.0, 1.0]), "give a TensorGrid or a GridDensity"),
    (lambda f: solve_gibbs(f, TensorGrid.from_bounds([(0, 1)] * 2, 4)), "2 axes"),
    (lambda f: solve_gibbs(f, line(), method="steepest"), "'newton', 'anderson' or 'picard'"),
    (lambda f: solve_gibbs(f, line(), tolerance=-1.0), "tolerance"),
    (lambda f: solve_gibbs(f, line(), start=bump(line(30), 0, 1)), "the same grid"),
    (lambda f: solve_gibbs(f, line(), start=bump(line(400, 5.0), 0, 1)), "other edges"),
    (lambda f: solve_gibbs(f, line(4), start=GridDensity([1.0] * 4, line(4).edges)), "mass 12"),
    (lambda f: gibbs_gap(f, wflow.Particles([0.0])), "needs its entropy"),
    (lambda f: continue_in_temperature(f, line(), [0.1, 0.0]), "positive numbers"),
    (
        lambda f: continue_in_temperature(GradientFlow(neurons(1, loss="logistic")), line(), [1.0]),
        "give least_energy",
    ),
]


@pytest.mark.parametrize("request_, line_", REFUSALS)
def test_refusals(request_, line_):
    with pytest.raises(InputError, match=line_) as caught:
        request_(GradientFlow(quadratic(), temperature=0.1))
    assert "\n" not in str(caught.value)


def test_stopped_early_says_so():
    flow = GradientFlow(neurons(), temperature=1e-3, ridge=0.1)
    grid = TensorGrid.from_bounds([(-6, 6)] * 2, 30)
    found = solve_gibbs(flow, grid, method="picard", max_iterations=3)
    assert not found.success
    assert "max_iterations = 3" in found.message
    assert found.gap >= found.free_energy - solve_gibbs(flow, grid).free_energy > 0
