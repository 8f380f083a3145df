"""Ψ at the new time: the free energy falls in steps a thousand times those of an explicit method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import FeatureEnergy, LocalEnergy, PairEnergy
from wflow.solvers import Tolerance, get_method
from wflow.solvers.grid.fully_implicit import Balance, newton
from wflow.solvers.grid.parts.problem import energy_rises
from wflow.validation.exact import Barenblatt


def explicit_limit(flow, start):
    method = get_method("scharfetter-gummel-explicit")
    problem = method.prepare(flow, start, Tolerance(), 0)
    carry = method.init(problem, 0.0, problem.initial)
    return method.first_step(problem, 0.0, problem.initial, carry)


@st.composite
def networks(draw):
    """Random data that a network's neurons fit under noise, from a start with holes, on one axis or two."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dimension = draw(st.integers(1, 2))
    name = draw(st.sampled_from(["tanh", "relu", "gaussian-rbf"]))
    scale = 10.0 ** draw(st.floats(-1, 1))
    nodes = rng.standard_normal((draw(st.integers(1, 6)), dimension))
    energy = FeatureEnergy(name, nodes, scale * rng.standard_normal(nodes.shape[0]))
    # What a method keeps it keeps beside a jump of Ψ, too, where a ring closes: a run would refuse that.
    energy.check = lambda start: None
    shape = rng.integers(4, 40 if dimension == 1 else 12, dimension)
    density = rng.random(shape) * (rng.random(shape) < 0.6)
    density.ravel()[rng.integers(density.size)] += 0.5
    edges = [np.cumsum(np.concatenate([[-1.0], rng.uniform(0.05, 0.3, n)])) for n in shape]
    start = GridDensity(density, edges, periodic=draw(st.booleans()))
    flow = GradientFlow(energy, temperature=10.0 ** draw(st.floats(-2, 0)), ridge=0.2)
    return flow, start.with_density(density / start.mass)


@given(networks(), st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_free_energy_falls_in_huge_steps(problem, log_size):
    flow, start = problem
    h = 10.0**log_size * explicit_limit(flow, start)
    sol = solve(flow, start, (0, 4 * h), method="fully-implicit", method_options={"step_size": h})
    assert sol.success, sol.message
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    assert (np.diff(free) <= 1e-12 * np.abs(free[1:]) + 1e-15).all()
    assert np.abs(sol.mass / sol.mass[0] - 1).max() < 1e-12
    assert sol.steps["minimum"].min() >= 0


def test_ten_huge_steps_reach_the_steady_state():
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    flow = GradientFlow(energy, temperature=0.1, ridge=0.5)
    start = GridDensity.from_function(lambda x: np.exp(-4 * (x[..., 0] - 1) ** 2), [(-4, 4)], n=100)
    h = 1e3 * explicit_limit(flow, start)
    one = solve(
        flow, start, (0, 10 * h), method="fully-implicit", method_options={"step_size": h}
    ).measures[-1]
    psi = energy.prepare(one.points()).field(one.weights()).first_variation()
    phi = psi + flow.ridge_potential(one.points()) + 0.1 * np.log(one.density)
    assert np.ptp(phi[one.density > 1e-6]) < 1e-6


def test_a_frozen_potential_takes_one_solve():
    flow = GradientFlow(PairEnergy(lambda x: np.cos(2 * x[..., 0])), temperature=0.2)
    start = GridDensity.from_function(lambda x: np.exp(-(x[..., 0] ** 2)), [(-3, 3)], n=80)
    options = {"method_options": {"step_size": 0.1}, "t_eval": [1.0]}
    one = solve(flow, start, (0, 1), method="fully-implicit", **options).measures[-1]
    two = solve(flow, start, (0, 1), method="backward-euler", **options).measures[-1]
    assert one.density == pytest.approx(two.density, rel=1e-13)


def test_where_newton_finds_nothing():
    def at(x):
        return np.ones_like(x), lambda: lambda v: v

    assert newton(at, np.array([1.0]), 1.0, 1e-12, 30) is None


def one_full_cell(like):
    """All mass in the middle cell of a grid with odd numbers of cells."""
    density = np.zeros(like.shape)
    density[tuple(n // 2 for n in like.shape)] = 1.0
    return like.with_density(density / (density * like.volumes).sum())


@pytest.mark.parametrize(
    "dimension,cells,steps,least",
    [(1, (51, 101, 201, 401), 1, 0.85), (2, (15, 31, 61), 4, 0.7)],
)
def test_porous_medium_from_one_full_cell(dimension, cells, steps, least):
    """Barenblatt's profile from its beginning, in steps thousands of times what is stable: first order from t = 0."""
    exact = Barenblatt(dimension=dimension, begin=1e-9)
    errors = []
    for k, n in enumerate(cells):
        law = exact.law(1.0, n)
        sol = solve(
            exact.flow(),
            one_full_cell(law),
            (0, 1),
            method="fully-implicit",
            method_options={"step_size": 1 / (steps * 2**k)},
            t_eval=[1.0],
        )
        assert sol.success, sol.message
        errors.append(float((np.abs(sol.measures[0].density - law.density) * law.volumes).sum()))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    print("errors", errors, "orders", orders)
    assert orders.min() > least


def local(dimension):
    return LocalEnergy(lambda x: 1 - (x**2).sum(-1), dimension=dimension)


ENERGIES = {
    "local": local,
    "features": lambda d: FeatureEnergy("tanh", np.eye(3, d) + 0.3, [1.0, -0.5, 2.0]),
    "well": lambda d: PairEnergy(lambda x: 0.5 * (x**2).sum(-1), dimension=d),
}
STARTS = {
    "a step": lambda x: (x < 0.3).all(-1),
    "a block": lambda x: (np.abs(x) < 0.5).all(-1),
    "two heaps": lambda x: (np.abs(np.abs(x) - 1) < 0.2).all(-1),
}


@pytest.mark.parametrize("start", [*STARTS, "one cell"])
@pytest.mark.parametrize("temperature", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("dimension,cells", [(1, 151), (2, 25)])
@pytest.mark.parametrize("energy", ENERGIES)
def test_starts_with_empty_cells_are_solved_whole(energy, dimension, cells, temperature, start):
    """One step of h = 1, not several smaller ones: m = T(m), positive, of the old mass, with F lower."""
    shape = STARTS.get(start, lambda x: np.ones(x.shape[:-1]))
    law = GridDensity.from_function(shape, [(-2, 2)] * dimension, n=cells)
    law = one_full_cell(law) if start == "one cell" else law
    flow = GradientFlow(ENERGIES[energy](dimension), temperature=temperature)
    method = get_method("fully-implicit")
    problem = method.prepare(flow, law, Tolerance(), 0)
    mass = problem.initial["density"] * problem.volumes
    balance = Balance(problem, 1.0, 1.0, mass)
    found = balance.solved()
    assert found is not None
    assert np.abs(balance.carried(found) - found).sum() < 1e-9
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1.0, rel=1e-12)
    before, after = (problem.state(m / problem.volumes) for m in (mass, found))
    assert not energy_rises(before, after)


def test_bad_step():
    with pytest.raises(InputError, match="step_size = 0: must be positive"):
        get_method("fully-implicit", {"step_size": 0.0})
