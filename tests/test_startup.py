"""What `import wflow` costs, and the first small solve with a cold and with a warm cache.

The import is held to what it may load, not to a clock: times on a shared machine say little, so they are printed
(`pytest -rP tests/test_startup.py`) and never asserted. The aims are 1 s, 5 s and 2 s.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("numba", "scipy", "h5py", "matplotlib", "tqdm", "xarray", "sklearn", "dask")

SOLVE = """
import time
began = time.perf_counter()
import wflow
system = wflow.systems.get("isotropic-gaussians", d=40, delta=0.8)
sol = wflow.solve(system.flow(), system.initial({kind!r}, n={n}), t_span=(0, 1), t_eval=[0, 1])
assert sol.success, sol.message
print(time.perf_counter() - began)
"""


def python(code: str, **environment: str) -> tuple[str, float]:
    """Output of a fresh process, and the seconds it took in all."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout, time.perf_counter() - began


def loaded_by(code: str) -> tuple[set[str], float]:
    """The heavy packages that a fresh process has loaded after ``code``."""
    report = f"import json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    text, seconds = python(f"{code}\n{report}")
    return set(json.loads(text.splitlines()[-1])), seconds


def test_import_loads_nothing_heavy() -> None:
    loaded, seconds = loaded_by("import wflow; dir(wflow); wflow.__version__")
    print(f"import wflow in a fresh process: {seconds:.2f} s (aim 1 s)")
    assert not loaded
    loaded, _ = loaded_by("import wflow; wflow.InputError, wflow.StorageError")
    assert not loaded


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    loaded, seconds = loaded_by(
        f"import wflow.cli.main\ntry:\n    wflow.cli.main.main({command!r})\nexcept SystemExit:\n    pass"
    )
    print(f"wflow {' '.join(command)}: {seconds:.2f} s")
    assert not loaded


def test_first_solve_draws_on_no_plotting_package() -> None:
    loaded, _ = loaded_by(SOLVE.format(kind="grid", n=64))
    assert loaded.isdisjoint({"matplotlib", "xarray", "sklearn"})


@pytest.mark.slow
@pytest.mark.parametrize("kind, n", [("grid", 128), ("particles", 100)])
def test_first_solve_cold_and_warm(kind: str, n: int, tmp_path: Path) -> None:
    code = SOLVE.format(kind=kind, n=n)
    for cache, aim in (("cold", 5), ("warm", 2)):
        inside, whole = python(code, NUMBA_CACHE_DIR=str(tmp_path))
        print(f"{kind}, {cache} cache: {float(inside):.2f} s, process {whole:.2f} s (aim {aim} s)")
    assert any(tmp_path.rglob("*.nbi")), "nothing was cached"
