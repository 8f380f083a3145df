"""How fast is a full step of particles: against other tools, against what the machine can do, and with births?

    python benchmarks/particles.py [steps] [births] [--quick] [--peers wflow,jax] [--outputs 1,10]

Two threads, float64: 100,000 neurons on 1,024 samples of 32 inputs, square loss. Times are medians of repeated calls
after warm-up, with the fastest call beside.

  steps     prediction, residual, gradient in all parameters (a, b, w) and the move, theta - h gradient, of
            f = (1/n) sum_i a_i sigmoid(w_i x + b_i) with K outputs. Peers use the formula of the gradient without a
            tape, in slabs of neurons, since whole arrays of 10^8 numbers only move through memory; each once with
            the activations computed again for the gradient and once with all of them kept (.8 GB), as wflow keeps one
            number a pair. All answers are compared. Every peer runs in a process of its own with an allocator that
            keeps its pages.
            "bound" is about the least that a step takes here: the operations of the two products with the samples
            and those with the charges, 4 n Q (d + 1 + K), at the speed of numpy's square product, and one sigmoid
            a pair from the first-level cache.
  births    a step of birth-death of ReLU neurons with births beside the same step without (reaction_rate = 0), for
            both rules, without and with a base law: rates, rounding, copies. The calls take turns in one process.

One function a question: a further one is a function here and a name in QUESTIONS.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers

THREADS = 2
if __name__ == "__main__":
    peers.keep_to_cores(THREADS)

import numpy as np  # noqa: E402

NEURONS, SAMPLES, INPUTS, STEP = 100_000, 1024, 32, 0.1
SLABS = (200, 1_000, 10_000)
AGREE = 1e-9
"""Largest difference of two answers, relative to the largest number in them."""

Call = Callable[[], Any]
"""One step; of ``steps`` it returns the neurons (n, K + 1 + d)."""


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

    def call() -> np.ndarray:
        moved = energy.prepare(theta).field(weights).gradient()
        moved *= -STEP
        moved += theta
        return moved

    return call


def by_numpy(outputs: int, slab: int, kept: bool) -> Call:
    """Slabs of neurons, results written in place."""
    x, y, theta = problem(outputs)
    room = np.empty((NEURONS if kept else slab, SAMPLES))

    def activated(part: np.ndarray, s: np.ndarray) -> np.ndarray:
        np.matmul(part[:, outputs + 1 :], x.T, out=s)
        s += part[:, outputs, None]
        np.negative(s, out=s)
        np.exp(s, out=s)
        s += 1.0
        return np.reciprocal(s, out=s)

    def call() -> np.ndarray:
        starts = range(0, NEURONS, slab)
        parts = [theta[i : i + slab] for i in starts]
        rooms = [room[i : i + slab] if kept else room for i in starts]
        slabs = list(zip(parts, rooms, strict=True))
        f = sum(activated(part, s).T @ part[:, :outputs] for part, s in slabs) / NEURONS
        c, new = (f - y) / SAMPLES, np.empty_like(theta)
        for i, (part, s) in zip(starts, slabs, strict=True):
            if not kept:
                activated(part, s)
            g = part[:, :outputs] @ c.T
            g *= s
            into_a = s @ c
            np.subtract(1.0, s, out=s)
            g *= s
            step = np.concatenate([into_a, g.sum(axis=1, keepdims=True), g @ x], axis=1)
            new[i : i + slab] = part - STEP * step
        return new

    return call


def by_torch(outputs: int, slab: int, kept: bool) -> Call:
    """Slabs, addmm and in-place operations, without a tape."""
    import torch

    torch.set_num_threads(THREADS)
    x, y, theta = map(torch.from_numpy, problem(outputs))
    parts = theta.split(slab)
    room = torch.empty((NEURONS if kept else slab, SAMPLES), dtype=torch.float64)
    rooms = room.split(slab) if kept else [room] * len(parts)
    work = torch.empty((slab, SAMPLES), dtype=torch.float64)

    def activated(part: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return torch.addmm(part[:, outputs, None], part[:, outputs + 1 :], x.T, out=s).sigmoid_()

    @torch.inference_mode()
    def call() -> Any:
        f = torch.zeros_like(y)
        for part, s in zip(parts, rooms, strict=True):
            f.addmm_(activated(part, s).T, part[:, :outputs])
        c, new = (f / NEURONS - y) / SAMPLES, torch.empty_like(theta)
        for part, s, out in zip(parts, rooms, new.split(slab), strict=True):
            if not kept:
                activated(part, s)
            g = torch.mm(part[:, :outputs], c.T, out=work).mul_(s)
            into_a = s @ c
            g.mul_(s.neg_().add_(1.0))
            step = torch.cat([into_a, g.sum(1, keepdim=True), g @ x], dim=1)
            torch.add(part, step, alpha=-STEP, out=out)
        return new

    return call


def by_jax(outputs: int, slab: int, kept: bool) -> Call:
    """Slabs by lax.scan and lax.map, compiled as one."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y, theta = map(jnp.asarray, problem(outputs))

    def activated(part: Any) -> Any:
        return jax.nn.sigmoid(part[:, outputs + 1 :] @ x.T + part[:, outputs, None])

    @jax.jit
    def step(theta: Any) -> Any:
        parts = theta.reshape(-1, slab, theta.shape[1])

        def add(f: Any, part: Any) -> tuple[Any, Any]:
            s = activated(part)
            return f + s.T @ part[:, :outputs], s if kept else None

        f, activations = jax.lax.scan(add, jnp.zeros_like(y), parts)
        c = (f / NEURONS - y) / SAMPLES

        def moved(given: tuple[Any, Any]) -> Any:
            part, s = given
            s = s if kept else activated(part)
            g = (part[:, :outputs] @ c.T) * s * (1 - s)
            return part - STEP * jnp.concatenate([s @ c, g.sum(1, keepdims=True), g @ x], axis=1)

        return jax.lax.map(moved, (parts, activations)).reshape(theta.shape)

    return lambda: jax.block_until_ready(step(theta))


PEERS: dict[str, Callable[[int], Call]] = {
    "wflow": by_wflow,
    **{
        f"{name}, {slab}{', kept' * kept}": lambda k, by=by, slab=slab, kept=kept: by(k, slab, kept)
        for name, by in (("numpy", by_numpy), ("PyTorch", by_torch), ("JAX", by_jax))
        for slab in SLABS
        for kept in (False, True)
    },
}


def bound(outputs: int) -> dict[str, float]:
    """Seconds of the products of a step on all threads, and of one sigmoid a pair."""
    from wflow.energies.features.activations import get_activation

    sigmoid, z = get_activation("sigmoid"), np.random.default_rng(0).standard_normal(1024)
    value, slope = np.empty_like(z), np.empty_like(z)

    def activate() -> None:
        for _ in range(1000):
            sigmoid.map(z, sigmoid.params, value, slope)

    activate()
    pairs = NEURONS * SAMPLES
    return {
        "products": 4 * pairs * (INPUTS + 1 + outputs) / peers.product_speed(),
        "sigmoid": pairs * peers.seconds_of(activate, 30)[0] / (1000 * z.size) / THREADS,
    }


def child(given: dict[str, Any]) -> dict[str, Any]:
    """Measure one peer of ``steps``, whose first call warms it up and gives the answer to compare, or a question."""
    if "question" in given:
        return {"lines": QUESTIONS_INSIDE[given["question"]](given["repeats"])}
    call = PEERS[given["peer"]](given["outputs"])
    np.save(given["file"], np.asarray(call()))
    seconds = peers.seconds_of(call, given["repeats"])
    found = {"median": statistics.median(seconds), "least": seconds[0]}
    return found | (bound(given["outputs"]) if given["peer"] == "wflow" else {})


def steps(args: Any) -> None:
    """All peers at each number of outputs; wflow comes first and is what the others are divided by."""
    for outputs in map(int, args.outputs.split(",")):
        repeats = 3 if args.quick else 7
        print(f"\n{outputs} outputs: milliseconds a step, median (fastest) of {repeats}")
        base, first = 0.0, np.empty(0)
        for peer in peers.chosen(PEERS, args.peers):
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder) / "answer.npy")
                given = {"peer": peer, "outputs": outputs, "repeats": repeats, "file": file}
                found = peers.measure(given, peers.settings(THREADS) | peers.KEEPS_PAGES)
                if isinstance(found, str):
                    print(f"{peer:24} left out: {found}")
                    continue
                answer = np.load(file)
            base, first = (base, first) if first.size else (found["median"], answer)
            apart = peers.difference([answer], [first])
            if not apart < AGREE:
                sys.exit(f"{peer}: the answer differs from that of wflow by {apart:.1e}")
            times = f"{1e3 * found['median']:9.0f} ({1e3 * found['least']:.0f})"
            print(f"{peer:24} {times:>18} {found['median'] / base:7.2f}x {apart:10.1e}", flush=True)
            if "products" in found:
                products, sigmoid = 1e3 * found["products"], 1e3 * found["sigmoid"]
                least, share = products + sigmoid, (products + sigmoid) / (1e3 * base)
                print(
                    f"{'bound':24} {least:9.0f} {share:16.2f}x  products {products:.0f}, sigmoid {sigmoid:.0f}"
                )


def flow_of_ramps(reaction_rate: float = 0.0) -> tuple[Any, Any]:
    """A flow of ReLU neurons with charges and offsets, and its start."""
    import wflow

    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, INPUTS))
    energy = wflow.energies.FeatureEnergy("relu", x, np.sin(x[:, 0]), charges=True, offset=True)
    start = wflow.Particles(0.3 * rng.standard_normal((NEURONS, INPUTS + 2)))
    return wflow.GradientFlow(energy, reaction_rate=reaction_rate), start


def one_step(flow: Any, start: Any, **options: Any) -> Call:
    """The same step of birth-death from the same start, again and again."""
    from wflow.solvers import Tolerance, get_method

    chosen = get_method("birth-death", {"step_size": 0.05, **options})
    prepared = chosen.prepare(flow, start, Tolerance(), 0)
    carry = chosen.init(prepared, 0.0, prepared.initial)
    h = chosen.control(prepared).h
    return lambda: chosen.step(prepared, 0.0, h, prepared.initial, carry)


def births_inside(repeats: int) -> list[str]:
    """What births add to a step that moves the particles; calls take turns, so that a busy machine slows all alike."""
    from wflow.kernels.parallel import one_blas_thread

    plain, start = flow_of_ramps()
    flow, _ = flow_of_ramps(reaction_rate=2.0)
    law = lambda n, rng: np.zeros((n, INPUTS + 2))  # noqa: E731
    calls = {
        "without births": one_step(plain, start),
        "rounding": one_step(flow, start),
        "rounding, base law": one_step(flow, start, reinject=law),
        "kill-clone": one_step(flow, start, rule="kill-clone"),
    }
    with one_blas_thread():  # as runs do
        turns = [
            [peers.seconds_of(call, 1)[0] for call in calls.values()] for _ in range(repeats + 1)
        ]
    lines, base = [], (0.0, 0.0)
    for name, taken in zip(calls, zip(*turns[1:], strict=True), strict=True):
        median, least = statistics.median(taken), min(taken)
        base = base if lines else (median, least)
        more = f"{100 * (median / base[0] - 1):+.1f}% ({100 * (least / base[1] - 1):+.1f}%)"
        lines.append(f"{name:24} {1e3 * median:9.0f} ({1e3 * least:.0f})  {more}")
    return lines


def births(args: Any) -> None:
    """In a process of its own, as the peers."""
    repeats = 3 if args.quick else 9
    print(f"\nbirths: milliseconds a step, median (fastest) of {repeats}")
    given = {"question": "births", "repeats": repeats}
    found = peers.measure(given, peers.settings(THREADS) | peers.KEEPS_PAGES)
    print(found if isinstance(found, str) else "\n".join(found["lines"]))


QUESTIONS: dict[str, Callable[[Any], None]] = {"steps": steps, "births": births}
QUESTIONS_INSIDE = {"births": births_inside}


def main() -> None:
    """Read the arguments, answer the questions."""
    parser = peers.start(__doc__, child)
    parser.add_argument("questions", nargs="*", help=f"of {', '.join(QUESTIONS)}; all by default")
    parser.add_argument("--outputs", default="1,10", help="numbers of outputs, by commas")
    args = parser.parse_args()
    for name in args.questions or QUESTIONS:
        if name not in QUESTIONS:
            parser.error(f"{name}: choose of {', '.join(QUESTIONS)}")
        QUESTIONS[name](args)


if __name__ == "__main__":
    main()
