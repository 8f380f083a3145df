"""The one-sweep step in a frozen potential against two sweeps; the sums of a density against numpy."""

import math

import numba
import numpy as np
import pytest
from flows import march
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow import GradientFlow, GridDensity, solve
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.kernels.grid.axes import Axes
from wflow.kernels.grid.drift_diffusion import drift_diffusion_tendency, spreads
from wflow.kernels.grid.drift_diffusion_frozen import frozen_rates, frozen_step
from wflow.kernels.grid.sums import Integrals, advance, density_sums, size_and_change
from wflow.solvers import Tolerance, get_method


@pytest.mark.parametrize("largest", [1.0, 30.0])
def test_bernoulli_functions(largest):
    """Polynomial where all |s| ≤ 1, exponential otherwise: both to rounding."""
    diffusion = 0.3
    jump = diffusion * np.linspace(-largest, largest, 2001)
    jump[1000] = 0.0
    found = np.empty_like(jump)
    spreads(jump, diffusion, jump.size, found)
    s = np.maximum(np.abs(jump.astype(np.longdouble)) / np.longdouble(diffusion), 1e-30)
    assert found == pytest.approx((diffusion * s / np.expm1(s)).astype(float), rel=1e-15)


@st.composite
def boxes(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
    edges = [np.cumsum(rng.uniform(0.1, 0.3, n + 1)) for n in shape]
    periodic = np.array([draw(st.booleans()) for _ in range(3)])
    moves = np.array([draw(st.booleans()) and n > 1 for n in shape])
    return rng, shape, edges, periodic, moves


@given(boxes(), st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_one_sweep_against_two(box, log_diffusion):
    rng, shape, edges, periodic, moves = box
    density, potential = rng.random(shape), 3 * rng.random(shape)
    axes = Axes.of(edges, moves, periodic)
    diffusion = 10.0**log_diffusion
    rates = frozen_rates(potential, axes, diffusion)
    volumes = np.multiply.outer(np.multiply.outer(*map(np.diff, edges[:2])), np.diff(edges[2]))
    areas = np.multiply.outer(*map(np.diff, edges[:2])).ravel()
    integrals = Integrals(np.diff(edges[2]), areas, None, True)

    def tendency(rho):
        out = np.empty(shape)
        leaving = drift_diffusion_tendency(rho, potential, axes, diffusion, 1.0, out)
        return out, leaving

    rate, leaving = tendency(density)
    assert rates.leaving == pytest.approx(leaving, rel=1e-13)
    h = 0.9 / max(leaving, 1e-3)
    stage = density + h * rate
    expected = 0.5 * (density + stage + h * tendency(stage)[0])
    for stages, wanted in ((1, stage), (2, expected)):
        found, sums = frozen_step(density, rates, h, integrals, stages)
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-14)
        masses = found * volumes
        assert masses.sum() == pytest.approx((density * volumes).sum(), rel=1e-14)
        logs = (masses * np.log(found)).sum()
        assert sums == pytest.approx(
            (masses.sum(), logs, (masses * potential).sum(), found.min()), rel=1e-12, abs=1e-14
        )


def test_sums_of_holes_and_of_no_numbers():
    rho = np.array([[0.0, 1.0, 1e-310], [2.0, 0.0, 0.5]])
    widths, areas = np.array([1.0, 2.0, 0.5]), np.array([1.0, 3.0])
    mass, entropy, linear, least = density_sums(rho, Integrals(widths, areas, 2 * rho, True))
    volumes = areas[:, None] * widths
    assert mass == pytest.approx((rho * volumes).sum(), rel=1e-15)
    assert linear == pytest.approx((2 * rho**2 * volumes).sum(), rel=1e-15)
    assert entropy == pytest.approx(3 * 2 * math.log(2) + 1.5 * 0.5 * math.log(0.5), rel=1e-14)
    assert least == 0.0
    quiet = Integrals(widths, areas, None, False)
    assert density_sums(-rho, quiet)[3] == -2.0
    assert math.isnan(density_sums(rho * math.nan, quiet)[0])


def test_advance_and_norms():
    a, b, c = np.random.default_rng(0).random((3, 4, 5))
    assert advance(a, b, c, 0.3, 0.5) == pytest.approx(0.5 * (a + b + 0.3 * c), rel=1e-15)
    assert advance(a, b, c, 0.3, 1.0) == pytest.approx(b + 0.3 * c, rel=1e-15)
    widths, areas = np.arange(1.0, 6.0), np.arange(1.0, 5.0)
    volumes = areas[:, None] * widths
    size, change = size_and_change(a, b, widths, areas)
    assert size == pytest.approx(math.sqrt((a * a * volumes).sum()), rel=1e-14)
    assert change == pytest.approx(math.sqrt(((b - a) ** 2 * volumes).sum()), rel=1e-14)


@pytest.mark.parametrize("stages", [1, 2])
def test_bits_do_not_depend_on_the_number_of_threads(stages):
    shape = (1, 300, 200)
    density, potential = np.random.default_rng(1).random((2, *shape))
    moves, walls = np.array([False, True, True]), np.zeros(3, bool)
    axes = Axes.of([np.linspace(0, 1, n + 1) for n in shape], moves, walls)
    integrals = Integrals(np.full(200, 1 / 200), np.full(300, 1 / 300), None, True)
    rates = frozen_rates(potential, axes, 0.1)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            new, sums = frozen_step(density, rates, 0.5 / rates.leaving, integrals, stages)
            found.append((new, np.array(sums)))
    finally:
        numba.set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


METHOD = "scharfetter-gummel-explicit"


def smooth(dimension=2, n=24):
    return GridDensity.from_function(
        lambda x: np.exp(-2 * ((x - 0.3) ** 2).sum(-1)), [(-1.5, 1.5)] * dimension, n=n
    )


def test_which_potentials_are_frozen():
    start = smooth(1, 8)
    for energy, expected in [
        (PairEnergy(lambda x: x[..., 0] ** 2, constant=0.7), True),
        (PairEnergy(lambda x: x[..., 0] ** 2, lambda x, y: x[..., 0] * y[..., 0]), False),
        (FeatureEnergy("tanh", [[1.0]], [1.0]), False),
    ]:
        problem = get_method(METHOD).prepare(GradientFlow(energy), start, Tolerance(), 0)
        assert problem.frozen is expected


@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_risk_and_free_energy_of_frozen_potentials(ridge):
    """What the sweep observes is what the flow says of the measure."""
    energy = PairEnergy(lambda x: np.sin(x).sum(-1), dimension=2, constant=0.7)
    flow = GradientFlow(energy, temperature=0.2, ridge=ridge)
    sol = solve(flow, smooth(), (0, 0.2), method=METHOD, t_eval=[0.0, 0.1, 0.2])
    for k, measure in enumerate(sol.measures):
        assert sol.free_energy[k] == pytest.approx(flow.free_energy(measure), rel=1e-13)
        risk = energy.prepare(measure.points()).field(measure.weights()).risk
        assert sol.risk[k] == pytest.approx(risk, rel=1e-13)


def test_a_schedule_keeps_the_order():
    """ξ = 1 + t: the clock by the trapezoidal rule, second order in dt."""
    energy = PairEnergy(lambda x: np.sin(2 * x).sum(-1), dimension=2)
    flow = GradientFlow(energy, temperature=0.05, schedule=lambda t: 1.0 + t * t)
    start = smooth()
    fine, _ = march(METHOD, flow, start, 1 / 1600, 0.5)
    errors = []
    for k in (50, 100, 200):
        y, _ = march(METHOD, flow, start, 1 / k, 0.5)
        errors.append(float(np.abs(y["density"] - fine["density"]).sum()))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print(errors, found)
    assert found == pytest.approx([2.0, 2.0], abs=0.15)


@pytest.mark.parametrize("temperature, fast", [(0.2, True), (1e-3, False), (0.0, False)])
def test_gibbs_weights_that_are_no_numbers(temperature, fast):
    """The kernel of a frozen potential and the sweeps for any potential take the same path."""
    energy = PairEnergy(lambda x: np.sin(x).sum(-1) + (x**2).sum(-1), dimension=2)
    flow, start = GradientFlow(energy, temperature=temperature), smooth()
    problem = get_method(METHOD).prepare(flow, start, Tolerance(), 0)
    assert problem.frozen
    assert problem.fast is fast
    general = get_method(METHOD).prepare(flow, start, Tolerance(), 0)
    general.fast = False
    method, found = get_method(METHOD), []
    for p in (problem, general):
        y = dict(p.initial)
        carry = method.init(p, 0.0, y)
        h = 0.5 * method.first_step(p, 0.0, y, carry)
        for k in range(5):
            step = method.step(p, k * h, h, y, carry)
            assert step.status == "ok"
            y, carry = step.y, step.carry
        found.append((y["density"], float(carry["free_energy"]), float(carry["mass"])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-11)
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-12)
    assert found[0][2] == pytest.approx(start.mass, rel=1e-13)


def test_memory_used_again_is_nobody_elses():
    """Steps hand out arrays whose memory comes back only when nothing refers to it."""
    energy = PairEnergy(lambda x: np.sin(x).sum(-1), dimension=2)
    flow = GradientFlow(energy, temperature=0.2)
    sol = solve(flow, smooth(), (0, 0.2), method=METHOD, t_eval=np.linspace(0, 0.2, 9))
    alone = solve(flow, smooth(), (0, 0.2), method=METHOD, t_eval=[0.1, 0.2])
    assert np.array_equal(sol.measures[4].density, alone.measures[0].density)
    assert np.array_equal(sol.measures[8].density, alone.measures[1].density)
