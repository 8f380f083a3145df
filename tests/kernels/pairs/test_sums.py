"""Compiled sums over pairs: threads change no bit."""

import numpy as np
import pytest

from wflow.kernels import parallel
from wflow.kernels.pairs import maps
from wflow.kernels.pairs.gaussian import gaussian_sums
from wflow.kernels.pairs.products import product_sums


@pytest.fixture
def in_threads(monkeypatch):
    """What a call answers with 1 and with 3 threads."""

    def both(call):
        answers = []
        for threads in (1, 3):
            monkeypatch.setattr(parallel, "threads", lambda threads=threads: threads)
            answers.append(call())
        return answers

    return both


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("gradients", [False, True])
def test_threads_change_no_bit_of_gaussian_sums(d, gradients, in_threads):
    rng = np.random.default_rng(d)
    x, y, q = rng.standard_normal((1100, d)), rng.standard_normal((1300, d)), rng.random(1300)
    one, three = in_threads(lambda: gaussian_sums(x, y, q, gradients))
    assert np.array_equal(one[0], three[0])
    assert np.array_equal(one[1], three[1])
    square = ((x[:, None] - y) ** 2).sum(axis=-1)
    assert one[0] == pytest.approx(np.exp2(-square) @ q, rel=1e-13)


@pytest.mark.parametrize("d", [2, 40])
def test_threads_change_no_bit_of_product_sums(d, in_threads):
    rng = np.random.default_rng(0)
    w, q = rng.standard_normal((1100, d)), rng.random(1100)
    numbers = 1 + (w**2).sum(axis=1)[None]
    one, three = in_threads(
        lambda: product_sums(maps.arc_sine, (w, numbers), (w, numbers), q, True)
    )
    assert np.array_equal(one[0], three[0])
    assert np.array_equal(one[1], three[1])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_sums_against_numpy(d):
    rng = np.random.default_rng(d)
    x, y, q = rng.standard_normal((7, d)), rng.standard_normal((9, d)), rng.random(9)
    gap = x[:, None] - y
    pairs = q * np.exp2(-(gap**2).sum(axis=-1))
    values, pulls = gaussian_sums(x, y, q, True)
    assert values == pytest.approx(pairs.sum(axis=1), rel=1e-14)
    assert pulls == pytest.approx((pairs[..., None] * gap).sum(axis=1), rel=1e-13, abs=1e-15)
    squares = [1 + (z**2).sum(axis=1)[None] for z in (x, y)]
    cosines = (x @ y.T) / np.sqrt(squares[0].T * squares[1])
    sums, _ = product_sums(maps.arc_sine, (x, squares[0]), (y, squares[1]), q, False)
    assert sums[0] == pytest.approx(2 / np.pi * np.arcsin(cosines) @ q, rel=1e-13, abs=1e-15)
