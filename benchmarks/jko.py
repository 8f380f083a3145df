"""What does a minimising movement cost on 256 x 256 cells, and how does the cost grow with dt?

    OMP_NUM_THREADS=2 python benchmarks/jko.py [--cells 256] [--quick]

float64, method "jko-linearised" to its residual of 1e-6. Each row is dt over the limit of an explicit method; its
columns are the seconds of the first step and of the fastest of two later ones (the first starts from the given
density, the others from a law that has moved), and their Newton steps.

  barenblatt   LocalEnergy, Psi = rho, temperature 0, from Barenblatt's compact profile
  hill         LocalEnergy, Psi = rho - f with f = 2 - |x|^2, temperature 0, from a narrow Gaussian
  mean field   ConvolutionEnergy, U = exp(-|z|^2), V a well at another place, temperature 0.1
  entropic     the mean field by "jko-entropic", to 1e-8; the rows whose blur a cell can hold
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from wflow import GradientFlow, GridDensity, InputError
from wflow.energies import ConvolutionEnergy, LocalEnergy
from wflow.solvers import Tolerance, get_method

TAU = 0.1
Problem = tuple[GradientFlow, GridDensity, float]


def barenblatt(n: int) -> Problem:
    start = GridDensity.from_function(
        lambda x: np.maximum(0.3 - (x**2).sum(-1) / 8, 0.0), [(-4, 4)] * 2, n=n
    )
    energy = LocalEnergy(lambda x: 0 * x[..., 0], dimension=2)
    return GradientFlow(energy), start, energy.explicit_step([8 / n] * 2, start.density.max())


def narrow(n: int) -> GridDensity:
    return GridDensity.from_function(
        lambda x: np.exp(-4 * ((x - 0.5) ** 2).sum(-1)), [(-2, 2)] * 2, n=n
    )


def hill(n: int) -> Problem:
    start, energy = narrow(n), LocalEnergy(lambda x: 2 - (x**2).sum(-1), dimension=2)
    return GradientFlow(energy), start, energy.explicit_step([4 / n] * 2, start.density.max())


def mean_field(n: int) -> Problem:
    energy = ConvolutionEnergy(
        lambda x: -np.exp(-2 * ((x + 0.5) ** 2).sum(-1)),
        lambda z: np.exp(-(z**2).sum(-1)),
        dimension=2,
    )
    return GradientFlow(energy, temperature=TAU, ridge=0.1), narrow(n), (4 / n) ** 2 / (4 * TAU)


def steps(method: str, problem: Problem, h: float) -> list[tuple[float, int, float]]:
    """Seconds, Newton steps and residual of three steps."""
    flow, start, _ = problem
    chosen = get_method(method, {"step_size": h})
    prepared = chosen.prepare(flow, start, Tolerance(), 0)
    y, carry, out = prepared.initial, chosen.init(prepared, 0.0, prepared.initial), []
    for k in range(3):
        began = time.perf_counter()
        step = chosen.step(prepared, k * h, h, y, carry)
        seconds = time.perf_counter() - began
        if step.status != "ok":
            raise SystemExit(f"{method}: {step.reason}")
        y, carry = step.y, step.carry
        out.append(
            (seconds, int(carry.get("newton_steps", 0)), float(carry.get("residual", np.nan)))
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=256, help="cells an axis (256)")
    parser.add_argument("--quick", action="store_true", help="32 cells an axis, two sizes of dt")
    given = parser.parse_args()
    n = 32 if given.quick else given.cells
    sizes = (1, 100) if given.quick else (1, 10, 100, 1000, 10000)
    rows = [
        ("barenblatt", "jko-linearised", barenblatt(n)),
        ("hill", "jko-linearised", hill(n)),
        ("mean field", "jko-linearised", mean_field(n)),
        ("entropic", "jko-entropic", mean_field(n)),
    ]
    for _, method, problem in rows:
        # Compiled, and the transforms planned.
        steps(method, problem, 20 * problem[2])
    print(f"{n} x {n} cells    dt/explicit       dt   first s   later s   Newton   residual")
    for name, method, problem in rows:
        for size in sizes:
            h = size * problem[2]
            try:
                first, *later = steps(method, problem, h)
            except InputError:
                continue
            rest = min(s for s, _, _ in later)
            worst = max(r for _, _, r in (first, *later))
            counts = f"{first[1]:3d},{later[-1][1]:3d}"
            print(
                f"{name:15s} {size:12d} {h:10.2e} {first[0]:9.2f} {rest:9.2f}  {counts} {worst:10.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
