"""The trapezoidal rule within its bound, against the heat kernel."""

import numpy as np
import pytest
from flows import heat, march, orders, still, three_point_laplacian

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import FeatureEnergy
from wflow.measures.heat import diffuse
from wflow.solvers import Tolerance, get_method
from wflow.solvers.statics import solve_gibbs


def test_crank_nicolson_is_second_order_in_time():
    """Against the exact exponential of the same three-point operator, so that only dt is seen."""
    edges = np.linspace(0, 1, 33)
    rho = GridDensity(heat(edges, 0.004), [edges])
    want = diffuse(rho, 0.01).density
    errors = []
    for n in (20, 40, 80):  # h²/τ is 1/512, the largest step 1/1000
        y, _ = march("crank-nicolson", still(0.5), rho, 0.02 / n, 0.02)
        errors.append(float(np.abs(y["density"] - want).max()))
    assert orders(errors) == pytest.approx([2, 2], abs=0.05)


def test_crank_nicolson_on_a_graded_grid():
    errors = []
    for n in (24, 48, 96):
        u = np.linspace(0, 1, n + 1)
        edges = u + 0.12 * np.sin(2 * np.pi * u) / (2 * np.pi) * 3
        rho = GridDensity(heat(edges, 0.01), [edges])
        sol = solve(still(0.5), rho, (0, 0.04), method="crank-nicolson", t_eval=[0.04])
        assert sol.success, sol.message
        errors.append(float(np.abs(sol.measures[0].density - heat(edges, 0.05)) @ rho.widths[0]))
    assert orders(errors).min() > 1.9


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_crank_nicolson_with_drift_and_interaction(dimension):
    """Order 2 in dt where Ψ moves with ρ, on several axes, a wall and a ring, graded."""
    rng = np.random.default_rng(0)
    energy = FeatureEnergy("tanh", rng.standard_normal((4, dimension)), rng.standard_normal(4))
    flow = GradientFlow(energy, temperature=0.2)
    n = {1: 40, 2: 16, 3: 8}[dimension]
    edges = [np.linspace(-2, 2, n + 1)] * dimension
    edges[0] = edges[0] + 0.2 * np.sin(np.pi * edges[0] / 2)
    start = GridDensity.from_function(
        lambda x: np.exp(-2 * ((x - 0.5) ** 2).sum(-1)),
        edges=edges,
        periodic=[False, True, False][:dimension],
    )
    runs = [
        march("crank-nicolson", flow, start, h, 0.08)[0]["density"]
        for h in (0.01, 0.005, 0.0025, 0.000625)
    ]
    errors = [float(np.abs(r - runs[-1]).max()) for r in runs[:-1]]
    assert orders(errors).min() > 1.8
    twin, _ = march("scharfetter-gummel", flow, start, 0.000625, 0.08)
    assert np.abs(twin["density"] - runs[-1]).max() < 2 * errors[-1]


def test_crank_nicolson_leaves_a_gibbs_state():
    energy = FeatureEnergy("tanh", [[-1.5, 0.3], [0.7, 1.0]], [1.0, -0.5])
    flow = GradientFlow(energy, temperature=0.3, ridge=0.5)
    start = GridDensity(np.full((24, 20), 1 / 36), [np.linspace(-3, 3, 25), np.linspace(-3, 3, 21)])
    best = solve_gibbs(flow, start).measure
    y, _ = march("crank-nicolson", flow, best, 0.01, 0.2)
    assert y["density"] == pytest.approx(best.density, rel=1e-11)


def test_crank_nicolson_refuses_what_would_turn_negative():
    """A spike: 1 − dt·τ/h² is what its cell keeps in the explicit half."""
    n, tau = 20, 0.5
    edges, density = np.linspace(0, 1, n + 1), np.zeros(n)
    density[7] = n
    rho, flow, method = GridDensity(density, [edges]), still(tau), get_method("crank-nicolson")
    problem = method.prepare(flow, rho, Tolerance(), 0)
    carry = method.init(problem, 0.0, problem.initial)
    bound = 1 / (n**2 * tau)
    done = method.step(problem, 0.0, 4 * bound, problem.initial, carry)
    assert done.status == "refused"
    assert done.limit == pytest.approx(bound, rel=2e-4)
    assert done.y["density"] is problem.initial["density"]
    a = tau * three_point_laplacian(rho.widths[0], ring=False)
    half = 2 * bound
    unlimited = np.linalg.solve(np.eye(n) - half * a, (np.eye(n) + half * a) @ density)
    assert unlimited.min() < -0.1
    kept = method.step(problem, 0.0, done.limit, problem.initial, carry)
    assert kept.status == "ok"
    assert kept.y["density"].min() >= 0.0
