"""The heat flow of densities: exact in time by cosines, against dense exponentials and the heat kernel."""

import itertools
import math

import numba
import numpy as np
import pytest
from flows import heat, orders, still, three_point_laplacian
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from wflow import GridDensity, InputError, solve
from wflow.measures.heat import diffuse


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
            step = expm(dt * three_point_laplacian(rho.widths[axis], ring))
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
