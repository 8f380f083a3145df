"""How fast is one-sample SGD of a two-layer network, against what one would write with other tools?

    python benchmarks/sgd.py [--quick] [--peers wflow,jax]

N = 800 neurons, d = 40 and 320 inputs, float64, fixed charges, the piecewise linear activation of Mei, Montanari
& Nguyen (2018), Section 4.1, one new sample a step. Every peer runs in a process of its own on one core, twice:
as it comes, and with an allocator that keeps its pages; the better of the two counts. All see the same stream
and must arrive at the same network. A peer that is not installed, or does not run, is named and left out.

Times are processor times, so that other users of the machine disturb little.

Columns: microseconds a step (median), steps a second, the share of this core's matrix-product speed that the
4 N d operations of a step amount to, and how many times faster wflow is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers

if __name__ == "__main__":
    peers.keep_to_cores(1)

import numpy as np

NEURONS = 800
STEP = 1e-4
LOW, HIGH, SLOPE, BOTTOM = 0.5, 1.5, 10.0, -2.5
AGREE = 1e-9
"""Largest difference between two networks, relative to the largest weight: rounding, grown over the run."""

Runner = Callable[[int, int], None]
"""Takes the steps start <= k < stop of the stream."""


def stream(d: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, targets and first weights: two isotropic Gaussians."""
    rng = np.random.default_rng(20180802)
    y = np.where(rng.random(m) < 0.5, -1.0, 1.0)
    x = (1.0 + 0.8 * y[:, None]) * rng.standard_normal((m, d))
    return x, y, 0.8 / np.sqrt(d) * rng.standard_normal((NEURONS, d))


def with_wflow(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """Blocks of steps as matrix products."""
    from wflow.energies.features.activations import piecewise_linear
    from wflow.kernels.sgd.blocked import sgd

    sigma = piecewise_linear([(LOW, BOTTOM), (HIGH, BOTTOM + SLOPE * (HIGH - LOW))])
    charges = np.ones(NEURONS)
    steps = np.full(y.size, STEP)

    def run(start: int, stop: int) -> None:
        part = slice(start, stop)
        sgd(x[part], y[part], steps[part], w, charges, None, sigma.map, sigma.params)

    return run, lambda: w


def with_numba(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """One fused loop: a row of W is updated and multiplied with the next sample while it is in the cache."""
    import numba

    @numba.njit(fastmath=True, error_model="numpy")
    def loop(x: np.ndarray, y: np.ndarray, w: np.ndarray, start: int, stop: int) -> None:
        n, d = w.shape
        c = np.zeros(n)
        for k in range(start, stop):
            last = x[max(k - 1, start)]
            now = x[k]
            f = 0.0
            for i in range(n):
                row = w[i]
                ci = c[i]
                z = 0.0
                for q in range(d):
                    t = row[q] + ci * last[q]
                    row[q] = t
                    z += t * now[q]
                f += BOTTOM + SLOPE * (min(max(z, LOW), HIGH) - LOW)
                c[i] = SLOPE if LOW < z <= HIGH else 0.0
            g = STEP * (y[k] - f / n)
            for i in range(n):
                c[i] *= g
        for i in range(n):
            for q in range(d):
                w[i, q] += c[i] * x[stop - 1, q]

    return lambda start, stop: loop(x, y, w, start, stop), lambda: w


def with_numpy(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """Whole-array operations, results written into arrays that are kept."""
    z, v, c = np.empty(NEURONS), np.empty(NEURONS), np.empty(NEURONS)
    change = np.empty_like(w)

    def run(start: int, stop: int) -> None:
        for k in range(start, stop):
            np.dot(w, x[k], out=z)
            np.clip(z, LOW, HIGH, out=v)
            f = BOTTOM + SLOPE * (v.mean() - LOW)
            np.multiply((z > LOW) & (z <= HIGH), STEP * (y[k] - f) * SLOPE, out=c)
            np.multiply.outer(c, x[k], out=change)
            np.add(w, change, out=w)

    return run, lambda: w


def with_torch(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, compiled: bool = False
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """In-place operations without gradient tape: mv, clamp, and the rank-one update addr_."""
    import torch

    torch.set_num_threads(1)
    xs, ys, net = torch.from_numpy(x), torch.from_numpy(y).tolist(), torch.from_numpy(w)
    z, v = torch.empty(NEURONS, dtype=torch.float64), torch.empty(NEURONS, dtype=torch.float64)

    def step(net: torch.Tensor, sample: torch.Tensor, target: float) -> None:
        torch.mv(net, sample, out=z)
        torch.clamp(z, LOW, HIGH, out=v)
        f = BOTTOM + SLOPE * (v.mean() - LOW)
        inside = ((z > LOW) & (z <= HIGH)).to(torch.float64)
        net.addr_(inside.mul_((target - f) * (STEP * SLOPE)), sample)

    def step_functional(net: torch.Tensor, sample: torch.Tensor, target: torch.Tensor) -> None:
        z = net @ sample
        f = BOTTOM + SLOPE * (torch.clamp(z, LOW, HIGH).mean() - LOW)
        inside = ((z > LOW) & (z <= HIGH)).to(torch.float64)
        c = inside * ((target - f) * (STEP * SLOPE))
        net.add_(c[:, None] * sample[None, :])

    compiled_step = torch.compile(step_functional) if compiled else None
    targets = torch.from_numpy(y)

    @torch.inference_mode()
    def run(start: int, stop: int) -> None:
        if compiled_step is None:
            for k in range(start, stop):
                step(net, xs[k], ys[k])
        else:
            for k in range(start, stop):
                compiled_step(net, xs[k], targets[k])

    return run, lambda: net.numpy()


def with_torch_compiled(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """The step through torch.compile."""
    return with_torch(x, y, w, compiled=True)


def with_jax(
    x: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[Runner, Callable[[], np.ndarray]]:
    """The whole loop compiled (lax.fori_loop), the stream on the device, the network donated.

    The network is kept as (d, N): its products with one sample are a quarter faster that way round.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    xs, ys = jnp.asarray(x), jnp.asarray(y)
    state = [jnp.asarray(w.T)]

    def loop(net: jax.Array, xs: jax.Array, ys: jax.Array, start: int, stop: int) -> jax.Array:
        def step(k: jax.Array, net: jax.Array) -> jax.Array:
            z = xs[k] @ net
            f = BOTTOM + SLOPE * (jnp.clip(z, LOW, HIGH).mean() - LOW)
            c = jnp.where((z > LOW) & (z <= HIGH), STEP * SLOPE * (ys[k] - f), 0.0)
            return net + xs[k][:, None] * c

        return lax.fori_loop(start, stop, step, net)

    compiled = jax.jit(loop, donate_argnums=0)

    def run(start: int, stop: int) -> None:
        state[0] = jax.block_until_ready(compiled(state[0], xs, ys, start, stop))

    return run, lambda: np.asarray(state[0]).T


PEERS = {
    "wflow": with_wflow,
    "numba, fused loop": with_numba,
    "numpy": with_numpy,
    "PyTorch, eager": with_torch,
    "PyTorch, compiled": with_torch_compiled,
    "JAX, fori_loop": with_jax,
}


def child(given: dict[str, Any]) -> dict[str, Any]:
    """Measure one peer; the first pass warms it up and gives the network to compare."""
    steps = given["steps"]
    x, y, w = stream(given["d"], steps)
    speeds = [peers.product_speed(time.process_time)]
    run, network = PEERS[given["peer"]](x, y, w)
    run(0, steps)
    np.save(given["file"], network())
    seconds = peers.seconds_of(lambda: run(0, steps), given["repeats"], time.process_time)
    speeds.append(peers.product_speed(time.process_time))
    return {"seconds": float(np.median(seconds)) / steps, "peak": max(speeds)}


def table(d: int, chosen: list[str], steps: int, repeats: int) -> None:
    """Measure and print all peers at one dimension."""
    print(f"\nN = {NEURONS}, d = {d}, one sample a step, {steps} steps, median of {repeats}")
    print(
        f"{'':20} {'us/step':>9} {'steps/s':>10} {'of peak':>8} {'kept pages':>11} {'wflow is':>9}"
    )
    base, first = None, None
    for peer in chosen:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "network.npy")
            given = {"peer": peer, "d": d, "steps": steps, "repeats": repeats, "file": file}
            runs = [
                peers.measure(given, peers.settings(1) | extra) for extra in ({}, peers.KEEPS_PAGES)
            ]
            usable = [r for r in runs if not isinstance(r, str)]
            if not usable:
                print(f"{peer:20} left out: {runs[0]}")
                continue
            network = np.load(file)
        first = network if first is None else first
        apart = peers.difference([network], [first])
        if not apart < AGREE:
            sys.exit(f"{peer}: the network differs from that of {chosen[0]} by {apart:.1e}")
        times = [np.nan if isinstance(r, str) else r["seconds"] for r in runs]
        best = float(np.nanmin(times))
        base = best if base is None else base
        peak = min(usable, key=lambda r: r["seconds"])["peak"]
        share = 4 * NEURONS * d / best / peak
        print(
            f"{peer:20} {1e6 * best:9.2f} {1 / best:10.0f} {share:8.0%} {times[0] / times[1]:10.2f}x "
            f"{best / base:8.2f}x",
            flush=True,
        )


def main() -> None:
    """Read the arguments, print the tables."""
    args = peers.start(__doc__, child).parse_args()
    for d, steps in ((40, 20_000), (320, 4_000)):
        table(d, peers.chosen(PEERS, args.peers), steps // 10 if args.quick else steps, 5)


if __name__ == "__main__":
    main()
