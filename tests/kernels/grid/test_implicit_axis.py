"""Implicit steps in one pass against their twins of ``tridiagonal``, array by array; the same bits in any threads."""

import numba
import numpy as np
import pytest

from wflow.kernels.grid.axes import axis_geometry
from wflow.kernels.grid.implicit_axis import End, implicit_step, patankar_step
from wflow.kernels.grid.lines import LINES, TILE
from wflow.kernels.grid.tridiagonal import exchange, patankar, scharfetter_gummel_rates

H, SPEEDS = 0.3, (0.7, 1.2)
# Blocks that are full and not, tiles that end with the line, one cell before it and one behind.
SHAPES = [
    (2, 3, 2 * LINES + 5),
    (1, TILE, LINES),
    (TILE + 1, 1, 9),
    (3, TILE + 2, 2),
    (2, 2, 2 * TILE + 1),
]


def twin(density, ends, weight, along, edges, periodic, diffusion):
    """Rates as arrays, their mean if there is a weight, and a solve; masses on the way."""
    n = density.shape[along]
    inner = int(np.prod(density.shape[along + 1 :]))

    def lines(field):
        return np.ascontiguousarray(field.reshape(-1, n, inner))

    geometry, widths = axis_geometry(edges, periodic), np.diff(edges)[:, None]
    up, down, up0, down0, up1, down1, out = np.empty((7, *lines(density).shape))
    old, new = ends
    scharfetter_gummel_rates(
        lines(new.potential), geometry, periodic, diffusion, new.speed, up1, down1
    )
    if weight is None:
        up, down = up1, down1
    else:
        scharfetter_gummel_rates(
            lines(old.potential), geometry, periodic, diffusion, old.speed, up0, down0
        )
        m0, m1, w = lines(old.density), lines(new.density), lines(weight)
        patankar(up0, up1, m0, m1, w, 0, up)
        patankar(down0, down1, m0, m1, w, 1, down)
    exchange(lines(density) * widths, up, down, periodic, H, out)
    return (out / widths).reshape(density.shape)


def drawn(shape, seed):
    """Densities, a weight with zeros, and two potentials some of whose jumps are steep."""
    rng = np.random.default_rng(seed)
    density, one, two, weight = rng.random((4, *shape))
    weight[rng.random(shape) < 0.1] = 0.0
    levels = rng.standard_normal((2, *shape))
    levels[rng.random((2, *shape)) < 0.02] += 30.0
    ends = tuple(map(End, (one, two), levels, SPEEDS))
    return density, ends, weight, rng


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("diffusion", [0.0, 1e-300, 1e-3, 0.3, 50.0])
def test_against_the_twin(shape, periodic, diffusion):
    density, ends, weight, rng = drawn(shape, 0)
    for along in (a for a in range(3) if shape[a] > 1):
        edges = np.cumsum(rng.uniform(0.1, 0.3, shape[along] + 1))
        geometry, out = axis_geometry(edges, periodic), np.empty(shape)
        implicit_step(
            density, ends[1].potential, along, geometry, periodic, (diffusion, SPEEDS[1]), H, out
        )
        expected = twin(density, ends, None, along, edges, periodic, diffusion)
        assert out == pytest.approx(expected, rel=1e-12)
        # A start or a predicted end that stands for two things is read once.
        for given, of in [(density, weight), (ends[0].density, ends[1].density)]:
            patankar_step(given, ends, of, along, geometry, periodic, diffusion, H, out)
            expected = twin(given, ends, of, along, edges, periodic, diffusion)
            assert out == pytest.approx(expected, rel=1e-12)
            assert out.min() > 0


def test_what_the_cells_beside_are_does_not_matter():
    """A steep jump in a tile leaves the rates of the other lines as they are, to the bit."""
    shape = (1, 20, LINES)
    density = drawn(shape, 1)[0]
    level = 0.1 * np.cos(np.arange(20.0))[None, :, None] * np.ones(shape)
    geometry, found = axis_geometry(np.linspace(0, 1, 21), False), []
    for steep in (0.0, 900.0):
        level[0, 7, 3] += steep
        out = np.empty(shape)
        implicit_step(density, level, 1, geometry, False, (0.3, 1.0), H, out)
        found.append(np.delete(out, 3, axis=2))
    assert np.array_equal(*found)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("along", [0, 1, 2])
def test_bits_do_not_depend_on_the_number_of_threads(along, periodic):
    shape = (40, 41, 42)
    density, ends, weight, _ = drawn(shape, 2)
    geometry = axis_geometry(np.linspace(0, 1, shape[along] + 1), periodic)
    found, before = [], numba.get_num_threads()
    try:
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            out = np.empty(shape)
            patankar_step(density, ends, weight, along, geometry, periodic, 0.3, H, out)
            found.append(out)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(found[0], found[-1])
