"""What do a user's own V and U cost on a grid, where the points never move?

    OPENBLAS_NUM_THREADS=2 NUMBA_NUM_THREADS=2 python benchmarks/own_energy.py [--cells 512] [--points 800] [--t-end 10]

Float64. V and U are plain numpy functions of points, as a user writes them.

  V         a scharfetter-gummel step on cells x cells with PairEnergy(V), over one with the same V as features: one
            node of weight 1 whose target 0 and whose prediction 0 leave Psi = 0, and V as a ridge. Both Psi are fixed,
            so that the step is the same and only the energy differs
  U         dynamics of V and U with noise and births (alpha = 1), `points` cells, rtol 1e-6, to t_end; the free energy
            at the end, and seconds
  calls     of the user's functions in the whole run: what depends on the points alone is formed once

The last column is the ratio to the first row of its part.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

CALLS = {"V": 0, "U": 0}


def bowl(x: np.ndarray) -> np.ndarray:
    """V: a quadratic well, which a ridge of 1 is too."""
    CALLS["V"] += 1
    return np.asarray(0.5 * (x**2).sum(axis=-1))


def ripples(x: np.ndarray) -> np.ndarray:
    """V: a well with ripples."""
    CALLS["V"] += 1
    return np.asarray(0.5 * x[..., 0] ** 2 + 0.3 * np.cos(3 * x[..., 0]))


def attraction(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """U: a bump that draws."""
    CALLS["U"] += 1
    return np.asarray(-np.exp(-2 * (x - y)[..., 0] ** 2))


def bell(x: np.ndarray) -> np.ndarray:
    """The start."""
    return np.asarray(np.exp(-((x - 0.5) ** 2).sum(axis=-1)))


def step_seconds(flow: Any, start: Any, count: int = 15) -> float:
    """Median of equal steps of scharfetter-gummel after a warm-up."""
    from wflow.solvers import Tolerance, get_method

    method = get_method("scharfetter-gummel")
    problem = method.prepare(flow, start, Tolerance(), 0)
    y, carry, times = problem.initial, method.init(problem, 0.0, problem.initial), []
    for k in range(count):
        begin = time.perf_counter()
        step = method.step(problem, 1e-3 * k, 1e-3, y, carry)
        times.append(time.perf_counter() - begin)
        assert step.status == "ok", step.reason
        y, carry = step.y, step.carry
    return statistics.median(times[3:])


def of_v(cells: int) -> None:
    """The step with V alone."""
    from wflow import GradientFlow, GridDensity
    from wflow.energies import FeatureEnergy, PairEnergy

    start = GridDensity.from_function(bell, [(-3, 3)] * 2, n=cells, order=1)
    rows = {
        "features": GradientFlow(
            FeatureEnergy("zero", np.zeros((1, 2)), [0.0]), temperature=0.3, ridge=1.0
        ),
        "PairEnergy(V)": GradientFlow(PairEnergy(bowl, dimension=2), temperature=0.3),
    }
    found: dict[str, float] = {}
    for _ in range(3):
        for name, flow in rows.items():
            found[name] = min(found.get(name, np.inf), step_seconds(flow, start))
    for name, seconds in found.items():
        ratio = seconds / found["features"]
        print(f"V    {cells}^2 step, {name:14} {1e3 * seconds:8.1f} ms   {ratio:6.2f}")


def of_u(points: int, t_end: float) -> None:
    """The whole run with V and U."""
    from wflow import GradientFlow, GridDensity, solve
    from wflow.energies import PairEnergy

    start = GridDensity.from_function(bell, [(-4, 4)], n=points)
    flow = GradientFlow(PairEnergy(ripples, attraction), temperature=0.1, reaction_rate=1.0)
    solve(flow, start, (0, 1e-3))  # compiles
    CALLS.update(V=0, U=0)
    begin = time.perf_counter()
    sol = solve(flow, start, (0, t_end), t_eval=[0, t_end], rtol=1e-6)
    seconds = time.perf_counter() - begin
    assert sol.success, sol.message
    print(
        f"U    n = {points}, to t = {t_end:g}: {seconds:.1f} s, {sol.stats['steps']} steps, calls {CALLS}, "
        f"F = {sol.free_energy[-1]:.9f}"
    )


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=512)
    parser.add_argument("--points", type=int, default=800)
    parser.add_argument("--t-end", type=float, default=10.0)
    asked = parser.parse_args()
    of_v(asked.cells)
    of_u(asked.points, asked.t_end)


if __name__ == "__main__":
    main()
