"""The kernels of the grid methods against numpy and dense matrices; the same bits in any number of threads."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow.kernels.grid.axes import Axes, axis_geometry
from wflow.kernels.grid.muscl import muscl_tendency
from wflow.kernels.grid.tridiagonal import exchange, patankar, scharfetter_gummel_rates

SPEED = 1.7


def neighbour(field, axis, by, periodic):
    """The field ``by`` cells ahead along an axis; walls repeat the last cell."""
    n = field.shape[axis]
    index = np.arange(n) + by
    index = index % n if periodic else np.clip(index, 0, n - 1)
    return np.take(field, index, axis)


def muscl_by_numpy(density, potential, edges, moves, periodic, theta):
    """dρ/dt and Σ_axes v_out/w, face by face as the docstring of the kernel says it."""
    rate, outflow = np.zeros_like(density), np.zeros_like(density)
    for axis in range(3):
        if not moves[axis]:
            continue
        ring, shape = periodic[axis], [1, 1, 1]
        shape[axis] = -1
        w = np.diff(edges[axis])
        gap = 0.5 * (w + (np.roll(w, -1) if ring else np.append(w[1:], w[-1])))
        gap_before = np.roll(gap, 1) if ring else np.insert(gap[:-1], 0, w[0])
        w, gap, gap_before = (x.reshape(shape) for x in (w, gap, gap_before))
        ahead = (neighbour(density, axis, 1, ring) - density) / gap
        back = (density - neighbour(density, axis, -1, ring)) / gap_before
        middle = (neighbour(density, axis, 1, ring) - neighbour(density, axis, -1, ring)) / (
            gap + gap_before
        )
        size = np.minimum(theta * np.minimum(abs(back), abs(ahead)), abs(middle))
        slope = np.where(back * ahead > 0, np.sign(back) * size, 0.0)
        right = np.clip(density + slope * w / 2, 0, 2 * density)
        left = np.clip(density - slope * w / 2, 0, 2 * density)
        v = -SPEED * (neighbour(potential, axis, 1, ring) - potential) / gap
        flux = v * np.where(v > 0, right, neighbour(left, axis, 1, ring))
        before, v_before = np.roll(flux, 1, axis), np.roll(v, 1, axis)
        if not ring:
            np.moveaxis(before, axis, 0)[0] = 0.0
            np.moveaxis(v_before, axis, 0)[0] = 0.0
        rate -= (flux - before) / w
        outflow += np.maximum(np.maximum(v, -v_before), 0.0) / w
    return rate, float(outflow.max())


@st.composite
def boxes(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = [draw(st.integers(1, 9)) for _ in range(3)]
    edges = [np.cumsum(rng.uniform(0.1, 0.3, n + 1)) for n in shape]
    periodic = np.array([draw(st.booleans()) for _ in range(3)])
    moves = np.array([draw(st.booleans()) and n > 1 for n in shape])
    return rng, tuple(shape), edges, periodic, moves


@given(boxes(), st.floats(0, 2))
@settings(max_examples=60, deadline=None)
def test_muscl_kernel_against_numpy(box, theta):
    rng, shape, edges, periodic, moves = box
    density, potential = rng.random(shape), rng.standard_normal(shape)
    axes = Axes.of(edges, moves, periodic)
    out = np.empty(shape)
    outflow = muscl_tendency(density, potential, axes, SPEED, theta, out)
    rate, largest = muscl_by_numpy(density, potential, edges, moves, periodic, theta)
    assert out == pytest.approx(rate, abs=1e-11)
    assert outflow == pytest.approx(largest, rel=1e-13)


def dense(up, down, periodic):
    """The generator A of one line, columns that sum to 0."""
    n = up.size
    a = np.zeros((n, n))
    for i in range(n if periodic else n - 1):
        j = (i + 1) % n
        a[j, i] += up[i]
        a[i, i] -= up[i]
        a[i, j] += down[i]
        a[j, j] -= down[i]
    return a


@pytest.mark.parametrize("periodic", [False, True])
@given(st.integers(2, 60), st.integers(0, 10**6), st.floats(-3, 6))
@settings(max_examples=30, deadline=None)
def test_exchange_against_a_dense_solver(periodic, n, seed, log_h):
    rng = np.random.default_rng(seed)
    shape = (2, n, 3)
    mass, up, down = rng.random(shape), rng.random(shape), rng.random(shape)
    if not periodic:
        up[:, -1] = down[:, -1] = 0.0
    h = 10.0**log_h
    out = np.empty(shape)
    exchange(mass, up, down, periodic, h, out)
    for o in range(2):
        for c in range(3):
            system = np.eye(n) - h * dense(up[o, :, c], down[o, :, c], periodic)
            expected = np.linalg.solve(system, mass[o, :, c])
            assert out[o, :, c] == pytest.approx(expected, rel=1e-8, abs=1e-12)
    assert out.sum(axis=1) == pytest.approx(mass.sum(axis=1), rel=1e-13)
    assert out.min() > 0


@pytest.mark.parametrize("diffusion", [0.0, 1e-300, 1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("periodic", [False, True])
def test_rates_without_overflow_tend_to_upwind(diffusion, periodic):
    potential = np.array([0.0, 3.0, 3.0, -800.0])
    axis = axis_geometry(np.linspace(0, 2, 5), periodic)
    up, down = np.empty((2, 1, 4, 1))
    scharfetter_gummel_rates(potential[None, :, None], axis, periodic, diffusion, 1.0, up, down)
    up, down = up.ravel(), down.ravel()
    assert np.isfinite([up, down]).all()
    assert min(up.min(), down.min()) >= 0
    drift = -(np.roll(potential, -1) - potential) / 0.25
    if not periodic:
        drift[-1] = 0.0
    assert up - down == pytest.approx(drift, rel=1e-12, abs=1e-9 * max(1.0, diffusion))
    if diffusion < 1e-2:
        assert up == pytest.approx(np.maximum(drift, 0), abs=8 * max(diffusion, 1e-12))


def test_rates_are_bernoulli_functions():
    """B(s) = s/(e^s − 1) with its ends: B(0) = 1, and B(±700) without overflow."""
    s = np.array([-700.0, -3.0, -1e-9, 0.0, 1e-5, 2.0, 700.0])
    potential = np.concatenate([[0.0], np.cumsum(s)])
    axis = axis_geometry(np.arange(9.0), False)
    up, down = np.empty((2, 1, 8, 1))
    scharfetter_gummel_rates(potential[None, :, None], axis, False, 1.0, 1.0, up, down)
    jump = np.diff(potential)
    safe = np.where(jump == 0, 1.0, jump)
    bernoulli = np.where(jump == 0, 1.0, safe / np.expm1(safe))
    assert up[0, :-1, 0] == pytest.approx(bernoulli, rel=1e-13)
    assert down[0, :-1, 0] == pytest.approx(bernoulli + jump, rel=1e-13, abs=1e-300)


def test_patankar_weights_where_nothing_is_left():
    k0, k1, m0, m1 = np.random.default_rng(0).random((4, 1, 5, 2))
    weight = m1 + 0.1
    weight[0, 2] = 0.0
    for shift in (0, 1):
        out = np.empty_like(k0)
        patankar(k0, k1, m0, m1, weight, shift, out)
        a, b, w = (np.roll(x, -shift, 1) for x in (m0, m1, weight))
        safe = np.where(w > 0, w, 1.0)
        expected = np.where(w > 0, 0.5 * (k0 * a + k1 * b) / safe, 0.5 * (k0 + k1))
        assert out == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("shape", [(1, 300, 200), (40, 41, 42)])
def test_bits_do_not_depend_on_the_number_of_threads(shape):
    rng = np.random.default_rng(1)
    density, potential = rng.random((2, *shape))
    every, walls = np.array([n > 1 for n in shape]), np.zeros(3, bool)
    axes = Axes.of([np.linspace(0, 1, n + 1) for n in shape], every, walls)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            out, solved = np.empty(shape), np.empty(shape)
            peak = muscl_tendency(density, potential, axes, 1.0, 2.0, out)
            up, down = np.empty((2, *shape))
            scharfetter_gummel_rates(potential, axes.geometry[1], False, 0.1, 1.0, up, down)
            exchange(density, up, down, False, 0.01, solved)
            found.append((peak, out, up, solved))
    finally:
        numba.set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))
