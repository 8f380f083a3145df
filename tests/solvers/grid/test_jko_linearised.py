"""The linearised movement on 1 to 3 axes: any dt, the density of its limit, and the gap that certifies a step."""

import numpy as np
import pytest
from flows import barenblatt
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import ConvolutionEnergy, FeatureEnergy, LocalEnergy, PairEnergy
from wflow.solvers import Tolerance, get_method
from wflow.solvers.grid.jko_linearised import JkoProblem
from wflow.solvers.grid.parts.linearised_movement import Convex, Linear, direction
from wflow.solvers.grid.parts.linearised_movement import solve as solve_step


@st.composite
def problems(draw):
    """Networks, waves, convolutions or the local energy on 1 to 3 axes, walls and rings, from a start with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    d = draw(st.integers(1, 3))
    scale = 10.0 ** draw(st.integers(-1, 1))
    kind = draw(st.sampled_from(["local", "waves", "convolution", "tanh", "relu"]))
    k, at = rng.integers(-2, 3, (2, d)), rng.random(2)
    tau = draw(st.sampled_from([0.03, 0.3]))
    if kind == "local":
        energy = LocalEnergy(lambda x: scale * np.cos(x @ k[0] + at[0]), dimension=d)
        tau = draw(st.sampled_from([0.0, 0.1]))
    elif kind == "waves":
        energy = PairEnergy(
            lambda x: scale * np.cos(x @ k[0] + at[0]),
            lambda x, y: 0.1 * np.cos((x - y) @ k[1]),
            dimension=d,
        )
    elif kind == "convolution":
        energy = ConvolutionEnergy(
            lambda x: scale * np.cos(x @ k[0] + at[0]),
            lambda z: np.exp(-(z**2).sum(-1)),
            dimension=d,
        )
    else:
        energy = FeatureEnergy(kind, rng.standard_normal((3, d)), scale * rng.standard_normal(3))
    # What a method keeps it keeps beside a jump of Ψ, too, where a ring closes: a run would refuse that.
    energy.check = lambda start: None
    shape = rng.integers(2, {1: 40, 2: 12, 3: 6}[d], d)
    density = rng.random(shape) * (rng.random(shape) < 0.6)
    density.ravel()[rng.integers(density.size)] += 0.5
    edges = [np.linspace(-1.0, 1.0, n + 1) for n in shape]
    periodic = [kind != "convolution" and draw(st.booleans()) for _ in shape]
    start = GridDensity(density, edges, periodic=periodic)
    flow = GradientFlow(energy, temperature=tau, ridge=draw(st.sampled_from([0.0, 0.5])))
    return flow, start.with_density(density / start.mass)


def explicit_limit(flow, start):
    width = np.array([w[0] for w in start.widths])
    stiff = max(flow.temperature, float(start.density.max()) * (flow.temperature == 0))
    return 1.0 / (4 * stiff * float((width**-2.0).sum()))


@given(problems(), st.floats(0, 3))
@settings(max_examples=40)
def test_mass_positivity_and_energy_at_any_step(problem, log_size):
    flow, start = problem
    h = 10.0**log_size * explicit_limit(flow, start)
    sol = solve(flow, start, (0, 3 * h), method="jko-linearised", method_options={"step_size": h})
    assert sol.success, sol.message
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert sol.steps["minimum"].min() >= 0
    assert sol.steps["residual"].max() <= 1e-4


@pytest.mark.parametrize("seed", [3, 10, 18, 23, 29, 34])
def test_long_steps_from_holes_on_coarse_grids(seed):
    """Depths of 300τ, a thousand explicit limits, few cells: Newton's method is lost there unless it is careful."""
    rng = np.random.default_rng(seed)
    k, at = rng.integers(-2, 3, (2, 2)), rng.random(2)
    energy = ConvolutionEnergy(
        lambda x: 10 * np.cos(x @ k[0] + at[0]), lambda z: np.exp(-(z**2).sum(-1)), dimension=2
    )
    shape = rng.integers(2, 12, 2)
    density = rng.random(shape) * (rng.random(shape) < 0.6)
    density.ravel()[rng.integers(density.size)] += 0.5
    start = GridDensity(density, [np.linspace(-1.0, 1.0, n + 1) for n in shape])
    flow, start = GradientFlow(energy, temperature=0.03), start.with_density(density / start.mass)
    for size in (1e2, 1e3):
        h = size * explicit_limit(flow, start)
        options = {"step_size": h}
        sol = solve(flow, start, (0, 3 * h), method="jko-linearised", method_options=options)
        assert sol.success, sol.message
        assert sol.steps["residual"].max() <= 1e-4


def test_barenblatt_in_two_dimensions():
    """Compact start and front, dt and widths halved together: the order grows to one, .61, .76, .85, with n = 256."""
    errors, end = [], 2 * np.pi * 4 * 0.3**2
    for n in (32, 64, 128):
        start = GridDensity.from_function(barenblatt(2, 1.0), [(-4, 4)] * 2, n=n)
        exact = GridDensity.from_function(barenblatt(2, 3.0), [(-4, 4)] * 2, n=n).density
        flow = GradientFlow(LocalEnergy(lambda x: 0 * x[..., 0], dimension=2))
        options = {"step_size": end * 4 / n}
        sol = solve(flow, start, (0, end), method="jko-linearised", method_options=options)
        assert sol.success, sol.message
        assert sol.steps["residual"].max() <= 1e-6
        errors.append(float((np.abs(sol.measures[-1].density - exact) * start.volumes).sum()))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert found[1] > found[0] > 0.55
    assert found[1] > 0.72


def test_order_one_with_an_interaction():
    """Against a far finer second-order solution, dt and width halved together."""
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    flow, end, errors = GradientFlow(energy, ridge=1.0, temperature=0.3), 0.8, []
    for n in (100, 200, 400):
        start = GridDensity.from_function(
            lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [(-4, 4)], n=n
        )
        far = solve(flow, start, (0, end), t_eval=[end], rtol=1e-7).measures[-1].density
        options = {"step_size": 8 / n}
        sol = solve(flow, start, (0, end), method="jko-linearised", method_options=options)
        errors.append(float(np.abs(sol.measures[-1].density - far) @ start.widths[0]))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", found)
    assert found.min() > 0.85


def movement(interacting=True):
    energy = FeatureEnergy("tanh", [[-1.5, 1.0], [0.7, 0.3], [2.0, -1.0]], [1.0, -0.5, 2.0])
    if not interacting:
        energy = PairEnergy(lambda x: np.cos(x @ np.array([2.0, 1.0])), dimension=2)
    start = GridDensity.from_function(
        lambda x: np.exp(-2 * (x**2).sum(-1)), [(-1, 1), (-1, 2)], n=(5, 6)
    )
    problem = JkoProblem(GradientFlow(energy, temperature=0.2, ridge=0.3), start, Tolerance())
    box = problem.box
    return Convex(box, problem.internal, start.weights(), 0.7, problem.drift, problem.drawn)


@pytest.mark.parametrize("interacting", [True, False])
def test_newtons_direction_is_that_of_the_dense_system(interacting):
    convex = movement(interacting)
    n, m = convex.start.size, convex.box.volumes
    rng = np.random.default_rng(0)
    phi, rho, missing, pull = rng.standard_normal(n), rng.random(n) + 0.1, *rng.random((2, n))
    at = Linear(convex, phi)
    soft = rho / (0.2 * m)
    at.prepare(rho, soft)
    unit = np.eye(n)
    forth = np.array([at.forth(e) for e in unit]).T
    back = np.array([at.back(e) for e in unit]).T
    assert back == pytest.approx(forth.T, abs=1e-13)
    drawn = np.array([m * convex.interaction(rho, e) for e in unit]).T
    # δ(forth(φ)ρ)/δφ by differences of the transport itself.
    step = 1e-6
    towards = [Linear(convex, phi + step * e).forth(rho) for e in unit]
    slope = (np.array(towards).T - at.forth(rho)[:, None]) / step
    system = np.block([[np.diag(1 / soft) + drawn, -back], [forth, slope]])
    exact = np.linalg.solve(system, np.concatenate([pull, missing]))
    change, d = direction(convex, at, rho, missing, pull, 1e-12)
    assert np.concatenate([change, d]) == pytest.approx(exact, rel=2e-4, abs=2e-4)


def test_the_step_is_the_minimum_that_scipy_finds():
    """One movement on a line of 6 cells against the dual maximised by a general optimiser."""
    from scipy.optimize import minimize

    energy = PairEnergy(lambda x: np.cos(3 * x[..., 0]))
    start = GridDensity(np.array([0.1, 0.5, 1.4, 0.8, 0.2, 0.3]), [np.linspace(-1, 1, 7)])
    problem = JkoProblem(GradientFlow(energy, temperature=0.2), start, Tolerance())
    convex = Convex(problem.box, problem.internal, start.weights(), 0.4, problem.drift, None)
    m, psi = convex.box.volumes, problem.at_rest

    def dual(phi):
        s = phi + Linear(convex, phi).gain - psi
        return float(m @ (0.2 * np.exp(s / 0.2 - 1))) - float(convex.start @ phi)

    best = minimize(dual, np.zeros(6), method="BFGS", options={"gtol": 1e-9, "maxiter": 1000}).x
    s = best + Linear(convex, best).gain - psi
    found = solve_step(convex, 1e-9)
    assert found.density == pytest.approx(np.exp(s / 0.2 - 1), rel=1e-5)
    assert 0 <= found.gap < 1e-12


def test_what_it_refuses():
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2))
    start = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], [(0, 1)], n=4)
    with pytest.raises(InputError, match="'jko' on 1 axis"):
        solve(flow, start, (0, 1), method="jko-linearised")
    for option in ("step_size", "tolerance"):
        with pytest.raises(InputError):
            get_method("jko-linearised", {option: 0.0})


def test_a_step_of_many_cells_leaves_blas_threads_alone():
    """They share out products of 1e4 numbers and spin: beside another program a step took 6 to 20 times longer."""
    energy = ConvolutionEnergy(
        lambda x: -np.exp(-2 * ((x + 0.5) ** 2).sum(-1)),
        lambda z: np.exp(-(z**2).sum(-1)),
        dimension=2,
    )
    start = GridDensity.from_function(
        lambda x: np.exp(-4 * ((x - 0.5) ** 2).sum(-1)), [(-2, 2)] * 2, n=110, order=1
    )
    method = get_method("jko-linearised", {"step_size": 0.05})
    problem = method.prepare(GradientFlow(energy, temperature=0.1), start, Tolerance(), 0)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            carry = method.init(problem, 0.0, problem.initial)
            step = method.step(problem, 0.0, 0.05, problem.initial, carry)
            found.append({**step.y, **step.carry, **problem.observe(step.y, step.carry)})
    for name, value in found[0].items():
        # Products that were shared out sum in another order.
        assert np.array_equal(value, found[1][name]), name
