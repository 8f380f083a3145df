"""The scalar functions against numpy and long doubles, to the last places and at the ends of the number range."""

import math

import numpy as np
import pytest

from wflow.kernels.jit import FUSED, jit
from wflow.kernels.scalars import (
    arc_cosine,
    error_function,
    exponential,
    exponential_parts,
    logarithm,
    power_of_half,
)


@jit(fastmath=FUSED, cache=False)
def _exponentials(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = exponential(x[i])


def _exp(x: list[float] | np.ndarray) -> np.ndarray:
    x = np.array(x, dtype=float)
    out = np.empty(x.size)
    # Without the JIT these are numpy's numbers, which say when they overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        _exponentials(x, out)
    return out


def test_exponential_is_right_to_the_last_places() -> None:
    x = np.concatenate([np.linspace(-708.0, 709.7, 200_001), np.linspace(-1.0, 1.0, 20_001)])
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(_exp(x) - exact) / exact) < 4e-16


def test_exponential_at_the_ends() -> None:
    got = _exp([-np.inf, -1000.0, -746.0, 0.0, 710.0, 1000.0, np.inf, np.nan])
    np.testing.assert_array_equal(got, [0.0, 0.0, 0.0, 1.0, np.inf, np.inf, np.inf, np.nan])
    # Subnormal results keep the absolute spacing of their kind.
    x = np.linspace(-745.0, -708.5, 101)
    assert np.max(np.abs(_exp(x) - np.exp(x))) <= 1e-323


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


@jit(cache=False)
def logarithms(x, out):
    for k in range(x.size):
        out[k] = logarithm(x[k])


def test_logarithm():
    rng = np.random.default_rng(0)
    x = np.exp(np.concatenate([rng.uniform(-708, 709, 20000), rng.uniform(-1, 1, 20000), [0.0]]))
    out = np.empty_like(x)
    logarithms(x, out)
    exact = np.log(x.astype(np.longdouble)).astype(float)
    assert out == pytest.approx(exact, rel=5e-16, abs=1e-300)


def test_parts_of_an_exponential():
    x = np.concatenate([np.linspace(-700.0, 0.0, 100_001), -np.geomspace(1e-300, 1.0, 1001)])
    s, q, p = np.array([exponential_parts(t) for t in x], dtype=np.longdouble).T
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(s * (q + p) / (q - p) - exact) / exact) < 3e-16
    assert [exponential_parts(t)[0] for t in (-np.inf, -1e300, -709.2)] == [0.0, 0.0, 0.0]
    assert np.isnan(exponential_parts(np.nan)[1:]).all()


def test_error_function():
    x = np.concatenate([np.linspace(0.0, 7.0, 20_001), np.geomspace(1e-300, 1.0, 1001)])
    value, bell = np.array([error_function(t) for t in x]).T
    exact = np.array([math.erf(t) for t in x])
    assert np.max(np.abs(value - exact) / np.spacing(exact)) <= 3.0
    np.testing.assert_allclose(bell, np.exp(-x * x), rtol=1e-14)
    assert error_function(30.0) == (1.0, 0.0)
    assert np.isnan(error_function(np.nan)).all()
