"""What does a step of particles cost, and how much of it is what the method adds?

    python benchmarks/particles.py [births] [--quick]

Two threads, float64, one full step of wflow.solve's driver a call: 100,000 neurons (a, b, w) on 1,024 samples of 32
inputs, square loss. Calls of the two that are compared take turns in one process, after warm-up; printed are medians,
the fastest beside, and the ratio of the medians.

  births    a step of birth-death with births beside the same step without (reaction_rate = 0), for both rules, without
            and with a base law: rates, rounding, copies.

One function a question: a further one is a function here and a name in QUESTIONS.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

THREADS = 2
if __name__ == "__main__":
    # Before any library starts its threads.
    os.environ |= {f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "OPENBLAS", "NUMBA")}

import numpy as np  # noqa: E402

NEURONS, SAMPLES, INPUTS = 100_000, 1024, 32
Call = Callable[[], Any]


def problem(reaction_rate: float = 0.0, neurons: int = NEURONS) -> tuple[Any, Any]:
    """A flow of ReLU neurons with charges and offsets, and its start."""
    import wflow

    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, INPUTS))
    energy = wflow.energies.FeatureEnergy("relu", x, np.sin(x[:, 0]), charges=True, offset=True)
    start = wflow.Particles(0.3 * rng.standard_normal((neurons, INPUTS + 2)))
    return wflow.GradientFlow(energy, reaction_rate=reaction_rate), start


def one_step(flow: Any, start: Any, method: str, **options: Any) -> Call:
    """The same step from the same start, again and again."""
    from wflow.solvers import Tolerance, get_method

    chosen = get_method(method, options)
    prepared = chosen.prepare(flow, start, Tolerance(), 0)
    carry = chosen.init(prepared, 0.0, prepared.initial)
    h = chosen.control(prepared).h
    return lambda: chosen.step(prepared, 0.0, h, prepared.initial, carry)


def in_turns(calls: dict[str, Call], repeats: int) -> dict[str, tuple[float, float]]:
    """Median and fastest seconds of each call; they take turns, so that a busy machine slows all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: (statistics.median(t), min(t)) for name, t in taken.items()}


def births(repeats: int) -> None:
    """What births add to a step that moves the particles."""
    plain, start = problem()
    flow, _ = problem(reaction_rate=2.0)
    law = lambda n, rng: np.zeros((n, INPUTS + 2))  # noqa: E731
    size = {"step_size": 0.05}
    calls = {
        "without births": one_step(plain, start, "birth-death", **size),
        "rounding": one_step(flow, start, "birth-death", **size),
        "rounding, base law": one_step(flow, start, "birth-death", reinject=law, **size),
        "kill-clone": one_step(flow, start, "birth-death", rule="kill-clone", **size),
    }
    found = in_turns(calls, repeats)
    base = found["without births"]
    print(f"births: a step of {NEURONS:,} neurons on {SAMPLES:,} samples, {INPUTS} inputs")
    for name, (median, fastest) in found.items():
        more = f"{100 * (median / base[0] - 1):+.1f}% ({100 * (fastest / base[1] - 1):+.1f}%)"
        print(f"  {name:20s} {median:8.3f} s  ({fastest:.3f})  {more}")


QUESTIONS: dict[str, Callable[[int], None]] = {"births": births}


def main() -> None:
    """Read the arguments, answer the questions."""
    from wflow.kernels.parallel import one_blas_thread

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("questions", nargs="*", help=f"of {', '.join(QUESTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="3 repeats in place of 9")
    args = parser.parse_args()
    for name in args.questions or QUESTIONS:
        if name not in QUESTIONS:
            parser.error(f"{name}: choose of {', '.join(QUESTIONS)}")
        with one_blas_thread():  # as runs do
            QUESTIONS[name](3 if args.quick else 9)


if __name__ == "__main__":
    main()
