"""Products of matrices added where they stand, against numpy's."""

import numpy as np
import pytest

from wflow.kernels.products import add_product


@pytest.mark.parametrize(
    "m, n, k", [(1, 1, 1), (1, 7, 3), (7, 1, 3), (5, 4, 1), (33, 65, 17), (3, 4, 0)]
)
def test_numpy_agrees(m, n, k):
    rng = np.random.default_rng(m + n + k)
    whole = rng.standard_normal((2 * m, 2 * n))
    c, a, b = whole[m:, :n], rng.standard_normal((m, k)), rng.standard_normal((n, k))
    expected = whole.copy()
    expected[m:, :n] += -0.3 * (a @ b.T)
    add_product(c, -0.3, a, b)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-14 * max(k, 1))
    assert (whole[:m] == expected[:m]).all()
    assert (whole[:, n:] == expected[:, n:]).all()


def test_factors_of_any_strides():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((9, 5)).T, rng.standard_normal((18, 4))[::2].T
    c = np.zeros((5, 4))
    add_product(c, 2.0, a, b)
    np.testing.assert_allclose(c, 2.0 * a @ b.T, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "c, a, b",
    [
        (np.zeros((4, 4)).T[:, :3], np.ones((4, 2)), np.ones((3, 2))),
        (np.zeros((4, 3))[::-1], np.ones((4, 2)), np.ones((3, 2))),
        (np.broadcast_to(0.0, (4, 3)), np.ones((4, 2)), np.ones((3, 2))),
        (np.zeros((4, 3)), np.ones((4, 2)), np.ones((2, 2))),
        (np.zeros((4, 3)), np.ones((3, 2)), np.ones((3, 2))),
        (np.zeros((4, 3), np.float32), np.ones((4, 2)), np.ones((3, 2))),
        (np.zeros((4, 3)), np.ones((4, 2), int), np.ones((3, 2))),
    ],
)
def test_what_would_write_elsewhere_is_refused(c, a, b):
    with pytest.raises(ValueError, match=r"strides|shapes"):
        add_product(c, 1.0, a, b)
