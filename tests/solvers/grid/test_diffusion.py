"""Diffusion exact in time by cosines, and the trapezoidal rule within its bound, against the heat kernel."""

import itertools
import math

import numba
import numpy as np
import pytest
from flows import march, orders
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.special import erf

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.measures.heat import diffuse
from wflow.solvers import Tolerance, get_method
from wflow.solvers.statics import solve_gibbs


def generator(widths, ring):
    """The three-point Laplacian of cell averages with walls or on a ring, (n, n)."""
    n = widths.size
    a = np.zeros((n, n))
    for i in range(n if ring else n - 1):
        j = (i + 1) % n
        if i == j:
            continue
        gap = 0.5 * (widths[i] + widths[j])
        a[i, j] += 1 / (gap * widths[i])
        a[i, i] -= 1 / (gap * widths[i])
        a[j, i] += 1 / (gap * widths[j])
        a[j, j] -= 1 / (gap * widths[j])
    return a


def heat(edges, variance, at=0.3):
    """Cell averages of N(at, variance) folded at the walls of [0, 1]: the exact solution of the heat equation."""
    mirrors = [s * at + 2 * k for k in range(-4, 5) for s in (1, -1)]
    cdf = sum(0.5 * (1 + erf((edges - m) / math.sqrt(2 * variance))) for m in mirrors)
    return np.diff(cdf) / np.diff(edges)


def still(temperature, dimension=1):
    """No energy at all: the flow is the heat equation."""
    return GradientFlow(
        PairEnergy(lambda x: 0.0 * x[..., 0], dimension=dimension), temperature=temperature
    )


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (7,), (8,), (5, 6), (6, 5), (1, 7), (4, 3, 6), (3, 4, 5), (2, 1, 3)]
)
def test_is_the_exponential_of_the_difference_operator(shape):
    """Twin: a dense matrix exponential an axis; every mixture of walls and rings."""
    rng = np.random.default_rng(3)
    for periodic in itertools.product([False, True], repeat=len(shape)):
        edges = [np.linspace(-1, rng.uniform(0, 2), n + 1) for n in shape]
        amounts = rng.uniform(0.001, 0.2, len(shape))
        rho = GridDensity(rng.random(shape), edges, periodic=periodic)
        want = rho.density
        for axis, (dt, ring) in enumerate(zip(amounts, periodic, strict=True)):
            step = expm(dt * generator(rho.widths[axis], ring))
            want = np.moveaxis(np.tensordot(step, want, (1, axis)), 0, axis)
        assert diffuse(rho, list(amounts)).density == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("dimension", [1, 2])
def test_second_order_to_the_heat_kernel(dimension):
    d_t, start, errors = 0.01, 0.004, []
    for n in (32, 64, 128):
        edges = np.linspace(0, 1, n + 1)
        one, then = heat(edges, start), heat(edges, start + 2 * d_t)
        rho, want = (one, then) if dimension == 1 else (np.outer(one, one), np.outer(then, then))
        got = diffuse(GridDensity(rho, [edges] * dimension), d_t).density
        errors.append(float(np.abs(got - want).sum() / n**dimension))
    assert orders(errors) == pytest.approx([2, 2], abs=0.05)


@given(seed=st.integers(0, 10**6), power=st.integers(-12, 3))
@settings(max_examples=40, deadline=None)
def test_positive_and_mass_keeping(seed, power):
    """Point masses among empty cells, from far too small to far too large an amount; one step or two."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, {1: 300, 2: 24, 3: 9}[d := int(rng.integers(1, 4))], d)
    periodic = rng.random(d) < 0.5
    density = rng.random(shape) * (rng.random(shape) < 0.1)
    density.ravel()[rng.integers(density.size)] += 1e3
    rho = GridDensity(density, [np.linspace(0, 1, n + 1) for n in shape], periodic=periodic)
    dt = 10.0**power
    after = diffuse(rho, dt)
    assert after.density.min() >= 0.0
    assert after.mass == pytest.approx(rho.mass, rel=1e-14)
    assert after.density.max() <= density.max() * (1 + 1e-13)
    half = diffuse(diffuse(rho, 0.5 * dt), 0.5 * dt)
    assert np.abs(half.density - after.density).max() <= 1e-12 * density.max()
    assert diffuse(rho, dt).density.tobytes() == after.density.tobytes()
    assert diffuse(rho, 0.0).density == pytest.approx(density, rel=1e-12, abs=1e-12 * density.max())


def test_it_is_what_the_implicit_method_converges_to():
    rho = GridDensity(heat(np.linspace(0, 1, 65), 0.004), [np.linspace(0, 1, 65)])
    sol = solve(still(0.5), rho, (0, 0.02), method="scharfetter-gummel", t_eval=[0.02], rtol=1e-7)
    assert sol.measures[0].density == pytest.approx(diffuse(rho, 0.01).density, rel=1e-5, abs=1e-6)


REFUSALS = [
    (lambda r: diffuse(GridDensity([1.0, 1.0], [[0.0, 1.0, 3.0]]), 0.1), "graded"),
    (lambda r: diffuse(r.to_particles(2), 0.1), "give a GridDensity"),
    (lambda r: diffuse(r, -1.0), "amount = -1"),
    (lambda r: diffuse(r, math.nan), "amount = nan"),
    (lambda r: diffuse(r, [0.1, 0.1]), "2 entries for 1 axes"),
]


@pytest.mark.parametrize("request_, line", REFUSALS)
def test_refusals(request_, line):
    with pytest.raises(InputError, match=line) as caught:
        request_(GridDensity([1.0, 1.0], [[0.0, 0.5, 1.0]]))
    assert "\n" not in str(caught.value)


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
    a = tau * generator(rho.widths[0], ring=False)
    half = 2 * bound
    unlimited = np.linalg.solve(np.eye(n) - half * a, (np.eye(n) + half * a) @ density)
    assert unlimited.min() < -0.1
    kept = method.step(problem, 0.0, done.limit, problem.initial, carry)
    assert kept.status == "ok"
    assert kept.y["density"].min() >= 0.0


def test_threads_change_the_last_bits_at_most():
    """A large box is transformed in several threads; as often as one likes to the same bits."""
    start = GridDensity(
        np.random.default_rng(0).random((260, 256)),
        [np.linspace(0, 1, 261), np.linspace(0, 1, 257)],
    )
    found, before = [], numba.get_num_threads()
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            once, again = (diffuse(start, 1e-4).density for _ in range(2))
            assert np.array_equal(once, again)
            found.append(once)
    finally:
        numba.set_num_threads(before)
    assert found[0] == pytest.approx(found[1], rel=1e-13)
