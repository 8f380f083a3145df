"""How fast is the evaluator "cupy" on this graphics card, beside JAX, PyTorch and plain CuPy on the same card?

    python benchmarks/gpu.py [--seconds 3]

Needs CuPy and a card; peers that are not installed are left out by name. Each line is one gradient of a network,

    f = (1/n) sum_i a_i sigmoid(w_i x + b_i),   risk,   gradients in all a, b, w,

square loss. The peers' arrays stay on the card; wflow's neurons are carried there and their gradients back, as in a
step of a run. Peers use the formula of the gradient without a tape. Every answer is held against numpy in double
precision on 64 of the neurons; "off" is the largest difference relative to the largest number. The bound is 6 n Q d
operations at the card's own speed of matrix products, measured here. About 2 minutes on one H100.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

SIZES = ((100_000, 10_000, 32), (1_000_000, 10_000, 32), (100_000, 60_000, 784))
CHECKED = 64
BLOCK = 1 << 29
"""Bytes of a block of pre-activations of the peers that would not fit whole."""

Call = Callable[[], Any]
Maker = Callable[..., Call]


def problem(n: int, q: int, d: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((q, d)), rng.standard_normal(q)
    points = rng.standard_normal((n, d + 2))
    points[:, 2:] /= np.sqrt(d)
    return x, y, points


def expected(x: np.ndarray, y: np.ndarray, points: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Gradients of the first neurons for residuals of a given prediction, (CHECKED, d + 2)."""
    few = points[:CHECKED]
    s = 1 / (1 + np.exp(-(few[:, 2:] @ x.T + few[:, 1:2])))
    c = -(y - f) / len(y)
    pull = few[:, :1] * c * s * (1 - s)
    return np.column_stack([s @ c, pull.sum(axis=1), pull @ x])


def with_wflow(x: Any, y: Any, points: Any, evaluator: str) -> Call:
    from wflow.energies import FeatureEnergy

    energy = FeatureEnergy("sigmoid", x, y, charges=True, offset=True, evaluator=evaluator)
    weights = np.full(len(points), 1 / len(points))

    def call() -> tuple[np.ndarray, np.ndarray]:
        field = energy.prepare(points).field(weights)
        return field.prediction, field.gradient()

    return call


def with_arrays(xp: Any, x: Any, y: Any, points: Any) -> Call:
    """The formula in whole arrays, in blocks of neurons where they would not fit."""
    x, y, points = xp.asarray(x), xp.asarray(y), xp.asarray(points)
    rows = max(1, BLOCK // (8 * len(x)))

    def values(block: Any) -> Any:
        return 1 / (1 + xp.exp(-(block[:, 2:] @ x.T + block[:, 1:2])))

    def call() -> tuple[Any, Any]:
        blocks = [points[i : i + rows] for i in range(0, len(points), rows)]
        f = sum(b[:, 0] @ values(b) for b in blocks) / len(points)
        c = -(y - f) / len(y)
        found = []
        for b in blocks:
            s = values(b)
            pull = b[:, :1] * c * s * (1 - s)
            found.append(
                xp.concatenate([(s @ c)[:, None], pull.sum(axis=1)[:, None], pull @ x], axis=1)
            )
        return f, xp.concatenate(found)

    return call


def with_torch(x: Any, y: Any, points: Any) -> Call:
    import torch

    def cat(parts: Any, axis: int = 0) -> Any:
        return torch.cat(tuple(parts), dim=axis)

    class Names:
        asarray = staticmethod(lambda a: torch.as_tensor(a, device="cuda"))
        exp = staticmethod(torch.exp)
        concatenate = staticmethod(cat)

    call = with_arrays(Names, x, y, points)

    def done() -> Any:
        with torch.no_grad():
            out = call()
        torch.cuda.synchronize()
        return tuple(a.cpu().numpy() for a in out)

    return done


def with_jax(x: Any, y: Any, points: Any) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() != "gpu":
        raise ImportError("JAX sees no GPU")
    x, y, points = (jax.device_put(a) for a in (x, y, points))

    def whole(x: Any, y: Any, points: Any) -> Any:
        s = jax.nn.sigmoid(points[:, 2:] @ x.T + points[:, 1:2])
        f = points[:, 0] @ s / len(points)
        c = -(y - f) / len(y)
        pull = points[:, :1] * c * s * (1 - s)
        parts = [(s @ c)[:, None], pull.sum(axis=1)[:, None], pull @ x]
        return f, jax.numpy.concatenate(parts, axis=1)

    compiled = jax.jit(whole)
    return lambda: jax.block_until_ready(compiled(x, y, points))


def with_cupy(x: Any, y: Any, points: Any) -> Call:
    import cupy

    call = with_arrays(cupy, x, y, points)

    def done() -> Any:
        out = call()
        cupy.cuda.Device().synchronize()
        return out

    return done


def plane(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of pairs, (n, 2), and charges."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 2)), rng.standard_normal(n)


def expected_pairs(points: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """Sums and gradients for the first points, (CHECKED, 3); v = 1 and K(y, y) = 1."""
    away = points[:CHECKED, None] - points
    pull = charges * np.exp(-0.5 * (away**2).sum(axis=2))
    return np.column_stack([pull.sum(axis=1), -(pull[..., None] * away).sum(axis=1)])


def pairs_with_wflow(points: Any, charges: Any, evaluator: str) -> Call:
    from wflow.energies import GaussianKernel
    from wflow.energies.pairs.evaluator import pair_sums

    sums = pair_sums(evaluator, GaussianKernel(1.0, 2, amplitude=1.0))
    return lambda: np.column_stack(sums.evaluate(points, points, charges, True))


def pairs_with_cupy(points: Any, charges: Any) -> Call:
    """The formula in whole arrays, in blocks of points."""
    import cupy

    y, q = cupy.asarray(points), cupy.asarray(charges)
    rows = max(1, BLOCK // (8 * len(points)))

    def block(x: Any) -> Any:
        away = [x[:, k, None] - y[:, k] for k in range(2)]
        pull = q * cupy.exp(-0.5 * (away[0] ** 2 + away[1] ** 2))
        return cupy.stack([pull.sum(axis=1), *(-(pull * a).sum(axis=1) for a in away)], axis=1)

    return lambda: cupy.concatenate([block(y[i : i + rows]) for i in range(0, len(y), rows)])


def pair_lines(n: int, seconds: float) -> None:
    given = plane(n)
    print(f"pairs with gradients, n = {n:,}, 2-D, Gaussian")
    makers: dict[str, Maker] = {
        "wflow cupy": partial(pairs_with_wflow, evaluator="cupy"),
        "wflow cupy-float32": partial(pairs_with_wflow, evaluator="cupy-float32"),
        "CuPy, whole arrays": pairs_with_cupy,
    }
    for name, make in makers.items():
        timed(
            name,
            make,
            given,
            lambda found: (host(found)[:CHECKED], expected_pairs(*given)),
            seconds,
        )


def host(array: Any) -> np.ndarray:
    return np.asarray(array.get() if hasattr(array, "get") else array)


def product_speed(cupy: Any) -> float:
    """Operations a second of products of matrices, float64."""
    a = cupy.random.standard_normal((8192, 8192))
    times = []
    for _ in range(5):
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        a @ a
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    return float(2 * 8192**3 / min(times))


def line(name: str, make: Maker, given: tuple[np.ndarray, ...], seconds: float) -> None:
    def compared(found: Any) -> tuple[np.ndarray, np.ndarray]:
        f, gradient = (host(part) for part in found)
        return gradient[:CHECKED], expected(*given, f)

    timed(name, make, given, compared, seconds)


def timed(
    name: str,
    make: Maker,
    given: tuple[np.ndarray, ...],
    compared: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    seconds: float,
) -> None:
    """The median time of a call, and how far what it gives is off what is expected."""
    import cupy

    try:
        call = make(*given)
        ours, right = compared(call())
        off, largest = np.abs(ours - right), np.abs(right).max()
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < 50):
            start = time.perf_counter()
            call()
            cupy.cuda.Device().synchronize()
            times.append(time.perf_counter() - start)
        print(
            f"  {name:24} {1e3 * statistics.median(times):9.1f} ms   off {off.max() / largest:.1e}",
            flush=True,
        )
    except Exception as e:  # noqa: BLE001  (a peer that fails is told, and the others go on)
        print(
            f"  {name:24} left out: {str(e).splitlines()[0][:80] if str(e) else type(e).__name__}",
            flush=True,
        )
    finally:
        cupy.get_default_memory_pool().free_all_blocks()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of repeated calls, each line")
    seconds = parser.parse_args().seconds
    from wflow.energies.evaluators.device import card
    from wflow.errors import InputError

    try:
        card()
    except InputError as e:
        sys.exit(f"benchmarks/gpu.py: {e}")
    import cupy

    speed = product_speed(cupy)
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{device}, CuPy {cupy.__version__}, products {speed / 1e12:.1f} Tflop/s in float64")
    for n, q, d in SIZES:
        given = problem(n, q, d)
        print(f"n = {n:,}, Q = {q:,}, d = {d}: bound {1e3 * 6 * n * q * d / speed:.1f} ms")
        makers: dict[str, Maker] = {
            "wflow cupy": partial(with_wflow, evaluator="cupy"),
            "wflow cupy-float32": partial(with_wflow, evaluator="cupy-float32"),
            "CuPy, whole arrays": with_cupy,
            "PyTorch": with_torch,
            "JAX, compiled": with_jax,
        }
        for name, make in makers.items():
            line(name, make, given, seconds)
    pair_lines(100_000, seconds)


if __name__ == "__main__":
    main()
