"""How fast are steps of densities on grids, against the machine's memory and against what one would write otherwise?

    python benchmarks/grid.py [--quick] [--busy] [--peer-python PYTHON]

Two threads, float64, 512 x 512, 1024 x 1024 and 128 x 128 x 128 cells; d rho/dt = div(rho grad Psi + tau grad rho)
with no-flux walls. Every part runs in a process of its own; times are the fastest of repeated calls, of whole steps the
medians too.

  kernel    one step (two Runge-Kutta stages or Euler's one, mass, entropy, minimum), nothing around it
  whole     from one accepted step to the next through wflow.solve: driver, trackers, monitors
  frozen    Psi = V does not depend on rho.    changing: Psi = (1 + c int V drho) V is formed anew at every stage,
            its cost included (about a copy)
  bound     what the bytes of a frozen step, streamed once at the measured triad speed, would take
  busy      with --busy: medians of whole steps while two other processes keep both processors busy
  cold      from the start of a process with empty caches to the end of the first step

Peers: py-pde (the same equation as an expression, one explicit Euler stage, numba and JAX back ends), FiPy (one
implicit step with exponential fluxes and its default solver, 512 x 512 only), scipy.fft (the exact diffusion by one
cosine transform forth and back). They may live in another environment: give its Python. A missing one is named.

Tried for the frozen step: rates from D B(|s|) and Psi (seven operations a face where the symmetric form has two); tiles
of columns (no gain); 512-bit vectors (twice as fast in the cache); pages used again (faults took a third of a step).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import clock
import numpy as np

from wflow.energies import Energy

THREADS = 2
SETTINGS = {f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "OPENBLAS", "NUMBA")}
SETTINGS |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
SIZES = ((512, 512), (1024, 1024), (128, 128, 128))
TAU = 0.3
Row = dict[str, float]


def fastest(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest call."""
    call()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best == math.inf:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def potential(points: np.ndarray) -> np.ndarray:
    """V: a well with ripples."""
    return np.asarray(0.5 * (points**2).sum(-1) + 0.3 * np.cos(3 * points).sum(-1))


class Changing(Energy):
    """R = 2 int V + c (int V)^2: Psi = (1 + c int V drho) V, no BLAS, whose threads would spin."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.values, self.mean = np.zeros(0), 0.0

    def prepare(self, points: np.ndarray) -> Changing:
        made = Changing(self.dimension)
        made.values = potential(points)
        return made

    def field(self, weights: np.ndarray) -> Changing:
        made = Changing(self.dimension)
        made.values, made.mean = self.values, float(np.einsum("i,i", self.values, weights))
        return made

    @property
    def risk(self) -> float:
        return 2 * self.mean + 0.1 * self.mean**2

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        return (1 + 0.1 * self.mean) * (self.values if points is None else potential(points))

    def fingerprint(self) -> str:
        return "benchmark"


def start_of(shape: tuple[int, ...]) -> Any:
    """A bell in the middle of [-3, 3]^D."""
    from wflow import GridDensity

    return GridDensity.from_function(
        lambda x: np.exp(-(x**2).sum(-1)), [(-3, 3)] * len(shape), n=shape, order=1
    )


def flow_of(dimension: int, frozen: bool, tau: float = TAU) -> Any:
    """The equation, with or without an interaction."""
    from wflow import GradientFlow
    from wflow.energies import PairEnergy

    energy = PairEnergy(potential, dimension=dimension) if frozen else Changing(dimension)
    return GradientFlow(energy, temperature=tau)


def bandwidth(shape: tuple[int, ...], seconds: float) -> Row:
    """GB/s of a[i] = b[i] + s c[i] on arrays of this size, both threads."""
    from concurrent.futures import ThreadPoolExecutor

    import numba

    @numba.njit(nogil=True)
    def triad(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        for i in range(a.size):
            a[i] = b[i] + 0.5 * c[i]

    n = math.prod(shape)
    a, b, c = np.ones((3, n))
    pool = ThreadPoolExecutor(THREADS)
    parts = [slice(n * k // THREADS, n * (k + 1) // THREADS) for k in range(THREADS)]

    def run() -> None:
        list(pool.map(lambda p: triad(a[p], b[p], c[p]), parts))

    return {"bandwidth": 24 * n / fastest(run, seconds) / 1e9}


def kernels(shape: tuple[int, ...], seconds: float) -> Row:
    """The kernels alone, in seconds a call."""
    from wflow.kernels.grid.drift_diffusion import drift_diffusion_tendency
    from wflow.kernels.grid.drift_diffusion_frozen import frozen_rates, frozen_step
    from wflow.kernels.grid.muscl import muscl_tendency
    from wflow.solvers.grid.parts.problem import GridProblem
    from wflow.solvers.method import Tolerance

    p = GridProblem(flow_of(len(shape), True), start_of(shape), Tolerance())
    rho = p.initial["density"].reshape(p.box_shape)
    psi = p.potential(rho.reshape(shape))[0].reshape(p.box_shape)
    rates = frozen_rates(psi, p.axes, TAU)
    out, h = np.empty_like(rho), 0.9 / rates.leaving
    calls: dict[str, Callable[[], Any]] = {
        "frozen step": lambda: frozen_step(rho, rates, h, p.integrals),
        "frozen Euler step": lambda: frozen_step(rho, rates, h, p.integrals, 1),
        "drift-diffusion tendency": lambda: drift_diffusion_tendency(rho, psi, p.axes, TAU, 1.0, out),
        "muscl tendency": lambda: muscl_tendency(rho, psi, p.axes, 1.0, 2.0, out),
    }  # fmt: skip
    return {f"kernel: {name}": fastest(call, seconds) for name, call in calls.items()}


def whole(shape: tuple[int, ...], seconds: float) -> Row:
    """Steps through wflow.solve, in seconds a step."""
    from wflow import solve

    found, start = {}, start_of(shape)
    for label, method, frozen, tau in (
        ("Euler, frozen", "forward-euler", True, TAU),
        ("Euler, changing", "forward-euler", False, TAU),
        ("explicit, frozen", "scharfetter-gummel-explicit", True, TAU),
        ("explicit, changing", "scharfetter-gummel-explicit", False, TAU),
        ("muscl, changing", "muscl", False, 0.0),
        ("backward-euler, changing", "backward-euler", False, TAU),
        ("scharfetter-gummel, changing", "scharfetter-gummel", False, TAU),
    ):
        flow, h = flow_of(len(shape), frozen, tau), 1e-5
        options: dict[str, Any] = {"first_step": h, "max_step": h, "rtol": 1e6}
        if method == "backward-euler":
            options = {"method_options": {"step_size": h}}

        ticks, span = clock.Clock(), (0.0, 1e6 * h)
        for _ in range(3):
            ticks.begin(seconds)
            sol = solve(flow, start, span, method=method, t_eval=[0.0], trackers=[ticks], **options)
            assert sol.success, sol.message
        found[f"whole: {label}"] = min(ticks.steps)
        found[f"median: {label}"] = median(ticks.steps)
    return found


def diffusion(shape: tuple[int, ...], seconds: float) -> Row:
    """The heat semigroup by cosines, ours and scipy's."""
    from scipy import fft

    from wflow.measures.heat import diffuse

    start, amount, symbol = start_of(shape), 1e-3, np.ones(shape)
    before = np.array(start.density)
    for axis, n in enumerate(shape):
        root = 2 * n / 6 * np.sin(np.pi * np.arange(n) / (2 * n))
        at = [1] * len(shape)
        at[axis] = n
        symbol = symbol * np.exp(-amount * root**2).reshape(at)

    def by_scipy() -> np.ndarray:
        hat = fft.dctn(before, workers=THREADS)
        return np.asarray(fft.idctn(hat * symbol, workers=THREADS))

    assert np.abs(by_scipy() - diffuse(start, amount).density).max() < 1e-12
    return {
        "diffusion by cosines": fastest(lambda: diffuse(start, amount), seconds),
        "scipy.fft: the same": fastest(by_scipy, seconds),
    }


def pypde(shape: tuple[int, ...], seconds: float, backend: str) -> Row:
    """One explicit Euler stage in py-pde."""
    import pde

    grid = pde.CartesianGrid([(-3, 3)] * len(shape), list(shape))
    points = np.asarray(grid.cell_coords)
    state = pde.ScalarField(grid, np.exp(-(points**2).sum(-1)))
    bc = {"derivative": 0}
    equation = pde.PDE(
        {"c": f"{TAU} * laplace(c) + dot(gradient(c), gradient(V)) + c * laplace(V)"},
        bc=bc,
        consts={"V": pde.ScalarField(grid, potential(points))},
    )
    h = 1e-6
    if backend == "jax":
        import jax

        stage = jax.jit(equation.make_pde_rhs(state, backend="jax"))
        data = jax.numpy.asarray(state.data)
        step = jax.jit(lambda c: c + h * stage(c, 0.0))
        return {
            "py-pde, JAX: Euler stage": fastest(lambda: step(data).block_until_ready(), seconds)
        }
    stage = equation.make_pde_rhs(state, backend="numba")
    values = np.array(state.data)

    def run() -> None:
        nonlocal values
        values = values + h * stage(values, 0.0)

    return {"py-pde, numba: Euler stage": fastest(run, seconds)}


def fipy(shape: tuple[int, ...], seconds: float) -> Row:
    """One implicit step in FiPy with exponential convection."""
    import fipy as fp

    if math.prod(shape) > 512**2:
        raise SystemExit("its direct solver takes minutes from here on")
    widths = [6 / n for n in shape]
    make = fp.Grid2D if len(shape) == 2 else fp.Grid3D
    names = ("dx", "dy", "dz")[: len(shape)], ("nx", "ny", "nz")[: len(shape)]
    mesh = make(
        **dict(zip(names[0], widths, strict=True)), **dict(zip(names[1], shape, strict=True))
    )
    points = np.asarray(mesh.cellCenters.value).T - 3
    rho = fp.CellVariable(mesh=mesh, value=np.exp(-(points**2).sum(-1)), hasOld=True)
    psi = fp.CellVariable(mesh=mesh, value=potential(points))
    equation = fp.TransientTerm() == fp.DiffusionTerm(TAU) + fp.ExponentialConvectionTerm(
        psi.faceGrad
    )
    return {"FiPy: implicit step": fastest(lambda: equation.solve(var=rho, dt=1e-3), seconds)}


def cold(shape: tuple[int, ...], seconds: float) -> Row:
    """Runs in the fresh process: one step; the parent takes the time."""
    from wflow import solve

    frozen = os.environ["WFLOW_BENCH_METHOD"] == "frozen"
    method = "scharfetter-gummel-explicit" if frozen else os.environ["WFLOW_BENCH_METHOD"]
    flow = flow_of(len(shape), frozen, 0.0 if method == "muscl" else TAU)
    assert solve(flow, start_of((32,) * len(shape)), (0, 1e-6), method=method).success
    return {}


PARTS: dict[str, Callable[[tuple[int, ...], float], Row]] = {
    "bandwidth": bandwidth,
    "kernels": kernels,
    "whole": whole,
    "diffusion": diffusion,
    "pypde_numba": partial(pypde, backend="numba"),
    "pypde_jax": partial(pypde, backend="jax"),
    "fipy": fipy,
    "cold": cold,
}
PEERS = ("pypde_numba", "pypde_jax", "fipy")


def child(
    part: str, shape: tuple[int, ...], seconds: float, python: str, **extra: str
) -> Row | str:
    """What a process measured, or in a few words why it did not."""
    path = str(Path(__file__).resolve().parents[1]) if python == sys.executable else ""
    env = {**os.environ, **SETTINGS, **extra, "PYTHONPATH": path}
    size = "x".join(map(str, shape))
    command = [python, __file__, "--part", part, "--size", size, "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as e:
        return str(e)[:90]
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1][:90]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def while_busy(shape: tuple[int, ...], seconds: float) -> Row | str:
    """Medians of whole steps beside a busy process for each processor."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(THREADS)]
    try:
        row = child("whole", shape, seconds, sys.executable)
    finally:
        for other in others:
            other.kill()
    if isinstance(row, str):
        return row
    return {f"busy: {k[8:]}": t for k, t in row.items() if k.startswith("median: ")}


def table(shape: tuple[int, ...], seconds: float, peer_python: str, busy: bool) -> None:
    """Measure and print one size."""
    cells, missing = math.prod(shape), []
    found: Row = {}
    for part in [name for name in PARTS if name != "cold"]:
        row = child(part, shape, seconds, peer_python if part in PEERS else sys.executable)
        if isinstance(row, str):
            missing.append(f"{part} ({row})")
        else:
            found |= row
    if busy:
        row = while_busy(shape, seconds)
        found |= {} if isinstance(row, str) else row
    speed = found.pop("bandwidth", math.nan)
    # Density in and out, a write fetches its line first, 1/pi, the potential, and one array of rates an axis.
    bound = 8 * (5 + len(shape)) * cells / speed / 1e9
    print(f"\n{' x '.join(map(str, shape))}, {THREADS} threads, triad {speed:.1f} GB/s")
    print(f"{'':36} {'ms':>9} {'Mcells/s':>10} {'x bound':>8}")
    for name, t in ({"bound: frozen step, memory only": bound} | found).items():
        print(f"{name:36} {1e3 * t:9.3f} {cells / t / 1e6:10.0f} {t / bound:8.1f}")
    print("left out: " + ("; ".join(missing) or "nothing"), flush=True)


def cold_table() -> None:
    """Seconds from nothing to the first step."""
    print("\ncold process to the end of the first step, seconds (again, with the cache)")
    for shape in ((32,), (32, 32), (32, 32, 32)):
        for method in ("muscl", "scharfetter-gummel", "forward-euler", "frozen"):
            with tempfile.TemporaryDirectory() as folder:
                times = []
                for _ in range(2):
                    start = time.perf_counter()
                    row = child(
                        "cold", shape, 0.0, sys.executable,
                        NUMBA_CACHE_DIR=folder, WFLOW_BENCH_METHOD=method,
                    )  # fmt: skip
                    times.append(time.perf_counter() - start)
            note = row if isinstance(row, str) else ""
            cold, warm = times
            print(f"{len(shape)} axes, {method:30} {cold:6.2f} ({warm:.2f}) {note}", flush=True)


def main() -> None:
    """Read the arguments, print the tables."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="half the time")
    parser.add_argument(
        "--busy", action="store_true", help="whole steps beside busy processes, too"
    )
    parser.add_argument("--peer-python", default=sys.executable, help="Python that has the peers")
    for hidden in ("--part", "--size", "--seconds"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        shape = tuple(int(n) for n in args.size.split("x"))
        print(json.dumps(PARTS[args.part](shape, float(args.seconds))))
        return
    for shape in SIZES:
        table(shape, 0.5 if args.quick else 1.0, args.peer_python, args.busy)
    cold_table()


if __name__ == "__main__":
    main()
