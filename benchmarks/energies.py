"""How fast are the energies and their gradients, against what one would write with other tools?

    python benchmarks/energies.py [--quick] [--peers wflow,jax]

Two threads, float64, all answers compared. Every peer runs in processes of its own, once as it comes and once with
an allocator that keeps its pages (MALLOC_MMAP_MAX_=0, MALLOC_TRIM_THRESHOLD_): whole-array code otherwise asks the
system anew for every temporary. Times are medians of repeated calls after warm-up, with the fastest call beside.

  pairs     sum_j q_j K(y_i, y_j) and its gradient in y_i, Gaussian K in 2 dimensions, n = 10,000 points. Peers form
            the matrix K in slabs of rows that fit the cache better than the whole, and multiply.
  network   prediction, risk and gradient in all parameters (a, b, w) of f = (1/n) sum_i a_i sigmoid(w_i x + b_i),
            n = 10,000 neurons, 1,024 samples, 32 inputs, square loss. Peers use the formula of the gradient
            without a tape, which is faster than their automatic differentiation.
  float32   the same for 100,000 neurons on 10,000 samples by the evaluators "auto" and "float32", in turn: seconds of
            the processor, which others on it change less than the clock's, and how far the answers are apart.
  memory    the same for 100,000 neurons on 10,000 samples: the largest size of a process, wflow alone.

"of peak" is the share of this machine's matrix-product speed (same process, two threads) that the operations of the
two matrix products of a network gradient, 4 n Q d, amount to.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers

THREADS = 2
if __name__ == "__main__":
    peers.keep_to_cores(THREADS)

import numpy as np  # noqa: E402

POINTS, VARIANCE, SLAB = 10_000, 0.5, 500
NEURONS, SAMPLES, INPUTS = 10_000, 1024, 32
AGREE = 1e-7
"""Largest difference of two answers, relative to the largest number in them."""

Call = Callable[[], tuple[Any, ...]]
"""One evaluation; returns arrays that numpy can read."""


def pair_problem() -> tuple[np.ndarray, np.ndarray]:
    """Points and charges."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((POINTS, 2)), rng.standard_normal(POINTS) / POINTS


def network_problem() -> tuple[np.ndarray, ...]:
    """Samples x (Q, d), targets y (Q,), neurons a (n,), b (n,), w (n, d)."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((SAMPLES, INPUTS)), rng.standard_normal(SAMPLES)
    a, b = rng.standard_normal(NEURONS), rng.standard_normal(NEURONS)
    return x, y, a, b, rng.standard_normal((NEURONS, INPUTS)) / np.sqrt(INPUTS)


def pairs_wflow(gradients: bool) -> Call:
    """The closed kernel, in blocks."""
    from wflow.energies import GaussianKernel

    points, charges = pair_problem()
    kernel = GaussianKernel(VARIANCE, dimension=2)
    if gradients:
        return lambda: kernel.sums_and_gradients(points, points, charges)
    return lambda: (kernel.sums(points, points, charges),)


def pairs_scipy(gradients: bool) -> Call:
    """scipy's cdist, numpy in place, one product for the sum and the gradient."""
    from scipy.spatial.distance import cdist

    points, charges = pair_problem()
    amplitude = 1 / (2 * np.pi * VARIANCE)
    right = charges[:, None] * np.column_stack([np.ones(POINTS), points])
    right = right if gradients else right[:, :1]

    def call() -> tuple[np.ndarray, ...]:
        out = np.empty((POINTS, right.shape[1]))
        for start in range(0, POINTS, SLAB):
            k = cdist(points[start : start + SLAB], points, "sqeuclidean")
            k *= -1 / (2 * VARIANCE)
            np.exp(k, out=k)
            np.matmul(k, right, out=out[start : start + SLAB])
        out *= amplitude
        if not gradients:
            return (out[:, 0],)
        return out[:, 0], (out[:, 1:] - points * out[:, :1]) / VARIANCE

    return call


def pairs_torch(gradients: bool, compiled: bool = False) -> Call:
    """Squares of distances from one product (addmm), exp in place, in slabs."""
    import torch

    torch.set_num_threads(THREADS)
    points, charges = map(torch.from_numpy, pair_problem())
    amplitude = 1 / (2 * np.pi * VARIANCE)
    right = charges[:, None] * torch.column_stack([torch.ones_like(charges), points])
    right = right if gradients else right[:, :1]
    half = (points**2).sum(1) / (2 * VARIANCE)
    scaled = (points / VARIANCE).T.contiguous()

    def slab(p: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.exp(p @ scaled - half - h[:, None]) @ right

    def slab_in_place(p: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.addmm(half, p, scaled, beta=-1).sub_(h[:, None]).exp_() @ right

    work = torch.compile(slab) if compiled else slab_in_place

    @torch.inference_mode()
    def call() -> tuple[Any, ...]:
        parts = zip(points.split(SLAB), half.split(SLAB), strict=True)
        out = torch.cat([work(p, h) for p, h in parts]).mul_(amplitude)
        if not gradients:
            return (out[:, 0],)
        return out[:, 0], (out[:, 1:] - points * out[:, :1]) / VARIANCE

    return call


def pairs_jax(gradients: bool) -> Call:
    """One compiled loop over slabs (lax.map)."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    points, charges = map(jnp.asarray, pair_problem())
    amplitude = 1 / (2 * np.pi * VARIANCE)
    right = charges[:, None] * jnp.column_stack([jnp.ones(POINTS), points])
    right = right if gradients else right[:, :1]

    def slab(p: jax.Array) -> jax.Array:
        square = sum((p[:, k, None] - points[:, k]) ** 2 for k in range(2))
        return jnp.exp(square * (-1 / (2 * VARIANCE))) @ right

    def whole() -> tuple[jax.Array, ...]:
        slabs = points.reshape(POINTS // SLAB, SLAB, 2)
        out = amplitude * jax.lax.map(slab, slabs).reshape(POINTS, -1)
        if not gradients:
            return (out[:, 0],)
        return out[:, 0], (out[:, 1:] - points * out[:, :1]) / VARIANCE

    compiled = jax.jit(whole)
    return lambda: jax.block_until_ready(compiled())


def network_wflow() -> Call:
    """The fused layer."""
    from wflow.energies import FeatureEnergy

    x, y, a, b, w = network_problem()
    theta = np.column_stack([a, b, w])
    weights = np.full(NEURONS, 1 / NEURONS)
    energy = FeatureEnergy("sigmoid", x, y, charges=True, offset=True)

    def call() -> tuple[Any, ...]:
        field = energy.prepare(theta).field(weights)
        g = field.gradient()
        return field.risk, g[:, 0], g[:, 1], g[:, 2:]

    return call


def formula(
    x: Any, y: Any, a: Any, b: Any, w: Any, sigmoid: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Risk and gradient in a, b and w of half the risk per mass, as whole arrays of any of the libraries."""
    s = sigmoid(w @ x.T + b[:, None])
    r = (a / NEURONS) @ s - y
    c = r / SAMPLES
    pull = s * (1 - s) * c
    return (r * r).mean(), s @ c, a * pull.sum(1), a[:, None] * (pull @ x)


def network_numpy() -> Call:
    """Whole arrays, results written in place."""
    x, y, a, b, w = network_problem()

    def call() -> tuple[Any, ...]:
        s = w @ x.T
        s += b[:, None]
        np.negative(s, out=s)
        np.exp(s, out=s)
        s += 1.0
        np.reciprocal(s, out=s)
        r = (a / NEURONS) @ s - y
        c = r / SAMPLES
        in_a = s @ c
        pull = 1.0 - s
        pull *= s
        pull *= c
        return (r * r).mean(), in_a, a * pull.sum(axis=1), a[:, None] * (pull @ x)

    return call


def network_torch(compiled: bool = False) -> Call:
    """addmm, sigmoid_ and products in place, without a tape; or the formula through torch.compile."""
    import torch

    torch.set_num_threads(THREADS)
    x, y, a, b, w = map(torch.from_numpy, network_problem())

    def in_place() -> tuple[Any, ...]:
        s = torch.addmm(b[:, None], w, x.T).sigmoid_()
        r = (a / NEURONS) @ s - y
        c = r / SAMPLES
        in_a = s @ c
        pull = torch.addcmul(s, s, s, value=-1).mul_(c)
        return (r * r).mean(), in_a, a * pull.sum(1), a[:, None] * (pull @ x)

    whole = torch.compile(lambda: formula(x, y, a, b, w, torch.sigmoid)) if compiled else in_place

    @torch.inference_mode()
    def call() -> tuple[Any, ...]:
        return tuple(whole())

    return call


def network_jax() -> Call:
    """The formula, compiled."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    arguments = list(map(jnp.asarray, network_problem()))
    compiled = jax.jit(lambda *args: formula(*args, jax.nn.sigmoid))
    return lambda: jax.block_until_ready(compiled(*arguments))


TASKS: dict[str, dict[str, Callable[[], Call]]] = {
    "pairs, sums": {
        "wflow": lambda: pairs_wflow(False),
        "scipy cdist, numpy": lambda: pairs_scipy(False),
        "PyTorch, eager": lambda: pairs_torch(False),
        "PyTorch, compiled": lambda: pairs_torch(False, True),
        "JAX, jit": lambda: pairs_jax(False),
    },
    "pairs, sums and gradients": {
        "wflow": lambda: pairs_wflow(True),
        "scipy cdist, numpy": lambda: pairs_scipy(True),
        "PyTorch, eager": lambda: pairs_torch(True),
        "PyTorch, compiled": lambda: pairs_torch(True, True),
        "JAX, jit": lambda: pairs_jax(True),
    },
    "network": {
        "wflow": network_wflow,
        "numpy": network_numpy,
        "PyTorch, eager": network_torch,
        "PyTorch, compiled": lambda: network_torch(True),
        "JAX, jit": network_jax,
    },
}


def in_float32(name: str, inputs: int, neurons: int, samples: int) -> dict[str, Any]:
    """Processor seconds of one risk and gradient by "auto" and "float32", the least of two, and their distances."""
    from wflow.energies import FeatureEnergy

    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((samples, inputs)), rng.standard_normal(samples)
    theta = rng.standard_normal((neurons, inputs + 2))
    theta[:, 2:] /= np.sqrt(inputs)
    weights = np.full(neurons, 1 / neurons)
    seconds: dict[str, list[float]] = {"auto": [], "float32": []}
    answers: dict[str, tuple[Any, ...]] = {}
    energies = {
        e: FeatureEnergy(name, x, y, charges=True, offset=True, evaluator=e) for e in seconds
    }
    for energy in energies.values():
        energy.prepare(theta[:64]).field(weights[:64]).gradient()
    for _ in range(2):
        for evaluator, energy in energies.items():
            start = time.process_time()
            field = energy.prepare(theta).field(weights)
            answers[evaluator] = (np.array([field.risk]), field.gradient())
            seconds[evaluator].append(time.process_time() - start)
    apart = [peers.difference([a], [b]) for a, b in zip(*answers.values(), strict=True)]
    return {"seconds": {e: min(s) for e, s in seconds.items()}, "apart": apart}


def precisions(neurons: int, samples: int) -> None:
    """Print how many times "auto" takes what "float32" does."""
    print(f"\nfloat32: {neurons:,} neurons on {samples:,} samples, seconds of the processor")
    print(f"{'':20} {'auto':>8} {'float32':>8} {'ratio':>6} {'risk':>9} {'gradient':>9} differ by")
    for inputs in (INPUTS, 2):
        for name in ("tanh", "sigmoid", "relu", "erf"):
            given = {"task": "float32", "of": [name, inputs, neurons, samples]}
            got = peers.measure(given, peers.settings(THREADS))
            if isinstance(got, str):
                print(f"{name:20} left out: {got}")
                continue
            auto, single = got["seconds"]["auto"], got["seconds"]["float32"]
            risk, gradient = got["apart"]
            text = f"{auto:8.2f} {single:8.2f} {auto / single:6.2f} {risk:9.1e} {gradient:9.1e}"
            print(f"{f'{name}, {inputs} inputs':20} {text}", flush=True)


def child(given: dict[str, Any]) -> dict[str, Any]:
    """Measure one peer; its first call warms it up and gives the answer to compare."""
    if given["task"] == "float32":
        return in_float32(*given["of"])
    if given["task"] == "memory":
        return {"bytes": memory()}
    peak = peers.product_speed() if given["peer"] == "wflow" else 0.0
    call = TASKS[given["task"]][given["peer"]]()
    np.savez(given["file"], *[np.asarray(part) for part in call()])
    call()
    seconds = peers.seconds_of(call, given["repeats"])
    if peak:
        peak = max(peak, peers.product_speed())
    return {"median": float(np.median(seconds)), "least": seconds[0], "peak": peak}


def memory() -> float:
    """The largest size of this process after one gradient of 1e5 neurons on 1e4 samples, in bytes."""
    from wflow.energies import FeatureEnergy

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10_000, INPUTS)), rng.standard_normal(10_000)
    energy = FeatureEnergy("sigmoid", x, y, charges=True, offset=True)
    theta = rng.standard_normal((100_000, INPUTS + 2))
    field = energy.prepare(theta).field(np.full(100_000, 1e-5))
    assert np.isfinite(field.risk)
    assert np.isfinite(field.gradient()).all()
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def table(task: str, chosen: list[str], repeats: int, folder: Path) -> None:
    """Measure and print all peers at one task; wflow comes first and is what the others are divided by."""
    file = folder / "answer.npz"
    print(f"\n{task}: milliseconds, median (fastest) of {repeats}")
    print(f"{'':20} {'as it comes':>17} {'pages kept':>17} {'wflow is':>16} {'differs by':>11}")
    base: list[float] = []
    first: list[np.ndarray] = []
    for peer in chosen:
        given = {"task": task, "peer": peer, "repeats": repeats, "file": str(file)}
        runs = [
            peers.measure(given, peers.settings(THREADS) | extra)
            for extra in ({}, peers.KEEPS_PAGES)
        ]
        usable = [r for r in runs if not isinstance(r, str)]
        if len(usable) < 2:
            print(f"{peer:20} left out: {next(r for r in runs if isinstance(r, str))}")
            continue
        with np.load(file) as parts:
            answer = list(parts.values())
        if not first:
            base, first = [r["median"] for r in usable], answer
        apart = peers.difference(answer, first)
        if not apart < AGREE:
            sys.exit(f"{peer}: the answer differs from that of {chosen[0]} by {apart:.1e}")
        cells = [f"{1e3 * r['median']:8.1f} ({1e3 * r['least']:6.1f})" for r in usable]
        ratios = " ".join(f"{r['median'] / b:6.2f}x" for r, b in zip(usable, base, strict=True))
        print(f"{peer:20} {cells[0]:>17} {cells[1]:>17} {ratios:>16} {apart:11.1e}", flush=True)
        if peer == "wflow" and task == "network":
            peak = max(r["peak"] for r in usable)
            work = 4 * NEURONS * SAMPLES * INPUTS
            share = work / peak / min(r["median"] for r in usable)
            print(
                f"{'':20} {share:.0%} of peak: {1e-9 * peak:.0f} Gflop/s would take "
                f"{1e3 * work / peak:.1f} ms"
            )


def main() -> None:
    """Read the arguments, print the tables."""
    args = peers.start(__doc__, child).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for task, of_task in TASKS.items():
            repeats = 21 if task == "network" else 7
            repeats = max(3, repeats // 4) if args.quick else repeats
            table(task, peers.chosen(of_task, args.peers), repeats, Path(folder))
    precisions(*((10_000, 1_000) if args.quick else (100_000, 10_000)))
    if not args.quick:
        got = peers.measure({"task": "memory"}, peers.settings(THREADS))
        text = got if isinstance(got, str) else f"{got['bytes'] / 2**20:.0f} MiB at most"
        print(f"\nmemory, 100,000 neurons on 10,000 samples: {text}")


if __name__ == "__main__":
    main()
