"""Activations against numpy in extended precision, at the ends of the number range, and at bad input."""

import math
from collections.abc import Callable

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from wflow.energies.features.activations import (
    BUILT_IN,
    Activation,
    get_activation,
    piecewise_linear,
)
from wflow.errors import InputError

JIT = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about the compiler itself")
Wide = Callable[[np.ndarray], np.ndarray]
ONE = np.longdouble(1)
# Long doubles keep the reference clear of the error that is measured.
REFERENCE: dict[str, tuple[Wide, Wide]] = {
    "identity": (lambda z: z, lambda z: 0 * z + 1),
    "zero": (lambda z: 0 * z, lambda z: 0 * z),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, ONE, 0 * ONE)),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: 1 / (2 + np.exp(z) + np.exp(-z))),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0 * z, z), lambda z: 1 / (1 + np.exp(-z))),
    "gaussian-rbf": (lambda z: np.exp(-z), lambda z: -np.exp(-z)),
    "erf": (
        lambda z: np.array([math.erf(t) for t in z.tolist()], dtype=np.longdouble),
        lambda z: 2 / np.sqrt(np.longdouble("3.14159265358979323846")) * np.exp(-z * z),
    ),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_value_and_derivative(name: str) -> None:
    z = np.concatenate(
        [
            np.linspace(-30.0, 30.0, 4001),
            np.geomspace(1e-12, 1.0, 50),
            -np.geomspace(1e-12, 1.0, 50),
        ]
    )
    value, slope = get_activation(name).value_and_derivative(z)
    for got, exact in zip((value, slope), REFERENCE[name], strict=True):
        with np.errstate(under="ignore"):
            want = exact(z.astype(np.longdouble))
        error = np.abs(got - want)
        # exp(-z^2) inherits the rounding of z^2 in its exponent, which reaches 900.
        limit = 2e-13 if name == "erf" else 1e-14
        np.testing.assert_array_less(error, limit * np.abs(want) + 1e-300)


@pytest.mark.parametrize("name", BUILT_IN)
def test_far_out(name: str) -> None:
    z = np.array([-1e300, -1000.0, 1000.0, 1e300, np.nan])
    # Without the JIT these are numpy's numbers, which say when they overflow.
    with np.errstate(over="ignore"):
        value, slope = get_activation(name).value_and_derivative(z)
    if name != "zero":
        assert np.isnan(value[4])
    limits = {
        "sigmoid": ([0, 0, 1, 1], [0, 0, 0, 0]),
        "tanh": ([-1, -1, 1, 1], [0, 0, 0, 0]),
        "softplus": ([0, 0, 1000, 1e300], [0, 0, 1, 1]),
        "relu": ([0, 0, 1000, 1e300], [0, 0, 1, 1]),
        "erf": ([-1, -1, 1, 1], [0, 0, 0, 0]),
        "gaussian-rbf": ([np.inf, np.inf, 0, 0], [-np.inf, -np.inf, 0, 0]),
        "identity": (z[:4], [1, 1, 1, 1]),
        "zero": ([0, 0, 0, 0], [0, 0, 0, 0]),
    }
    np.testing.assert_array_equal(value[:4], limits[name][0])
    np.testing.assert_allclose(slope[:4], limits[name][1], rtol=0, atol=1e-50)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6),
    st.lists(st.floats(-12, 12), min_size=1, max_size=20),
)
def test_piecewise_linear_interpolates(knots: list[tuple[float, float]], z: list[float]) -> None:
    position = sorted({round(k, 2) for k, _ in knots})
    table = [(k, v) for k, (_, v) in zip(position, knots, strict=False)]
    got = piecewise_linear(table)(z)
    np.testing.assert_allclose(got, np.interp(z, *zip(*table, strict=True)), rtol=1e-12, atol=1e-12)


def test_piecewise_linear_takes_the_left_slope_at_a_knot() -> None:
    sigma = piecewise_linear([(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)])
    z = [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
    np.testing.assert_array_equal(sigma.value_and_derivative(z)[1], [0, 0, 2, 2, -1, -1, 0])
    assert np.isnan(sigma(np.nan))


def test_users_pair_equals_the_built_in() -> None:
    pair = (
        lambda z: 1.0 / (1.0 + math.exp(-z)),
        lambda z: math.exp(-z) / (1.0 + math.exp(-z)) ** 2,
    )
    z = np.linspace(-5, 5, 101)
    own, ours = get_activation(pair), get_activation("sigmoid")
    for a, b in zip(own.value_and_derivative(z), ours.value_and_derivative(z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    assert get_activation(pair).map is own.map, "compiled once a process"
    assert get_activation((lambda z: z, lambda z: 1.0)).name != (
        get_activation((lambda z: 2 * z, lambda z: 2.0)).name
    )


@JIT
def test_a_pair_of_ufuncs() -> None:
    z = np.linspace(-5, 5, 101)
    value, slope = get_activation((np.sin, np.cos)).value_and_derivative(z)
    np.testing.assert_allclose(value, np.sin(z), rtol=1e-14)
    np.testing.assert_allclose(slope, np.cos(z), rtol=1e-14)
    with pytest.raises(InputError, match="does not compile"):
        get_activation((expit, expit))


@pytest.mark.parametrize(
    "z",
    [
        np.float64(0.5),
        np.empty((0, 3)),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0)[::2],
        np.broadcast_to(0.5, (2, 3)),
        np.arange(3),
        [[1, 2], [3, 4]],
    ],
)
def test_any_layout(z: object) -> None:
    value, slope = get_activation("tanh").value_and_derivative(z)
    want = np.tanh(np.asarray(z, dtype=float))
    assert value.shape == slope.shape == want.shape
    np.testing.assert_allclose(value, want, rtol=1e-14)


def test_an_activation_stands_for_itself() -> None:
    sigma = get_activation("relu")
    assert get_activation(sigma) is sigma
    assert isinstance(sigma, Activation)


@pytest.mark.parametrize(
    "spec, says",
    [
        ("rleu", "did you mean 'relu'"),
        (3, "expected a name"),
        ((math.sin,), "expected a name"),
        pytest.param((lambda z: undefined(z), lambda z: 1.0), "does not compile", marks=JIT),  # noqa: F821
        pytest.param((lambda z: (z, z), lambda z: 1.0), "does not compile", marks=JIT),
    ],
)
def test_bad_activation(spec: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        get_activation(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "knots", [[], [1.0, 2.0], [(0, 1, 2)], [(0, 1), (0, 2)], [(1, 0), (0, 0)], [(0, np.nan)], "ab"]
)
def test_bad_knots(knots: object) -> None:
    with pytest.raises(InputError, match="knot"):
        piecewise_linear(knots)  # type: ignore[arg-type]
