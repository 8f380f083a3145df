"""Compiled sums over pairs: threads change no bit, polynomials are exact to rounding."""

import numpy as np
import pytest

from wflow.kernels import pair_maps
from wflow.kernels.pair_blocks import run_in_blocks
from wflow.kernels.pair_math import arc_cosine, power_of_half
from wflow.kernels.pairs.gaussian import gaussian_sums
from wflow.kernels.pairs.products import product_sums


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("gradients", [False, True])
def test_threads_change_no_bit_of_gaussian_sums(d, gradients):
    rng = np.random.default_rng(d)
    x, y, q = rng.standard_normal((1100, d)), rng.standard_normal((1300, d)), rng.random(1300)
    one, three = (gaussian_sums(x, y, q, gradients, threads) for threads in (1, 3))
    assert np.array_equal(one[0], three[0])
    assert np.array_equal(one[1], three[1])
    square = ((x[:, None] - y) ** 2).sum(axis=-1)
    assert one[0] == pytest.approx(np.exp2(-square) @ q, rel=1e-13)


@pytest.mark.parametrize("d", [2, 40])
def test_threads_change_no_bit_of_product_sums(d):
    rng = np.random.default_rng(0)
    w, q = rng.standard_normal((1100, d)), rng.random(1100)
    numbers = 1 + (w**2).sum(axis=1)[None]
    one, three = (
        product_sums(pair_maps.arc_sine, (w, numbers), (w, numbers), q, True, threads)
        for threads in (1, 3)
    )
    assert np.array_equal(one[0], three[0])
    assert np.array_equal(one[1], three[1])


def test_power_of_half_to_two_units_in_the_last_place():
    t = np.concatenate([np.linspace(0, 60, 20001), [1e-20, 900.25, 1020.0]])
    ours = np.array([power_of_half(x) for x in t])
    assert np.abs(ours / np.exp2(-t) - 1).max() < 4.5e-16
    assert 0 < power_of_half(1e9) < 1e-300
    assert np.isnan(power_of_half(np.nan))


def test_arc_cosine_to_rounding():
    c = np.concatenate([np.linspace(-1, 1, 20001), [0.0, 0.5, -0.5, 1 - 1e-15]])
    ours = np.array([arc_cosine(x) for x in c])
    assert np.abs(ours - np.arccos(c)).max() < 1e-15


def test_an_error_in_a_thread_is_raised():
    def fail(start, stop):
        raise ValueError(f"block {start}")

    with pytest.raises(ValueError, match="block 0"):
        run_in_blocks(fail, 10, 5, 1 << 20, 2)
