"""What comparisons with other libraries share: every peer runs in a process of its own, and all must agree.

A script has one function of what it is given, a dictionary, that measures one peer and returns what to report;
``measure`` calls it in a new process. There the number of threads, the cores and the allocator are set before any
library starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

THREADED = ("OMP", "MKL", "OPENBLAS", "NUMBA")
KEEPS_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""Whole-array code otherwise asks the system anew for every temporary."""


def settings(threads: int) -> dict[str, str]:
    """The environment of a peer on so many cores."""
    given = {f"{name}_NUM_THREADS": str(threads) for name in THREADED} | {"JAX_PLATFORMS": "cpu"}
    if threads == 1:
        given["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return given


def keep_to_cores(threads: int) -> None:
    """In the process of a peer: so many cores, whatever the machine has. To be called before numpy is imported."""
    if "--child" in sys.argv and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def start(description: str | None, child: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The parser of a script; in the process of a peer, measure, print and end."""
    if "--child" in sys.argv:
        print(json.dumps(child(json.loads(sys.argv[-1]))))
        raise SystemExit
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, or shorter ones")
    parser.add_argument("--peers", help="words that the names of the peers start with, by commas")
    return parser


def chosen(peers: Iterable[str], words: str | None) -> list[str]:
    """The peers whose names begin with one of the words, and wflow."""
    begins = ("wflow", *words.lower().split(",")) if words else ("",)
    return [peer for peer in peers if peer.lower().startswith(begins)]


def measure(given: dict[str, Any], environment: dict[str, str]) -> dict[str, Any] | str:
    """What a new process measured, or in a few words why it did not."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, sys.argv[0], "--child", json.dumps(given)],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "took more than 300 s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1][:90]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def seconds_of(
    call: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """How long each call took, in order of size."""
    taken = []
    for _ in range(repeats):
        began = clock()
        call()
        taken.append(clock() - began)
    return sorted(taken)


def product_speed(clock: Callable[[], float] = time.perf_counter) -> float:
    """Operations a second of numpy's square matrix product, the best of a few."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((1024, 1024))
    out = np.empty_like(a)
    return 2 * 1024**3 / seconds_of(lambda: np.dot(a, a, out=out), 8, clock)[0]


def difference(answer: Iterable[Any], first: Iterable[Any]) -> float:
    """The largest difference of two answers, relative to the largest number in each part."""
    import numpy as np

    pairs = zip(answer, first, strict=True)
    return max(float(np.max(np.abs(p - f)) / np.max(np.abs(f))) for p, f in pairs)
