"""How fast is a full step of particles, against what one would write with other tools?

    python benchmarks/steps.py [--quick] [--peers wflow,jax] [--outputs 1,10]

A step is prediction, residual, gradient in all parameters (a, b, w) and the move, theta - h gradient, of
f = (1/n) sum_i a_i sigmoid(w_i x + b_i) with K outputs: n = 100,000 neurons, 1,024 samples, 32 inputs, square loss.
Two threads, float64, all answers compared. Peers use the formula of the gradient without a tape, in slabs of 1,000 or
10,000 neurons, whichever serves them better, since whole arrays of 10^8 numbers only move through memory. Every peer
runs in a process of its own with an allocator that keeps its pages. Times are medians of repeated calls after warm-up,
with the fastest call beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 2
SETTINGS = {
    **{f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
    "JAX_PLATFORMS": "cpu",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
}
NEURONS, SAMPLES, INPUTS, STEP = 100_000, 1024, 32, 0.1
SLABS = (1_000, 10_000)
AGREE = 1e-9
"""Largest difference of two answers, relative to the largest number in them."""

Call = Callable[[], Any]
"""One step; returns the neurons (n, K + 1 + d)."""

if __name__ == "__main__" and "--child" in sys.argv:
    # Before any library starts its threads: two cores, whatever the machine has.
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:THREADS]))

import numpy as np  # noqa: E402


def problem(outputs: int) -> tuple[np.ndarray, ...]:
    """Samples (Q, d), targets (Q, K) and neurons (a, b, w)."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((SAMPLES, INPUTS)), rng.standard_normal((SAMPLES, outputs))
    return x, y, rng.standard_normal((NEURONS, outputs + 1 + INPUTS)) / np.sqrt(INPUTS)


def by_wflow(outputs: int) -> Call:
    """The layer of one output, or of K."""
    from wflow.energies import FeatureEnergy

    x, y, theta = problem(outputs)
    energy = FeatureEnergy("sigmoid", x, y, charges=True, offset=True)
    weights = np.full(NEURONS, 1 / NEURONS)
    return lambda: theta - STEP * energy.prepare(theta).field(weights).gradient()


def by_numpy(outputs: int, slab: int) -> Call:
    """Slabs of neurons, results written in place."""
    x, y, theta = problem(outputs)

    def activated(part: np.ndarray) -> np.ndarray:
        s = part[:, outputs + 1 :] @ x.T
        s += part[:, outputs, None]
        np.negative(s, out=s)
        np.exp(s, out=s)
        s += 1.0
        return np.reciprocal(s, out=s)

    def call() -> np.ndarray:
        parts = [theta[i : i + slab] for i in range(0, NEURONS, slab)]
        f = sum(activated(part).T @ part[:, :outputs] for part in parts) / NEURONS
        c, new = (f - y) / SAMPLES, np.empty_like(theta)
        for i, part in zip(range(0, NEURONS, slab), parts, strict=True):
            s = activated(part)
            g = part[:, :outputs] @ c.T
            g *= s
            into_a = s @ c
            np.subtract(1.0, s, out=s)
            g *= s
            step = np.concatenate([into_a, g.sum(axis=1, keepdims=True), g @ x], axis=1)
            new[i : i + slab] = part - STEP * step
        return new

    return call


def by_torch(outputs: int, slab: int) -> Call:
    """Slabs, addmm and in-place operations, without a tape."""
    import torch

    torch.set_num_threads(THREADS)
    x, y, theta = map(torch.from_numpy, problem(outputs))
    parts = theta.split(slab)

    def activated(part: torch.Tensor) -> torch.Tensor:
        return torch.addmm(part[:, outputs, None], part[:, outputs + 1 :], x.T).sigmoid_()

    @torch.inference_mode()
    def call() -> Any:
        f = torch.zeros_like(y)
        for part in parts:
            f.addmm_(activated(part).T, part[:, :outputs])
        c, new = (f / NEURONS - y) / SAMPLES, torch.empty_like(theta)
        for part, out in zip(parts, new.split(slab), strict=True):
            s = activated(part)
            g = (part[:, :outputs] @ c.T).mul_(s)
            into_a = s @ c
            g.mul_(s.neg_().add_(1.0))
            step = torch.cat([into_a, g.sum(1, keepdim=True), g @ x], dim=1)
            torch.add(part, step, alpha=-STEP, out=out)
        return new

    return call


def by_jax(outputs: int, slab: int) -> Call:
    """Slabs by lax.map, compiled as one."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y, theta = map(jnp.asarray, problem(outputs))

    def activated(part: Any) -> Any:
        return jax.nn.sigmoid(part[:, outputs + 1 :] @ x.T + part[:, outputs, None])

    @jax.jit
    def step(theta: Any) -> Any:
        parts = theta.reshape(-1, slab, theta.shape[1])
        add = lambda f, part: (f + activated(part).T @ part[:, :outputs], None)  # noqa: E731
        f, _ = jax.lax.scan(add, jnp.zeros_like(y), parts)
        c = (f / NEURONS - y) / SAMPLES

        def moved(part: Any) -> Any:
            s = activated(part)
            g = (part[:, :outputs] @ c.T) * s * (1 - s)
            return part - STEP * jnp.concatenate([s @ c, g.sum(1, keepdims=True), g @ x], axis=1)

        return jax.lax.map(moved, parts).reshape(theta.shape)

    return lambda: jax.block_until_ready(step(theta))


PEERS: dict[str, Callable[..., Call]] = {
    "wflow": by_wflow,
    **{
        f"{name}, slabs of {slab}": lambda k, by=by, slab=slab: by(k, slab)
        for name, by in (("numpy", by_numpy), ("PyTorch", by_torch), ("JAX", by_jax))
        for slab in SLABS
    },
}


def child(peer: str, outputs: int, repeats: int, result: str) -> None:
    """Measure one peer; its first call warms it up and gives the answer to compare."""
    call = PEERS[peer](outputs)
    np.save(result, np.asarray(call()))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    print(json.dumps([float(np.median(seconds)), min(seconds)]))


def table(outputs: int, peers: list[str], repeats: int, file: str) -> None:
    """Measure and print all peers; wflow comes first and is what the others are divided by."""
    print(f"\n{outputs} outputs: milliseconds a step, median (fastest) of {repeats}")
    base, first = 0.0, np.empty(0)
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    for peer in peers:
        given = ["--child", peer, "--outputs", str(outputs), "--repeats", str(repeats)]
        command = [sys.executable, __file__, *given, "--result", file]
        env = {**os.environ, **SETTINGS, "PYTHONPATH": path}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer:24} left out: {(done.stderr.strip().splitlines() or ['?'])[-1][:80]}")
            continue
        median, least = json.loads(done.stdout.strip().splitlines()[-1])
        answer = np.load(file)
        base, first = (base, first) if first.size else (median, answer)
        apart = float(np.abs(answer - first).max() / np.abs(first).max())
        if not apart < AGREE:
            sys.exit(f"{peer}: the answer differs from that of {peers[0]} by {apart:.1e}")
        times = f"{1e3 * median:9.0f} ({1e3 * least:.0f})"
        print(f"{peer:24} {times:>18} {median / base:7.2f}x {apart:10.1e}", flush=True)


def main() -> None:
    """Read the arguments, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three repeats")
    parser.add_argument("--peers", help="words that the names of the peers start with, by commas")
    parser.add_argument("--outputs", default="1,10", help="numbers of outputs, by commas")
    for hidden in ("--child", "--repeats", "--result"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, int(args.outputs), int(args.repeats), args.result)
        return
    words = ["wflow", *args.peers.lower().split(",")] if args.peers else [""]
    chosen = [p for p in PEERS if any(p.lower().startswith(w) for w in words)]
    with tempfile.TemporaryDirectory() as folder:
        for outputs in map(int, args.outputs.split(",")):
            table(outputs, chosen, 3 if args.quick else 7, str(Path(folder) / "answer.npy"))


if __name__ == "__main__":
    main()
