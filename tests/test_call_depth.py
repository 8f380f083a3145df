"""How many files lead from ``wflow.solve`` to a kernel: as many as a reader of a step opens before it."""

import sys
from functools import cache
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from flows import gauss, interacting

import wflow
from wflow import Particles

HOME = Path(wflow.__file__).resolve().parents[1]
KERNELS = str(Path(wflow.__file__).parent / "kernels")


@cache
def place(name):
    """A file's path below the checkout, links resolved."""
    return str(Path(name).resolve().relative_to(HOME))


def paths_of(run):
    """Every way, as files in their order, from ``solve`` through a step to a frame of the kernels."""
    found: set[tuple[str, ...]] = set()

    def look(frame: FrameType, event: str, _: object) -> None:
        # Who calls a kernel is the same for all that is below it: only its own frame is asked.
        if event != "call" or not frame.f_code.co_filename.startswith(KERNELS):
            return
        if frame.f_code.co_name == "__wrapper_address__":
            return  # beyond the kernel: numba asks where a function is
        files: list[str] = []
        names: list[str] = []
        here: FrameType | None = frame
        while here is not None:
            name = here.f_code.co_filename
            if name.startswith(str(HOME)):
                files.append(place(name))
                names.append(here.f_code.co_name)
            if here.f_code.co_name == "solve" and files[-1:] == ["wflow/run/solve.py"]:
                way = list(dict.fromkeys(reversed(files)))
                kernels = [i for i, file in enumerate(way) if "/kernels/" in file]
                if "step" in names:
                    found.add(tuple(way[: kernels[0]]))
                return
            here = here.f_back

    run()  # compiles
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(
    "method, constants, grid, most",
    [
        ("muscl", {}, True, 6),
        ("scharfetter-gummel", {"temperature": 0.3}, True, 6),
        ("runge-kutta", {"reaction_rate": 1.0}, False, 7),
    ],
)
def test_files_from_solve_to_a_kernel(method, constants, grid, most):
    flow = interacting(**constants)
    start = gauss(40, bounds=(-4, 4)) if grid else Particles(np.linspace(-1, 1, 20))
    found = paths_of(lambda: wflow.solve(flow, start, (0, 0.05), method=method, t_eval=[0.05]))
    # Ψ comes from the energy, on grids by way of the problem: as many files as for particles.
    own = {path for path in found if not (grid and any("/energies/" in file for file in path))}
    for ways, bound in ((own, most), (found, 7)):
        longest = max(ways, key=len)
        assert len(longest) <= bound, " > ".join(longest)
