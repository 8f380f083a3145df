"""The minimiser of the risk: gaps, agreement of the two ways, exact cases, and the flow's long-time risk."""

import numpy as np
import pytest
from scipy.optimize import nnls

import wflow
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.measures import Particles, TensorGrid
from wflow.solvers.statics import duality_gap, minimise_on_grid, minimise_sparse
from wflow.solvers.statics.low_rank import pivoted_cholesky
from wflow.solvers.statics.search import lower_bound
from wflow.solvers.statics.simplex import minimise_on_simplex

RADII = np.linspace(0.0, 6.5, 2001)


def test_simplex_programme_agrees_with_the_least_norm_point_by_nnls():
    # The point of least norm of conv{a_i − b} is u/Σu with u = argmin_{u≥0} |(A − b)u|² + (Σu − 1)².
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 60)) + 0.8, rng.standard_normal(5)
    u, _ = nnls(np.vstack([a - b[:, None], np.ones(60)]), np.append(np.zeros(5), 1.0))
    w = u / u.sum()
    found = minimise_on_simplex(-a.T @ b, a.T, 1e-13)
    assert found.gap < 1e-12
    value = np.sum((a @ found.weights - b) ** 2)
    assert value > 0.1
    assert value == pytest.approx(np.sum((a @ w - b) ** 2), rel=1e-10)
    assert found.weights == pytest.approx(w, abs=1e-6)


def test_simplex_programme_with_fewer_columns_than_degenerate_rows():
    # Every weight is a minimiser: the gap is 0 wherever the method ends.
    found = minimise_on_simplex(np.zeros(7), np.zeros((7, 2)))
    assert found.gap == 0.0
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-15)


def test_the_simplex_at_rounding():
    """A least value inside the simplex, to the last digit: at the end the multiplier's own equation is 0 = 0."""
    rng = np.random.default_rng(27)
    n, r = rng.integers(2, 6), rng.integers(1, 4)
    low, w = rng.normal(size=(n, r)), rng.random(n)
    w /= w.sum()
    found = minimise_on_simplex(-low @ (low.T @ w), low, 0.0)
    assert low.T @ found.weights == pytest.approx(low.T @ w, abs=1e-12)
    assert found.gap < 1e-14


def test_pivoted_cholesky_finds_the_rank():
    x = np.random.default_rng(1).standard_normal((50, 4))
    u = x @ x.T
    low = pivoted_cholesky(u.diagonal(), lambda j: u[:, j])
    assert low.shape == (50, 4)
    assert low @ low.T == pytest.approx(u, abs=1e-12)


@pytest.mark.parametrize("delta", [0.1, 0.474, 0.8])
def test_two_gaussians_both_ways_agree(gaussians, delta):
    energy = gaussians(delta)
    fine = minimise_on_grid(energy, RADII)
    sparse = minimise_sparse(energy, [(0.0, 6.5)])
    assert fine.success, fine.message
    assert sparse.success, sparse.message
    assert max(fine.gap, 0.1 * sparse.gap) < 1e-9
    # The grid's points are among the box's, and miss the best radius by at most half a cell.
    assert -1e-8 < fine.risk - sparse.risk < 1e-6
    check_optimality(fine)
    check_optimality(sparse)


@pytest.mark.parametrize("c_max", [1.0, 4 / 3, pytest.param(2.0, marks=pytest.mark.slow)])
def test_gaussian_mixture_both_ways_agree(mixture, c_max):
    energy = mixture.energy()
    fine = minimise_on_grid(energy, mixture.points(c_max, 1201))
    sparse = minimise_sparse(energy, [(-c_max, c_max), (-6, 6)], tolerance=5e-7)
    assert fine.gap < 1e-9
    assert sparse.success, sparse.message
    assert abs(fine.risk - sparse.risk) < 1e-6
    check_optimality(fine)
    check_optimality(sparse)
    if c_max == 1.0:
        # Charges of total variation 4/3 would be needed.
        assert sparse.risk == pytest.approx(1.1131e-3, abs=1e-7)
    else:
        assert fine.risk < 1e-9


def test_two_gaussians_by_nnls(gaussians):
    # Features as vectors √p σ*: the least-norm point of their hull, by an active-set method.
    energy = gaussians(0.8)
    root = np.sqrt(energy.weights)
    rows = energy.features.prepare(RADII[:, None])._value
    a = (rows * root).T - (energy.targets * root)[:, None]
    u, _ = nnls(np.vstack([a, np.ones(RADII.size)]), np.append(np.zeros(64), 1.0))
    assert minimise_on_grid(energy, RADII).risk == pytest.approx(
        np.sum((a @ u / u.sum()) ** 2), abs=1e-9
    )


@pytest.mark.parametrize("evaluator", ["closed", "features"])
def test_gaussian_mixture_system(evaluator, mixture):
    energy = wflow.systems.get("gaussian-mixture", evaluator=evaluator).energy()
    points = mixture.points(1.0, 241)
    assert minimise_on_grid(energy, points).risk == pytest.approx(
        minimise_on_grid(mixture.energy(), points).risk, abs=1e-9
    )


def test_gaussian_mixture_flow_reaches_the_least_risk():
    # Charges are free in the flow, so that inf R = 0; the good start has full support in y.
    system = wflow.systems.get("gaussian-mixture")
    start = system.initial("particles", n=200)
    sol = wflow.solve(system.flow(), start, t_span=(0, 200), t_eval=[0, 200])
    print("risk", sol.risk)
    assert 0 <= sol.risk[-1] < 1e-4


def check_optimality(found):
    """supp ρ* ⊆ argmin Ψ: no mass m lies where Ψ exceeds its minimum by more than gap/2m."""
    excess = found.first_variation - found.level
    assert excess.min() > -1e-12
    assert np.all(found.weights * excess <= 0.5 * found.gap + 1e-15)
    heavy = found.weights > 1e-3
    assert heavy.any()
    assert excess[heavy].max() < 1e-6
    assert found.measure.mass == pytest.approx(1.0, abs=1e-12)


def test_one_shell_interpolates_at_infinite_dimension(gaussians):
    # Mei, Montanari & Nguyen: Δ = 0.474 (rounded), r = 1.749.
    found = minimise_sparse(gaussians(0.474, np.inf), [(0.0, 6.5)])
    assert found.weights.size == 1
    assert found.points[0, 0] == pytest.approx(1.749, abs=5e-4)
    assert found.risk < 1e-6
    # At larger Δ shells together interpolate, at smaller Δ nothing does.
    assert minimise_sparse(gaussians(0.48, np.inf), [(0.0, 6.5)]).risk < 1e-12
    assert minimise_sparse(gaussians(0.46, np.inf), [(0.0, 6.5)]).risk > 1e-4


def test_certificate_bounds_the_excess_of_any_measure(gaussians):
    energy = gaussians(0.8)
    least = minimise_on_grid(energy, RADII).risk
    rng = np.random.default_rng(2)
    everywhere = RADII[:, None]
    for n in (1, 3, 10, 100):
        points, weights = rng.uniform(0, 6.5, (n, 1)), rng.dirichlet(np.ones(n))
        field = energy.prepare(points).field(weights)
        gap = 2 * (weights @ field.first_variation() - field.first_variation(everywhere).min())
        assert field.risk - least <= gap
        found = duality_gap(energy, Particles(points, weights, names=("r",)), everywhere)
        assert gap - 1e-12 <= found
        assert found == pytest.approx(gap, abs=1e-4)  # the points count too, beside the radii


def test_ridge_from_the_flow_or_by_name(gaussians):
    energy = gaussians(0.8)
    flow = wflow.GradientFlow(energy, ridge=1e-3)
    fine = minimise_on_grid(flow, RADII)
    sparse = minimise_sparse(energy, [(0.0, 6.5)], ridge=1e-3, ridge_on=["r"])
    assert fine.gap < 1e-9
    assert sparse.success, sparse.message
    assert abs(fine.objective - sparse.objective) < 1e-6
    assert sparse.objective == pytest.approx(
        sparse.risk + 1e-3 * sparse.measure.second_moment(), abs=1e-14
    )
    assert sparse.objective == pytest.approx(2 * flow.free_energy(sparse.measure), abs=1e-14)
    assert sparse.risk > minimise_on_grid(energy, RADII).risk
    check_optimality(sparse)


def test_without_interaction_the_mass_sits_at_the_bottom():
    centre = np.array([0.3, -0.2, 0.7])
    energy = PairEnergy(lambda x: 0.5 * ((x - centre) ** 2).sum(axis=-1), dimension=3)
    found = minimise_sparse(energy, [(-1, 1)] * 3)
    assert found.success
    assert found.weights.tolist() == [1.0]
    assert found.points[0] == pytest.approx(centre, abs=1e-6)


def test_quadratic_problem_exactly():
    # R = ∫(ax² − 2bx)dρ + (∫x dρ)² has its minimum −b²/(1 + a) at δ at b/(1 + a).
    a, b = 0.5, 1.2
    energy = PairEnergy(
        lambda x: 0.5 * a * x[..., 0] ** 2 - b * x[..., 0],
        lambda x, y: x[..., 0] * y[..., 0],
        grad_V=lambda x: a * x - b,
    )
    found = minimise_sparse(energy, [(-3, 3)], curvature=a)
    assert found.scope == "bound"
    assert found.success, found.message
    assert found.points[0, 0] == pytest.approx(b / (1 + a), abs=1e-5)
    assert found.risk == pytest.approx(-(b**2) / (1 + a), abs=1e-9)


def test_repelling_particles_in_a_well_with_a_proved_certificate():
    # V = x²/2 and a Gaussian U: several atoms, and |Ψ''| ≤ 1 + sup|U''|.
    def repel(x, y):
        return 2.0 * np.exp(-2.0 * (x - y)[..., 0] ** 2)

    energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, repel)
    found = minimise_sparse(energy, [(-3, 3)], curvature=1.0 + 8.0, tolerance=1e-7)
    fine = minimise_on_grid(energy, np.linspace(-3, 3, 1201))
    assert found.success, found.message
    assert (found.weights > 1e-3).sum() >= 3
    assert abs(fine.risk - found.risk) < 1e-4
    assert found.risk <= fine.risk + found.gap
    assert found.measure.mean() == pytest.approx([0.0], abs=1e-4)


def test_two_gaussians_with_a_proved_certificate(gaussians):
    energy = gaussians(0.8)
    r = np.linspace(1e-3, 6.5, 4001)[:, None]
    t = energy.features.radii
    second = t**2 * energy.features.profile.curvature(r * t)
    # 10 % more than the largest ‖∂_r²h(rt)‖ over 4001 radii.
    size = 1.1 * np.sqrt(second**2 @ energy.weights).max()
    found = minimise_sparse(
        energy, [(0.0, 6.5)], tolerance=1e-6, curvature=lambda risk: size * np.sqrt(risk)
    )
    assert found.scope == "bound"
    assert found.success, found.message
    assert 0 < found.gap < 1e-6


def test_lower_bound_stays_a_bound_when_boxes_run_out():
    class Zero:
        def potential(self, x):
            return np.zeros(x.shape[0])

        def gradient(self, x):
            return np.zeros_like(x)

    box = np.array([[0.0, 1.0]] * 3)
    bound = lower_bound(Zero(), box, 1.0, 0.0, 1e-9)
    assert -1e-2 < bound < -1e-9


def test_feature_network_with_charges_in_two_dimensions():
    x = np.linspace(-1.0, 1.0, 9)
    energy = FeatureEnergy("tanh", x, np.sin(3 * x), charges=True)
    box = [(-4.0, 4.0), (-5.0, 5.0)]
    sparse = minimise_sparse(energy, box, tolerance=1e-7)
    fine = minimise_on_grid(energy, TensorGrid.from_bounds(box, (8, 200), names=("a", "w")))
    assert sparse.success, sparse.message
    assert fine.success, fine.message
    assert sparse.risk <= fine.risk + 1e-7
    check_optimality(sparse)
    assert fine.measure.names == ("a", "w")


def test_starts_are_used_and_kept_in_the_box(gaussians):
    energy = gaussians(0.8)
    best = minimise_sparse(energy, [(0.0, 6.5)])
    again = minimise_sparse(energy, [(0.0, 6.5)], starts=best.measure)
    assert again.iterations == 1
    assert again.risk == pytest.approx(best.risk, abs=1e-10)


def test_transport_flow_reaches_the_least_risk(gaussians):
    # Δ = 0.3: one shell is best, and particles flow to it.
    system = wflow.systems.get("isotropic-gaussians", d=40, delta=0.3)
    least = minimise_sparse(system.energy(), [(0.0, 6.5)])
    start = system.initial("particles", n=200)
    sol = wflow.solve(system.flow(), start, t_span=(0, 30), t_eval=[0, 10, 30])
    excess = sol.risk - least.risk
    print("excess of the flow", excess)
    assert np.all(excess > -least.gap)
    assert excess[-1] < 1e-6


@pytest.mark.slow  # some 10 s
def test_birth_death_flow_reaches_the_least_risk_where_transport_is_slow():
    # Δ = 0.8: mass sits at 0, at 1.3 and at the wall. Births and deaths carry it there; transport alone
    # is still 8e-4 above at t = 3000.
    system = wflow.systems.get("isotropic-gaussians", d=40, delta=0.8)
    start = system.initial("grid", n=256)
    least = minimise_on_grid(system.energy(), start)
    sol = wflow.solve(system.flow(reaction_rate=10.0), start, t_span=(0, 300), t_eval=[0, 300])
    excess = sol.risk[-1] - least.risk
    print("excess of the flow", excess)
    assert 0 < excess < 1e-5
    assert excess <= duality_gap(system.energy(), sol.measures[-1], start) < 1e-5


def test_particles_and_points_are_the_same_places(gaussians):
    energy = gaussians(0.5)
    points = np.linspace(0, 5, 101)
    one = minimise_on_grid(energy, points)
    other = minimise_on_grid(energy, Particles(points))
    assert one.risk == other.risk
    assert one.history[-1] < 1e-9
    assert one.iterations + 1 == one.history.size


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_simplex_programme_at_any_scale(scale):
    rng = np.random.default_rng(3)
    for _ in range(20):
        n, r = int(rng.integers(2, 200)), int(rng.integers(0, 30))
        low = rng.standard_normal((n, r)) * 10.0 ** -rng.uniform(0, 12, r) * np.sqrt(scale)
        low[n // 2 :] = low[: n - n // 2]  # doubled rows: the weights are not unique
        q = scale * rng.standard_normal(n)
        found = minimise_on_simplex(q, low, 1e-11 * scale)
        psi = q + low @ (low.T @ found.weights)
        assert found.weights @ psi - psi.min() < 1e-10 * scale
        assert found.weights.min() >= 0
        assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    constant = minimise_on_simplex(np.full(9, scale), np.zeros((9, 0)))
    assert constant.level == pytest.approx(scale)


def test_a_valley_that_a_wide_one_hides_from_the_lowest_starts_is_found():
    # The deepest valley has one start, higher than all of the wide one.
    def wells(x):
        wide, deep = x[..., 0] + 1.0, x[..., 0] - 1.7
        return -np.exp(-0.5 * wide**2) - 1.5 * np.exp(-80.0 * deep**2)

    found = minimise_sparse(PairEnergy(wells), [(-3, 3)], search=31)
    assert found.points[0, 0] == pytest.approx(1.7, abs=1e-3)
    assert found.success


def test_a_search_that_misses_a_valley_gives_way_to_a_finer_one():
    # Between two starts, where neither of them feels it: the next grid has its middle.
    def wells(x):
        wide, deep = x[..., 0] + 1.0, x[..., 0] - 0.05
        return 0.1 * wide**2 - np.exp(-5000.0 * deep**2)

    found = minimise_sparse(PairEnergy(wells), [(-2, 2)], search=41)
    assert found.points[0, 0] == pytest.approx(0.05, abs=1e-3)
    assert found.success
