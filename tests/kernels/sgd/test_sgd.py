"""Blocked gradient descent against the plain loop, and the plain loop against the formulas in numpy."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wflow.energies.features.activations import Activation, get_activation, piecewise_linear
from wflow.kernels.sgd.blocked import block_size, sgd
from wflow.kernels.sgd.plain import sgd_plain

TANH = get_activation("tanh")
RAMP = piecewise_linear([(0.5, -2.5), (1.5, 7.5)])


def problem(n: int, d: int, m: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Samples, steps and a network; the steps are large enough to change it visibly."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(m) < 0.5, -1.0, 1.0)
    x = (1.0 + 0.5 * y[:, None]) * rng.normal(size=(m, d))
    steps = 0.2 / (1 + d) * rng.uniform(0.5, 1.5, size=m)
    w = rng.normal(size=(n, d)) / np.sqrt(d)
    return x, y, steps, w, rng.normal(size=n), 0.3 * rng.normal(size=n)


def reference(
    x: np.ndarray,
    y: np.ndarray,
    steps: np.ndarray,
    w: np.ndarray,
    a: np.ndarray,
    b: np.ndarray | None,
    sigma: Activation,
    *,
    train_charges: bool = False,
    train_offsets: bool = False,
    logistic: bool = False,
    ridge: tuple[float, float, float] = (0.0, 0.0, 0.0),
    batch: int = 1,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """The formulas, in matrix form."""
    predictions = []
    for k, s in enumerate(steps):
        rows = slice(k * batch, (k + 1) * batch)
        value, slope = sigma.value_and_derivative(
            w @ x[rows].T + (0.0 if b is None else b[:, None])
        )
        f = a @ value / a.size
        r = y[rows] / (2 * (1 + np.exp(y[rows] * f))) if logistic else y[rows] - f
        predictions.append(f)
        pull = a[:, None] * slope * r
        xi = np.zeros((a.size, 2 + w.shape[1])) if noise is None else noise[k]
        xi = [xi[:, i] for i in range(xi.shape[1])]
        w *= 1 - s * ridge[0]
        w += s * pull @ x[rows] / batch
        if train_charges:
            a *= 1 - s * ridge[1]
            a += s * value @ r / batch + xi.pop(0)
        if train_offsets and b is not None:
            b *= 1 - s * ridge[2]
            b += s * pull.sum(axis=1) / batch + xi.pop(0)
        w += np.stack(xi[-w.shape[1] :], axis=1)
    return np.concatenate(predictions)


def run(kind: Any, n: int, d: int, m: int, sigma: Activation, offset: bool, **options: Any) -> Any:
    x, y, steps, w, a, b = problem(n, d, m)
    steps = steps[: m // options.get("batch", 1)]
    network = (w, a, b if offset else None)
    if kind is reference:
        return *network, reference(x, y, steps, *network, sigma, **options)
    return *network, kind(x, y, steps, *network, sigma.map, sigma.params, **options)


def assert_close(one: Any, other: Any, tolerance: float = 2e-13) -> None:
    for a, b in zip(one, other, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.max(np.abs(b)))


flags = {
    "train_charges": st.booleans(),
    "train_offsets": st.booleans(),
    "logistic": st.booleans(),
    "ridge": st.sampled_from([(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.5, 0.2), (0.1, 0.2, 0.3)]),
}


@given(
    n=st.integers(1, 70),
    d=st.integers(1, 20),
    m=st.integers(0, 90),
    offset=st.booleans(),
    block=st.sampled_from([None, 16, 48]),
    options=st.fixed_dictionaries(flags),
)
@settings(max_examples=150)
def test_blocks_equal_the_plain_loop(
    n: int, d: int, m: int, offset: bool, block: int | None, options: dict[str, Any]
) -> None:
    blocked = run(sgd, n, d, m, TANH, offset, block=block, **options)
    if m:
        assert_close(blocked, run(sgd_plain, n, d, m, TANH, offset, **options))
    else:
        np.testing.assert_array_equal(blocked[0], problem(n, d, m)[3])


@given(
    n=st.integers(1, 20),
    d=st.integers(1, 5),
    offset=st.booleans(),
    batch=st.integers(1, 4),
    noisy=st.booleans(),
    options=st.fixed_dictionaries(flags),
)
@settings(max_examples=60)
def test_plain_loop_equals_the_formulas(
    n: int, d: int, offset: bool, batch: int, noisy: bool, options: dict[str, Any]
) -> None:
    noise = None
    if noisy:
        free = options["train_charges"] + (options["train_offsets"] and offset) + d
        noise = 0.1 * np.random.default_rng(1).normal(size=(12, n, free))
    options = {**options, "batch": batch, "noise": noise}
    plain = run(sgd_plain, n, d, 12 * batch, TANH, offset, **options)
    assert_close(plain, run(reference, n, d, 12 * batch, TANH, offset, **options))


@pytest.mark.parametrize("n, d", [(800, 40), (512, 33), (100, 320), (17, 1)])
def test_published_sizes_with_a_kink(n: int, d: int) -> None:
    one = run(sgd, n, d, 200, RAMP, False)
    assert_close(one, run(sgd_plain, n, d, 200, RAMP, False), 1e-12)
    moved = np.abs(one[0] - problem(n, d, 200)[3]).max()
    assert moved > 1e-3, "the network must have moved for the comparison to mean anything"


@pytest.mark.parametrize("d", [7, 200])
def test_cuts_at_multiples_of_the_block_leave_every_bit(d: int) -> None:
    k = block_size(30, d)
    x, y, steps, w, a, b = problem(30, d, 5 * k + 3)
    whole, parts = (w.copy(), a.copy(), b.copy()), (w, a, b)
    options: dict[str, Any] = {
        "train_charges": True,
        "train_offsets": True,
        "ridge": (0.1, 0.1, 0.1),
    }
    f = sgd(x, y, steps, *whole, TANH.map, TANH.params, **options)
    pieces = []
    for start, stop in ((0, k), (k, 4 * k), (4 * k, 5 * k + 3)):
        piece = slice(start, stop)
        pieces.append(
            sgd(x[piece], y[piece], steps[piece], *parts, TANH.map, TANH.params, **options)
        )
    for one, other in zip((*whole, f), (*parts, np.concatenate(pieces)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_step_that_forgets_everything() -> None:
    # s * ridge = 1 in the middle of a block: the decays cannot be divided out again.
    x, y, steps, w, a, _ = problem(20, 4, 40)
    steps[7] = 0.5
    w0 = w.copy()
    one = sgd(x, y, steps, w, a, None, TANH.map, TANH.params, ridge=(2.0, 0, 0))
    other = sgd_plain(x, y, steps, w0, a, None, TANH.map, TANH.params, ridge=(2.0, 0, 0))
    assert_close((w, one), (w0, other))


def test_threads_do_not_disturb_each_other() -> None:
    alone = [run(sgd, 64, 10, 300, TANH, True, train_charges=True)[0] for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(run, sgd, 64, 10, 300, TANH, True, train_charges=True) for _ in range(4)
        ]
        together = [job.result()[0] for job in jobs]
    for w in [*alone, *together]:
        np.testing.assert_array_equal(w, alone[0])


def test_a_nan_sample_spoils_the_run_visibly() -> None:
    x, y, steps, w, a, _ = problem(20, 4, 40)
    x[20, 1] = np.nan
    f = sgd(x, y, steps, w, a, None, TANH.map, TANH.params)
    assert np.isfinite(f[:20]).all()
    assert np.isnan(f[20:]).all()
    assert np.isnan(w).any()


def test_arrays_that_do_not_fit() -> None:
    x, y, steps, w, a, b = problem(5, 3, 8)
    with pytest.raises(ValueError, match="expected m = 8"):
        sgd(x, y[:-1], steps, w, a, b, TANH.map, TANH.params)
    with pytest.raises(ValueError, match="expected m = 7"):
        sgd(x, y, steps[:-1], w, a, b, TANH.map, TANH.params)
    with pytest.raises(ValueError, match="charges"):
        sgd(x, y, steps, w, a[:-1], b, TANH.map, TANH.params)
    with pytest.raises(ValueError, match="weights of type float32"):
        sgd(x, y, steps, w.astype(np.float32), a, b, TANH.map, TANH.params)
    with pytest.raises(ValueError, match="multiple of 16"):
        sgd(x, y, steps, w, a, b, TANH.map, TANH.params, block=10)
    with pytest.raises(ValueError, match="batch"):
        sgd_plain(x, y, steps, w, a, b, TANH.map, TANH.params, batch=0)
    with pytest.raises(ValueError, match="noise"):
        sgd_plain(x, y, steps, w, a, b, TANH.map, TANH.params, noise=np.zeros((8, 5, 2)))
