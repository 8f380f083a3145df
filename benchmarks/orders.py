"""Which order does each grid method show? Mesh and step are halved against exact solutions, and the table is printed.

    python benchmarks/orders.py [METHOD ...]

L1 errors; W1 for moving cells, whose view on the grid is first order in L1. "both": mesh and step refined together
against the closed form (a first-order step is quartered when the mesh is halved). "time": one mesh, against the same
method with 8 times the steps.
"""

from __future__ import annotations

import argparse
from typing import Any

from wflow.validation import Barenblatt, GaussianWell, observed_orders

DIFFUSION = GaussianWell(temperature=0.3, half_width=5.0)
SQUARE = GaussianWell(
    temperature=0.3, half_width=5.0, dimension=2, mean=(1.0, -0.5), variance=(0.25, 0.5)
)
BOTH = GaussianWell(temperature=0.3, reaction_rate=1.5, half_width=5.0)
QUIET = GaussianWell(reaction_rate=1.5, half_width=4.0)
TRANSPORT = GaussianWell(half_width=4.0)
REACTION = GaussianWell(temperature=0.3, reaction_rate=1.5, transport=False, half_width=5.0)
POROUS, POROUS_2D = Barenblatt(), Barenblatt(dimension=2)

CELLS = (50, 100, 200)
HALVED, QUARTERED, SMALL = (25, 50, 100), (25, 100, 400), (100, 400, 1600)
Case = tuple[str, dict[str, Any], str, Any, float, tuple[int, ...], tuple[int, ...]]
CASES: list[Case] = [
    ("muscl", {}, "Gaussian pulled together", TRANSPORT, 0.5, (100, 200, 400), (100, 200, 400)),
    ("muscl", {}, "Barenblatt", POROUS, 1.0, CELLS, (60, 240, 960)),
    ("muscl", {}, "Barenblatt, 2-D", POROUS_2D, 1.0, (20, 40, 80), (20, 80, 320)),
    ("upwind", {}, "Gaussian pulled together", TRANSPORT, 0.5, (100, 200, 400), (100, 200, 400)),
    ("upwind", {}, "Barenblatt, 2-D", POROUS_2D, 1.0, (20, 40, 80), (20, 80, 320)),
    (
        "quantiles",
        {"cells": 4000},
        "pulled together, W1",
        TRANSPORT,
        0.5,
        (100, 200, 400),
        (50, 50, 50),
    ),
    ("scharfetter-gummel", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, HALVED),
    ("scharfetter-gummel", {}, "Ornstein-Uhlenbeck, 2-D", SQUARE, 0.5, CELLS, HALVED),
    ("scharfetter-gummel-explicit", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, SMALL),
    ("forward-euler", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, SMALL),
    ("muscl-diffusion", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, SMALL),
    ("crank-nicolson", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, HALVED),
    ("backward-euler", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, QUARTERED),
    ("fully-implicit", {}, "Ornstein-Uhlenbeck", DIFFUSION, 0.5, CELLS, QUARTERED),
    ("reaction", {}, "reaction alone, one step", REACTION, 0.5, CELLS, (1, 1, 1)),
    ("strang", {}, "Riccati closure with noise", BOTH, 0.5, CELLS, HALVED),
    ("strang", {}, "Riccati closure, tau = 0", QUIET, 0.5, (100, 200, 400), (50, 100, 200)),
    ("lie", {"first": "transport"}, "Riccati closure with noise", BOTH, 0.5, CELLS, QUARTERED),
    ("lie", {"first": "reaction"}, "Riccati closure with noise", BOTH, 0.5, CELLS, QUARTERED),
]
IN_TIME: list[tuple[str, dict[str, Any], Any]] = [
    ("scharfetter-gummel", {}, DIFFUSION),
    ("crank-nicolson", {}, DIFFUSION),
    ("backward-euler", {}, DIFFUSION),
    ("fully-implicit", {}, DIFFUSION),
    ("strang", {}, BOTH),
    ("lie", {"first": "transport"}, BOTH),
    ("lie", {"first": "reaction"}, BOTH),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="only these")
    wanted = set(parser.parse_args().methods)
    unknown = wanted - {case[0] for case in CASES}
    if unknown:
        parser.error(f"no table for {', '.join(sorted(unknown))}: {sorted({c[0] for c in CASES})}")
    for method, options, name, exact, t_end, cells, steps in CASES:
        if wanted and method not in wanted:
            continue
        table = observed_orders(
            method,
            exact,
            t_end,
            cells=cells,
            steps=steps,
            norm="W1" if "W1" in name else "L1",
            method_options=options,
        )
        print(f"\nboth: {name} {options or ''}\n{table}")
    for method, options, exact in IN_TIME:
        if wanted and method not in wanted:
            continue
        table = observed_orders(
            method,
            exact,
            0.5,
            cells=80,
            steps=(40, 80, 160),
            against="finest",
            method_options=options,
        )
        print(f"\ntime: {options or ''}\n{table}")


if __name__ == "__main__":
    main()
