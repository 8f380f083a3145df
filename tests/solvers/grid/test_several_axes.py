"""Exact solutions, observed orders and symmetries of the grid methods on two and three axes."""

import itertools
import math

import numpy as np
import pytest
from flows import bell, l1, march, orders, well

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.solvers import choose_method

TAU = 0.7


@pytest.mark.parametrize(
    "method,theta,least",
    [("muscl", {"theta": 1.5}, 1.75), ("muscl", {"theta": 2.0}, 1.75), ("upwind", {}, 0.85)],
)
def test_transport_in_a_quadratic_well(method, theta, least):
    """∂tρ = ∇·(ρx) contracts ρ₀: ρ(t, x) = e^{2t} ρ₀(eᵗx); h and dt halved together, L1."""
    t_end, errors = 0.5, []
    for n in (40, 80, 160):
        bounds = [(-1.5, 1.5)] * 2
        start = GridDensity.from_function(bell, bounds, n=n)
        y, _ = march(method, GradientFlow(well(2)), start, t_end / n, t_end, **theta)
        exact = GridDensity.from_function(lambda x: bell(x * math.exp(t_end)), bounds, n=n, order=6)
        errors.append(l1(y["density"], exact.density, start))
    assert orders(errors).min() > least


def test_transport_on_a_graded_grid():
    t_end, errors = 0.3, []
    for n in (40, 80, 160):
        u = np.sinh(np.linspace(-1.2, 1.2, n + 1)) / math.sinh(1.2)
        edges = [1.5 * u, 1.2 * (u + 0.1 * (u**2 - 1))]
        start = GridDensity.from_function(bell, edges=edges)
        y, _ = march("muscl", GradientFlow(well(2)), start, t_end / (2 * n), t_end)
        exact = GridDensity.from_function(lambda x: bell(x * math.exp(t_end)), edges=edges, order=6)
        errors.append(l1(y["density"], exact.density, start))
    assert orders(errors).min() > 1.75


def waves(dimension):
    """A smooth periodic Ψ that moves with the solution: sines fitted to three numbers."""
    nodes = [[1, 2, 0], [2, 0, 1], [-1, 1, 1]]
    sine = (lambda z: math.sin(z), lambda z: math.cos(z))
    return FeatureEnergy(sine, np.array(nodes)[:, :dimension], [1.0, -2.0, 3.0])


def ring(dimension, n):
    return GridDensity.from_function(
        lambda x: 2 + np.cos(x[..., 0]) * np.sin(x[..., 1]) * np.cos(x[..., -1]),
        [(0, 2 * np.pi)] * dimension,
        n=n,
        periodic=True,
    )


@pytest.mark.parametrize("dimension,cells", [(2, (16, 32, 64)), (3, (8, 16))])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_smooth_periodic_flow_in_space_and_time(dimension, cells, temperature):
    """The first moments ∫e^{ix}ρ against the next finer grid, h and dt halved together."""
    method = "scharfetter-gummel" if temperature else "muscl"
    flow = GradientFlow(waves(dimension), temperature=temperature)
    moments = []
    for n in (*cells, 2 * cells[-1]):
        y, problem = march(method, flow, ring(dimension, n), 0.4 / n, 0.4)
        mass = (y["density"] * problem.volumes).ravel()
        moments.append(mass @ np.exp(1j * problem.grid.points()))
    errors = [float(np.abs(a - b).max()) for a, b in itertools.pairwise(moments)]
    assert orders(errors).min() > 1.6


@pytest.mark.parametrize(
    "method,order,temperature,reaction",
    [
        ("scharfetter-gummel", 2, 0.3, 0.0),
        ("scharfetter-gummel", 2, 0.01, 0.0),
        ("scharfetter-gummel-explicit", 2, 0.01, 0.0),
        ("muscl", 2, 0.0, 0.0),
        ("strang", 2, 0.3, 1.5),
        ("strang", 2, 0.0, 1.5),
        ("backward-euler", 1, 0.3, 0.0),
    ],
)
def test_order_in_time_with_an_interaction(method, order, temperature, reaction):
    """Neither the frozen Ψ nor the splitting over the axes costs an order."""
    flow = GradientFlow(waves(2), temperature=temperature, reaction_rate=reaction)
    start = ring(2, 14)
    fine, _ = march(method, flow, start, 1 / 640, 0.5)
    errors = []
    for k in (20, 40, 80):
        y, _ = march(method, flow, start, 1 / k, 0.5)
        errors.append(l1(y["density"], fine["density"], start))
    assert orders(errors) == pytest.approx([order, order], abs=0.25)


def test_ornstein_uhlenbeck_in_two_dimensions():
    """Mean e^{−t}, variance τ + (v − τ)e^{−2t} along both axes; the splitting makes a covariance of order dt²."""
    flow, errors = GradientFlow(well(2), temperature=TAU), []
    for n in (40, 80, 160):
        start = GridDensity.from_function(
            lambda x: np.exp(-2 * ((x - 1) ** 2).sum(-1)), [(-6, 6)] * 2, n=n
        )
        y, problem = march("scharfetter-gummel", flow, start, 4 / n, 1.0)
        found = problem.grid.with_density(y["density"])
        mean, variance = math.exp(-1), TAU + (0.25 - TAU) * math.exp(-2)
        errors.append(
            max(
                np.abs(found.mean() - mean).max(),
                np.abs(found.covariance() - variance * np.eye(2)).max(),
            )
        )
    assert errors[-1] < 1e-3
    assert orders(errors).min() > 1.85


@pytest.mark.parametrize("dimension,n", [(2, 20), (3, 8)])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_discrete_gibbs_state_is_left_in_place(dimension, n, periodic):
    start = GridDensity.from_function(
        bell, [(-1, 2)] * dimension, n=n, periodic=[periodic] * (dimension - 1) + [False]
    )
    energy = PairEnergy(lambda x: np.sin(2 * x[..., 0] + x[..., -1]), dimension=dimension)
    flow = GradientFlow(energy, temperature=TAU)
    gibbs = np.exp(-energy.potential(start.points()) / TAU).reshape(start.shape)
    gibbs /= (gibbs * start.volumes).sum()
    steps = {"scharfetter-gummel": 0.5, "backward-euler": 0.5, "scharfetter-gummel-explicit": 1e-3}
    for method, h in steps.items():
        y, _ = march(method, flow, start.with_density(gibbs), h, 10 * h)
        assert np.abs(y["density"] - gibbs).max() < 1e-14


@pytest.mark.parametrize("method,temperature", [("muscl", 0.0), ("scharfetter-gummel", 0.2)])
def test_a_product_stays_a_product_and_axes_may_change_places(method, temperature):
    """A flow that does not depend on y leaves the marginal of y alone and moves x as on one axis."""
    one = GridDensity.from_function(lambda x: bell(x - 0.2), [(-1.5, 1.5)], n=30)
    line, _ = march(method, GradientFlow(well(1), temperature=temperature), one, 0.01, 0.2)
    flat = np.full(5, 0.2)
    for axis in range(3):
        edges = [np.linspace(0, 1, 6)] * 3
        edges[axis] = one.edges[0]
        shape = [1, 1, 1]
        shape[axis] = 30
        box = GridDensity(one.density.reshape(shape) * np.ones((5,) * 3).take([0], axis), edges)
        energy = PairEnergy(lambda x, a=axis: 0.5 * x[..., a] ** 2, dimension=3)
        y, _ = march(method, GradientFlow(energy, temperature=temperature), box, 0.01, 0.2)
        marginal = np.tensordot(
            np.moveaxis(y["density"], axis, 0), np.outer(flat, flat), axes=([1, 2], [0, 1])
        )
        assert marginal == pytest.approx(line["density"], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("method,temperature", [("muscl", 0.0), ("scharfetter-gummel", 0.2)])
def test_frozen_coordinates_do_not_move(method, temperature):
    """With y frozen each row moves on its own, and its mass stays what it was to rounding."""
    start = GridDensity.from_function(bell, [(-1.5, 1.5)] * 2, n=(24, 10))
    flow = GradientFlow(PairEnergy(lambda x: x[..., 0] * x[..., 1], dimension=2))
    flow.temperature, flow.mobile = temperature, np.array([1.0, 0.0])
    y, _ = march(method, flow, start, 0.01, 0.3)
    assert np.abs(y["density"] - start.density).max() > 0.01
    rows = start.widths[0] @ start.density
    assert start.widths[0] @ y["density"] == pytest.approx(rows, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize(
    "constants,expected",
    [
        ({}, "muscl"),
        ({"temperature": 0.2}, "scharfetter-gummel"),
        ({"temperature": 0.2, "reaction_rate": 1.0}, "strang"),
    ],
)
def test_auto_works_on_several_axes(constants, expected, invariants_of):
    for dimension, n in ((2, 16), (3, 8)):
        flow = GradientFlow(well(dimension), **constants)
        start = GridDensity.from_function(bell, [(-1.5, 1.5)] * dimension, n=n, periodic=False)
        assert choose_method(flow, "grid")[0] == expected
        sol = solve(flow, start, (0, 0.3), rtol=1e-3)
        assert sol.success, sol.message
        invariants_of(sol)


@pytest.fixture
def invariants_of():
    def check(sol):
        assert np.abs(sol.mass - 1).max() < 1e-12
        assert min(float(m.density.min()) for m in sol.measures) >= 0
        assert (np.diff(sol.steps["free_energy"]) <= 1e-12).all()

    return check


def test_explicit_and_implicit_drift_diffusion_have_the_same_limit():
    """The same fluxes: what is left between them is their error in time, and falls with its square."""
    start, flow = ring(2, 12), GradientFlow(waves(2), temperature=0.05)
    errors = []
    for k in (20, 40, 80):
        one, _ = march("scharfetter-gummel", flow, start, 0.5 / k, 0.5)
        two, _ = march("scharfetter-gummel-explicit", flow, start, 0.5 / k, 0.5)
        errors.append(l1(one["density"], two["density"], start))
    assert orders(errors).min() > 1.8
