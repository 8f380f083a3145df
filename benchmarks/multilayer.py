"""How fast is a step of a network of many layers, against PyTorch and JAX?

    python benchmarks/multilayer.py [sgd|flow] [--quick] [--peers wflow,jax] [--threads 2]

sgd: a step of SGD of N = 1,000 neurons a layer, L = 4, 100 inputs, batches of 100, tanh, square loss, float64.
flow: one evaluation of the right-hand side of an ensemble of 400 x 400 x 400 atoms on 400 samples of 100 inputs.

Every peer runs in processes of its own on the same cores, as it comes and with an allocator that keeps its pages, in
three rounds of all peers; the best of its medians counts. All must arrive at the same weights. A peer that is not
installed is named and left out.

Columns: milliseconds a step (of computing, with --threads 1), the share of this machine's matrix-product speed that its
products amount to, how many times faster wflow is, and the largest memory of the process.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import peers

if __name__ == "__main__":
    given = sys.argv[-1] if "--child" in sys.argv else ""
    peers.keep_to_cores(1 if '"threads": 1' in given else 2)

import numpy as np

SIZES = {"sgd": (1000, 100, 100), "flow": (400, 100, 400)}
"""N, inputs and samples."""
STEP = 1e-2
AGREE = 1e-10
ROUNDS = 3
PEERS = ["wflow", "numpy", "torch eager", "torch compiled", "jax"]

Start = list[np.ndarray]
Runner = Callable[[int], None]


def problem(task: str) -> tuple[Start, np.ndarray, np.ndarray]:
    """Weights (n_{i-1}, n_i), the first (d, n_1), and samples."""
    n, d, samples = SIZES[task]
    rng = np.random.default_rng(20200725)
    w = [rng.standard_normal((d, n)) / np.sqrt(d), *(rng.standard_normal((n, n)) for _ in range(2))]
    x = rng.standard_normal((samples, d))
    return [*w, rng.standard_normal(n)], x, np.sin(x[:, 0]) + 0.5 * x[:, 1]


def scales(w: Start) -> list[float]:
    """N_1, N_1 N_2, N_2 N_3, N_3."""
    n = w[0].shape[1]
    return [n, n * n, n * n, n]


def with_wflow(w: Start, x: np.ndarray, y: np.ndarray) -> tuple[Runner, Callable[[], Start]]:
    """Blocks of rows, gradients taken from the weights as they are found."""
    from wflow.kernels.parallel import one_blas_thread
    from wflow.layers import Ensemble, Flow
    from wflow.layers.standard import Descent

    net = Ensemble([w[0].T, *w[1:]])
    flow, flat = Flow(x, y), net.flat()
    layers = net.layout.split(flat)

    def run(steps: int) -> None:
        with one_blas_thread():
            for _ in range(steps):
                flow.network.descend(layers, net.probabilities, flow.samples, Descent(layers, STEP))

    return run, lambda: [layers.weights[0].T, *layers.weights[1:3], layers.weights[3][:, 0]]


def with_numpy(w: Start, x: np.ndarray, y: np.ndarray) -> tuple[Runner, Callable[[], Start]]:
    """Whole products, the library's own threads."""

    def run(steps: int) -> None:
        n = w[0].shape[1]
        for _ in range(steps):
            s = [np.tanh(x @ w[0])]
            s += [np.tanh(s[0] @ w[1] / n)]
            s += [np.tanh(s[1] @ w[2] / n)]
            r = (s[2] @ w[3] / n - y) / y.size
            d = np.outer(r, w[3]) * (1 - s[2] ** 2)
            e = d @ w[2].T / n * (1 - s[1] ** 2)
            c = e @ w[1].T / n * (1 - s[0] ** 2)
            w[3] -= STEP * (s[2].T @ r)
            w[2] -= STEP * (s[1].T @ d)
            w[1] -= STEP * (s[0].T @ e)
            w[0] -= STEP * (x.T @ c)

    return run, lambda: w


def with_torch(
    w: Start, x: np.ndarray, y: np.ndarray, threads: int, compiled: bool
) -> tuple[Runner, Callable[[], Start]]:
    """Automatic differentiation; compiled, the loss and its gradient."""
    import torch

    torch.set_num_threads(threads)
    t = [torch.tensor(a, requires_grad=True) for a in w]
    tx, ty, n, scale = torch.tensor(x), torch.tensor(y), w[0].shape[1], scales(w)

    def loss(a: Any, b: Any, c: Any, d: Any) -> Any:
        s = torch.tanh(tx @ a)
        s = torch.tanh(s @ b / n)
        s = torch.tanh(s @ c / n)
        return 0.5 * ((ty - s @ d / n) ** 2).mean()

    function = torch.compile(loss) if compiled else loss

    def run(steps: int) -> None:
        for _ in range(steps):
            gradients = torch.autograd.grad(function(*t), t)
            with torch.no_grad():
                for a, g, k in zip(t, gradients, scale, strict=True):
                    a.sub_(g, alpha=STEP * k)

    return run, lambda: [a.detach().numpy() for a in t]


def with_jax(w: Start, x: np.ndarray, y: np.ndarray) -> tuple[Runner, Callable[[], Start]]:
    """One compiled step that gives its weights away."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from jax import numpy as jnp

    n, scale, held = w[0].shape[1], scales(w), [[jnp.asarray(a) for a in w]]

    def loss(t: Any) -> Any:
        s = jnp.tanh(x @ t[0])
        s = jnp.tanh(s @ t[1] / n)
        s = jnp.tanh(s @ t[2] / n)
        return 0.5 * jnp.mean((y - s @ t[3] / n) ** 2)

    def move(t: Any) -> Any:
        return [a - STEP * k * g for a, g, k in zip(t, jax.grad(loss)(t), scale, strict=True)]

    step = jax.jit(move, donate_argnums=0)

    def run(steps: int) -> None:
        for _ in range(steps):
            held[0] = step(held[0])
        jax.block_until_ready(held[0])

    return run, lambda: [np.asarray(a) for a in held[0]]


def child(given: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of a step, the weights after ten, and the memory."""
    peer, task, threads = given["peer"], given["task"], given["threads"]
    w, x, y = problem(task)
    if peer.startswith("torch"):
        run, weights = with_torch(w, x, y, threads, peer == "torch compiled")
    else:
        run, weights = {"wflow": with_wflow, "numpy": with_numpy, "jax": with_jax}[peer](w, x, y)
    run(10)
    answer = [
        float(np.sum(a * np.sin(1.0 + np.arange(a.size)).reshape(a.shape))) for a in weights()
    ]
    # One thread is timed by what it computes: other work on the machine counts for less.
    clock = time.process_time if threads == 1 else time.perf_counter
    taken = peers.seconds_of(lambda: run(2), given["repeats"], clock)
    speed = peers.product_speed(clock)
    return {
        "seconds": taken[len(taken) // 2] / 2,
        "answer": answer,
        "speed": speed,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure the peers and print a table a task."""
    parser = peers.start(__doc__, child)
    parser.add_argument("task", nargs="?", choices=[*SIZES], help="all, unless one is named")
    parser.add_argument("--threads", type=int, default=2, choices=(1, 2))
    asked = parser.parse_args()
    for task in [asked.task] if asked.task else SIZES:
        n, d, samples = SIZES[task]
        # Forwards, backwards and the gradient: of two inner layers, and of the first without the way back.
        work = samples * (12 * n * n + 4 * n * d + 6 * n)
        print(f"{task}: N = {n}, L = 4, {d} inputs, {samples} samples, {asked.threads} threads")
        print(f"{'':16}{'ms a step':>12}{'of peak':>10}{'wflow is':>12}{'MiB':>8}")
        chosen = peers.chosen(PEERS, asked.peers)
        found: dict[str, list[Any]] = {peer: [] for peer in chosen}
        # In turns: a machine that others share is never equally fast for long.
        for _ in range(1 if asked.quick else ROUNDS):
            for peer in chosen:
                told = {"peer": peer, "task": task, "threads": asked.threads}
                told["repeats"] = 5 if asked.quick else 25
                environment = peers.settings(asked.threads)
                for more in ({}, peers.KEEPS_PAGES):
                    found[peer].append(peers.measure(told, environment | more))
        first: dict[str, Any] | None = None
        for peer, runs in found.items():
            ran = (f for f in runs if isinstance(f, dict))
            best = min(ran, key=lambda f: f["seconds"], default=None)
            if best is None:
                print(f"{peer:16}left out: {runs[0]}")
                continue
            first = first or best
            off = peers.difference([np.array(best["answer"])], [np.array(first["answer"])])
            if off > AGREE:
                print(f"{peer:16}arrives at other weights: off by {off:.1e}")
                continue
            ratio, share = (
                best["seconds"] / first["seconds"],
                work / best["seconds"] / best["speed"],
            )
            print(
                f"{peer:16}{1e3 * best['seconds']:12.2f}{share:10.2f}{ratio:11.2f}x{best['memory']:8.0f}"
            )


if __name__ == "__main__":
    main()
