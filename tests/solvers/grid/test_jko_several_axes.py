"""Minimising movements by W₂ itself on several axes: Bures' steps, products, any dt, and what is kept."""

import itertools

import numpy as np
import pytest
from flows import barenblatt, orders
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.optimize import root

from wflow import GradientFlow, GridDensity, InputError, resume, solve
from wflow.energies import ConvolutionEnergy, FeatureEnergy, LocalEnergy, PairEnergy
from wflow.kernels.grid import moving_pieces as kernels
from wflow.solvers import Tolerance, get_method
from wflow.solvers.grid.parts import exact_movement
from wflow.solvers.grid.parts.exact_movement import PiecesProblem
from wflow.solvers.grid.parts.moving_pieces import Settled

TAU = 0.3
MEAN = np.array([0.4, -0.3])


def turned(angle, low, high):
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    return turn @ np.diag([low, high]) @ turn.T


SPREAD, STIFF = turned(0.5, 0.5, 0.12), turned(-0.4, 0.6, 1.5)


def bures(mean, spread, h):
    """argmin over Gaussians of ½tr Q(S + mmᵀ) − ½τ log det S + W₂²/2h: with G = 1 + h(Q − τS⁻¹), GSG = S₀."""

    def wrong(v):
        s = np.array([[v[0], v[1]], [v[1], v[2]]])
        g = np.eye(2) + h * (STIFF - TAU * np.linalg.inv(s))
        # W₂'s map from S to S₀ is symmetric and positive, which GSG = S₀ alone does not say.
        half = np.real(sqrtm(s))
        whole = np.linalg.inv(half)
        to = whole @ np.real(sqrtm(half @ spread @ half)) @ whole
        return (g - to)[np.triu_indices(2)]

    found = root(wrong, spread[np.triu_indices(2)], tol=1e-12)
    assert found.success
    v = found.x
    return np.linalg.solve(np.eye(2) + h * STIFF, mean), np.array([[v[0], v[1]], [v[1], v[2]]])


def moments(density):
    w, x = density.weights(), density.points()
    mean = w @ x / w.sum()
    # Cells are level: their own variance belongs to neither side.
    own = np.diag([d[0] ** 2 / 12 for d in density.widths])
    return mean, (x - mean).T @ ((x - mean) * w[:, None]) / w.sum() - own


def tilted(n):
    inverse = np.linalg.inv(SPREAD)

    def law(x):
        return np.exp(-0.5 * np.einsum("...i,ij,...j", x - MEAN, inverse, x - MEAN))

    return GridDensity.from_function(law, [(-3.2, 3.2)] * 2, n=n)


def tilted_well():
    energy = PairEnergy(lambda x: 0.5 * np.einsum("...i,ij,...j", x, STIFF, x), dimension=2)
    return GradientFlow(energy, temperature=TAU)


def off_bures(n, h, steps=2):
    """The worst error of mean and covariance, each step from the law that the one before left."""
    start, worst = tilted(n), 0.0
    method = get_method("jko", {"step_size": h})
    problem = method.prepare(tilted_well(), start, Tolerance(), 0)
    y, carry = problem.initial, method.init(problem, 0.0, problem.initial)
    for k in range(steps):
        exact = bures(*moments(start.with_density(y["density"])), h)
        done = method.step(problem, k * h, h, y, carry)
        assert done.status == "ok", done.reason
        assert done.carry["residual"] <= 1e-4
        y, carry = done.y, done.carry
        found = moments(start.with_density(y["density"]))
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in zip(found, exact, strict=True)))
    return worst


def test_every_step_of_a_turned_gaussian_is_that_of_bures():
    errors = [off_bures(n, 0.05) for n in (24, 48)]
    print("errors", errors)
    assert errors[1] < 1e-3
    assert orders(errors)[0] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("h", [0.02, 0.1])
def test_every_step_on_128_squared(h):
    assert off_bures(128, h, steps=3) < 1e-3


def test_a_product_moves_as_its_factors():
    """V(x) + W(y), noise and a start that is a product: each factor is the movement of one axis, in quantiles."""
    n, h, edges = 96, 0.08, np.linspace(-2.5, 2.5, 97)
    wells = (lambda x: 0.5 * (x - 0.4) ** 2, lambda x: 0.3 * x**4 - 0.2 * x)
    laws = (lambda x: np.exp(-2 * (x - 0.5) ** 2), lambda x: np.exp(-3 * (x + 0.3) ** 2))
    factors = []
    for well, law in zip(wells, laws, strict=True):
        one = GridDensity.from_function(lambda x, f=law: f(x[..., 0]), [(-2.5, 2.5)], n=n)
        flow = GradientFlow(PairEnergy(lambda x, v=well: v(x[..., 0])), temperature=0.3)
        sol = solve(flow, one, (0, 2 * h), method="jko", method_options={"step_size": h})
        factors.append(sol.measures[-1].density)
    start = GridDensity.from_function(
        lambda x: laws[0](x[..., 0]) * laws[1](x[..., 1]), [(-2.5, 2.5)] * 2, n=n
    )
    energy = PairEnergy(lambda x: wells[0](x[..., 0]) + wells[1](x[..., 1]), dimension=2)
    flow = GradientFlow(energy, temperature=0.3)
    sol = solve(flow, start, (0, 2 * h), method="jko", method_options={"step_size": h})
    assert sol.success, sol.message
    apart = np.abs(sol.measures[-1].density - np.outer(*factors)).sum() * (edges[1] - edges[0]) ** 2
    assert apart < 4e-3


def test_order_one_in_time_with_an_interaction():
    """Against a far finer solution by another method."""
    energy = ConvolutionEnergy(
        lambda x: (x**2).sum(-1), lambda z: np.exp(-(z**2).sum(-1)), dimension=2
    )
    flow = GradientFlow(energy, temperature=0.3)
    start = GridDensity.from_function(
        lambda x: np.exp(-2 * ((x - 0.4) ** 2).sum(-1)), [(-2.2, 2.2)] * 2, n=32
    )
    far = solve(flow, start, (0, 0.4), t_eval=[0.4], rtol=1e-6).measures[-1].density
    errors = []
    for n in (2, 4):
        options = {"step_size": 0.4 / n}
        sol = solve(flow, start, (0, 0.4), method="jko", method_options=options, t_eval=[0.4])
        assert sol.success, sol.message
        errors.append(float((np.abs(sol.measures[-1].density - far) * start.volumes).sum()))
    print("errors", errors, "orders", orders(errors))
    assert errors[-1] < 0.04
    assert orders(errors).min() > 0.75


@pytest.mark.slow
def test_barenblatt_with_dt_and_cells_halved():
    errors, end = [], 2 * np.pi * 4 * 0.3**2
    for n in (48, 96, 192):
        start = GridDensity.from_function(barenblatt(2, 1.0), [(-4, 4)] * 2, n=n)
        exact = GridDensity.from_function(barenblatt(2, 3.0), [(-4, 4)] * 2, n=n).density
        flow = GradientFlow(LocalEnergy(lambda x: 0 * x[..., 0], dimension=2))
        options = {"step_size": end * 4 / n}
        sol = solve(flow, start, (0, end), method="jko", method_options=options)
        assert sol.success, sol.message
        errors.append(float((np.abs(sol.measures[-1].density - exact) * start.volumes).sum()))
    print("errors", errors, "orders", orders(errors))
    assert orders(errors).min() > 0.9


@st.composite
def problems(draw):
    """The local energy, waves or tanh networks on 2 or 3 axes and rings, from a start with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    kind, ring = draw(st.sampled_from(["local", "waves", "tanh"])), draw(st.booleans())
    d = 1 if ring else draw(st.integers(2, 3))
    scale, tau = draw(st.sampled_from([0.1, 1.0])), draw(st.sampled_from([0.1, 0.3]))
    k, at = rng.integers(-2, 3, (2, d)), rng.random(2)
    if kind == "local":
        energy = LocalEnergy(lambda x: scale * np.cos(np.pi * x @ k[0] + at[0]), dimension=d)
        tau = draw(st.sampled_from([0.0, 0.1]))
    elif kind == "waves":
        energy = PairEnergy(
            lambda x: scale * np.cos(np.pi * x @ k[0] + at[0]),
            lambda x, y: 0.1 * np.cos(np.pi * (x - y) @ k[1]),
            dimension=d,
        )
    else:
        energy = FeatureEnergy("tanh", rng.standard_normal((3, d)), scale * rng.standard_normal(3))
    energy.check = lambda start: None
    shape = rng.integers(2, {1: 30, 2: 12, 3: 6}[d], d)
    density = rng.random(shape) * (rng.random(shape) < 0.8)
    density.ravel()[rng.integers(density.size)] += 0.5
    edges = [np.linspace(-1.0, 1.0, n + 1) for n in shape]
    start = GridDensity(density, edges, periodic=[ring] * d)
    return GradientFlow(energy, temperature=tau), start.with_density(density / start.mass)


@given(problems(), st.floats(-1, 1))
@settings(max_examples=8, deadline=None)
def test_mass_positivity_and_energy(problem, log_size):
    """Kept in every step that is taken; a step that is not says so in one line."""
    flow, start = problem
    width = np.array([w[0] for w in start.widths])
    stiff = max(flow.temperature, float(start.density.max()) * (flow.temperature == 0))
    h = 10.0**log_size / (4 * stiff * float((width**-2.0).sum()))
    options = {"step_size": h, "iterations": 60}
    sol = solve(flow, start, (0, 2 * h), method="jko", method_options=options, max_steps=40)
    assert sol.success or "was not solved" in sol.message or "would rise" in sol.message
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert min(float(m.density.min()) for m in sol.measures) >= 0
    if sol.steps["residual"].size:
        assert sol.steps["residual"].max() <= 1e-4


def small(parts=2, periodic=False, temperature=0.3):
    energy = PairEnergy(lambda x: 0 * x[..., 0], dimension=2)
    rng = np.random.default_rng(3)
    edges = [np.linspace(-1, 1, 8), np.linspace(0, 1, 10)]
    start = GridDensity(rng.random((7, 9)) + 0.1, edges, periodic=[periodic] * 2)
    problem = PiecesProblem(GradientFlow(energy, temperature=temperature), start, Tolerance())
    return problem, problem.plan(start.density, 0.02, parts, 1e-6), rng


@pytest.mark.parametrize("periodic", [False, True])
def test_pieces_at_rest_are_the_old_density_and_moved_ones_have_its_mass(periodic):
    _, plan, rng = small(3, periodic)
    rest = Settled(plan, np.full(63, 0.7), plan.pieces.home)
    assert rest.d == pytest.approx(plan.start, rel=1e-13)
    moved = Settled(plan, 0.1 * rng.standard_normal(63), plan.pieces.home)
    assert moved.d.min() >= 0
    assert moved.d.sum() == pytest.approx(plan.start.sum(), rel=1e-14)
    assert np.abs(moved.d - plan.start).max() > 1e-3


@pytest.mark.parametrize("periodic", [False, True])
def test_pieces_settle_where_it_costs_least(periodic):
    """By the cost of the spline itself, formed from the cells' splines one by one, at points around."""
    _, plan, rng = small(1, periodic)
    c = 0.05 * rng.standard_normal((1, 7, 9))
    z, answer = plan.pieces.home.copy(), np.empty((63, 6))
    lost = kernels.settle(plan.pieces.home, c, plan.lattice, plan.h, 0, 63, z, answer)
    assert lost == 0
    widths = plan.lattice.widths

    def spline(t):
        t = np.abs(t)
        return np.where(t < 0.5, 0.75 - t**2, 0.5 * np.maximum(1.5 - t, 0.0) ** 2)

    def cost(q, place):
        value = 0.5 * float(
            ((place - plan.pieces.home[q]) * widths) @ ((place - plan.pieces.home[q]) * widths)
        )
        index = [np.arange(-2, n + 2) for n in (7, 9)]
        wrap = [
            i % n if periodic else np.where(i < 0, -1 - i, np.where(i >= n, 2 * n - 1 - i, i))
            for i, n in zip(index, (7, 9), strict=True)
        ]
        weights = [spline(place[k + 1] - index[k] - 0.5) for k in range(2)]
        return value / plan.h + float(weights[0] @ c[0][np.ix_(*wrap)] @ weights[1])

    for q in range(0, 63, 5):
        least = cost(q, z[q])
        for step in itertools.product((-1e-3, 0, 1e-3), repeat=2):
            near = z[q] + np.array([0.0, *step])
            inside = periodic or ((near[1:] >= 0) & (near[1:] <= (7, 9))).all()
            assert not inside or cost(q, near) >= least - 1e-12


def test_three_axes():
    start = GridDensity.from_function(
        lambda x: np.exp(-3 * ((x - 0.2) ** 2).sum(-1)), [(-1.5, 1.5)] * 3, n=14
    )
    energy = PairEnergy(lambda x: 0.5 * (x**2).sum(-1), dimension=3)
    sol = solve(
        GradientFlow(energy, temperature=0.3),
        start,
        (0, 0.2),
        method="jko",
        method_options={"step_size": 0.05},
    )
    assert sol.success, sol.message
    assert (np.diff(sol.steps["free_energy"]) < 0).all()
    assert sol.measures[-1].mean() == pytest.approx(np.full(3, 0.2 * 1.05**-4.0), abs=0.01)


def drop():
    energy = LocalEnergy(lambda x: 1 - (x**2).sum(-1), dimension=2)
    start = GridDensity.from_function(
        lambda x: np.exp(-4 * ((x - 0.2) ** 2).sum(-1)), [(-1.5, 1.5)] * 2, n=16
    )
    return energy, start


def test_births_and_deaths_by_splitting():
    energy, start = drop()
    flow = GradientFlow(energy, reaction_rate=1.0)
    exact = solve(flow, start, (0, 0.1), t_eval=[0.1], rtol=1e-6).measures[-1].density
    sol = solve(
        flow,
        start,
        (0, 0.1),
        method="lie",
        method_options={"transport": "jko"},
        rtol=1e-2,
        atol=1e-2,
    )
    assert sol.success, sol.message
    assert float((np.abs(sol.measures[-1].density - exact) * start.volumes).sum()) < 0.1
    line = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], [(0, 1)], n=8)
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2), temperature=0.1, reaction_rate=1.0)
    with pytest.raises(InputError, match="cells of its own"):
        solve(flow, line, (0, 1), method="lie", method_options={"transport": "jko"})


def test_a_run_that_is_resumed_is_the_whole_run(tmp_path):
    energy, start = drop()
    flow, options = GradientFlow(energy), {"step_size": 0.05}
    once = solve(flow, start, (0, 0.2), method="jko", method_options=options)
    solve(flow, start, (0, 0.1), method="jko", method_options=options, output=tmp_path / "a.h5")
    again = resume(tmp_path / "a.h5", flow=flow, t_end=0.2)
    assert np.array_equal(again.measures[-1].density, once.measures[-1].density)


def test_what_it_refuses():
    flow = GradientFlow(PairEnergy(lambda x: (x**2).sum(-1), dimension=2))
    square = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], [(0, 1)] * 2, n=4)
    with pytest.raises(InputError, match="at temperature 0 needs a LocalEnergy"):
        solve(flow, square, (0, 1), method="jko")
    graded = GridDensity(np.ones((3, 2)), [np.array([0, 0.2, 0.5, 1]), np.linspace(0, 1, 3)])
    noisy = GradientFlow(PairEnergy(lambda x: (x**2).sum(-1), dimension=2), temperature=0.1)
    with pytest.raises(InputError, match="equal cells"):
        solve(noisy, graded, (0, 1), method="jko")
    with pytest.raises(InputError, match="iterations"):
        get_method("jko", {"iterations": 0})
    energy, start = drop()
    options = {"step_size": 100.0, "iterations": 1}
    with pytest.raises(InputError, match="not solved"):
        raise InputError(
            solve(
                GradientFlow(energy), start, (0, 100), method="jko", method_options=options
            ).message
        )


def waves():
    """Four waves across 12 cells: all that is too steep for a grid."""
    start = GridDensity.from_function(
        lambda x: np.exp(-3 * ((x - 0.2) ** 2).sum(-1)), bounds=[(-1, 1)] * 2, n=12
    )
    energy = PairEnergy(lambda x: np.cos(9 * x[..., 0] + 1) * np.cos(8 * x[..., 1]), dimension=2)
    return GradientFlow(energy, temperature=0.1), start


def test_it_does_not_stand_still_where_the_flow_goes_on():
    """Near the end of the way a step moves F by less than its residual leaves open: it moves, or is refused."""
    flow, start = waves()
    late = solve(flow, start, (0, 1), method="scharfetter-gummel", rtol=1e-5).measures[-1]
    sol = solve(flow, late, (0, 0.004), method="jko", method_options={"step_size": 0.002})
    fell = sol.free_energy[0] - sol.free_energy[-1]
    assert fell > 1e-8 or (not sol.success and "more cells, or 'jko-linearised'" in sol.message)


def test_a_step_in_halves_tells_of_all_of_them(monkeypatch):
    flow, start = waves()
    method, tried, real = get_method("jko"), [], exact_movement.solve

    def counted(*given):
        tried.append(real(*given))
        return tried[-1]

    monkeypatch.setattr(exact_movement, "solve", counted)
    problem = method.prepare(flow, start, Tolerance(), 0)
    y = problem.initial
    step = method.step(problem, 0.0, 0.05, y, method.init(problem, 0.0, y))
    assert step.status == "ok"
    assert len(tried) == 3
    assert step.carry["newton_steps"] == sum(one.steps for one in tried)
    assert step.carry["residual"] == max(one.residual for one in tried[1:])
